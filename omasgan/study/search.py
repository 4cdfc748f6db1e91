"""A study that is to be carried on, with all that a backend needs for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from omasgan.study.checkpoints import Checkpoints
from omasgan.training.evaluate import CHECKPOINT_SECONDS

if TYPE_CHECKING:
    from omasgan.data.selection import TrialData
    from omasgan.store.files import AnyPath
    from omasgan.study.guide import Guide


@dataclass(frozen=True)
class TrialJob:
    """What the trials of a study have in common, besides their data."""

    detector: str
    device: str
    prune_collapsed: bool
    study_dir: AnyPath
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    checkpoint_seconds: float = CHECKPOINT_SECONDS

    def workdir(self, number: int) -> AnyPath:
        """Where a trial keeps its checkpoint and its records."""
        return self.study_dir / "trials" / f"{number:04d}"


@dataclass(frozen=True)
class Search:
    """A study to be carried on until ``guide`` has ``n_trials`` finished trials."""

    guide: Guide
    job: TrialJob
    data: TrialData
    n_trials: int
