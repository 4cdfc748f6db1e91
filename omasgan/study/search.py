"""A study that is to be carried on, with all that a backend needs for it."""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from omasgan.store.files import delete, delete_leftovers, find
from omasgan.study.checkpoints import Checkpoints
from omasgan.training.jobs import CheckpointPolicy, TrialJob
from omasgan.training.stages import StageCache

if TYPE_CHECKING:
    from omasgan.data.selection import TrialData
    from omasgan.store.files import AnyPath
    from omasgan.study.guide import Guide
    from omasgan.training.trials import Trial

STAGES = "stages"
"""The folder in a study's that holds the states which trials of a group go on from."""


@dataclass(frozen=True)
class Search:
    """A study of ``detector`` in ``folder``, to be carried on until ``guide`` has ``n_trials``
    finished trials; with ``prune_collapsed`` a trial ends when its generator collapses.

    ``disk`` keeps the checkpoints of all studies within a budget, ``checkpoints`` says when a
    training saves one. After ``deadline``, in seconds of ``time.monotonic``, no trial begins but
    the study's first.
    """

    guide: Guide
    data: TrialData
    n_trials: int
    detector: str
    folder: AnyPath
    device: str = "auto"
    prune_collapsed: bool = False
    checkpoints: CheckpointPolicy = CheckpointPolicy()
    disk: Checkpoints = field(default_factory=Checkpoints)
    deadline: float = math.inf

    @property
    def is_over(self) -> bool:
        """Whether its time is."""
        return time.monotonic() >= self.deadline

    def trial_job(self, trial: Trial) -> TrialJob:
        """Return what is to be trained for one of its trials."""
        return TrialJob(
            detector=self.detector,
            params=trial.params,
            device=self.device,
            workdir=self.workdir(trial.number),
            stages=self.guide.space.stages,
            values=trial.values,
            cache=self._cache(trial),
            checkpoints=self.checkpoints,
        )

    def drop_stages(self, needed: Collection[int]) -> None:
        """Delete the states that groups of trials share, except those of the groups ``needed``.

        Raises:
            StoreError: one cannot be deleted.
        """
        marks = tuple(_mark(group) for group in needed)
        for path in find(self._stages, "*.safetensors"):
            if not path.name.startswith(marks):
                delete(path)
        if not needed:
            delete_leftovers(self._stages)

    @property
    def _stages(self) -> AnyPath:
        return (self.folder / STAGES).absolute()

    def _cache(self, trial: Trial) -> StageCache | None:
        sharing = self.guide.sharing
        if sharing is None or trial.group is None:
            return None
        return StageCache(self._stages, (sharing.phase,), _mark(trial.group))

    def workdir(self, number: int) -> AnyPath:
        """Return the folder of a trial, as an absolute path: workers stand elsewhere."""
        return (self.folder / "trials" / f"{number:04d}").absolute()


def _mark(group: int) -> str:
    """Return how the names of a group's states begin."""
    return f"{group:04d}-"
