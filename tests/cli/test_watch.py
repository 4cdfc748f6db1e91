"""Events as MLflow runs, however the work ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from omasgan.cli.watch import Watch
from omasgan.progress import ComparisonChanged, Note, RunEnded, StudyChanged, TrialEnded
from omasgan.store.files import relative
from omasgan.tracking.tracker import Tracker
from tests.results import (
    SPEC,
    add_comparison,
    add_run,
    add_study,
    add_trial,
    claimed,
    objective,
)


def statuses(tracker: Tracker) -> dict[str, str]:
    """What MLflow shows, by key."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=tracker.uri)
    experiment = client.get_experiment_by_name(SPEC.id)
    runs = client.search_runs([experiment.experiment_id])
    return {run.data.tags["omasgan.key"]: run.info.status for run in runs}


@pytest.mark.usefixtures("mlflow_database")
def test_a_comparison_is_mirrored_and_ended_however_it_ends(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    tracker = Tracker(None, store)
    key = add_run(store, "knn", {"k": 1})
    (row,) = store.results()
    add_comparison(store, [key], "running")
    compared = f"{SPEC.id}/comparison"
    begin, end = (ComparisonChanged(SPEC.id, status) for status in ("running", "complete"))
    run = RunEnded(row, 1, 1, SPEC.id)

    tracker.sync()  # opens the database, which may take longer than Ctrl-C waits
    for error, status in ((KeyboardInterrupt, "KILLED"), (OSError, "FAILED")):
        with pytest.raises(error), Watch(tracker) as watch:
            watch(begin)
            watch(run)
            raise error
        assert statuses(tracker)[compared] == status
    with Watch(tracker) as watch:
        watch(begin)
        watch(end)
    child = f"{compared}/knn/fixed/{key.params_id}"
    assert statuses(tracker) == {compared: "FINISHED", child: "FINISHED"}


@pytest.mark.usefixtures("mlflow_database")
def test_a_study_that_stops_is_shown_with_its_trials_as_interrupted(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    tracker = Tracker(None, store)
    folder = add_study(store, status="running", outcomes=())
    tracker.sync()  # opens the database, which may take longer than Ctrl-C waits
    with pytest.raises(KeyboardInterrupt), Watch(tracker) as watch:
        watch(StudyChanged(folder, "running", 0, 2))
        watch(TrialEnded(add_trial(folder, 0), folder, 1, 2, objective(0)))
        raise KeyboardInterrupt
    study = relative(folder, store.root)
    sweep = f"{relative(folder.parent.parent, store.root)}/sweep"
    assert statuses(tracker) == {
        sweep: "KILLED", study: "KILLED", f"{study}/trials/0000": "FINISHED",
    }  # fmt: skip


@pytest.mark.usefixtures("mlflow_database")
def test_runs_of_no_comparison_are_mirrored_on_their_own(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    tracker = Tracker(None, store)
    key = add_run(store, "knn", {"k": 1})
    with Watch(tracker) as watch:
        watch(RunEnded(store.results()[0], 1, 1))
    assert statuses(tracker) == {f"{SPEC.id}/knn/fixed/{key.params_id}": "FINISHED"}


def test_without_mlflow_events_are_only_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with Watch(None) as watch:
        watch(Note("fold 1 is ill-posed: 64 %"))
        watch(ComparisonChanged(SPEC.id, "running"))
    assert capsys.readouterr().out == "fold 1 is ill-posed: 64 %\n"
