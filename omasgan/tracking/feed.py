"""Events on their way to MLflow."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from omasgan.progress import (
    ComparisonChanged,
    EpochEnded,
    Event,
    RunEnded,
    StudyChanged,
    TrialEnded,
)
from omasgan.store.results import RunKey

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath
    from omasgan.tracking.tracker import Tracker

PATIENCE_SECONDS = 15.0
"""How long MLflow waits for the first training to begin: its import and the creation of its
database take seconds of CPU.
"""


class Feed:
    """Shows events in MLflow, in order, in a thread of its own: neither a slow server nor the
    creation of a database holds up the work. It begins once something trains: until then the
    driver has enough to import.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.error: Exception | None = None
        self._tracker = tracker
        self._studies: set[AnyPath] = set()
        self._comparisons: set[str] = set()
        self._reported: set[str] = set()
        self._groups: dict[tuple[str, str, str, str], None] = {}
        self._is_training = threading.Event()
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        # A daemon: a server that does not answer must not hold up the end of the process.
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, EpochEnded | TrialEnded | RunEnded):
            self._is_training.set()
        match event:
            case ComparisonChanged(benchmark, status):
                if status == "running":
                    self._comparisons.add(benchmark)
                else:
                    self._comparisons.discard(benchmark)
                self._reported.add(benchmark)
                self._send(self._tracker.comparison, benchmark, status)
            case StudyChanged(study, "running"):
                self._reported.add(study.parents[3].name)
                self._studies.add(study)
                self._send(self._tracker.begin_study, study)
            case StudyChanged(study, status):
                self._studies.discard(study)
                self._send(self._tracker.end_study, study, status)
            case TrialEnded(trial, study):
                self._send(self._tracker.trial, study, trial)
            case RunEnded(row, comparison=None):
                # Shown at the end: only all runs of the same params together make an MLflow run.
                key = RunKey.of(row)
                self._groups[key.benchmark, key.detector, key.selection, key.params_id] = None

    def finish(
        self, ending: str, seconds: float | None = None, *, with_report: bool = False
    ) -> None:
        """Show the runs, and what still goes on as ``ending`` ("interrupted" or "failed"), attach
        the report if asked; wait until all is shown, but at most so many seconds.

        What has gone wrong is in ``error``.
        """
        for folder in self._studies:
            self._send(self._tracker.end_study, folder, ending)
        for benchmark in self._comparisons:
            self._send(self._tracker.comparison, benchmark, ending)
        for group in self._groups:
            self._send(self._tracker.run_group, *group)
        if with_report and self._reported:
            self._send(self._tracker.report, sorted(self._reported))
        self._send(self._tracker.catch_up)
        self._calls.put(None)
        self._is_training.set()
        self._thread.join(seconds)

    def _send(self, show: Callable[..., None], *what: object) -> None:
        self._calls.put(functools.partial(show, *what))

    def _work(self) -> None:
        self._is_training.wait(PATIENCE_SECONDS)
        for show in iter(self._calls.get, None):
            try:
                show()
            except Exception as error:
                self.error = self.error or error
