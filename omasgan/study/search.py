"""A study that is to be carried on, with all that a backend needs for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from omasgan.study.checkpoints import Checkpoints
from omasgan.training.jobs import CheckpointPolicy, TrialJob

if TYPE_CHECKING:
    from omasgan.data.selection import TrialData
    from omasgan.store.files import AnyPath
    from omasgan.study.guide import Guide
    from omasgan.training.trials import Trial


@dataclass(frozen=True)
class Search:
    """A study of ``detector`` in ``folder``, to be carried on until ``guide`` has ``n_trials``
    finished trials; with ``prune_collapsed`` a trial ends when its generator collapses.

    ``disk`` keeps the checkpoints of all studies within a budget, ``checkpoints`` says when a
    training saves one.
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

    def trial_job(self, trial: Trial) -> TrialJob:
        """Return what is to be trained for one of its trials."""
        return TrialJob(
            detector=self.detector,
            params=trial.params,
            device=self.device,
            workdir=self.workdir(trial.number),
            stages=self.guide.space.stages,
            values=trial.values,
            checkpoints=self.checkpoints,
        )

    def workdir(self, number: int) -> AnyPath:
        """Return the folder of a trial, as an absolute path: workers stand elsewhere."""
        return (self.folder / "trials" / f"{number:04d}").absolute()
