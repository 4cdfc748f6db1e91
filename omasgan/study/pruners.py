"""A pruner for trials that are judged by several tasks, beside those of Optuna."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import optuna

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


class TaskPercentilePruner(optuna.pruners.BasePruner):
    """Keeps the best ``percentile`` % of all trials that were judged by the same tasks.

    They are compared by the mean over these tasks. Optuna's ``PercentilePruner`` and
    ``MedianPruner`` compare a trial's best value so far with what others had at the last step,
    which suits a learning curve. Tasks differ in difficulty: in an easy one any trial does well
    enough to be kept for good.
    """

    def __init__(self, percentile: float = 75.0, n_startup_trials: int = 5) -> None:
        """Prune once ``n_startup_trials`` others were judged by the same tasks.

        Raises:
            ValueError: ``percentile`` is not in [0, 100].
        """
        if not 0 <= percentile <= 100:
            raise ValueError(f"percentile must be in [0, 100], got {percentile}")
        self._percentile, self._n_startup_trials = percentile, n_startup_trials

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Return whether the trial is none of the best."""
        tasks = sorted(trial.intermediate_values)
        others = [
            _mean(other, tasks)
            for other in study.get_trials(deepcopy=False)
            if other.number != trial.number and other.intermediate_values.keys() >= set(tasks)
        ]
        if not tasks or len(others) < max(1, self._n_startup_trials):
            return False
        return _mean(trial, tasks) < float(np.percentile(others, 100 - self._percentile))


def _mean(trial: FrozenTrial, tasks: list[int]) -> float:
    return float(np.mean([trial.intermediate_values[task] for task in tasks]))
