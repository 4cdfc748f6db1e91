"""How much each param matters among the trials of a pool, and beyond chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omasgan.report.sensitivity.sweeps.pool import Pool
from omasgan.report.statistics import Interval, percentiles
from omasgan.study.importance import EVALUATORS, RANDOM, Importances


@dataclass(frozen=True)
class Importance:
    """A param's share of all importance; ``chance`` is what a random param stays below in 95 of
    100 resamples.
    """

    param: str
    evaluator: str
    share: float
    interval: Interval
    chance: float

    @property
    def is_significant(self) -> bool:
        return self.interval.low > self.chance


def importances(pool: Pool) -> list[Importance]:
    """The importance of each param by both of Optuna's measures, the most important first."""
    measures = Importances(pool.space, pool.params, pool.objective)
    shares = [one for name in EVALUATORS for one in _by_evaluator(pool, measures, name)]
    return sorted(shares, key=lambda one: (one.evaluator, -one.share))


def _by_evaluator(pool: Pool, measures: Importances, evaluator: str) -> list[Importance]:
    whole = measures.measure(evaluator, np.arange(len(pool)), seed=0)
    resampled = [
        measures.measure(evaluator, rows, seed)
        for seed, rows in enumerate(pool.resamples(), start=1)
    ]
    chance = float(np.quantile([shares[RANDOM] for shares in resampled], 0.95))
    return [
        Importance(
            name,
            evaluator,
            whole[name],
            percentiles(np.array([shares[name] for shares in resampled])),
            chance,
        )
        for name in measures.names(evaluator)
    ]
