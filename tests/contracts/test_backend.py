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
from omasgan.progress import EpochEnded, Event, RunEnded, TrialEnded
from omasgan.store.files import find
from omasgan.store.journal import Row, read_rows
from omasgan.store.results import Store
from omasgan.study.guide import Guide
from omasgan.study.record import read_trials
from omasgan.study.search import Search
from omasgan.study.space import Space
from omasgan.study.trial_log import EPOCHS
from omasgan.training.jobs import RunJob
from omasgan.training.trials import Trial

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
    **options: Any,
) -> Search:
    """A search with its record in ``folder``: one that lies there already is gone on with."""
    guide = Guide(Space.from_dict(space), folder, **options)
    return Search(
        guide, data, n_trials, f"tests.toy:{detector}", folder, prune_collapsed=prune_collapsed
    )


def recorded(search: Search) -> list[Trial]:
    """The trials that the record on disk holds."""
    return read_trials(search.folder, search.guide.space)


def epochs(search: Search, number: int) -> list[Row]:
    return read_rows(search.workdir(number) / EPOCHS)


def outcomes(search: Search) -> list[tuple[Any, ...]]:
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
        assert recorded(one) == trials
        for trial in trials:
            _check_trial(one, trial, len(data.tasks))
        best = one.guide.best()
        assert best is not None
        assert best.objective == max(trial.objective or 0 for trial in trials)
        ended = [e for e in events if isinstance(e, TrialEnded) and e.study == one.folder]
        assert [(event.done, event.total) for event in ended] == [(n, 4) for n in range(1, 5)]
        assert [event.trial for event in ended] == trials
        assert ended[-1].best == best.objective
        trained = [e for e in events if isinstance(e, EpochEnded) and e.study == one.folder]
        assert len(trained) == 4 * 3 * 4
        assert find(one.folder, "trials/*/*.safetensors") == [], "nothing needs a checkpoint now"
    assert outcomes(searches[0]) != outcomes(searches[1])
    events.clear()
    backend.search(searches, events.append)
    assert events == []


def _check_trial(one: Search, trial: Trial, n_tasks: int) -> None:
    values = [trial.values[step]["score"] for step in range(n_tasks)]
    assert trial.objective == pytest.approx(sum(values) / n_tasks)
    assert trial.attempts == 1
    ending = trial.ending
    assert ending is not None and ending.seconds is not None and ending.seconds > 0
    assert ending.peak_memory_mb is not None and ending.peak_memory_mb > 1
    steps = [(row["step"], row["epoch"]) for row in epochs(one, trial.number)]
    assert steps == [(step, e) for step in range(n_tasks) for e in range(4)]


def test_what_goes_wrong_is_told_as_what_it_is_and_the_search_goes_on(
    backend: Backend, data: TrialData, tmp_path: Path
) -> None:
    bad = {
        "DivergingDetector": ("diverged", "loss is not finite at lr 1.0"),
        "OutOfMemoryDetector": ("out-of-memory", "no memory left at lr 1.0"),
        "FailingDetector": ("failed", "ValueError: a bug at lr 1.0"),
        "CrashingDetector": ("failed", "died"),
    }
    replay = [{"lr": lr} for lr in (0.01, 1.0, 0.01)]
    if isinstance(backend, LocalBackend):
        # A crash of this process ends the local backend, to be started again.
        del bad["CrashingDetector"]
    searches = {
        name: search(tmp_path / name, name, GOOD_OR_BAD, data, 3, replay=replay) for name in bad
    }
    events: list[Event] = []
    backend.search(list(searches.values()), events.append)
    for name, (outcome, error) in bad.items():
        one = searches[name]
        trials = recorded(one)
        assert [trial.params for trial in trials] == replay
        assert [trial.outcome for trial in trials] == ["ok", outcome, "ok"]
        for trial in trials:
            if trial.outcome != "ok":
                assert error in str(trial.error)
                assert "\n" not in str(trial.error)
                assert trial.objective is None
        ended = [e for e in events if isinstance(e, TrialEnded) and e.study == one.folder]
        assert sorted(str(e.trial.outcome) for e in ended) == sorted(
            str(t.outcome) for t in trials
        )


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
    trials = recorded(hopeless)
    assert {trial.outcome for trial in trials} == {"ok", "pruned"}
    for trial in trials:
        assert (trial.outcome == "pruned") == (len(trial.values) < 3)
        assert (trial.outcome == "pruned") == str(trial.error).startswith("pruned after class-")
    trials = recorded(asked)
    assert {trial.params["collapse"]: trial.outcome for trial in trials} == {
        True: "pruned",
        False: "ok",
    }
    for trial in trials:
        if trial.outcome == "pruned":
            assert trial.error == f"collapsed in {data.tasks[0].name}, epoch 0"
            assert len(epochs(asked, trial.number)) == 1
    assert {trial.outcome for trial in recorded(unasked)} == {"ok"}


class StoppedError(Exception):
    pass


def test_a_search_that_goes_on_suggests_what_the_uninterrupted_one_does(
    backend: Backend, data: TrialData, tmp_path: Path
) -> None:
    def opened(name: str) -> Search:
        options = {"sampler": "TPESampler(n_startup_trials=3)", "seed": 3}
        return search(tmp_path / name, "DivergingDetector", SPACE, data, 8, **options)

    def stop(event: Event) -> None:
        if isinstance(event, EpochEnded) and event.done == 5:
            raise StoppedError("here")

    with pytest.raises(StoppedError, match="here"):
        backend.search([opened("stopped")], stop)
    resumed = opened("stopped")
    assert len(resumed.guide.finished()) == 5
    backend.search([resumed], ignore)
    whole = opened("whole")
    LocalBackend().search([whole], ignore)
    assert outcomes(resumed) == outcomes(whole)
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
    replay = [trial.params for trial in recorded(first)]
    again = search(tmp_path / "again", "CurveDetector", SPACE, data, 3, seed=2, replay=replay)
    backend.search([again], ignore)
    assert outcomes(again) == outcomes(first)


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
    ended = [event for event in events if isinstance(event, RunEnded)]
    assert [event.done for event in ended] == [1, 2, 3, 4]
    assert sorted((e.row["seed"], e.row["fold"]) for e in ended) == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
    ]


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
