"""What one sees of long work while it goes on: bars in a terminal, plain lines anywhere else, and
MLflow.
"""

from __future__ import annotations

import functools
import queue
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from omasgan.progress import (
    ComparisonChanged,
    EpochEnded,
    Event,
    Note,
    RunEnded,
    StudyChanged,
    TrialEnded,
)
from omasgan.store.results import RunKey

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath
    from omasgan.tracking.tracker import Tracker


_Ended: TypeAlias = EpochEnded | TrialEnded | RunEnded
_Counted: TypeAlias = _Ended | StudyChanged

INTERRUPT_SECONDS = 7.0
"""How long MLflow is waited for after Ctrl-C; what it misses can be sent later."""


def seconds_in_words(seconds: float) -> str:
    """A duration with the precision that one cares for.

    >>> seconds_in_words(42.2), seconds_in_words(200), seconds_in_words(9000)
    ('42 s', '3 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


class Watch:
    """Shows every event on the screen and in MLflow; ends what it began, however the work ends.

    MLflow is told by a thread of its own, in order: neither a slow server nor the making of a
    database holds up the trials.
    """

    def __init__(self, tracker: Tracker | None) -> None:
        self._tracker = tracker
        self._mirror = _Mirror()
        self._progress = Progress()
        self._running: set[AnyPath] = set()
        self._comparing: set[str] = set()
        self._groups: dict[tuple[str, str, str, str], None] = {}

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __call__(self, event: Event) -> None:
        self._progress(event)
        if isinstance(event, RunEnded) and event.comparison is None:
            key = RunKey.of(event.row)
            self._groups[key.benchmark, key.detector, key.selection, key.params_id] = None
        if self._tracker is not None:
            self._mirror_event(self._tracker, event)

    def _mirror_event(self, tracker: Tracker, event: Event) -> None:
        match event:
            case ComparisonChanged(benchmark, status):
                if status == "running":
                    self._comparing.add(benchmark)
                else:
                    self._comparing.discard(benchmark)
                self._send(tracker.comparison, benchmark, status)
            case StudyChanged(study, "running"):
                self._running.add(study)
                self._send(tracker.begin_study, study)
            case StudyChanged(study, status):
                self._running.discard(study)
                self._send(tracker.end_study, study, status)
            case TrialEnded(trial, study):
                self._send(tracker.trial, study, trial)

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._progress.__exit__(kind, None, None)
        if self._tracker is None:
            return
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        ending = "interrupted" if interrupted else "failed"
        for folder in self._running:
            self._send(self._tracker.end_study, folder, ending)
        for benchmark in self._comparing:
            self._send(self._tracker.comparison, benchmark, ending)
        for group in self._groups:
            self._send(self._tracker.run_group, *group)
        self._send(self._tracker.catch_up)
        self._mirror.finish(INTERRUPT_SECONDS if interrupted else None)
        if kind is None and self._mirror.error is not None:
            raise self._mirror.error

    def _send(self, show: Callable[..., None], *what: object) -> None:
        self._mirror.send(show, *what)


class _Mirror:
    """A thread that carries out what it is given, in order, until it is finished."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self._given: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        # A daemon: a server that does not answer must not hold up the end of the process.
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def send(self, show: Callable[..., None], *what: object) -> None:
        self._given.put(functools.partial(show, *what))

    def finish(self, seconds: float | None) -> None:
        """Wait for what was given, at most so many seconds."""
        self._given.put(None)
        self._thread.join(seconds)

    def _work(self) -> None:
        for show in iter(self._given.get, None):
            try:
                show()
            except Exception as error:
                self.error = self.error or error


class Progress:
    """Shows events as they come; use it as a context manager."""

    def __init__(self) -> None:
        self._counters: dict[str, _Counter] = {}
        self._bars: _Bars | None = _Bars() if sys.stdout.isatty() else None

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.live.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Note(text):
                print(text, flush=True)
            case EpochEnded() | TrialEnded() | StudyChanged():
                self._show("runs" if event.study is None else _study(event.study), event)
            case RunEnded():
                self._show("runs", event)

    def _show(self, name: str, event: _Counted) -> None:
        counter = self._counters.get(name)
        if counter is None or not counter.counts(event):
            counter = self._counters[name] = _Counter(event)
        left = counter.seconds_left(event)
        if isinstance(event, StudyChanged):
            return
        if self._bars is not None:
            self._bars.show(name, event, left)
        elif not isinstance(event, EpochEnded):
            print(_line(name, event, left), flush=True)


class _Counter:
    """Estimates the time left from what was done since it began, with its first event."""

    def __init__(self, event: _Counted) -> None:
        self._before = self._last = event.done
        self._total = event.total
        self._started = time.monotonic()

    def counts(self, event: _Counted) -> bool:
        """Whether an event is of the same work, not of the next under the same name."""
        return event.total == self._total and event.done >= self._last

    def seconds_left(self, event: _Counted) -> float | None:
        self._last = event.done
        done = event.done - self._before
        elapsed = time.monotonic() - self._started
        return elapsed / done * (event.total - event.done) if done > 0 else None


class _Bars:
    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Live

        self.live = Live(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        self._ids: dict[str, Any] = {}

    def show(self, name: str, event: _Ended, left: float | None) -> None:
        if name not in self._ids:
            self._ids[name] = self.live.add_task(name, total=event.total, note="")
        note = ", ".join(_note(event, left))
        self.live.update(self._ids[name], completed=event.done, total=event.total, note=note)
        if not isinstance(event, EpochEnded) and _result(event)[0] not in ("ok", "pruned"):
            self.live.console.print(_line(name, event, None), markup=False, highlight=False)


def _study(folder: AnyPath) -> str:
    """What is searched, from ``<benchmark>/<detector>/<rule>/studies/<study>``."""
    detector, rule, _, study = folder.parts[-4:]
    return f"{detector} {rule} {study}"


def _result(event: TrialEnded | RunEnded) -> tuple[str, float | None, str | None]:
    """Outcome, objective or AUROC, and error."""
    if isinstance(event, TrialEnded):
        return str(event.trial.outcome), event.trial.objective, event.trial.error
    return event.row["outcome"], event.row.get("auroc"), event.row["error"]


def _line(name: str, event: TrialEnded | RunEnded, left: float | None) -> str:
    outcome, value, _ = _result(event)
    result = "" if value is None else f" {value:.4f}"
    parts = [f"{name}: {event.done} of {event.total}", f"{outcome}{result}"]
    return ", ".join(parts + _note(event, left))


def _note(event: _Ended, left: float | None) -> list[str]:
    parts = [text for text in (_text(event),) if text]
    if not isinstance(event, RunEnded) and event.best is not None:
        parts.append(f"best {event.best:.4f}")
    if left is not None and left >= 1 and event.done < event.total:
        parts.append(f"about {seconds_in_words(left)} left")
    return parts


def _text(event: _Ended) -> str:
    match event:
        case EpochEnded(text):
            return text
        case TrialEnded(trial):
            return trial.error or ""
        case RunEnded(row):
            where = f"{row['detector']}, fold {row['fold']}, seed {row['seed']}"
            return f"{where}: {row['error']}" if row["error"] else where
