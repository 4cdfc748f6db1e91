from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from omasgan.cli.progress import Progress, Watch
from omasgan.progress import Event
from omasgan.tracking.tracker import Tracker
from tests.results import SPEC, add_comparison, add_run, claimed

STUDY = Path("out/digits-loo-v1/omasgan/nested/studies/fold-3")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_every_end_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        progress(Event("study", 0, 8, text="running", study_dir=STUDY))
        progress(Event("epoch", 0, 8, text="gan, epoch 3", study_dir=STUDY, number=0))
        progress(Event("trial", 1, 8, "ok", 0.75, 0.75, study_dir=STUDY, number=0))
        progress(Event("trial", 2, 8, "diverged", best=0.75, text="loss is nan", study_dir=STUDY))
        progress(Event("run", 1, 3, "ok", 0.5, text="fold 3, seed 0", row={"fold": 3}))
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "omasgan nested fold-3: 1 of 8, ok 0.7500, best 0.7500",
        "omasgan nested fold-3: 2 of 8, diverged, loss is nan, best 0.7500",
        "runs: 1 of 3, ok 0.5000, fold 3, seed 0",
    ]


@pytest.mark.parametrize(
    "told",
    [
        # A study of which five trials ended before this process began.
        [
            (0.0, Event("trial", 5, 8, "ok", 0.7, 0.7, study_dir=STUDY)),
            (10.0, Event("trial", 6, 8, "ok", 0.7, 0.7, study_dir=STUDY)),
        ],
        # Runs that come after others, which took longer.
        [
            (seconds, Event("run", done, 4, "ok", 0.5, row={"fold": 3}))
            for seconds in (1000.0, 10.0)
            for done in (1, 2)
        ],
    ],
    ids=["study", "runs"],
)
def test_the_time_left_counts_from_the_start_of_the_work(
    told: list[tuple[float, Event]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = 100.0
    monkeypatch.setattr("omasgan.cli.progress.time.monotonic", lambda: now)
    progress = Progress()
    for seconds, event in told:
        now += seconds
        progress(event)
    assert capsys.readouterr().out.splitlines()[-1].endswith("about 20 s left")


def test_in_a_terminal_there_are_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", terminal)
    with Progress() as progress:
        progress(Event("epoch", 0, 8, text="gan, epoch 3", study_dir=STUDY, number=0))
        progress(Event("trial", 1, 8, "failed", text="[a] bug", study_dir=STUDY, number=0))
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
    begin, end = (
        Event("comparison", 0, 0, text=text, benchmark=SPEC.id) for text in ("running", "complete")
    )
    run = Event("run", 1, 1, "ok", text="knn, fold 0, seed 0", row=row, benchmark=SPEC.id)

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
        watch(Event("run", 1, 1, "ok", text="knn", row=store.results()[0]))
    assert statuses(tracker) == {f"{SPEC.id}/knn/fixed/{key.params_id}": "FINISHED"}


def test_a_note_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with Watch(None) as watch:
        watch(Event("note", 0, 0, text="fold 1 is ill-posed: 64 %"))
        watch(Event("comparison", 0, 0, text="running", benchmark=SPEC.id))
    assert capsys.readouterr().out == "fold 1 is ill-posed: 64 %\n"
