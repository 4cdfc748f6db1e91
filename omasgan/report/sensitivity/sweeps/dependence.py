"""How the objective depends on params, by a model of a pool's trials, resampled for intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omasgan.report.sensitivity.sweeps.pool import HINTS_FROM, RESAMPLES, Pool, is_length
from omasgan.report.statistics import Interval, percentiles
from omasgan.study.space import Choice, Param, Range

TREES = 48
GRID = 12
"""Points along a param of a partial dependence."""


@dataclass(frozen=True)
class Dependence:
    """The partial dependence of the objective (less its study's mean) on one param.

    ``mean`` is what a random forest, fitted to the trials, predicts at each of ``positions`` in
    [0, 1], averaged over the trials that have the param. ``resampled`` is the same for each
    resample of the trials, ``(resamples, positions)``.
    """

    param: Param
    positions: NDArray[np.float64]
    mean: NDArray[np.float64]
    resampled: NDArray[np.float64]

    @property
    def intervals(self) -> list[Interval]:
        return [percentiles(column) for column in self.resampled.T]

    @property
    def size(self) -> float:
        """The largest mean less the smallest."""
        return float(np.ptp(self.mean))

    @property
    def change(self) -> tuple[float, Interval]:
        """From the first position to the last."""
        change = self.resampled[:, -1] - self.resampled[:, 0]
        return float(self.mean[-1] - self.mean[0]), percentiles(change)


@dataclass(frozen=True)
class Surface:
    """As ``Dependence`` for two params, ``(positions of y, positions of x)``; ``half`` is half the
    width of the interval.
    """

    x: Param
    y: Param
    positions: NDArray[np.float64]
    mean: NDArray[np.float64]
    half: NDArray[np.float64]


def dependences(pool: Pool) -> list[Dependence]:
    """The partial dependence on every searched param that all resamples have."""
    forests = [_Forest(pool, rows) for rows in (np.arange(len(pool)), *pool.resamples())]
    by_param = []
    for column, param in enumerate(pool.searched):
        positions = _grid(param)
        means = np.array([forest.along([column], positions[:, None]) for forest in forests])
        if not np.isnan(means).any():
            by_param.append(Dependence(param, positions, means[0], means[1:]))
    return by_param


def surface(pool: Pool, x: str, y: str) -> Surface:
    """The partial dependence on two params that every trial has."""
    names = [param.name for param in pool.searched]
    columns = [names.index(x), names.index(y)]
    positions = np.linspace(0.0, 1.0, GRID)
    points = np.array([(a, b) for b in positions for a in positions])
    means = np.array(
        [
            _Forest(pool, rows).along(columns, points)
            for rows in (np.arange(len(pool)), *pool.resamples(RESAMPLES // 2))
        ]
    ).reshape(-1, GRID, GRID)
    low, high = np.quantile(means[1:], [0.025, 0.975], axis=0)
    first, second = (pool.searched[column] for column in columns)
    return Surface(first, second, positions, means[0], (high - low) / 2)


def seconds_per_100_steps(pool: Pool) -> dict[str, tuple[float, Interval]]:
    """What 100 more steps of a phase cost, by least squares over all lengths that are searched."""
    columns = [i for i, param in enumerate(pool.searched) if is_length(param)]
    known = ~np.isnan(pool.seconds)
    if not columns or known.sum() < HINTS_FROM * (len(columns) + 1):
        return {}
    steps = np.array([[one[pool.searched[c].name] for c in columns] for one in pool.params])

    def fit(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        rows = rows[known[rows]]
        design = np.column_stack([steps[rows] / 100.0, np.ones(len(rows))])
        return np.asarray(np.linalg.lstsq(design, pool.seconds[rows], rcond=None)[0][:-1])

    whole = fit(np.arange(len(pool)))
    resampled = np.array([fit(rows) for rows in pool.resamples()])
    return {
        pool.searched[c].name: (float(whole[i]), percentiles(resampled[:, i]))
        for i, c in enumerate(columns)
    }


class _Forest:
    """A forest of regression trees, fitted to the trials ``rows``.

    In place of params that a trial does not have it sees noise: a fixed mark would reveal the
    param that took them away, and hide what that one does.
    """

    def __init__(self, pool: Pool, rows: NDArray[np.int64]) -> None:
        from sklearn.ensemble import RandomForestRegressor

        positions = pool.positions[rows]
        self._has = ~np.isnan(positions)
        noise = np.random.default_rng(0).random(positions.shape)
        self._inputs = np.where(self._has, positions, noise)
        self._trees = RandomForestRegressor(
            TREES, min_samples_leaf=2, max_features=0.5, random_state=0
        ).fit(self._inputs, pool.objective[rows])

    def along(self, columns: Sequence[int], points: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean prediction with ``columns`` set to each of ``points``, ``(points, columns)``,
        over the trials that have these params; NaN if none has.
        """
        trials = self._inputs[self._has[:, list(columns)].all(axis=1)]
        if not len(trials):
            return np.full(len(points), np.nan)
        moved = np.repeat(trials[None], len(points), axis=0)
        moved[:, :, list(columns)] = points[:, None, :]
        predicted = self._trees.predict(moved.reshape(-1, trials.shape[1]))
        means: NDArray[np.float64] = predicted.reshape(len(points), -1).mean(axis=1)
        return means


def _grid(param: Param) -> NDArray[np.float64]:
    """The positions of all values if they are few, else an even grid."""
    if isinstance(param.domain, Choice):
        return np.linspace(0.0, 1.0, max(2, len(param.domain.choices)))
    assert isinstance(param.domain, Range)
    if param.domain.integer:
        step = param.domain.step or 1
        count = round((param.domain.high - param.domain.low) / step) + 1
        if count <= GRID and not param.domain.log:
            return np.linspace(0.0, 1.0, count)
    return np.linspace(0.0, 1.0, GRID)
