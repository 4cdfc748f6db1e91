from __future__ import annotations

import contextlib
import logging
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omasgan.errors import BackendError, ConfigError
from omasgan.report.results.inputs import read_study
from omasgan.report.results.write import write_report
from omasgan.store.files import AnyPath, find
from omasgan.store.journal import append_rows, read_json, write_json
from omasgan.store.results import RunKey, Store, params_id
from omasgan.tracking.client import Mlflow, locked
from omasgan.tracking.mirror import MAX_POINTS
from omasgan.tracking.tracker import Tracker, default_uri
from tests.results import (
    SPEC,
    STAGES,
    add_comparison,
    add_run,
    add_study,
    add_trial,
    claimed,
    objective,
    trial_params,
)


@pytest.fixture(scope="module")
def uri(new_database: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for all tests; each store has its own id in it."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    return f"sqlite:///{shutil.copy(new_database, path)}"


class Shown:
    """What MLflow shows of one store."""

    def __init__(self, uri: str, store: Store) -> None:
        from mlflow import MlflowClient

        self.client = MlflowClient(tracking_uri=uri)
        self.store = store

    def runs(self) -> dict[str, Any]:
        """MLflow runs by key."""
        experiment = self.client.get_experiment_by_name(SPEC.id)
        mine = (
            f"tags.`omasgan.store` = '{read_json(self.store.root / 'tracking.json')['store_id']}'"
        )
        runs = self.client.search_runs([experiment.experiment_id], mine)
        keys = [run.data.tags["omasgan.key"] for run in runs]
        assert len(keys) == len(set(keys)), "one MLflow run a key"
        return dict(zip(keys, runs, strict=True))

    def points(self) -> dict[tuple[str, str], list[tuple[int, float]]]:
        """Step and value of every point, by key and metric."""
        return {
            (key, name): [(p.step, p.value) for p in self.history(run, name)]
            for key, run in self.runs().items()
            for name in run.data.metrics
        }

    def history(self, run: Any, name: str) -> list[Any]:
        return sorted(self.client.get_metric_history(run.info.run_id, name), key=lambda p: p.step)

    def artifacts(self, run: Any, path: str | None = None) -> set[str]:
        return {item.path for item in self.client.list_artifacts(run.info.run_id, path)}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return claimed(tmp_path / "out")


@pytest.fixture
def shown(uri: str, store: Store) -> Shown:
    return Shown(uri, store)


@pytest.fixture
def tracker(uri: str, store: Store) -> Tracker:
    return Tracker(uri, store)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A loopback port that nobody listens on, bound so that nobody else takes it."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


class HangingUp:
    """A server that answers no call, and counts them."""

    def __init__(self) -> None:
        self.calls = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._listening.accept()
                self.calls += 1
                caller.close()

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def server() -> Iterator[HangingUp]:
    with contextlib.closing(HangingUp()) as server:
        yield server


SWEEP = f"{SPEC.id}/omasgan/nested/sweep"
STUDY = f"{SPEC.id}/omasgan/nested/studies/fold-0"


def test_a_sweep_is_a_parent_with_studies_and_trials_as_children(
    tracker: Tracker, store: Store, shown: Shown
) -> None:
    folder = add_study(store, status="running", outcomes=())
    tracker.begin_study(folder)
    assert shown.runs()[STUDY].info.status == "RUNNING"

    for number, outcome in enumerate(("ok", "pruned", "diverged")):
        tracker.trial(folder, add_trial(folder, number, outcome))
    tracker.end_study(folder, "complete")

    runs = shown.runs()
    parent, study = runs.pop(SWEEP), runs[STUDY]
    assert parent.info.run_name == "omasgan nested"
    assert study.data.tags["omasgan.sampler"] == "TPESampler"
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.info.run_id}
    statuses = {key.removeprefix(STUDY): run.info.status for key, run in runs.items()}
    assert statuses == {
        "": "FINISHED",
        "/trials/0000": "FINISHED",
        "/trials/0001": "KILLED",
        "/trials/0002": "FAILED",
    }
    first = runs[f"{STUDY}/trials/0000"]
    assert first.info.run_name == "fold-0 trial 0"
    assert first.data.params == {
        "detector": "omasgan", "mu": "0.1", "steps": "100", "form": "pixel",
    }  # fmt: skip
    assert first.data.metrics["objective"] == objective(0)
    assert first.data.tags["omasgan.outcome"] == "ok"
    losses = [(p.step, p.value) for p in shown.history(first, "class-1/loss_g")]
    assert losses == [(0, 1.0), (1, 1 / 2), (2, 1 / 3)]
    assert study.data.tags["omasgan.outcome"] == '{"ok": 1, "pruned": 1, "diverged": 1}'
    assert parent.data.metrics == {"best objective": objective(0)}
    assert parent.data.params == {"detector": "omasgan"}
    assert "| fold-0 | 3 | none yet |" in parent.data.tags["mlflow.note.content"]


def test_a_trial_shows_its_group_and_what_it_was_spared(
    tracker: Tracker, store: Store, shown: Shown
) -> None:
    folder = add_study(store, status="running", outcomes=())
    alone, first, second = (add_trial(folder, number) for number in range(3))
    assert second.ending is not None
    spared = replace(second, group=0, ending=replace(second.ending, cached_seconds=7.5))
    for trial in (alone, replace(first, group=0), spared):
        tracker.trial(folder, trial)
    runs = [shown.runs()[f"{STUDY}/trials/{number:04d}"] for number in range(3)]
    assert [run.data.tags.get("omasgan.group") for run in runs] == [None, "0", "0"]
    assert [run.data.metrics.get("spared seconds") for run in runs] == [None, None, 7.5]


def test_a_sweep_ends_with_the_last_of_its_studies(
    tracker: Tracker, store: Store, shown: Shown
) -> None:
    folders = [add_study(store, fold=k, status="running", outcomes=("ok",)) for k in (0, 1)]
    for folder in folders:
        tracker.begin_study(folder)
    statuses = []
    for folder in folders:
        path = folder / "study.json"
        write_json(path, read_json(path) | {"status": "complete"})
        tracker.end_study(folder, "complete")
        statuses.append(shown.runs()[SWEEP].info.status)
    assert statuses == ["RUNNING", "FINISHED"]

    write_json(path, read_json(path) | {"status": "running"})
    tracker.begin_study(folder)
    assert shown.runs()[SWEEP].info.status == "RUNNING"
    tracker.end_study(folder, "interrupted")
    assert shown.runs()[SWEEP].info.status == "KILLED"
    tracker.sync()
    assert shown.runs()[SWEEP].info.status == "KILLED"


def test_the_winner_is_a_child_with_its_own_runs(
    tracker: Tracker, store: Store, shown: Shown
) -> None:
    folder = add_study(store)
    winner = trial_params(2)
    for seed in (0, 1):
        add_run(store, params=winner, selection="nested", seed=seed, stages=STAGES)
    add_run(store, params=winner, selection="nested", fold=1)
    tracker.end_study(folder, "complete")
    tracker.run_group(SPEC.id, "omasgan", "nested", params_id(winner))

    runs = shown.runs()
    children = [r for r in runs.values() if "mlflow.parentRunId" in r.data.tags]
    assert len(runs) == 1 + len(children) == 1 + 1 + 6 + 1
    run = runs[f"{STUDY}/winner/{params_id(winner)}"]
    assert run.data.params["mu"] == str(winner["mu"])
    assert {"AUROC stage j", "seeds/AUROC fold 0 seed 1"} <= set(run.data.metrics)
    assert "seeds/AUROC fold 1 seed 0" not in run.data.metrics, "fold 1 has its own study"
    rows = [r for r in store.results() if r["fold"] == 0]
    assert run.data.metrics["AUROC"] == pytest.approx(sum(r["auroc"] for r in rows) / 2)


def test_a_study_shows_its_best_objective_not_its_last(
    tracker: Tracker, store: Store, shown: Shown
) -> None:
    folder = add_study(store, status="running", outcomes=())
    for number in range(8):
        add_trial(folder, number)
    add_trial(folder, 8, "diverged")
    tracker.end_study(folder, "interrupted")
    run = shown.runs()[STUDY]
    assert run.data.metrics["best objective"] == objective(6) > objective(7)
    curve = [(point.step, point.value) for point in shown.history(run, "objective by trial")]
    assert curve == [(number, objective(number)) for number in range(8)]

    add_trial(folder, 9)
    tracker.end_study(folder, "complete")
    assert shown.runs()[STUDY].data.metrics["best objective"] == objective(6)


def test_a_sweep_shows_the_mean_over_the_folds_of_its_winners(
    tracker: Tracker, store: Store, shown: Shown
) -> None:
    for fold, seeds in ((0, (0, 1)), (1, (0,))):
        add_study(store, fold=fold)
        for seed in seeds:
            add_run(store, params=trial_params(2), selection="nested", fold=fold, seed=seed)
    tracker.run_group(SPEC.id, "omasgan", "nested", params_id(trial_params(2)))
    run = shown.runs()[SWEEP]
    of_fold = {fold: [r["auroc"] for r in store.results() if r["fold"] == fold] for fold in (0, 1)}
    means = [sum(values) / len(values) for values in of_fold.values()]
    assert run.data.metrics["AUROC"] == pytest.approx(sum(means) / 2)
    assert run.data.metrics["AUROC worst fold"] == pytest.approx(min(means))
    assert run.data.metrics["best objective"] == objective(2)
    assert [point.value for point in shown.history(run, "AUROC by fold")] == pytest.approx(means)
    assert f"| fold-1 | 6 | trial 2 | 0.700 | {means[1]:.3f} |" in description(run)
    assert run.info.status == "FINISHED"
    winner = shown.runs()[f"{STUDY}/winner/{params_id(trial_params(2))}"]
    assert winner.data.metrics["AUROC"] == pytest.approx(means[0])


def description(run: Any) -> str:
    return str(run.data.tags["mlflow.note.content"])


def test_runs_without_a_search_are_one_mlflow_run_with_artifacts(
    tracker: Tracker, store: Store, shown: Shown
) -> None:
    key = add_run(store, stages=STAGES, pictures=True)
    add_run(store, fold=1)
    add_run(store, fold=2, outcome="diverged")
    tracker.run_group(SPEC.id, "omasgan", "fixed", key.params_id)

    ((name, run),) = shown.runs().items()
    assert name == f"{SPEC.id}/omasgan/fixed/{key.params_id}"
    assert run.info.status == "FAILED", "one of its runs did not end well"
    assert run.data.tags["omasgan.selection"] == "fixed"
    assert run.data.tags["omasgan.data_sha256"] == "ab" * 32
    assert [p.value for p in shown.history(run, "fold 0/loss_g")] == [
        1,
        1 / 2,
        1 / 3,
        1 / 4,
    ]
    assert {"AUROC", "AUROC sd", "AUROC worst fold", "AUROC fold 1"} <= set(run.data.metrics)
    assert run.data.params["detector"] == "omasgan"
    assert shown.artifacts(run, "seed-0/fold-0") == {
        f"seed-0/fold-0/{file}"
        for file in ("scores.parquet", "roc.png", "histogram.png", "samples.png")
    }


def test_mirroring_twice_changes_nothing(tracker: Tracker, store: Store, shown: Shown) -> None:
    folder = add_study(store)
    add_run(store, params=trial_params(2), selection="nested")
    add_run(store, "knn", {"k": 5})
    assert tracker.sync() == 1 + 1 + 6 + 1 + 1
    before, statuses = shown.points(), {k: r.info for k, r in shown.runs().items()}
    assert Tracker(tracker.uri, store).sync() == 10
    tracker.begin_study(folder)
    tracker.end_study(folder, "complete")

    assert shown.points() == before
    after = {key: run.info for key, run in shown.runs().items()}
    assert {k: i.run_id for k, i in after.items()} == {k: i.run_id for k, i in statuses.items()}
    assert "RUNNING" not in {info.status for info in after.values()}
    for points in before.values():
        assert len(points) == len({step for step, _ in points}), "one point a step"


def test_what_a_crash_left_half_sent_is_completed_without_doubles(
    tracker: Tracker, store: Store, shown: Shown
) -> None:
    add_study(store)
    key = add_run(store, "knn", {"k": 5})
    tracker.sync()
    before = shown.points()
    for run in shown.runs().values():
        if "omasgan.sent" in run.data.tags:
            shown.client.delete_tag(run.info.run_id, "omasgan.sent")
            shown.client.update_run(run.info.run_id, status="RUNNING")
    tracker.sync()
    assert shown.points() == before
    assert {run.info.status for key, run in shown.runs().items() if "trials" not in key} == {
        "FINISHED"
    }
    assert "RUNNING" not in {run.info.status for run in shown.runs().values()}
    assert key.params_id in "".join(shown.runs())


def test_an_interrupted_study_goes_on_in_the_same_mlflow_run(
    tracker: Tracker, store: Store, shown: Shown
) -> None:
    folder = add_study(store, status="running", outcomes=("ok",))
    tracker.begin_study(folder)
    tracker.end_study(folder, "interrupted")
    interrupted = shown.runs()
    assert interrupted[STUDY].info.status == "KILLED"

    again = Tracker(tracker.uri, store)
    again.begin_study(folder)
    assert shown.runs()[STUDY].info.status == "RUNNING"
    again.trial(folder, add_trial(folder, 1))
    write_json(folder / "study.json", read_json(folder / "study.json") | {"status": "complete"})
    again.end_study(folder, "complete")
    runs = shown.runs()
    assert len(runs) == 4
    assert runs[STUDY].info.run_id == interrupted[STUDY].info.run_id
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert [p.step for p in shown.history(runs[STUDY], "best objective")] == [1, 2]
    assert [p.step for p in shown.history(runs[SWEEP], "best objective")] == [1, 2]


def test_more_runs_of_the_same_params_grow_the_same_mlflow_run(
    tracker: Tracker, store: Store, shown: Shown
) -> None:
    for fold in range(2):
        key = add_run(store, fold=fold)
        tracker.run_group(SPEC.id, "omasgan", "fixed", key.params_id)
    (run,) = shown.runs().values()
    assert [p.step for p in shown.history(run, "AUROC")] == [1, 2]
    assert len(shown.history(run, "fold 0/loss_g")) == 4


def test_another_seed_adds_its_score_and_no_other_curve(
    tracker: Tracker, store: Store, shown: Shown
) -> None:
    for seed in range(2):
        key = add_run(store, seed=seed)
        tracker.run_group(SPEC.id, "omasgan", "fixed", key.params_id)
    (run,) = shown.runs().values()
    assert len(shown.history(run, "fold 0/loss_g")) == 4
    assert {f"seeds/AUROC fold 0 seed {seed}" for seed in range(2)} <= set(run.data.metrics)


def test_a_failed_run_leaves_no_curve_until_it_is_trained_again(
    tracker: Tracker, store: Store, shown: Shown
) -> None:
    key = add_run(store, outcome="failed")
    tracker.run_group(SPEC.id, "omasgan", "fixed", key.params_id)
    (run,) = shown.runs().values()
    assert run.info.status == "FAILED"
    assert run.data.metrics == {}
    (store.run_dir(key) / "epochs.jsonl").unlink()
    add_run(store)
    tracker.run_group(SPEC.id, "omasgan", "fixed", key.params_id)
    (run,) = shown.runs().values()
    assert run.info.status == "FINISHED"
    assert len(shown.history(run, "fold 0/loss_g")) == 4


def test_long_curves_are_thinned(tracker: Tracker, store: Store, shown: Shown) -> None:
    folder = add_study(store, status="running", outcomes=())
    trial = add_trial(folder, 0, epochs=0)
    rows = [{"task": "t", "step": 0, "epoch": e, "loss": float(e)} for e in range(5000)]
    append_rows(folder / "trials" / "0000" / "epochs.jsonl", rows)
    tracker.trial(folder, trial)
    steps = [p.step for p in shown.history(shown.runs()[f"{STUDY}/trials/0000"], "t/loss")]
    assert len(steps) == MAX_POINTS
    assert (steps[0], steps[-1]) == (0, 4999)


def test_stores_do_not_mix_on_one_server(uri: str, tmp_path: Path) -> None:
    stores = [claimed(tmp_path / name) for name in ("one", "two")]
    for store in stores:
        add_run(store, "knn", {"k": 5})
        Tracker(uri, store).sync()
    first, second = (Shown(uri, store).runs() for store in stores)
    assert list(first) == list(second)
    assert {r.info.run_id for r in first.values()}.isdisjoint(
        r.info.run_id for r in second.values()
    )


def test_a_store_that_is_no_folder_is_mirrored_to_a_database_elsewhere(
    uri: str, remote: AnyPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = claimed(remote)
    with pytest.raises(ConfigError, match=r"'s3://.*'; give --tracking-uri URI or none"):
        Tracker(None, store)
    with locked(remote):
        assert [path.name for path in find(remote, "**/*")] == ["benchmark.json"]

    add_study(store, outcomes=("ok", "pruned"))
    add_comparison(store, [add_run(store, "knn", {"k": 1})])
    key = add_run(store, stages=STAGES, pictures=True)
    assert Tracker(uri, store).sync() == 1 + 3 + 2 + 1
    shown = Shown(uri, store)
    runs, points = shown.runs(), shown.points()
    drawn = {"scores.parquet", "roc.png", "histogram.png", "samples.png"}
    alone = runs[f"{SPEC.id}/omasgan/fixed/{key.params_id}"]
    assert shown.artifacts(alone, "seed-0/fold-0") == {f"seed-0/fold-0/{name}" for name in drawn}
    assert shown.artifacts(runs[STUDY]) == {"study.json", "winner.json", "journal.jsonl"}
    assert Tracker(uri, store).sync() == 7
    assert shown.points() == points


def test_where_artifacts_lie(uri: str, store: Store, remote: AnyPath) -> None:
    database = Path(uri.removeprefix("sqlite:///"))
    assert Mlflow.open(uri, store.root).artifacts == store.root / "mlartifacts"
    assert Mlflow.open(uri, remote).artifacts == database.parent / "mlartifacts"
    assert Mlflow.open("http://127.0.0.1:9", remote).artifacts is None


COMPARISON = f"{SPEC.id}/comparison"


def entry(key: RunKey) -> str:
    return f"{COMPARISON}/{key.detector}/{key.selection}/{key.params_id}"


def add_compared(store: Store) -> tuple[RunKey, RunKey, RunKey]:
    """knn and two variants of omasgan on two folds and seeds, one of them with a bad end."""
    for fold in range(2):
        for seed in range(2):
            knn = add_run(store, "knn", {"k": 1}, fold=fold, seed=seed, shift=0.5)
            ours = add_run(store, stages=STAGES, pictures=True, fold=fold, seed=seed)
            bad = "ok" if fold else "diverged"
            control = add_run(store, params={"mu": 9.0}, fold=fold, seed=seed, outcome=bad)
    return knn, ours, control


def test_a_comparison_is_a_parent_with_its_entries_as_children(
    tracker: Tracker, store: Store, shown: Shown
) -> None:
    knn, ours, control = add_compared(store)
    absent = RunKey(SPEC.id, "gmm", "fixed", "0" * 12, 0, 0)
    add_comparison(store, [knn, ours, control, absent])
    tracker.comparison(SPEC.id, "complete")

    runs = shown.runs()
    parent = runs.pop(COMPARISON)
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics == {}
    tags = {name: parent.data.tags[f"omasgan.{name}"] for name in ("folds", "seeds", "detectors")}
    assert tags == {"folds": "2", "seeds": "2", "detectors": "3"}
    answer, table = description(parent).split("\n\n")
    assert answer.startswith("- 2 detectors were compared on 2 of the 3 folds")
    lines = table.splitlines()[2:]
    best = sorted((run.data.metrics["AUROC"] for run in runs.values()), reverse=True)
    assert [line.split(" | ")[1] for line in lines] == [f"{value:.3f}" for value in best]
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.info.run_id}
    names = {key: (run.info.run_name, run.info.status) for key, run in runs.items()}
    assert names.pop(entry(knn)) == ("knn", "FINISHED")
    assert names.pop(entry(control))[1] == "FAILED", "two of its runs have diverged"
    assert names.pop(entry(ours))[0].startswith("omasgan ")
    assert names == {}

    run = runs[entry(ours)]
    rows = [r for r in store.results() if r["params_id"] == ours.params_id]
    assert run.data.params["mu"] == "0.2"
    assert run.data.metrics["AUROC"] == pytest.approx(sum(r["auroc"] for r in rows) / 4)
    expected = {"AUROC stage j", "AUROC sd", "AUROC worst fold", "average precision", "FPR95"}
    assert expected <= set(run.data.metrics)
    assert {"AUROC fold 0", "AUROC fold 1"} <= set(run.data.metrics)
    assert len(run.data.metrics) == 15, "few, and all of them readable"
    assert (run.data.metrics["seconds"], run.data.metrics["peak memory MB"]) == (12.5, 512.0)
    assert [(p.step, p.value) for p in shown.history(run, "AUROC by fold")] == [
        (fold, run.data.metrics[f"AUROC fold {fold}"]) for fold in range(2)
    ]
    assert run.data.tags["omasgan.data_sha256"] == "ab" * 32
    assert runs[entry(control)].data.tags["omasgan.outcome"] == '{"diverged": 2, "ok": 2}'
    assert shown.artifacts(run) == {"roc.png", "histogram.png", "samples.png"}
    assert shown.artifacts(runs[entry(knn)]) == {"roc.png", "histogram.png"}


def test_an_entry_is_sent_again_only_if_its_runs_have_changed(
    tracker: Tracker, store: Store, shown: Shown
) -> None:
    knn, ours, control = add_compared(store)
    add_comparison(store, [knn, ours, control])
    tracker.comparison(SPEC.id, "complete")
    before, first = shown.points(), shown.runs()
    Tracker(tracker.uri, store).comparison(SPEC.id, "complete")
    Tracker(tracker.uri, store).sync()
    assert shown.points() == before
    assert {k: r.info.run_id for k, r in shown.runs().items()} == {
        k: r.info.run_id for k, r in first.items()
    }

    for seed in range(2):
        add_run(store, "knn", {"k": 1}, fold=2, seed=seed)
    tracker.comparison(SPEC.id, "complete")
    after = shown.points()
    changed = {key for key, name in after if after[key, name] != before.get((key, name))}
    assert changed == {entry(knn)}
    assert [step for step, _ in after[entry(knn), "AUROC by fold"]] == [0, 1, 2]
    rows = [row["auroc"] for row in store.results() if row["detector"] == "knn"]
    assert shown.runs()[entry(knn)].data.metrics["AUROC"] == pytest.approx(sum(rows) / 6)
    assert "RUNNING" not in {run.info.status for run in shown.runs().values()}


def test_what_a_crash_left_of_an_entry_is_completed(
    tracker: Tracker, store: Store, shown: Shown
) -> None:
    add_comparison(store, add_compared(store))
    tracker.comparison(SPEC.id, "complete")
    before = shown.points()
    for run in shown.runs().values():
        shown.client.update_run(run.info.run_id, status="RUNNING")
        if "omasgan.sent" in run.data.tags:
            shown.client.delete_tag(run.info.run_id, "omasgan.sent")
    tracker.sync()
    assert shown.points() == before
    assert {run.info.status for run in shown.runs().values()} == {"FINISHED", "FAILED"}


def test_a_running_comparison_shows_the_entries_that_have_ended(
    tracker: Tracker, store: Store, shown: Shown
) -> None:
    knn, ours, control = add_compared(store)
    late = add_run(store, "gmm", {"mixture": 30})
    add_comparison(store, [knn, ours, control, late], "running")
    tracker.comparison(SPEC.id, "running")
    runs = shown.runs()
    assert runs[COMPARISON].info.status == "RUNNING"
    assert set(runs) == {COMPARISON, *map(entry, (knn, ours, control))}

    assert Tracker(tracker.uri, store).sync() == 5
    runs = shown.runs()
    assert runs[COMPARISON].info.status == "KILLED", "nobody is working on it"
    assert entry(late) in runs
    tracker.comparison(SPEC.id, "failed")
    assert shown.runs()[COMPARISON].info.status == "FAILED"


def test_a_comparison_without_a_run_yet_is_shown(
    tracker: Tracker, store: Store, shown: Shown
) -> None:
    add_comparison(store, [RunKey(SPEC.id, "knn", "fixed", "0" * 12, 0, 0)], "running")
    tracker.comparison(SPEC.id, "running")
    tracker.comparison(SPEC.id, "interrupted")
    ((key, run),) = shown.runs().items()
    assert (key, run.info.status) == (COMPARISON, "KILLED")


def test_winners_count_where_they_have_won_and_keep_their_studies(
    tracker: Tracker, store: Store, shown: Shown
) -> None:
    add_study(store)
    add_study(store, fold=1, outcomes=("ok",))
    for number, fold in ((2, 0), (2, 1), (0, 1)):
        add_run(
            store, params=trial_params(number), selection="nested", fold=fold, shift=number / 2
        )
    fixed = add_run(store)
    add_comparison(store, [fixed, "omasgan/nested"])
    tracker.sync()

    runs = shown.runs()
    run = runs[f"{COMPARISON}/omasgan/nested/winners"]
    assert run.info.run_name == "omasgan nested"
    assert run.data.params == {"detector": "omasgan"}
    assert "AUROC" not in runs[SWEEP].data.metrics, "the comparison has it"
    rows = {(r["params_id"], r["fold"]): r["auroc"] for r in store.results()}
    won = [rows[params_id(trial_params(2)), 0], rows[params_id(trial_params(0)), 1]]
    assert [
        value for _, value in shown.points()[run.data.tags["omasgan.key"], "AUROC by fold"]
    ] == won
    assert f"{STUDY}/winner/{params_id(trial_params(2))}" in runs
    assert runs[entry(fixed)].info.run_name == "omasgan fixed"


def test_compared_runs_are_not_shown_on_their_own_as_well(
    tracker: Tracker, store: Store, shown: Shown
) -> None:
    knn = add_run(store, "knn", {"k": 1})
    add_comparison(store, [knn])
    tracker.run_group(SPEC.id, "knn", "fixed", knn.params_id)
    other = add_run(store, "knn", {"k": 5})
    tracker.run_group(SPEC.id, "knn", "fixed", other.params_id)
    runs = shown.runs()
    alone = f"{SPEC.id}/knn/fixed/{other.params_id}"
    assert set(runs) == {COMPARISON, entry(knn), alone}
    assert runs[COMPARISON].info.status == "FINISHED"


def test_a_report_is_attached_to_what_holds_its_results(
    tracker: Tracker, store: Store, shown: Shown
) -> None:
    add_study(store)
    report = write_report(store, page_only=True)
    tracker.attach(report.folder, report.of)
    compared = add_run(store, "knn", {"k": 1})
    add_comparison(store, [compared])
    report = write_report(store, figures=["png"])
    tracker.attach(report.folder, report.of)
    files = {
        key: {item.path for item in tracker_files(tracker, run, "report")}
        for key, run in shown.runs().items()
    }
    assert files[SWEEP] == {"report/index.html"}
    assert {"report/index.html", "report/figures", "report/tables"} <= files[COMPARISON]


def test_a_sweep_ends_with_its_report(tracker: Tracker, store: Store, shown: Shown) -> None:
    add_study(store)
    tracker.report([SPEC.id])
    (run,) = (run for key, run in shown.runs().items() if key == SWEEP)
    assert shown.artifacts(run, "report") == {"report/index.html"}
    assert not (store.root / "report").exists()


def test_the_page_of_a_sensitivity_study_is_an_mlflow_run(
    tracker: Tracker, store: Store, shown: Shown
) -> None:
    folder = store.root / "sensitivity" / f"{SPEC.id}-omasgan"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "summary.md").write_text("# Sensitivity")
    key = add_run(store, selection="sensitivity")
    tracker.run_group(SPEC.id, "omasgan", "sensitivity", key.params_id)
    tracker.page(folder)
    tracker.sync()
    (setting,) = shown.runs().values()
    assert setting.data.tags["omasgan.kind"] == "sensitivity"
    experiment = shown.client.get_experiment_by_name("sensitivity")
    mine = f"tags.`omasgan.store` = '{setting.data.tags['omasgan.store']}'"
    (page,) = shown.client.search_runs([experiment.experiment_id], mine)
    assert description(page) == "# Sensitivity" and page.info.status == "FINISHED"
    assert shown.artifacts(page) == {"index.html"}


def test_a_new_database_has_no_empty_experiment(mlflow_database: Path) -> None:
    client = Mlflow.open(f"sqlite:///{mlflow_database}", mlflow_database.parent).client
    assert client.search_experiments() == []


def tracker_files(tracker: Tracker, run: Any, folder: str) -> list[Any]:
    from mlflow import MlflowClient

    files: list[Any] = MlflowClient(tracker.uri).list_artifacts(run.info.run_id, folder)
    return files


def test_a_run_whose_process_died_is_shown(tracker: Tracker, store: Store, shown: Shown) -> None:
    for detector in ("knn", "gmm"):
        key = add_run(store, detector, {"k": 1}, outcome="failed")
        path = store.run_dir(key) / "result.json"
        write_json(path, read_json(path) | {"seconds": None, "peak_memory_mb": None})
    add_comparison(store, [key])
    assert tracker.sync() == 3
    assert {run.info.status for key, run in shown.runs().items() if key != COMPARISON} == {
        "FAILED"
    }


def test_an_unreachable_server_stops_nothing_and_is_sent_later(
    store: Store,
    shown: Shown,
    uri: str,
    server: HangingUp,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("omasgan.tracking.tracker.RETRY_SECONDS", 3600.0)
    folder = add_study(store)
    ended = read_study(folder).ended[0]
    key = add_run(store, "knn", {"k": 5})
    tracker = Tracker(f"http://127.0.0.1:{server.port}", store)
    with caplog.at_level(logging.WARNING, logger="omasgan.tracking.tracker"):
        tracker.begin_study(folder)
        calls = server.calls
        tracker.trial(folder, ended)
        tracker.end_study(folder, "complete")
        tracker.run_group(SPEC.id, "knn", "fixed", key.params_id)
        tracker.comparison(SPEC.id, "complete")
        assert server.calls == calls > 0, "the server is left alone for a while"
    warnings = [r.getMessage() for r in caplog.records if r.name == "omasgan.tracking.tracker"]
    assert len(warnings) == 1
    assert "--sync-mlflow" in warnings[0]
    assert "\n" not in warnings[0]
    with pytest.raises(BackendError, match="cannot be used"):
        tracker.sync()
    assert Tracker(uri, store).sync() == 9
    assert len(shown.runs()) == 9


@pytest.mark.parametrize(
    "make_uri",
    [
        lambda port: f"postgresql+psycopg2://user:secret@127.0.0.1:{port}/mlflow",
        lambda port: f"http://127.0.0.1:{port}",
    ],
)
@pytest.mark.timeout(60)  # MLflow itself would try the database for 100 seconds
def test_sync_says_that_nobody_answers(
    store: Store, closed_port: int, make_uri: Callable[[int], str]
) -> None:
    add_study(store)
    with pytest.raises(BackendError, match=r"MLflow at .* cannot be used") as caught:
        Tracker(make_uri(closed_port), store).sync()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("bad", ["mlruns", "file:///tmp/mlruns", "ftp://host"])
def test_a_uri_that_mlflow_cannot_take_is_refused_at_once(store: Store, bad: str) -> None:
    with pytest.raises(ConfigError, match="must begin with one of sqlite"):
        Tracker(bad, store)


def test_where_mlflow_is_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Tracker(None, store).uri == default_uri(store.root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
    assert Tracker(None, store).uri == "http://server:5000"
    assert Tracker("sqlite:///other.db", store).uri == "sqlite:///other.db"


def test_an_unknown_ending_is_refused(tracker: Tracker, store: Store) -> None:
    with pytest.raises(ValueError, match=r"status must be one of .*complete.*'done'"):
        tracker.end_study(store.root, "done")
    with pytest.raises(ValueError, match=r"status must be one of .*running.*'done'"):
        tracker.comparison(SPEC.id, "done")
