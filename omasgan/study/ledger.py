"""The driver's book of a search: what trials report goes to the guide, the disk and the screen.

Backends only carry rows here, so that a sweep is told, pruned and recorded alike on each of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from omasgan.progress import Event, OnEvent
from omasgan.store.journal import Row, append_rows, keep_rows, read_rows, write_json
from omasgan.study.guide import Trial
from omasgan.study.search import Search

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath

DEATHS = 3
"""A training whose process has died so often at the same place is given up."""

COLLAPSED = "collapsed"
"""The health figure that is 1.0 once all samples of a generator are alike."""


@dataclass
class Patience:
    """Whether a training whose process has died is to be repeated, from its checkpoint.

    What dies with a node or by another's hand gets further each time, and is repeated as often as
    it takes; what kills its own process does so at the same place.
    """

    reached: Any = None
    deaths: int = 0

    def outlasts(self, reached: Any) -> bool:
        """True if a death is to be followed by another try; ``reached`` says how far it came."""
        if self.reached is None or reached > self.reached:
            self.reached, self.deaths = reached, 0
        self.deaths += 1
        return self.deaths < DEATHS


@dataclass
class _Open:
    """A trial that runs, or that waits to be repeated."""

    trial: Trial
    started: float
    attempts: int = 1
    values: dict[str, float] = field(default_factory=dict)
    ending: Row = field(default_factory=dict)
    recorded: set[int] | None = None
    is_cut: bool = False
    furthest: tuple[int, float] = (0, -1.0)
    patience: Patience = field(default_factory=Patience)


class Ledger:
    """The book of one search; trials that ended in an earlier start count."""

    def __init__(self, search: Search, on_event: OnEvent) -> None:
        self._guide, self._job, self._total = search.guide, search.job, search.n_trials
        self._on_event = on_event
        self._last_step = len(search.data.tasks) - 1
        self._done = len(self._guide.finished())
        best = self._guide.best()
        self._best = best.objective if best else None
        self._open: dict[int, _Open] = {}
        self._again: list[_Open] = []

    @property
    def running(self) -> int:
        """How many trials have begun and not ended."""
        return len(self._open)

    @property
    def remaining(self) -> int:
        """How many trials are still to be begun."""
        return max(0, self._total - self._done - self.running)

    def begin(self) -> Trial:
        """The next trial, of those that remain: what is to be repeated comes first."""
        if not self._again:
            self._again.append(_Open(self._guide.ask(), time.monotonic()))
        entry = self._again.pop(0)
        self._open[entry.trial.number] = entry
        return entry.trial

    def workdir(self, number: int) -> AnyPath:
        """The trial's folder, as an absolute path: workers stand elsewhere."""
        return self._job.workdir(number).absolute()

    def enter(self, number: int, rows: Sequence[Row]) -> bool:
        """Take down rows of ``evaluate.run_trial``; True if the trial is to be stopped."""
        entry = self._open[number]
        taken: list[Row] = []
        stop = False
        for row in rows:
            if "outcome" in row:
                entry.ending = row
                break
            taken.append(row)
            stop = self._decide(entry, row)
            if stop:
                break
        if taken:
            self._record(entry, taken)
        self._job.checkpoints.trim()
        return stop

    def _decide(self, entry: _Open, row: Row) -> bool:
        """Tell the guide and the reader; True if the trial ends here."""
        number = entry.trial.number
        entry.furthest = max(entry.furthest, _position(row))
        if "value" in row:
            entry.values[row["task"]] = row["value"]
            self._guide.report(number, row["step"], row["value"])
            # After the last task there is nothing left to save, and the objective is known.
            if row["step"] < self._last_step and self._guide.should_prune(number):
                entry.ending = {"outcome": "pruned", "error": f"pruned after {row['task']}"}
        else:
            where = f"{row['task']}, epoch {row['epoch']}"
            self._tell_progress("epoch", number, where)
            if self._job.prune_collapsed and row.get(COLLAPSED) == 1.0:
                entry.ending = {"outcome": "pruned", "error": f"collapsed in {where}"}
        return bool(entry.ending)

    def end(self, number: int, error: str | None = None) -> None:
        """Close a trial; without an outcome among its rows its worker has died of ``error``, and
        it is to be begun again unless it has died too often.
        """
        entry = self._open[number]
        if not entry.ending and entry.patience.outlasts(entry.furthest):
            text = f"trial {number} is repeated: {error or 'its process died'}"
            self._on_event(Event("note", self._done, self._total, text=text))
            self.repeat(number)
            return
        del self._open[number]
        ending = entry.ending or death(error or "the worker died")
        objective = ending.get("objective")
        row = {"objective": objective, "seconds": time.monotonic() - entry.started, **ending}
        about = {
            "number": number,
            "params": entry.trial.params,
            "values": entry.values,
            "attempts": entry.attempts,
        }
        # Recorded first: a trial that was told but not recorded would never be handed out again.
        folder = self.workdir(number)
        write_json(folder / "trial.json", {"peak_memory_mb": None, **about, **row})
        self._guide.tell(number, ending["outcome"], objective, ending["error"])
        self._job.checkpoints.end(folder)
        self._done += 1
        if ending["outcome"] == "ok" and objective is not None:
            self._best = max(objective, self._best if self._best is not None else objective)
        self._tell_progress("trial", number, ending["error"] or "", ending["outcome"], objective)

    def outcome(self, number: int) -> str | None:
        """What a running trial has said of its ending; None as long as it has not."""
        return self._open[number].ending.get("outcome")

    def repeat(self, number: int) -> None:
        """Put a running trial back, to be begun again with the same params."""
        entry = self._open.pop(number)
        entry.ending, entry.recorded, entry.is_cut = {}, None, False
        entry.attempts += 1
        self._again.append(entry)

    def _record(self, entry: _Open, rows: Sequence[Row]) -> None:
        """Append to the trial's log; what a repeated trial repeats replaces what was there."""
        path = self.workdir(entry.trial.number) / "epochs.jsonl"
        if entry.recorded is None:
            # As the file has it: the guide may know a value that a crash has kept from it.
            entry.recorded = {row["step"] for row in read_rows(path) if "value" in row}
        first = next((row for row in rows if "epoch" in row), None)
        if first is not None and not entry.is_cut:
            entry.is_cut = True
            keep_rows(path, lambda old: _position(old) < _position(first))
            entry.recorded = {step for step in entry.recorded if step < first["step"]}
        recorded = entry.recorded
        append_rows(path, [r for r in rows if "epoch" in r or r["step"] not in recorded])

    def _tell_progress(
        self,
        kind: str,
        number: int,
        text: str,
        outcome: str | None = None,
        objective: float | None = None,
    ) -> None:
        self._on_event(
            Event(
                kind,
                self._done,
                self._total,
                outcome=outcome,
                objective=objective,
                best=self._best,
                text=text,
                study_dir=self._job.study_dir,
                number=number,
            )
        )


def _position(row: Row) -> tuple[int, float]:
    return row["step"], row.get("epoch", math.inf)


def death(error: str) -> Row:
    """The ending of a process that is gone: Ray ends those that exhaust a node's memory."""
    outcome = "out-of-memory" if "OutOfMemory" in error else "failed"
    return {"outcome": outcome, "error": error}
