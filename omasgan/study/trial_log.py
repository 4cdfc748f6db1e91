"""The driver's log of a search: what trials yield goes to the guide, the disk and the reader.

Backends only carry rows here, so that trials are pruned, ended and recorded alike on each of them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from omasgan.errors import StoreError
from omasgan.progress import EpochEnded, Note, OnEvent, TrialEnded
from omasgan.store.files import delete
from omasgan.store.journal import Row, append_rows, keep_rows
from omasgan.training.evaluate import task_checkpoint
from omasgan.training.trials import (
    Ending,
    EpochRow,
    Refusal,
    Trial,
    TrialRow,
    ValueRow,
    death,
)

if TYPE_CHECKING:
    from omasgan.study.search import Search

EPOCHS = "epochs.jsonl"
"""The file in a trial's folder that holds its epochs, those of its last attempt where one was
repeated.
"""


@dataclass
class _Open:
    """A trial that runs, or that waits to be repeated."""

    trial: Trial
    began: float = field(default_factory=time.monotonic)
    attempts: int = 1
    ending: Ending | None = None
    is_cut: bool = False
    furthest: tuple[int, int] = (0, -1)
    cached_seconds: float | None = None


class TrialLog:
    """The log of one search; trials that ended in an earlier start count."""

    def __init__(self, search: Search, on_event: OnEvent) -> None:
        self.search = search
        self._guide = search.guide
        self._on_event = on_event
        self._last_step = len(search.data.tasks) - 1
        self._n_finished = self._guide.n_finished
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
        """How many trials are still to be begun, those that are to be repeated included."""
        n_trials = int(min(self.search.n_trials, self._guide.limit))
        left = max(0, n_trials - self._n_finished - self.running)
        if self.search.is_over and self._n_finished + self.running:
            return min(left, len(self._again))
        return left

    def begin(self) -> Trial:
        """Return the next trial of those that remain: what is to be repeated comes first."""
        entry = self._again.pop(0) if self._again else _Open(self._guide.ask())
        self._open[entry.trial.number] = entry
        return entry.trial

    def enter(self, number: int, rows: Sequence[TrialRow]) -> bool:
        """Record the rows of a running trial; return whether it is to be stopped.

        Raises:
            StoreError: no trial can work where this one was sent.
        """
        entry = self._open[number]
        epochs: list[EpochRow] = []
        is_stopped = False
        for row in rows:
            if isinstance(row, Refusal):
                raise StoreError(row.reason)
            if isinstance(row, Ending):
                entry.ending = row
                break
            if isinstance(row, EpochRow):
                epochs.append(row)
                self._enter_epoch(entry, row)
            else:
                # First: once the value is recorded, nobody trains these epochs again.
                self._write_epochs(entry, epochs)
                epochs = []
                self._enter_value(entry, row)
            is_stopped = entry.ending is not None
            if is_stopped:
                break
        self._write_epochs(entry, epochs)
        self.search.disk.trim()
        return is_stopped

    def _enter_epoch(self, entry: _Open, row: EpochRow) -> None:
        entry.furthest = max(entry.furthest, (row.step, row.epoch))
        where = f"{row.task}, epoch {row.epoch}"
        self._on_event(
            EpochEnded(
                f"trial {entry.trial.number}, {where}",
                self._n_finished,
                self.search.n_trials,
                self.search.folder,
                self._best,
                self.search.deadline,
            )
        )
        if self.search.prune_collapsed and row.has_collapsed:
            entry.ending = Ending("pruned", error=f"collapsed in {where}")

    def _enter_value(self, entry: _Open, row: ValueRow) -> None:
        number = entry.trial.number
        entry.furthest = max(entry.furthest, (row.step + 1, -1))
        self._guide.report(number, row.step, row.values)
        if row.cached_seconds is not None:
            entry.cached_seconds = (entry.cached_seconds or 0.0) + row.cached_seconds
        if not self.search.checkpoints.keep:
            delete(task_checkpoint(self.search.workdir(number), row.step))
        entry.trial = replace(entry.trial, values={**entry.trial.values, row.step: row.values})
        # After the last task there is nothing left to save, and the objective is known.
        if row.step < self._last_step and self._guide.should_prune(number):
            entry.ending = Ending("pruned", error=f"pruned after {row.task}")

    def end(self, number: int, error: str | None = None) -> None:
        """Close a trial, which died of ``error`` unless its rows have said how it ended."""
        entry = self._open[number]
        ending = entry.ending or death(error or "its process died")
        if ending.seconds is None:
            ending = replace(ending, seconds=time.monotonic() - entry.began)
        ending = replace(ending, cached_seconds=entry.cached_seconds)
        trial = self._guide.tell(number, ending, entry.attempts)
        del self._open[number]
        self.search.disk.end(self.search.workdir(number), trial.objective)
        self._end_group(trial)
        self._n_finished += 1
        if trial.objective is not None:
            self._best = max(trial.objective, self._best or trial.objective)
        self._on_event(
            TrialEnded(
                trial,
                self.search.folder,
                self._n_finished,
                self.search.n_trials,
                self._best,
                self.search.deadline,
            )
        )

    def _end_group(self, trial: Trial) -> None:
        """Delete what a trial's group has shared, if the trial was the last of it."""
        needed = self._guide.needed_groups()
        if trial.group is not None and trial.group not in needed:
            self.search.drop_stages(needed)

    def outcome(self, number: int) -> str | None:
        """Return what a running trial has said of its ending; None as long as it has not."""
        ending = self._open[number].ending
        return ending.outcome if ending else None

    def furthest(self, number: int) -> tuple[int, int]:
        """Return how far a running trial came in all its attempts: the task, and its epoch."""
        return self._open[number].furthest

    def repeat(self, number: int, cause: str) -> None:
        """Put a running trial back, to be begun again with the same params."""
        self._on_event(Note(f"trial {number} is repeated: {cause}"))
        entry = self._open.pop(number)
        entry.ending, entry.is_cut, entry.cached_seconds = None, False, None
        entry.attempts += 1
        self._again.append(entry)

    def _write_epochs(self, entry: _Open, epochs: Sequence[EpochRow]) -> None:
        """Append to the trial's epochs; those that a new attempt repeats replace the old ones."""
        if not epochs:
            return
        path = self.search.workdir(entry.trial.number) / EPOCHS
        if not entry.is_cut:
            entry.is_cut = True
            first = epochs[0].step, epochs[0].epoch
            keep_rows(path, lambda old: (old["step"], old["epoch"]) < first)
        append_rows(path, [_row(epoch) for epoch in epochs])


def _row(epoch: EpochRow) -> Row:
    where = {"task": epoch.task, "step": epoch.step, "epoch": epoch.epoch, "phase": epoch.phase}
    return {**where, **epoch.losses}
