"""What both backends must do alike, on detectors that need no training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from omasgan.backends.contract import Backend
from omasgan.backends.local import LocalBackend
from omasgan.config import BenchmarkSpec
from omasgan.data import protocols, selection
from omasgan.data.datasets import Dataset
from omasgan.data.selection import TrialData
from omasgan.errors import StoreError
from omasgan.progress import Event
from omasgan.store.journal import Row, read_json, read_rows
from omasgan.store.results import Store
from omasgan.study.guide import Guide, Trial
from omasgan.study.search import Search, TrialJob
from omasgan.study.space import Space
from omasgan.training.jobs import RunJob

pytestmark = pytest.mark.timeout(180)

SPACE = {"lr": {"low": 1e-4, "high": 1.0, "log": True}}
GOOD_OR_BAD = {"lr": {"choices": [0.01, 1.0]}}


@pytest.fixture(scope="module", params=["local", "ray"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """One trial at a time on both, so that what is suggested can be compared."""
    if request.param == "local":
        return LocalBackend()
    from omasgan.backends.ray.backend import RayBackend

    request.getfixturevalue("ray_cluster")
    return RayBackend(cpus_per_trial=8)


@pytest.fixture(scope="module")
def data(small_spec: BenchmarkSpec, small_dataset: Dataset) -> TrialData:
    """Three tasks of fold 0."""
    (study,) = selection.studies("nested", small_spec, small_dataset, [0], inner=3)
    return study.data


def search(
    folder: Path,
    detector: str,
    space: dict[str, Any],
    data: TrialData,
    n_trials: int,
    *,
    prune_collapsed: bool = False,
    keep: bool = False,
    **options: Any,
) -> Search:
    """A search recorded in ``folder``; with ``keep`` its study can be opened again."""
    folder.mkdir(exist_ok=True)
    guide = Guide(
        Space.from_dict(space),
        storage=f"sqlite:///{folder / 'optuna.db'}" if keep else None,
        study_name="s",
        log_path=folder / "log.jsonl",
        **options,
    )
    job = TrialJob(f"tests.toy:{detector}", "auto", prune_collapsed, folder)
    return Search(guide, job, data, n_trials)


def record(search: Search, number: int) -> Row:
    return read_json(search.job.workdir(number) / "trial.json")


def epochs(search: Search, number: int) -> list[Row]:
    return read_rows(search.job.workdir(number) / "epochs.jsonl")


def told(search: Search) -> list[tuple[Any, ...]]:
    return [(t.number, t.params, t.outcome, t.objective) for t in search.guide.finished()]


def ignore(event: Event) -> None:
    """Progress that nobody looks at."""


def test_searches_find_good_points_and_record_every_trial(
    backend: Backend, data: TrialData, tmp_path: Path
) -> None:
    searches = [
        search(tmp_path / name, "CurveDetector", SPACE | {"epochs": 4}, data, 4, seed=seed)
        for seed, name in enumerate("ab")
    ]
    events: list[Event] = []
    backend.search(searches, events.append)
    for one in searches:
        trials = one.guide.finished()
        assert [(trial.number, trial.outcome) for trial in trials] == [(n, "ok") for n in range(4)]
        for trial in trials:
            _check_record(one, trial, [task.name for task in data.tasks])
        best = one.guide.best()
        assert best is not None
        assert best.objective == max(trial.objective or 0 for trial in trials)
        mine = [event for event in events if event.study_dir == one.job.study_dir]
        ended = [event for event in mine if event.kind == "trial"]
        assert [(event.done, event.total) for event in ended] == [(n, 4) for n in range(1, 5)]
        assert ended[-1].best == best.objective
        assert sum(event.kind == "epoch" for event in mine) == 4 * 3 * 4
    assert told(searches[0]) != told(searches[1])
    events.clear()
    backend.search(searches, events.append)
    assert events == []


def _check_record(one: Search, trial: Trial, tasks: list[str]) -> None:
    row = record(one, trial.number)
    assert row["params"] == trial.params
    assert row["objective"] == trial.objective == pytest.approx(sum(row["values"].values()) / 3)
    assert list(row["values"]) == tasks
    assert row["seconds"] > 0
    assert row["peak_memory_mb"] > 1
    places = [(row["step"], row.get("epoch", "value")) for row in epochs(one, trial.number)]
    assert places == [(step, e) for step in range(3) for e in (0, 1, 2, 3, "value")]


def test_what_goes_wrong_is_told_as_what_it_is_and_the_search_goes_on(
    backend: Backend, data: TrialData, tmp_path: Path
) -> None:
    bad = {
        "DivergingDetector": ("diverged", "loss is not finite at lr 1.0"),
        "OutOfMemoryDetector": ("out-of-memory", "no memory left at lr 1.0"),
        "FailingDetector": ("failed", "ValueError: a bug at lr 1.0"),
        "CrashingDetector": ("failed", "died"),
    }
    if isinstance(backend, LocalBackend):
        # A crash of this process ends the local backend, to be resumed.
        del bad["CrashingDetector"]
    searches = {
        name: search(tmp_path / name, name, GOOD_OR_BAD, data, 4, sampler="RandomSampler", seed=1)
        for name in bad
    }
    events: list[Event] = []
    backend.search(list(searches.values()), events.append)
    for name, (outcome, error) in bad.items():
        one = searches[name]
        trials = one.guide.finished()
        assert len(trials) == 4
        assert {t.params["lr"]: t.outcome for t in trials} == {0.01: "ok", 1.0: outcome}
        for trial in trials:
            row = record(one, trial.number)
            assert row["outcome"] == trial.outcome
            if trial.outcome != "ok":
                assert error in row["error"]
                assert "\n" not in row["error"]
                assert row["objective"] is None
        ended = [e for e in events if e.kind == "trial" and e.study_dir == one.job.study_dir]
        assert sorted(str(e.outcome) for e in ended) == sorted(str(t.outcome) for t in trials)


def test_hopeless_and_collapsed_trials_are_pruned(
    backend: Backend, data: TrialData, tmp_path: Path
) -> None:
    hopeless = search(
        tmp_path / "a", "CurveDetector", SPACE, data, 5, pruner="ThresholdPruner(lower=0.7)"
    )
    collapse = {"collapse": {"choices": [True, False]}}
    asked, unasked = (
        search(
            tmp_path / str(prune),
            "CurveDetector",
            collapse,
            data,
            3,
            prune_collapsed=prune,
            sampler="RandomSampler",
        )
        for prune in (True, False)
    )
    backend.search([hopeless, asked, unasked], ignore)
    assert {trial.outcome for trial in hopeless.guide.finished()} == {"ok", "pruned"}
    for trial in hopeless.guide.finished():
        row = record(hopeless, trial.number)
        assert (trial.outcome == "pruned") == (len(row["values"]) < 3)
        assert (trial.outcome == "pruned") == str(row["error"]).startswith("pruned after class-")
    told_as = {trial.params["collapse"]: trial.outcome for trial in asked.guide.finished()}
    assert told_as == {True: "pruned", False: "ok"}
    for trial in asked.guide.finished():
        if trial.outcome == "pruned":
            where = f"collapsed in {data.tasks[0].name}, epoch 0"
            assert record(asked, trial.number)["error"] == where
            assert len(epochs(asked, trial.number)) == 1
    assert {trial.outcome for trial in unasked.guide.finished()} == {"ok"}


class StoppedError(Exception):
    pass


def test_a_resumed_search_suggests_what_the_uninterrupted_one_does(
    backend: Backend, data: TrialData, tmp_path: Path
) -> None:
    def opened(name: str) -> Search:
        options = {"sampler": "TPESampler(n_startup_trials=3)", "seed": 3}
        return search(tmp_path / name, "DivergingDetector", SPACE, data, 8, keep=True, **options)

    def stop(event: Event) -> None:
        if event.kind == "epoch" and event.done == 5:
            raise StoppedError("here")

    with pytest.raises(StoppedError, match="here"):
        backend.search([opened("stopped")], stop)
    resumed = opened("stopped")
    assert len(resumed.guide.finished()) == 5
    backend.search([resumed], ignore)
    whole = opened("whole")
    LocalBackend().search([whole], ignore)
    assert told(resumed) == told(whole)
    if isinstance(backend, LocalBackend):
        # On Ray, rows that were under way when the driver stopped are missing.
        for trial in whole.guide.finished():
            assert epochs(resumed, trial.number) == epochs(whole, trial.number)


def test_a_folder_that_cannot_be_written_is_no_trials_fault(
    backend: Backend, data: TrialData, tmp_path: Path
) -> None:
    blocked = search(tmp_path / "a", "CurveDetector", SPACE, data, 4)
    (tmp_path / "a/trials").write_text("a file where the trials would lie")
    with pytest.raises(StoreError, match=r"cannot .*trials/000"):
        backend.search([blocked], ignore)
    assert blocked.guide.finished() == []
    (tmp_path / "a/trials").unlink()
    resumed = search(tmp_path / "a", "CurveDetector", SPACE, data, 4)
    backend.search([resumed], ignore)
    assert [trial.outcome for trial in resumed.guide.finished()] == ["ok"] * 4


def test_a_run_that_cannot_be_stored_ends_the_others_too(
    backend: Backend, small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    (tmp_path / small_spec.id).write_text("a file where the runs would lie")
    job = RunJob(0, "tests.toy:CurveDetector", {"lr": 0.01}, 0, "fixed", Store(tmp_path))
    with pytest.raises(StoreError, match=f"cannot .*{small_spec.id}"):
        backend.runs([job], small_spec, small_dataset, ignore)


def test_a_replay_hands_out_the_same_params(
    backend: Backend, data: TrialData, tmp_path: Path
) -> None:
    first = search(tmp_path / "first", "CurveDetector", SPACE, data, 3, seed=1)
    LocalBackend().search([first], ignore)
    again = search(
        tmp_path / "again",
        "CurveDetector",
        SPACE,
        data,
        3,
        seed=2,
        replay=tmp_path / "first/log.jsonl",
    )
    backend.search([again], ignore)
    assert told(again) == told(first)


def test_runs_come_back_in_order_and_lie_in_the_store(
    backend: Backend, small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    jobs = [
        RunJob(fold.index, "tests.toy:CurveDetector", {"lr": 0.01}, seed, "nested", store)
        for seed in (0, 1)
        for fold in protocols.folds(small_spec, small_dataset)
    ]
    events: list[Event] = []
    rows = backend.runs(jobs, small_spec, small_dataset, events.append)
    assert [(row["seed"], row["fold"]) for row in rows] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert {row["outcome"] for row in rows} == {"ok"}
    assert {row["selection"] for row in rows} == {"nested"}
    assert store.results() == rows
    ended = [event for event in events if event.kind == "run"]
    assert [event.done for event in ended] == [1, 2, 3, 4]
    assert all(event.row is not None for event in ended)


def test_a_run_that_goes_wrong_does_not_end_the_others(
    backend: Backend, small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    outcomes = {"DivergingDetector": "diverged", "FailingDetector": "failed"}
    if not isinstance(backend, LocalBackend):
        outcomes["CrashingDetector"] = "failed"
    fold = protocols.folds(small_spec, small_dataset)[0]
    store = Store(tmp_path)
    jobs = [
        RunJob(fold.index, f"tests.toy:{name}", {"lr": lr}, 0, "fixed", store)
        for name in outcomes
        for lr in (1.0, 0.01)
    ]
    rows = backend.runs(jobs, small_spec, small_dataset, ignore)
    assert [row["outcome"] for row in rows] == [
        outcome for bad in outcomes.values() for outcome in (bad, "ok")
    ]
    assert all((row["error"] is None) == (row["outcome"] == "ok") for row in rows)
    assert len(store.results()) == len(jobs)
