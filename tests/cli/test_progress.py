from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from omasgan.cli.progress import Progress, Watch
from omasgan.progress import (
    ComparisonChanged,
    EpochEnded,
    Event,
    Note,
    RunEnded,
    StudyChanged,
    TrialEnded,
)
from omasgan.tracking.tracker import Tracker
from omasgan.training.trials import Ending, Trial
from tests.results import SPEC, add_comparison, add_run, claimed

STUDY = Path("out/digits-loo-v1/omasgan/nested/studies/fold-3")
ROW = {"detector": "knn", "fold": 3, "seed": 0, "outcome": "ok", "auroc": 0.5, "error": None}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def ended(done: int, outcome: str = "ok", error: str | None = None) -> TrialEnded:
    """The ``done``-th of 8 trials has ended."""
    ending = Ending(outcome, 0.7 if outcome == "ok" else None, error)
    return TrialEnded(Trial(done - 1, {}, ending=ending), STUDY, done, 8, best=0.75)


def test_without_a_terminal_every_end_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        progress(StudyChanged(STUDY, "running", 0, 8))
        progress(EpochEnded("gan, epoch 3", 0, 8, STUDY))
        progress(ended(1))
        progress(ended(2, "diverged", "loss is nan"))
        progress(RunEnded(ROW, 1, 3))
        progress(RunEnded({**ROW, "outcome": "failed", "auroc": None, "error": "a bug"}, 2, 3))
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "omasgan nested fold-3: 1 of 8, ok 0.7000, best 0.7500",
        "omasgan nested fold-3: 2 of 8, diverged, loss is nan, best 0.7500",
        "runs: 1 of 3, ok 0.5000, knn, fold 3, seed 0",
        "runs: 2 of 3, failed, knn, fold 3, seed 0: a bug",
    ]


@pytest.mark.parametrize(
    "events",
    [
        # A study of which five trials ended before this process began.
        [(0.0, ended(5)), (10.0, ended(6))],
        # Runs that come after others, which took longer.
        [(seconds, RunEnded(ROW, done, 4)) for seconds in (1000.0, 10.0) for done in (1, 2)],
    ],
    ids=["study", "runs"],
)
def test_the_time_left_counts_from_the_start_of_the_work(
    events: list[tuple[float, Event]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = 100.0
    monkeypatch.setattr("omasgan.cli.progress.time.monotonic", lambda: now)
    progress = Progress()
    for seconds, event in events:
        now += seconds
        progress(event)
    assert capsys.readouterr().out.splitlines()[-1].endswith("about 20 s left")


def test_in_a_terminal_there_are_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", terminal)
    with Progress() as progress:
        progress(EpochEnded("gan, epoch 3", 0, 8, STUDY))
        progress(ended(1, "failed", "[a] bug"))
    text = terminal.getvalue()
    assert "omasgan nested fold-3" in text and "1/8" in text
    assert "failed, [a] bug" in text


def statuses(tracker: Tracker) -> dict[str, str]:
    """What MLflow shows, by key."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=tracker.uri)
    experiment = client.get_experiment_by_name(SPEC.id)
    runs = client.search_runs([experiment.experiment_id])
    return {run.data.tags["omasgan.key"]: run.info.status for run in runs}


def test_a_comparison_is_mirrored_and_ended_however_it_ends(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    tracker = Tracker(None, store)
    key = add_run(store, "knn", {"k": 1})
    (row,) = store.results()
    add_comparison(store, [key], "running")
    compared = f"{SPEC.id}/comparison"
    begin, end = (ComparisonChanged(SPEC.id, status) for status in ("running", "complete"))
    run = RunEnded(row, 1, 1, comparison=SPEC.id)

    tracker.sync()  # makes the database, which may take longer than Ctrl-C waits
    for error, shown in ((KeyboardInterrupt, "KILLED"), (OSError, "FAILED")):
        with pytest.raises(error), Watch(tracker) as watch:
            watch(begin)
            watch(run)
            raise error
        assert statuses(tracker)[compared] == shown
    with Watch(tracker) as watch:
        watch(begin)
        watch(end)
    child = f"{compared}/knn/fixed/{key.params_id}"
    assert statuses(tracker) == {compared: "FINISHED", child: "FINISHED"}


def test_runs_of_no_comparison_are_mirrored_on_their_own(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    tracker = Tracker(None, store)
    key = add_run(store, "knn", {"k": 1})
    with Watch(tracker) as watch:
        watch(RunEnded(store.results()[0], 1, 1))
    assert statuses(tracker) == {f"{SPEC.id}/knn/fixed/{key.params_id}": "FINISHED"}


def test_a_note_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with Watch(None) as watch:
        watch(Note("fold 1 is ill-posed: 64 %"))
        watch(ComparisonChanged(SPEC.id, "running"))
    assert capsys.readouterr().out == "fold 1 is ill-posed: 64 %\n"
