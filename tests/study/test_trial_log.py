"""The driver's log of a search: what is recorded, stopped, repeated and ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from omasgan.config import BenchmarkSpec
from omasgan.data import selection
from omasgan.data.datasets import Dataset
from omasgan.errors import StoreError
from omasgan.progress import EpochEnded, Event, Note, TrialEnded
from omasgan.store.journal import read_rows
from omasgan.study.guide import Guide
from omasgan.study.record import read_trials
from omasgan.study.search import Search
from omasgan.study.space import Space
from omasgan.study.trial_log import TrialLog
from omasgan.training.evaluate import task_checkpoint
from omasgan.training.jobs import CheckpointPolicy
from omasgan.training.trials import COLLAPSED, Ending, EpochRow, Refusal, ValueRow, death

SPACE = Space.from_dict({"lr": {"low": 0.1, "high": 1.0}})


@pytest.fixture
def options(small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path) -> dict[str, Any]:
    """What makes a search of two trials with two tasks."""
    (study,) = selection.studies("nested", small_spec, small_dataset, [0], inner=2)
    return {
        "data": study.data,
        "n_trials": 2,
        "detector": "tests.toy:CurveDetector",
        "folder": tmp_path,
    }


@pytest.fixture
def search(options: dict[str, Any], tmp_path: Path) -> Search:
    return Search(Guide(SPACE, tmp_path), **options)


def epoch(step: int, index: int, **losses: float) -> EpochRow:
    return EpochRow(f"t{step}", step, index, "p", {"loss": 1.0, **losses})


def value(step: int) -> ValueRow:
    return ValueRow(f"t{step}", step, {"score": 0.5 + 0.1 * step})


OK = Ending("ok", 0.55, stage="score", seconds=1.0)


def epochs(search: Search, number: int) -> list[tuple[int, int]]:
    rows = read_rows(search.workdir(number) / "epochs.jsonl")
    return [(row["step"], row["epoch"]) for row in rows]


def test_a_trial_whose_process_dies_goes_on_and_is_told_once(search: Search) -> None:
    events: list[Event] = []
    log = TrialLog(search, events.append)
    first = log.begin()
    log.enter(first.number, [epoch(0, 0), epoch(0, 1), value(0), epoch(1, 0), epoch(1, 1)])
    assert log.furthest(first.number) == (1, 1)
    log.repeat(first.number, "the node died")
    assert (log.running, log.remaining) == (0, 2)
    assert read_trials(search.folder, SPACE)[0].ending is None
    again = log.begin()
    assert (again.number, again.params) == (first.number, first.params)
    assert search.trial_job(again).values == {0: {"score": 0.5}}
    assert not log.enter(first.number, [epoch(1, 1), epoch(1, 2), value(1), OK])
    log.end(first.number)
    (trial,) = read_trials(search.folder, SPACE)
    assert (trial.outcome, trial.objective, trial.attempts) == ("ok", 0.55, 2)
    assert trial.values == {0: {"score": 0.5}, 1: {"score": 0.6}}
    assert epochs(search, 0) == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    ended = [event for event in events if isinstance(event, TrialEnded)]
    assert [(e.trial, e.done, e.total, e.best) for e in ended] == [(trial, 1, 2, 0.55)]
    notes = [event.text for event in events if isinstance(event, Note)]
    assert notes == ["trial 0 is repeated: the node died"]
    assert log.remaining == 1


def test_epochs_are_written_before_the_value_that_ends_them(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a value is recorded nobody trains its epochs again: a driver may die in between."""
    log = TrialLog(search, lambda event: None)
    log.begin()

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(search.guide, "report", killed)
        with pytest.raises(KeyboardInterrupt):
            log.enter(0, [epoch(0, 0), epoch(0, 1), value(0)])
    assert epochs(search, 0) == [(0, 0), (0, 1)]
    # The next driver trains the task from its checkpoint, or anew.
    log = TrialLog(Search(Guide(SPACE, search.folder), search.data, 2, "d", search.folder), print)
    log.begin()
    log.enter(0, [epoch(0, 1), value(0), epoch(1, 0)])
    log.enter(0, [value(1), OK])
    assert epochs(search, 0) == [(0, 0), (0, 1), (1, 0)]


def test_the_checkpoint_of_a_task_goes_once_its_value_is_recorded(
    options: dict[str, Any], tmp_path: Path
) -> None:
    for keep in (False, True):
        folder = tmp_path / str(keep)
        policy = CheckpointPolicy(keep=keep)
        search = Search(
            Guide(SPACE, folder), **(options | {"folder": folder, "checkpoints": policy})
        )
        log = TrialLog(search, lambda event: None)
        log.begin()
        checkpoint = task_checkpoint(search.workdir(0), 0)
        checkpoint.parent.mkdir(parents=True)
        checkpoint.write_bytes(b"state")
        log.enter(0, [epoch(0, 0)])
        assert checkpoint.exists()
        log.enter(0, [value(0)])
        assert checkpoint.exists() == keep


def test_a_trial_that_is_given_up_has_died_of_its_last_cause(search: Search) -> None:
    log = TrialLog(search, lambda event: None)
    for attempt in range(2):
        assert log.begin().number == 0
        log.enter(0, [epoch(0, i) for i in range(3 - attempt)])
        # An attempt that got less far takes nothing back.
        assert log.furthest(0) == (0, 2)
        log.repeat(0, f"killed, attempt {attempt}")
    log.begin()
    log.end(0, "killed, attempt 2")
    (ended,) = search.guide.finished()
    assert (ended.outcome, ended.error) == ("failed", "killed, attempt 2")
    assert ended.attempts == 3
    assert ended.ending is not None and ended.ending.seconds is not None
    assert epochs(search, 0) == [(0, 0), (0, 1)]
    assert log.begin().number == 1


def test_what_dies_of_its_node_s_memory_is_told_as_that(search: Search) -> None:
    assert death("OutOfMemoryError: the node").outcome == "out-of-memory"
    assert death("it vanished") == Ending("failed", error="it vanished")


def test_a_collapsed_trial_is_pruned_only_where_that_is_asked_for(
    options: dict[str, Any], tmp_path: Path
) -> None:
    for asked in (False, True):
        folder = tmp_path / str(asked)
        options |= {"folder": folder, "prune_collapsed": asked}
        search = Search(Guide(SPACE, folder), **options)
        log = TrialLog(search, lambda event: None)
        log.begin()
        collapsed = epoch(0, 1, **{COLLAPSED: 1.0})
        assert log.enter(0, [epoch(0, 0), collapsed, epoch(0, 2)]) == asked
        assert log.outcome(0) == ("pruned" if asked else None)
        assert epochs(search, 0)[-1] == ((0, 1) if asked else (0, 2))
        if asked:
            log.end(0)
            assert search.guide.finished()[0].error == "collapsed in t0, epoch 1"


def test_a_hopeless_trial_is_stopped_after_a_task_but_not_after_the_last(
    options: dict[str, Any], tmp_path: Path
) -> None:
    guide = Guide(SPACE, tmp_path, pruner="ThresholdPruner(lower=0.55)")
    log = TrialLog(Search(guide, **options), lambda event: None)
    log.begin()
    assert log.enter(0, [value(0), epoch(1, 0)])
    log.end(0)
    assert guide.finished()[0].error == "pruned after t0"
    log.begin()
    good = ValueRow("t0", 0, {"score": 0.9})
    assert not log.enter(1, [good, ValueRow("t1", 1, {"score": 0.1}), OK])
    log.end(1)
    assert guide.finished()[1].outcome == "ok"


def test_where_no_trial_can_work_the_search_ends(search: Search) -> None:
    log = TrialLog(search, lambda event: None)
    log.begin()
    with pytest.raises(StoreError, match="the disk is full"):
        log.enter(0, [epoch(0, 0), Refusal("the disk is full")])


def test_trials_of_earlier_starts_count(search: Search, options: dict[str, Any]) -> None:
    log = TrialLog(search, lambda event: None)
    log.begin()
    log.enter(0, [value(0), value(1), OK])
    log.end(0)
    log.begin()  # and the driver dies
    again = Search(Guide(SPACE, search.folder), **options)
    events: list[Event] = []
    log = TrialLog(again, events.append)
    assert log.remaining == 1
    assert log.begin().number == 1
    log.enter(1, [epoch(0, 0)])
    (event,) = events
    assert isinstance(event, EpochEnded)
    assert (event.done, event.total, event.best) == (1, 2, 0.55)
    assert event.text == "trial 1, t0, epoch 0"


def test_no_more_trials_are_begun_than_there_are_different_params(
    options: dict[str, Any], tmp_path: Path
) -> None:
    space = Space.from_dict({"k": {"choices": [1, 2, 3]}})

    def log() -> TrialLog:
        guide = Guide(space, tmp_path, sampler="BruteForceSampler")
        return TrialLog(Search(guide, **(options | {"n_trials": 9})), lambda event: None)

    first = log()
    for _ in range(3):
        first.begin()
    assert first.remaining == 0
    first.enter(1, [OK])
    first.end(1)
    first.repeat(0, "killed")
    assert (first.running, first.remaining) == (1, 1)
    again = log()  # after the driver has died
    assert again.remaining == 2
    for number in (again.begin().number, again.begin().number):
        again.enter(number, [OK])
        again.end(number)
    assert again.remaining == 0
    assert [trial.outcome for trial in read_trials(tmp_path, space)] == ["ok"] * 3
