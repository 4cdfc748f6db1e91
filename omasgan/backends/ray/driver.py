"""The driver of searches on Ray: it answers what Tune asks and hears what Tune tells.

Every decision on a trial is the guide's, taken down by the logs; whether its process is repeated
is decided by ``attempts``. Tune only places and executes.
"""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray

from omasgan.backends import shares
from omasgan.backends.ray import nodes
from omasgan.backends.ray.attempts import LOOKS, STALLED, WATCH_SECONDS, Attempt, Attempts
from omasgan.backends.ray.needs import Need
from omasgan.backends.ray.nodes import WorkerLocation
from omasgan.backends.ray.room import Room
from omasgan.progress import Note, OnEvent, study_name
from omasgan.study.trial_log import TrialLog


@dataclass
class _Running:
    """A trial of ours that a trial of Tune's carries out."""

    log: TrialLog
    number: int
    attempts: Attempts
    attempt: Attempt
    batches: int = 0


class Driver:
    """What Tune's searcher, stopper and callback share; it stays on the driver.

    To Tune each attempt is a trial of its own; ``_running`` says which of ours it is. Whenever a
    slot falls free for which no trial is left, ``on_free_slot`` is called.
    """

    def __init__(
        self,
        logs: Sequence[TrialLog],
        room: Room,
        stall_seconds: float,
        on_event: OnEvent,
        need: Need,
        on_free_slot: Callable[[], None] = lambda: None,
    ) -> None:
        self._logs, self._room, self._need = logs, room, need
        self._stall_seconds, self._on_event = stall_seconds, on_event
        self._on_free_slot = on_free_slot
        self._running: dict[str, _Running] = {}
        self._repeated: dict[tuple[TrialLog, int], Attempts] = {}
        self._locations: weakref.WeakKeyDictionary[Any, WorkerLocation]
        self._locations = weakref.WeakKeyDictionary()
        self._watched = 0.0
        self._is_waiting = False
        self.error: Exception | None = None

    def __reduce__(self) -> Any:
        # Tune saves and copies what it is given; a study's record cannot be, and need not.
        return (object, ())

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing more to suggest."""
        remaining = any(log.remaining for log in self._logs)
        return self.error is not None or not (remaining or self._running)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Return what a worker needs for the next trial, of the search with the fewest running
        ones; None as long as there is no room or nothing to do.

        That spreads the trials over the studies, whose suggestions are the better the fewer
        trials of the same study are still running.
        """
        waiting = [log for log in self._logs if log.remaining]
        # Tune would ask ahead of what can run, before the running trials have told anything.
        if not waiting or not self._has_room():
            return None
        with self._deferring_errors():
            log = min(waiting, key=lambda log: log.running)
            trial = log.begin()
            attempts = self._repeated.pop((log, trial.number), None) or Attempts(self._need)
            attempt = attempts.begin()
            self._running[trial_id] = _Running(log, trial.number, attempts, attempt)
            job = log.search.trial_job(trial)
            return {
                "search": self._logs.index(log),
                "job": replace(job, device=shares.device_for(job.device, attempt.share)),
                "gpus": attempt.share,
                "cpus": self._room.cpus_for(attempt),
                "needed": self._need.memory_mb,
            }
        return None

    def name(self, trial_id: str) -> str:
        """Return what people call a running trial."""
        running = self._running[trial_id]
        return f"trial {running.number} of {study_name(running.log.search.folder)}"

    def _has_room(self) -> bool:
        room = self._room.trials()
        if not room and not self._is_waiting:
            self._on_event(Note("no node has room for a trial; waiting"))
        self._is_waiting = not room
        return len(self._running) < room

    def enter(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Record a batch of rows; return whether the trial is to be stopped."""
        running = self._running.get(trial_id)
        # Tune gives the last result of a trial once more when it ends.
        if self.error is not None or running is None or result["batch"] < running.batches:
            return self.error is not None
        running.batches = result["batch"] + 1
        running.attempt.show_life()
        running.attempt.location = result.get("location", running.attempt.location)
        with self._deferring_errors():
            return running.log.enter(running.number, result["rows"])
        return True

    def end(self, trial_id: str, error: str | None = None) -> None:
        """End an attempt, which died of ``error`` if there is one, unless all are given up."""
        if self.error is not None or trial_id not in self._running:
            return
        running = self._running.pop(trial_id)
        log, number = running.log, running.number
        if running.attempt.has_stalled:
            error = STALLED
        with self._deferring_errors():
            cause = running.attempts.cause_to_repeat(
                log.outcome(number), error or "its process died", log.furthest(number)
            )
            if cause is None:
                log.end(number, error)
            else:
                self._repeated[log, number] = running.attempts
                log.repeat(number, cause)
            if not any(log.remaining for log in self._logs):
                self._on_free_slot()

    def lose_all(self, error: str) -> None:
        """Tune has given up: end every process that is left, and their attempts."""
        for trial_id, running in list(self._running.items()):
            if running.attempt.location is not None:
                nodes.end_process(running.attempt.location)
            self.end(trial_id, error)

    def watch(self, trials: Sequence[Any]) -> None:
        """End the processes of Tune's ``trials`` that have said nothing for too long."""
        now = time.monotonic()
        if now - self._watched < min(WATCH_SECONDS, self._stall_seconds / LOOKS):
            return
        self._watched = now
        for trial in trials:
            running, actor = self._running.get(trial.trial_id), trial.temporary_state.ray_actor
            if running is not None and actor is not None:
                self._watch(running.attempt, actor)

    def _watch(self, attempt: Attempt, actor: Any) -> None:
        # An actor that is used again may hang before it can say where it is.
        attempt.location = attempt.location or self._locations.get(actor)
        if attempt.location is not None:
            self._locations[actor] = attempt.location
        if attempt.has_stalled or not attempt.check(self._stall_seconds):
            return
        if attempt.location is None:
            ray.kill(actor)
        else:
            nodes.end_process(attempt.location)

    @contextlib.contextmanager
    def _deferring_errors(self) -> Iterator[None]:
        """Keep an error until Tune has ended, which would take it for one of the trial's."""
        try:
            yield
        except Exception as error:
            self.error = error
