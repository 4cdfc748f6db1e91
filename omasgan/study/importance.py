"""Optuna's measures of how much each param matters, from trials that have ended."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from omasgan.errors import unknown
from omasgan.study.space import Params, Space

if TYPE_CHECKING:
    from optuna.importance import BaseImportanceEvaluator
    from optuna.trial import FrozenTrial

EVALUATORS = ("fanova", "ped-anova")
RANDOM = "(random)"
"""A param that means nothing, drawn anew for each resample: what importance is by chance."""
TREES = 16


class Importances:
    """Importance by resample of the trials, for one space.

    fANOVA (Hutter et al. 2014) is the share of the objective's variance over the whole space that
    a param explains, log ranges taken as plain ones, as Optuna does; it covers params that every
    trial has. PED-ANOVA (Watanabe et al. 2023) is how much the best tenth of the trials differs
    from all of them in a param; it covers conditional ones as well.
    """

    def __init__(
        self, space: Space, params: Sequence[Params], objectives: NDArray[np.float64]
    ) -> None:
        self._objectives = objectives
        self._points = [_distributions(space, one) for one in params]
        names = [set(distributions) for _, distributions in self._points]
        self._everywhere = set.intersection(*names)
        self._all = set.union(*names)

    def names(self, evaluator: str) -> list[str]:
        """Return the params that an evaluator covers."""
        return sorted(self._everywhere if evaluator == "fanova" else self._all)

    def measure(self, evaluator: str, rows: NDArray[np.int64], seed: int) -> dict[str, float]:
        """Return the share of all importance by param, and that of ``RANDOM``, among the trials
        ``rows``.
        """
        import optuna

        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        draws = np.random.default_rng(seed).random(len(rows))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                study = optuna.create_study(direction="maximize")
                study.add_trials(self._trials(rows, draws))
                names = [*self.names(evaluator), RANDOM]
                importances = _evaluator(evaluator, seed).evaluate(study, params=names)
        finally:
            optuna.logging.set_verbosity(verbosity)
        total = sum(importances.values())
        return {name: value / total if total > 0 else 0.0 for name, value in importances.items()}

    def _trials(self, rows: Iterable[int], draws: NDArray[np.float64]) -> list[FrozenTrial]:
        from optuna.distributions import FloatDistribution
        from optuna.trial import create_trial

        trials = []
        for row, draw in zip(rows, draws, strict=True):
            params, distributions = self._points[row]
            trials.append(
                create_trial(
                    params={**params, RANDOM: float(draw)},
                    distributions={**distributions, RANDOM: FloatDistribution(0.0, 1.0)},
                    value=float(self._objectives[row]),
                )
            )
        return trials


def _evaluator(name: str, seed: int) -> BaseImportanceEvaluator:
    from optuna import importance

    if name == "fanova":
        return importance.FanovaImportanceEvaluator(n_trees=TREES, seed=seed)
    if name == "ped-anova":
        return importance.PedAnovaImportanceEvaluator()
    raise unknown("importance evaluator", name, EVALUATORS)


def _distributions(space: Space, params: Mapping[str, Any]) -> tuple[Params, dict[str, Any]]:
    """Return the values that Optuna drew in a trial, and the distributions they came from."""
    from optuna.trial import FixedTrial

    trial = FixedTrial(dict(params))
    space.suggest(trial)
    return trial.params, trial.distributions
