from __future__ import annotations

import io
import re
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from omasgan.cli.progress import Progress
from omasgan.progress import EpochEnded, Event, Note, RunEnded, StudyChanged, TrialEnded
from omasgan.training.trials import Ending, Trial

STUDY = Path("out/digits-loo-v1/omasgan/nested/studies/fold-3")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def trial(done: int, ending: Ending) -> TrialEnded:
    """The end of a trial of eight, whose study's best objective is 0.75."""
    return TrialEnded(Trial(done - 1, {}, ending=ending), STUDY, done, 8, 0.75)


def run(done: int, total: int, **row: Any) -> RunEnded:
    """The end of a run."""
    known = {"outcome": "ok", "auroc": 0.5, "error": None, "detector": "knn", "fold": 3, "seed": 0}
    return RunEnded({**known, **row}, done, total)


def test_without_a_terminal_every_end_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        progress(StudyChanged(STUDY, "running", 0, 8))
        progress(EpochEnded("trial 0, class-1, epoch 3", 0, 8, STUDY))
        progress(trial(1, Ending("ok", 0.75)))
        progress(trial(2, Ending("diverged", error="loss is nan")))
        progress(run(1, 3))
        progress(run(2, 3, outcome="failed", auroc=None, error="a bug"))
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "omasgan nested fold-3: 1 of 8 trials, ok 0.7500, best 0.7500",
        "omasgan nested fold-3: 2 of 8 trials, diverged, loss is nan, best 0.7500",
        "runs: 1 of 3, ok 0.5000, knn, fold 3, seed 0",
        "runs: 2 of 3, failed, knn, fold 3, seed 0: a bug",
    ]


@pytest.mark.parametrize(
    "events",
    [
        # A study of which five trials ended before this process began.
        [
            (0.0, trial(5, Ending("ok", 0.7))),
            (10.0, trial(6, Ending("ok", 0.7))),
        ],
        # Runs that come after others, which took longer.
        [(seconds, run(done, 4)) for seconds in (1000.0, 10.0) for done in (1, 2)],
        # A study whose hours end before its trials.
        [
            (0.0, replace(trial(1, Ending("ok", 0.7)), deadline=180.0)),
            (60.0, replace(trial(2, Ending("ok", 0.7)), deadline=180.0)),
        ],
    ],
    ids=["study", "runs", "hours"],
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


def test_runs_that_were_done_before_are_counted_and_not_told_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before, later = (
        datetime.fromtimestamp(time.time() + seconds, UTC).isoformat(timespec="seconds")
        for seconds in (-60, 60)
    )
    progress = Progress()
    for done in (1, 2):
        progress(run(done, 3, finished_at=before))
    progress(run(3, 3, finished_at=later))
    assert capsys.readouterr().out.splitlines() == [
        "runs: 2 of 3 were done before",
        "runs: 3 of 3, ok 0.5000, knn, fold 3, seed 0",
    ]
    progress(run(1, 1, finished_at=before))
    assert capsys.readouterr().out == "runs: 1 of 1 were done before\n"


def test_in_a_terminal_there_are_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", terminal)
    with Progress() as progress:
        progress(EpochEnded("trial 0, class-1, epoch 3", 0, 8, STUDY))
        progress(trial(1, Ending("failed", error="[a] bug")))
    text = terminal.getvalue()
    assert "omasgan nested fold-3" in text and "1/8" in text
    assert "failed, [a] bug" in text


def test_in_a_narrow_terminal_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stdout", terminal)
    with Progress() as progress:
        progress(EpochEnded("trial 12, class-ankle boot, epoch 1234", 2, 8, STUDY, 0.9809))
    line, below, *_ = re.sub(r"\x1b\[\d*m", "", terminal.getvalue()).splitlines()
    assert re.fullmatch(r"omasgan nested fold-3 .+ 2/8 0:00:0\d trial 12, class-ankle.*", line)
    assert (line + below).split()[-2:] == ["best", "0.9809"]


def test_a_note_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        progress(Note("fold 1 is ill-posed: 64 %"))
    assert capsys.readouterr().out == "fold 1 is ill-posed: 64 %\n"
