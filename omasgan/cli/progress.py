"""What the screen shows of long work: bars in a terminal, plain lines anywhere else."""

from __future__ import annotations

import math
import sys
import time
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeAlias

from omasgan.progress import (
    EpochEnded,
    Event,
    Note,
    RunEnded,
    StudyChanged,
    TrialEnded,
    study_name,
)

_Ended: TypeAlias = EpochEnded | TrialEnded | RunEnded
_Counted: TypeAlias = _Ended | StudyChanged


def seconds_in_words(seconds: float) -> str:
    """Return a duration, with as much precision as a reader needs.

    >>> seconds_in_words(42.2), seconds_in_words(200), seconds_in_words(9000)
    ('42 s', '3 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


class Progress:
    """Shows events as they come; use it as a context manager."""

    def __init__(self) -> None:
        self._counters: dict[str, _Counter] = {}
        self._began = time.time()
        self._n_old = 0
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
                self._show("runs" if event.study is None else study_name(event.study), event)
            case RunEnded() if self._is_old(event):
                self._count_old(event)
            case RunEnded():
                self._tell_old(event)
                self._show("runs", event)

    def _is_old(self, event: RunEnded) -> bool:
        """Return whether the run had ended before this command began."""
        ended = event.row.get("finished_at")
        # Rows count whole seconds.
        return ended is not None and _timestamp(ended) < math.floor(self._began)

    def _count_old(self, event: RunEnded) -> None:
        """Count a run that was done before: it is not told again."""
        self._n_old += 1
        self._counters["runs"] = _Counter(event)
        if self._bars is not None:
            self._bars.show("runs", event, None)
        elif event.done == event.total:
            self._tell_old(event)

    def _tell_old(self, event: RunEnded) -> None:
        if self._n_old and self._bars is None:
            print(f"runs: {self._n_old} of {event.total} were done before", flush=True)
        self._n_old = 0

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
    """Estimates the time left from what has been done since the first event."""

    def __init__(self, event: _Counted) -> None:
        self._before = self._last = event.done
        self._total = event.total
        self._started = time.monotonic()

    def counts(self, event: _Counted) -> bool:
        """Return whether an event is of the same work, not of the next under the same name."""
        return event.total == self._total and event.done >= self._last

    def seconds_left(self, event: _Counted) -> float | None:
        """Return the estimate, up to the deadline; None as long as nothing has been done."""
        self._last = event.done
        done = event.done - self._before
        if done <= 0:
            return None
        now = time.monotonic()
        left = (now - self._started) / done * (event.total - event.done)
        if isinstance(event, EpochEnded | TrialEnded):
            return min(left, event.deadline - now)
        return left


class _Bars:
    """One bar for each study, and one for the runs. What does not fit stands below."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Live
        from rich.table import Column

        self.live = Live(
            TextColumn("{task.description}"),
            BarColumn(bar_width=12),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[note]}", markup=False, table_column=Column()),
        )
        self._ids: dict[str, Any] = {}

    def show(self, name: str, event: _Ended, left: float | None) -> None:
        if name not in self._ids:
            self._ids[name] = self.live.add_task(name, total=event.total, note="")
        note = ", ".join(_note(event, left))
        self.live.update(self._ids[name], completed=event.done, total=event.total, note=note)
        if not isinstance(event, EpochEnded) and _result(event)[0] not in ("ok", "pruned"):
            self.live.console.print(_line(name, event, None), markup=False, highlight=False)


def _result(event: TrialEnded | RunEnded) -> tuple[str, float | None, str | None]:
    """Return outcome, objective or AUROC, and error."""
    if isinstance(event, TrialEnded):
        return str(event.trial.outcome), event.trial.objective, event.trial.error
    return event.row["outcome"], event.row.get("auroc"), event.row["error"]


def _timestamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _line(name: str, event: TrialEnded | RunEnded, left: float | None) -> str:
    outcome, value, _ = _result(event)
    result = "" if value is None else f" {value:.4f}"
    noun = " trials" if isinstance(event, TrialEnded) else ""
    parts = [f"{name}: {event.done} of {event.total}{noun}", f"{outcome}{result}"]
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
