"""What both backends must do alike, on detectors that need no training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from omasgan.backends.contract import Backend
from omasgan.backends.local import LocalBackend
from omasgan.backends.ray import attempts
from omasgan.config import BenchmarkSpec
from omasgan.data import protocols, selection
from omasgan.data.datasets import Dataset
from omasgan.data.selection import TrialData
from omasgan.errors import StoreError
from omasgan.progress import EpochEnded, Event, RunEnded, TrialEnded
from omasgan.store.files import find
from omasgan.store.journal import Row, read_rows
from omasgan.store.results import RunKey, Store
from omasgan.study.guide import Guide
from omasgan.study.record import read_trials
from omasgan.study.search import Search
from omasgan.study.space import Space
from omasgan.study.trial_log import EPOCHS
from omasgan.training.jobs import RunJob
from omasgan.training.trials import Trial
from tests.detectors.test_foreign import MINE

pytestmark = pytest.mark.timeout(180)

SPACE = {"lr": {"low": 1e-4, "high": 1.0, "log": True}}
GOOD_OR_BAD = {"lr": {"choices": [0.01, 1.0]}}
FINE_BAD_FINE = [{"lr": lr} for lr in (0.01, 1.0, 0.01)]

T = TypeVar("T", EpochEnded, TrialEnded)


@pytest.fixture(scope="module", params=["local", "ray"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """One trial at a time on both, so that what is suggested can be compared."""
    if request.param == "local":
        return LocalBackend()
    from omasgan.backends.ray.backend import RayBackend

    request.getfixturevalue("ray_cluster")
    return RayBackend(cpus_per_trial=8)


@pytest.fixture(scope="module", autouse=True)
def _given_up_early() -> Iterator[None]:
    """Two deaths at the same point are enough here, as each costs the start of a process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempts, "DEATHS", 2)
        yield


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


BAD = {
    "DivergingDetector": ("diverged", "loss is not finite at lr 1.0"),
    "OutOfMemoryDetector": ("out-of-memory", "no memory left at lr 1.0"),
    "FailingDetector": ("failed", "ValueError: a bug at lr 1.0"),
    "CrashingDetector": ("failed", "died"),
}
"""What becomes of detectors at a bad rate, and why."""


def survived(backend: Backend) -> list[str]:
    """The detectors that go wrong without ending the backend: a crash of this process ends the
    local one, to be started again.
    """
    is_local = isinstance(backend, LocalBackend)
    return [name for name in BAD if not (is_local and name == "CrashingDetector")]


@dataclass
class Searched:
    """Searches that are over, by name, and what the driver was told of them."""

    by_name: dict[str, Search] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def told(self, name: str, kind: type[T]) -> list[T]:
        folder = self.by_name[name].folder
        return [e for e in self.events if isinstance(e, kind) and e.study == folder]


@pytest.fixture(scope="module")
def searched(
    backend: Backend, data: TrialData, tmp_path_factory: pytest.TempPathFactory
) -> Searched:
    """All searches at once, which share processes on Ray; tests only look at them."""
    folder, found = tmp_path_factory.mktemp("searched"), Searched()

    def add(name: str, detector: str, space: dict[str, Any], n: int, **options: Any) -> None:
        found.by_name[name] = search(folder / name, detector, space, data, n, **options)

    for seed, name in enumerate("ab"):
        add(name, "CurveDetector", SPACE | {"epochs": 4}, 4, seed=seed)
    collapse, one_by_one = {"collapse": {"choices": [True, False]}}, "RandomSampler"
    add("hopeless", "CurveDetector", SPACE, 5, pruner="ThresholdPruner(lower=0.7)")
    add("asked", "CurveDetector", collapse, 3, prune_collapsed=True, sampler=one_by_one)
    add("unasked", "CurveDetector", collapse, 3, sampler=one_by_one)
    add("first", "CurveDetector", SPACE, 3, seed=1)
    LocalBackend().search([found.by_name["first"]], ignore)
    replay = [trial.params for trial in recorded(found.by_name["first"])]
    add("again", "CurveDetector", SPACE, 3, seed=2, replay=replay)
    for name in survived(backend):
        add(name, name, GOOD_OR_BAD, 3, replay=FINE_BAD_FINE)
    backend.search(list(found.by_name.values()), found.events.append)
    return found


@pytest.mark.parametrize("name", ["a", "b"])
def test_searches_find_good_points_and_record_every_trial(
    name: str, searched: Searched, data: TrialData
) -> None:
    one = searched.by_name[name]
    trials = one.guide.finished()
    assert [(trial.number, trial.outcome) for trial in trials] == [(n, "ok") for n in range(4)]
    assert recorded(one) == trials
    for trial in trials:
        _check_trial(one, trial, len(data.tasks))
    best = one.guide.best()
    assert best is not None
    assert best.objective == max(trial.objective or 0 for trial in trials)
    ended = searched.told(name, TrialEnded)
    assert [(event.done, event.total) for event in ended] == [(n, 4) for n in range(1, 5)]
    assert [event.trial for event in ended] == trials
    assert ended[-1].best == best.objective
    assert len(searched.told(name, EpochEnded)) == 4 * 3 * 4
    assert find(one.folder, "trials/*/*.safetensors") == [], "nothing needs a checkpoint now"


def test_searches_have_trials_of_their_own(searched: Searched) -> None:
    assert outcomes(searched.by_name["a"]) != outcomes(searched.by_name["b"])


def test_searches_that_are_over_are_not_carried_on(backend: Backend, searched: Searched) -> None:
    events: list[Event] = []
    backend.search(list(searched.by_name.values()), events.append)
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
    backend: Backend, searched: Searched
) -> None:
    for name in survived(backend):
        outcome, error = BAD[name]
        trials = recorded(searched.by_name[name])
        assert [trial.params for trial in trials] == FINE_BAD_FINE
        assert [trial.outcome for trial in trials] == ["ok", outcome, "ok"]
        for trial in trials:
            if trial.outcome != "ok":
                assert error in str(trial.error)
                assert "\n" not in str(trial.error)
                assert trial.objective is None
        ended = searched.told(name, TrialEnded)
        assert sorted(str(e.trial.outcome) for e in ended) == sorted(
            str(t.outcome) for t in trials
        )


def test_hopeless_and_collapsed_trials_are_pruned(searched: Searched, data: TrialData) -> None:
    trials = recorded(searched.by_name["hopeless"])
    assert {trial.outcome for trial in trials} == {"ok", "pruned"}
    for trial in trials:
        assert (trial.outcome == "pruned") == (len(trial.values) < 3)
        assert (trial.outcome == "pruned") == str(trial.error).startswith("pruned after class-")
    asked, unasked = searched.by_name["asked"], searched.by_name["unasked"]
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


def test_a_replay_hands_out_the_same_params(searched: Searched) -> None:
    assert outcomes(searched.by_name["again"]) == outcomes(searched.by_name["first"])


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
    LocalBackend().search([resumed], ignore)
    assert [trial.outcome for trial in resumed.guide.finished()] == ["ok"] * 4


def test_a_run_that_cannot_be_stored_ends_the_others_too(
    backend: Backend, small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    (tmp_path / small_spec.id).write_text("a file where the runs would lie")
    job = RunJob(0, "tests.toy:CurveDetector", {"lr": 0.01}, 0, "fixed", Store(tmp_path))
    with pytest.raises(StoreError, match=f"cannot .*{small_spec.id}"):
        backend.runs([job], small_spec, small_dataset, ignore)


@dataclass
class Ran:
    """Runs that are over, their rows as they came back, and what the driver was told of them."""

    store: Store
    rows: list[dict[str, Any]]
    ended: list[RunEnded]


@pytest.fixture(scope="module")
def ran(
    backend: Backend,
    small_spec: BenchmarkSpec,
    small_dataset: Dataset,
    tmp_path_factory: pytest.TempPathFactory,
) -> Ran:
    """All runs at once, which share processes on Ray; tests only look at them."""
    folder, events = tmp_path_factory.mktemp("ran"), list[Event]()
    store = Store(folder / "out")
    (folder / "mine.py").write_text(MINE)
    fine = [
        RunJob(fold.index, "tests.toy:CurveDetector", {"lr": 0.01}, seed, "nested", store)
        for seed in (0, 1)
        for fold in protocols.folds(small_spec, small_dataset)
    ]
    mixed = [
        RunJob(0, f"tests.toy:{name}", {"lr": lr}, 0, "fixed", store)
        for name in survived(backend)
        for lr in (1.0, 0.01)
    ]
    own = RunJob(0, f"{folder}/mine.py:Mine", {"power": 2.0}, 0, "fixed", store)
    rows = backend.runs([*fine, own, *mixed], small_spec, small_dataset, events.append)
    return Ran(store, rows, [event for event in events if isinstance(event, RunEnded)])


def test_runs_come_back_in_order_and_lie_in_the_store(ran: Ran) -> None:
    rows = ran.rows[:4]
    assert [(row["seed"], row["fold"]) for row in rows] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert {row["outcome"] for row in rows} == {"ok"}
    assert {row["selection"] for row in rows} == {"nested"}
    by_key = {RunKey.of(row): row for row in ran.rows}
    assert {RunKey.of(row): row for row in ran.store.results()} == by_key
    assert len(by_key) == len(ran.rows)
    assert [event.done for event in ran.ended] == list(range(1, len(ran.rows) + 1))
    assert {RunKey.of(event.row) for event in ran.ended} == by_key.keys()


def test_a_detector_of_ones_own_is_imported_by_its_full_name(ran: Ran) -> None:
    assert ran.rows[4]["detector"].endswith("/mine.py:Mine")
    assert (ran.rows[4]["outcome"], ran.rows[4]["error"]) == ("ok", None)


def test_a_run_that_goes_wrong_does_not_end_the_others(backend: Backend, ran: Ran) -> None:
    rows = ran.rows[5:]
    assert [row["outcome"] for row in rows] == [
        outcome for name in survived(backend) for outcome in (BAD[name][0], "ok")
    ]
    for row in rows:
        error = BAD[row["detector"].removeprefix("tests.toy:")][1]
        assert row["error"] is None if row["outcome"] == "ok" else error in row["error"]


def test_labelled_anomalies_reach_the_detector(
    backend: Backend, small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    """Those of the fold, from the train split, and nothing else."""
    shown = small_spec.model_copy(update={"protocol": "semi-supervised", "labelled": 3})
    job = RunJob(1, "tests.toy:LabelledDetector", {}, 0, "fixed", Store(tmp_path), device="cpu")
    (row,) = backend.runs([job], shown, small_dataset, lambda event: None)
    assert (row["outcome"], row["error"], row["n_labelled"]) == ("ok", None, 3)
    fold = protocols.folds(shown, small_dataset)[1]
    (epoch,) = job.store.read_epochs(RunKey.of(row))
    assert epoch["labelled"] == small_dataset.train.X[fold.labelled].sum()
