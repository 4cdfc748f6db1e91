"""Sweeps whose detectors need no training, on two small folds of digits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omasgan.backends.local import LocalBackend
from omasgan.config import BenchmarkSpec, load_benchmark
from omasgan.data import protocols, selection
from omasgan.data.datasets import Dataset
from omasgan.data.selection import TRIAL_SEEDS
from omasgan.errors import ConfigError, StoreError
from omasgan.experiments.sweep import SweepSpec, check, sweep
from omasgan.progress import Event, OnEvent
from omasgan.store.journal import read_json, read_rows
from omasgan.store.results import Store, params_id
from omasgan.study.search import Search, TrialJob
from omasgan.study.space import Space
from omasgan.training.jobs import RunJob

SPACE = Space.from_dict({"lr": {"low": 1e-4, "high": 1.0, "log": True}, "epochs": 2})


@pytest.fixture
def spec(small_spec: BenchmarkSpec) -> SweepSpec:
    return SweepSpec(
        benchmark=small_spec,
        detector="tests.toy:CurveDetector",
        space=SPACE,
        rule="nested",
        n_trials=3,
        inner=2,
    )


def studies(store: Store) -> dict[str, dict[str, Any]]:
    """What is on disk of each study."""
    return {
        folder.name: {
            "study": read_json(folder / "study.json"),
            "winner": read_json(folder / "winner.json"),
            "log": read_rows(folder / "log.jsonl"),
        }
        for folder in store.studies()
    }


class StoppedError(Exception):
    pass


def stop_after(n: int) -> OnEvent:
    """The driver goes away when ``n`` trials of the second study have ended."""

    def on_event(event: Event) -> None:
        is_second = event.study_dir is not None and event.study_dir.name == "fold-1"
        if event.kind == "epoch" and is_second and event.done == n:
            raise StoppedError("here")

    return on_event


def test_each_fold_gets_its_own_winner_trained_anew(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    events: list[Event] = []
    result = sweep([spec], store, LocalBackend(), small_dataset, on_event=events.append)
    assert [winner.study for winner in result.winners] == ["fold-0", "fold-1"]
    found = studies(store)
    for winner in result.winners:
        on_disk = found[winner.study]
        assert on_disk["study"]["status"] == "complete"
        assert on_disk["study"]["n_trials"] == 3
        assert on_disk["winner"]["params"] == winner.params
        assert on_disk["winner"]["params_id"] == params_id(winner.params)
        # The winner's params are complete, so that they mean the same with other defaults.
        assert set(winner.params) == {"lr", "epochs", "collapse"}
        told = [row for row in on_disk["log"] if row["event"] == "tell"]
        assert winner.objective == max(row["objective"] for row in told)
        rows = [row for row in result.rows if row["fold"] == winner.folds[0]]
        assert [row["params"] for row in rows] == [winner.params] * 3
    assert {row["seed"] for row in result.rows} == set(spec.benchmark.seeds)
    assert max(spec.benchmark.seeds) < TRIAL_SEEDS
    assert {row["selection"] for row in result.rows} == {"nested"}
    assert store.results() == sorted(result.rows, key=lambda r: (r["params_id"], r["seed"]))
    marks = [(e.text, e.study_dir.name) for e in events if e.kind == "study" and e.study_dir]
    names = ["fold-0", "fold-1"]
    assert marks == [("running", n) for n in names] + [("complete", n) for n in names]


def test_a_sweep_that_is_done_does_nothing_and_a_longer_one_goes_on(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    first = sweep([spec], store, LocalBackend(), small_dataset)
    events: list[Event] = []
    again = sweep([spec], store, LocalBackend(), small_dataset, on_event=events.append)
    assert again == first
    assert not [event for event in events if event.kind in ("epoch", "trial")]
    longer = replace(spec, n_trials=5)
    sweep([longer], store, LocalBackend(), small_dataset)
    whole = Store(tmp_path / "whole")
    sweep([longer], whole, LocalBackend(), small_dataset)
    assert studies(store) == studies(whole)


def test_a_stopped_sweep_goes_on_only_with_resume_and_ends_as_if_never_stopped(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    spec = replace(spec, sampler="TPESampler(n_startup_trials=2)", n_trials=4)
    store = Store(tmp_path / "stopped")
    with pytest.raises(StoppedError, match="here"):
        sweep([spec], store, LocalBackend(), small_dataset, on_event=stop_after(2))
    assert store.results() == []
    assert [read_json(d / "study.json")["status"] for d in store.studies()] == ["running"] * 2
    with pytest.raises(StoreError, match=r"study 'fold-0' .* has not ended; go on with --resume"):
        sweep([spec], store, LocalBackend(), small_dataset)
    resumed = sweep([replace(spec, resume=True)], store, LocalBackend(), small_dataset)
    whole_store = Store(tmp_path / "whole")
    whole = sweep([spec], whole_store, LocalBackend(), small_dataset)
    assert resumed.winners == whole.winners
    assert [row["auroc"] for row in resumed.rows] == [row["auroc"] for row in whole.rows]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"space": Space.from_dict({"lr": {"low": 1e-4, "high": 0.5, "log": True}})},
            r"study 'fold-0' .* is another one: space.epochs: 2 -> absent; "
            r"space.lr.high: 1.0 -> 0.5; give another --out",
        ),
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"sampler": "RandomSampler"}, 'sampler: "TPESampler" -> "RandomSampler"'),
        ({"pruner": "MedianPruner"}, 'pruner: "NopPruner" -> "MedianPruner"'),
        ({"inner": 1}, "inner: 2 -> 1"),
        ({"prune_collapsed": True}, "prune_collapsed: false -> true"),
    ],
)
def test_a_changed_study_is_refused_with_the_difference(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    spec = replace(spec, n_trials=1, folds=(0,))
    store = Store(tmp_path)
    sweep([spec], store, LocalBackend(), small_dataset)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StoreError, match=message) as caught:
        sweep([replace(spec, resume=True, **change)], store, LocalBackend(), small_dataset)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_changed_benchmark_is_refused(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    spec = replace(spec, n_trials=1, folds=(0,))
    sweep([spec], store, LocalBackend(), small_dataset)
    changed = spec.benchmark.model_copy(update={"split_seed": 5})
    with pytest.raises(StoreError, match=r"benchmark.split_seed: 0 -> 5"):
        sweep([replace(spec, benchmark=changed)], store, LocalBackend(), small_dataset)


def test_a_replay_repeats_a_sweep(spec: SweepSpec, small_dataset: Dataset, tmp_path: Path) -> None:
    recorded = sweep([spec], Store(tmp_path / "a"), LocalBackend(), small_dataset)
    folder = Store(tmp_path / "a").studies()[0].parent
    again = replace(spec, seed=0, sampler="RandomSampler(seed=9)", replay=folder)
    replayed = sweep([again], Store(tmp_path / "b"), LocalBackend(), small_dataset)
    assert [w.params for w in replayed.winners] == [w.params for w in recorded.winners]
    one_log = replace(spec, replay=folder / "fold-0" / "log.jsonl")
    with pytest.raises(ConfigError, match="is one log, but the sweep has several studies"):
        sweep([one_log], Store(tmp_path / "c"), LocalBackend(), small_dataset)
    assert not (tmp_path / "c").exists()
    alone = sweep(
        [replace(one_log, folds=(0,))], Store(tmp_path / "c"), LocalBackend(), small_dataset
    )
    assert alone.winners[0].params == recorded.winners[0].params


def test_a_study_without_a_good_trial_is_told_after_the_others_are_done(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    bad = Space.from_dict({"lr": {"low": 0.5, "high": 1.0}})
    spec = replace(spec, detector="tests.toy:DivergingDetector", space=bad)
    message = r"study 'fold-0' of .*Detector ended ok \(3 diverged; last error: loss is not finite"
    with pytest.raises(ConfigError, match=message):
        sweep([spec], Store(tmp_path), LocalBackend(), small_dataset)


def test_several_folders_share_a_storage(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    spec = replace(spec, storage=f"sqlite:///{tmp_path}/shared.db", folds=(0,), n_trials=2)
    for name in "ab":
        sweep([spec], Store(tmp_path / name), LocalBackend(), small_dataset)
    whole = [studies(Store(tmp_path / name)) for name in "ab"]
    assert whole[0] == whole[1]


def test_a_storage_with_another_history_is_refused(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    spec = replace(spec, storage=f"sqlite:///{tmp_path}/shared.db", folds=(0,), n_trials=2)
    store = Store(tmp_path / "a")
    sweep([spec], store, LocalBackend(), small_dataset)
    lost = replace(spec, storage=f"sqlite:///{tmp_path}/other.db", n_trials=3)
    with pytest.raises(StoreError, match="holds 0 trials of study 'fold-0', but 2 are recorded"):
        sweep([lost], store, LocalBackend(), small_dataset)
    for record in (store.studies()[0]).glob("trials/*/trial.json"):
        record.unlink()
    (store.studies()[0] / "log.jsonl").unlink()
    with pytest.raises(StoreError, match="holds 2 trials of study 'fold-0', but 0 are recorded"):
        sweep([spec], store, LocalBackend(), small_dataset)


@pytest.mark.parametrize("damage", [None, b"", b'{"number": 0'])
def test_a_record_that_is_gone_or_damaged_is_written_anew_from_the_log(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path, damage: bytes | None
) -> None:
    spec, store = replace(spec, folds=(0,)), Store(tmp_path)
    first = sweep([spec], store, LocalBackend(), small_dataset)
    record = store.studies()[0] / "trials/0000/trial.json"
    before = read_json(record)
    record.unlink() if damage is None else record.write_bytes(damage)
    assert sweep([spec], store, LocalBackend(), small_dataset) == first
    kept = ("number", "params", "values", "outcome", "objective", "error")
    assert [read_json(record)[key] for key in kept] == [before[key] for key in kept]


def test_ended_trials_keep_their_state_only_if_asked_and_within_the_budget(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    states = {}
    for name, change in {
        "none": {},
        "kept": {"keep_checkpoints": True},
        "budget": {"keep_checkpoints": True, "checkpoint_budget": 1},
    }.items():
        sweep([replace(spec, **change)], Store(tmp_path / name), LocalBackend(), small_dataset)
        states[name] = list((tmp_path / name).rglob("trials/*/*.safetensors"))
    # One for each of the two tasks of every trial of both studies.
    assert {name: len(found) for name, found in states.items()} == {
        "none": 0, "kept": 2 * 2 * spec.n_trials, "budget": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_trials": 0}, "trials must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"sampler": "TPE"}, "unknown sampler 'TPE'"),
        ({"pruner": "None"}, "unknown pruner 'None'|pruner must be written"),
        ({"space": Space.from_dict({"lrr": 1.0})}, "unknown parameter of CurveDetector 'lrr'"),
        ({"replay": Path("absent.jsonl")}, "--replay 'absent.jsonl' does not exist"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check(replace(spec, **change))
    with pytest.raises(ConfigError, match=message):
        sweep([replace(spec, **change)], Store(tmp_path / "out"), LocalBackend(), small_dataset)
    assert not (tmp_path / "out").exists()


def test_transfer_chooses_on_another_benchmark(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    other = load_benchmark("two-gaussians-2d")
    source = protocols.load_data(other, root=None, download=False)
    spec = replace(spec, rule="transfer", source=other, n_trials=2)
    result = sweep([spec], Store(tmp_path), LocalBackend(), small_dataset, source=source)
    (winner,) = result.winners
    assert (winner.study, winner.folds) == ("shared", (0, 1))
    assert {row["fold"] for row in result.rows} == {0, 1}
    with pytest.raises(ConfigError, match="needs another benchmark"):
        sweep([replace(spec, source=None)], Store(tmp_path), LocalBackend(), small_dataset)


class Watched:
    """A backend that keeps what would go to workers, as bytes."""

    def __init__(self, inner: Any, store: Store) -> None:
        self._inner, self._store = inner, store
        self.wire: list[bytes] = []

    def check_out(self, root: Path) -> None:
        self._inner.check_out(root)

    def search(self, searches: Sequence[Search], on_event: OnEvent) -> None:
        from ray import cloudpickle

        from omasgan.backends.ray.worker import train_trial

        self.wire = [cloudpickle.dumps(part) for part in self._inner.sent(searches)]
        self.wire.append(cloudpickle.dumps(train_trial))
        self._inner.search(searches, on_event)

    def runs(self, jobs: Sequence[RunJob], *args: Any) -> list[dict[str, Any]]:
        assert all((folder / "winner.json").exists() for folder in self._store.studies())
        rows: list[dict[str, Any]] = self._inner.runs(jobs, *args)
        return rows

    def close(self) -> None:
        self._inner.close()


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("ray_cluster")
def test_no_test_image_is_sent_before_the_winner_is_frozen(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    from ray import cloudpickle

    from omasgan.backends.ray.backend import RayBackend

    store = Store(tmp_path)
    ray_backend = RayBackend(cpus_per_trial=8)
    backend = Watched(ray_backend, store)
    spec = replace(spec, folds=(0,), n_trials=1)
    (winner,) = sweep([spec], store, backend, small_dataset).winners
    assert winner.folds == (0,)
    (fold, _) = protocols.folds(spec.benchmark, small_dataset)
    sent = b"".join(backend.wire)
    test, train = small_dataset.test, small_dataset.train
    assert not any(image.tobytes() in sent for image in test.X)
    anomalous = np.isin(train.classes, fold.anomalous_classes)
    assert not any(image.tobytes() in sent for image in train.X[anomalous])
    # The same look finds what is there.
    assert all(train.X[i].tobytes() in sent for i in fold.train)
    (study,) = selection.studies("oracle", spec.benchmark, small_dataset, [0])
    search = Search(None, TrialJob("x", "cpu", False, tmp_path), study.data, 1)
    with_test = cloudpickle.dumps(ray_backend.sent([search]))
    assert all(test.X[i].tobytes() in with_test for i in fold.test)
