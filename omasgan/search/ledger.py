"""The driver's book of a search: what trials report goes to the guide, the disk and the screen.

Backends only carry rows here, so that a sweep is told, pruned and recorded alike on each of them.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path

from omasgan.search import Event, OnEvent, Search
from omasgan.search.guide import Trial
from omasgan.store import Row, append_rows, keep_rows, write_json

COLLAPSED = "collapsed"
"""The health figure that is 1.0 once all samples of a generator are alike."""


@dataclass
class _Open:
    """A trial that runs."""

    trial: Trial
    started: float
    values: dict[str, float] = field(default_factory=dict)
    ending: Row = field(default_factory=dict)
    is_cut: bool = False


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

    @property
    def running(self) -> int:
        """How many trials have begun and not ended."""
        return len(self._open)

    @property
    def remaining(self) -> int:
        """How many trials are still to be begun."""
        return max(0, self._total - self._done - self.running)

    def begin(self) -> Trial:
        """The next trial, of those that remain."""
        trial = self._guide.ask()
        self._open[trial.number] = _Open(trial, time.monotonic())
        return trial

    def workdir(self, number: int) -> Path:
        """The trial's folder, as an absolute path: workers stand elsewhere."""
        return self._job.workdir(number).absolute()

    def enter(self, number: int, row: Row) -> bool:
        """Take down one row of ``evaluate.run_trial``; True if the trial is to be stopped."""
        entry = self._open[number]
        if "outcome" in row:
            entry.ending = row
            return False
        self._record(entry, row)
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
        """Close a trial; without an outcome among its rows its worker has died of ``error``."""
        entry = self._open.pop(number)
        ending = entry.ending or death(error or "the worker died")
        objective = ending.get("objective")
        folder = self.workdir(number)
        row = {"objective": objective, "seconds": time.monotonic() - entry.started, **ending}
        params = {"number": number, "params": entry.trial.params, "values": entry.values}
        # Recorded first: a trial that was told but not recorded would never be handed out again.
        write_json(folder / "trial.json", {"peak_memory_mb": None, **params, **row})
        self._guide.tell(number, ending["outcome"], objective, ending["error"])
        for checkpoint in folder.glob("*.safetensors"):
            checkpoint.unlink()
        self._done += 1
        if ending["outcome"] == "ok" and objective is not None:
            self._best = max(objective, self._best if self._best is not None else objective)
        self._tell_progress("trial", number, ending["error"] or "", ending["outcome"], objective)

    def _record(self, entry: _Open, row: Row) -> None:
        """Append to the trial's log; what a resumed trial repeats replaces what was there."""
        path = self.workdir(entry.trial.number) / "epochs.jsonl"
        if "value" in row and row["step"] in entry.trial.values:
            return
        if "epoch" in row and not entry.is_cut:
            entry.is_cut = True
            keep_rows(path, lambda old: _position(old) < _position(row))
        append_rows(path, [row])

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
