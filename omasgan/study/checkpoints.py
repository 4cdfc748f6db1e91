"""The checkpoints of a sweep, kept within a budget of bytes.

A checkpoint only saves time: without it a training whose process died starts anew.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from omasgan.store import files

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath

PATTERN = "*.safetensors"
TRIM_SECONDS = 10.0


@dataclass(frozen=True)
class _File:
    path: AnyPath
    size: int
    written: float
    objective: float | None
    is_finished: bool

    @property
    def worth(self) -> tuple[bool, float, float]:
        """The least goes first: of ended trials the worst, then of running ones the oldest."""
        objective = -math.inf if self.objective is None else self.objective
        return (not self.is_finished, objective if self.is_finished else 0.0, self.written)


class Checkpoints:
    """What trials leave behind to go on from."""

    def __init__(self, budget: int | None = None, *, keep: bool = False) -> None:
        """``budget`` is in bytes, for all studies together, None is without bounds; with ``keep``
        trials that have ended keep their last state.
        """
        self._keep = keep
        self._budget = budget
        self._studies: list[AnyPath] = []
        self._objectives: dict[AnyPath, float | None] = {}
        self._trimmed = -math.inf

    def watch(self, study: AnyPath, objectives: Mapping[AnyPath, float | None]) -> None:
        """Count the checkpoints in a study's folder; ``objectives`` are those of its ended trials
        by their folders, None of one that has none.
        """
        self._studies.append(study)
        self._objectives.update(objectives)

    def end(self, trial_dir: AnyPath, objective: float | None) -> None:
        """Note that a trial has ended and is recorded."""
        self._objectives[trial_dir] = objective
        if not self._keep:
            for checkpoint in files.find(trial_dir, PATTERN):
                files.delete(checkpoint)
        self.trim(every_seconds=0)

    def trim(self, *, every_seconds: float = TRIM_SECONDS) -> None:
        """Delete what is beyond the budget; looks at most every ``every_seconds``."""
        if self._budget is None or time.monotonic() - self._trimmed < every_seconds:
            return
        self._trimmed = time.monotonic()
        checkpoints = sorted(self._files(), key=lambda file: file.worth)
        total = sum(file.size for file in checkpoints)
        for file in checkpoints:
            if total <= self._budget:
                break
            files.delete(file.path)
            total -= file.size

    def _files(self) -> Iterator[_File]:
        for study in self._studies:
            for path in files.find(study, f"trials/*/{PATTERN}"):
                try:
                    about = path.stat()
                except FileNotFoundError:
                    # Its task has ended in between.
                    continue
                folder = path.parent
                yield _File(
                    path,
                    about.st_size,
                    about.st_mtime,
                    self._objectives.get(folder),
                    folder in self._objectives,
                )
