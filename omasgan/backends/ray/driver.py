"""Ray Tune's side of a search: it asks for params, carries rows and tells what has died.

Every decision is the guide's, taken down by the logs; Tune only places and executes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray import tune

from omasgan.backends import gpu, shares
from omasgan.backends.ray import cluster
from omasgan.progress import Note, OnEvent
from omasgan.study.trial_log import TrialLog

WATCH_SECONDS = 5.0
LOOKS = 20
"""How often a training is looked at, within the time after which it counts as stalled."""

STALLED = "it stalled: nothing came from it for too long"

_TUNE_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Ctrl-C is to stop the driver, not to end all trials as if they were finished.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    # Tune's own state is never read again: the store and the guide are what a sweep resumes from.
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "TUNE_WARN_THRESHOLD_S": "10",
    # The newer output prints a header however quiet it is told to be.
    "RAY_AIR_NEW_OUTPUT": "0",
}


class Driver:
    """What Tune's searcher, stopper and callback share; it stays on the driver.

    To Tune each attempt is a trial of its own; which of ours it is stands in ``_attempts``.
    """

    def __init__(
        self,
        logs: Sequence[TrialLog],
        room: cluster.Room,
        stall_seconds: float,
        on_event: OnEvent,
        needed: float | None,
    ) -> None:
        self._logs, self._room, self._needed = logs, room, needed
        self._larger: dict[tuple[TrialLog, int], float] = {}
        self._stall_seconds, self._on_event = stall_seconds, on_event
        self._attempts: dict[str, _Attempt] = {}
        self._alone: set[tuple[TrialLog, int]] = set()
        self._places: dict[Any, cluster.Place] = {}
        self._watched = 0.0
        self._is_waiting = False
        self.error: Exception | None = None

    def __reduce__(self) -> Any:
        # Tune saves and copies what it is given; a study's database cannot be, and need not.
        return (object, ())

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Params for a new attempt, of the search with the fewest running ones.

        That spreads the trials over the studies, whose suggestions are the better the fewer
        trials of the same study are still running.
        """
        waiting = [log for log in self._logs if log.remaining]
        if self.error is not None or not (waiting or self._attempts):
            return str(tune.search.Searcher.FINISHED)
        # Tune would ask ahead of what can run, before the running trials have told anything.
        if not waiting or not self._has_room():
            return None
        with self._kept():
            log = min(waiting, key=lambda log: log.running)
            trial = log.begin()
            self._attempts[trial_id] = _Attempt(log, trial.number)
            job = log.search.trial_job(trial)
            return {
                "search": self._logs.index(log),
                "job": replace(job, device=gpu.device_for(job.device, self._room.share)),
                "gpus": self._larger.get((log, trial.number), self._room.share),
                "cpus": self._cpus_of(log, trial.number),
                "needed": self._needed,
            }
        return str(tune.search.Searcher.FINISHED)

    def _cpus_of(self, log: TrialLog, number: int) -> float:
        """All of a node's where a trial died as its node's memory ran out: Ray ends whatever
        trains there, and alone each shows whether it was the cause.
        """
        alone = (log, number) in self._alone
        return self._room.whole_node() if alone else self._room.cpus

    def _has_room(self) -> bool:
        room = self._room.trials()
        if not room and not self._is_waiting:
            self._on_event(Note("no node has room for a trial; waiting"))
        self._is_waiting = not room
        return len(self._attempts) < room

    def enter(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Take down a batch of rows; True if the trial is to be stopped."""
        attempt = self._attempts.get(trial_id)
        # Tune gives the last result of a trial once more when it ends.
        if self.error is not None or attempt is None or result["batch"] < attempt.batches:
            return self.error is not None
        attempt.hear(result)
        with self._kept():
            return attempt.log.enter(attempt.number, result["rows"])
        return True

    def end(self, trial_id: str, error: str | None = None) -> None:
        """Close an attempt, unless the whole search is being given up."""
        if self.error is None and trial_id in self._attempts:
            attempt = self._attempts.pop(trial_id)
            if error is not None and "OutOfMemory" in error:
                self._alone.add((attempt.log, attempt.number))
            with self._kept():
                if self._grows(attempt):
                    attempt.log.repeat(attempt.number)
                else:
                    attempt.log.end(attempt.number, STALLED if attempt.is_ended else error)

    def _grows(self, attempt: _Attempt) -> bool:
        """Whether a trial gets a larger share, having run out of memory with the measured one."""
        key = attempt.log, attempt.number
        larger = None if self._needed is None else shares.larger(self._room.share)
        has_died_of_it = attempt.log.outcome(attempt.number) == "out-of-memory"
        if not has_died_of_it or larger is None or key in self._larger:
            return False
        self._larger[key] = larger
        return True

    def lose_all(self, error: str) -> None:
        """Tune has given up: end every process that is left, and repeat their trials."""
        for trial_id, attempt in list(self._attempts.items()):
            if attempt.place is not None:
                cluster.end_process(attempt.place)
            self.end(trial_id, error)

    def watch(self, trials: Sequence[Any]) -> None:
        """End the processes that have said nothing for too long; their trials are repeated."""
        now = time.monotonic()
        if now - self._watched < min(WATCH_SECONDS, self._stall_seconds / LOOKS):
            return
        self._watched = now
        for trial in trials:
            attempt, actor = self._attempts.get(trial.trial_id), trial.temporary_state.ray_actor
            if attempt is None or actor is None:
                continue
            # One that is used again may hang before it can say where it is.
            attempt.place = attempt.place or self._places.get(actor._actor_id)
            if attempt.place is not None:
                self._places[actor._actor_id] = attempt.place
            if attempt.is_stalled(self._stall_seconds):
                attempt.end(actor)

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        """Keep an error for the end: Tune would take it for one of the trial's."""
        try:
            yield
        except Exception as error:
            self.error = error


@dataclass
class _Attempt:
    """One process's try at a trial."""

    log: TrialLog
    number: int
    batches: int = 0
    heard: float | None = None
    place: cluster.Place | None = None
    is_ended: bool = False

    def hear(self, result: dict[str, Any]) -> None:
        """Note that a batch has come."""
        self.batches, self.heard = result["batch"] + 1, time.monotonic()
        self.place = result.get("place", self.place)

    def is_stalled(self, seconds: float) -> bool:
        """Whether it has a process that has said nothing for so long, and is not being ended."""
        if self.heard is None:
            self.heard = time.monotonic()
        return time.monotonic() - self.heard > seconds and not self.is_ended

    def end(self, actor: Any) -> None:
        """End its process."""
        if self.place is not None:
            cluster.end_process(self.place)
        else:
            ray.kill(actor)
        self.is_ended = True


class Searcher(tune.search.Searcher):  # type: ignore[misc]
    """Tune asks, the guide answers."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self._driver = driver

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        return self._driver.suggest(trial_id)

    def set_search_properties(self, *args: Any, **spec: Any) -> bool:
        return True

    def on_trial_complete(self, trial_id: str, *args: Any, **kwargs: Any) -> None:
        """The callback tells it, since that one also learns of the error."""

    def save_to_dir(self, *args: Any, **kwargs: Any) -> None:
        """The guide keeps its own state."""


class Stopper(tune.Stopper):  # type: ignore[misc]
    """Tune tells every result, the log says whether the trial goes on."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return self._driver.enter(trial_id, result)

    def stop_all(self) -> bool:
        return self._driver.error is not None


class Callback(tune.Callback):  # type: ignore[misc]
    """Tune tells that a trial has ended, and of what."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        self._driver.watch(trials)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._driver.end(trial.trial_id)
        # Tune keeps every trial with figures of its own that nobody reads, 15 KB each.
        trial.metric_analysis.clear()
        trial.metric_n_steps.clear()

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._driver.end(trial.trial_id, reason(trial.get_error()))


def reason(text: Any) -> str:
    """The line of a Ray error that says what happened."""
    lines = [line.strip() for line in str(text or "").splitlines() if line.strip()]
    kept = [line for line in lines if not line.startswith(("Failure #", "class_name", "actor_id"))]
    return " ".join(kept[:2]) or "worker died"


@contextlib.contextmanager
def quiet_tune() -> Iterator[None]:
    """Tune takes its settings from the environment, and logs what the log tells anyway."""
    logger = logging.getLogger("ray.tune")
    level, before = logger.level, {name: os.environ.get(name) for name in _TUNE_SETTINGS}
    logger.setLevel(logging.CRITICAL)
    os.environ.update(_TUNE_SETTINGS)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
