"""How much a param moves a metric, and how certain that is; numbers only.

Settings are compared on the same folds with the same seeds, so that differences within a fold and
seed are resampled: folds are drawn with replacement, and seeds within each fold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omasgan.experiments.sensitivity.axes import Axis
from omasgan.experiments.sensitivity.design import SensitivityPlan
from omasgan.report.statistics import LEVEL, Interval, holm, percentiles
from omasgan.store.results import params_id

RESAMPLES = 2000
FEW_UNITS = 9
"""With fewer (fold, seed) pairs an interval is too narrow, and the page says so: on normal noise
the intervals of 2 folds and 2 seeds contain the truth in about 3 of 4 cases, those of 3 and 3 in
9 of 10."""


@dataclass(frozen=True)
class Cube:
    """A metric by value of a param, fold and seed, ``(values, folds, seeds)`` without gaps.

    In a grid it is a mean over the other params. ``base`` is the index of the base value.
    ``missing`` are the values that are left out, with the number of their runs without a metric.
    """

    values: tuple[Any, ...]
    base: int
    metric: NDArray[np.float64]
    missing: Mapping[Any, int]

    @property
    def units(self) -> int:
        """Pairs of fold and seed."""
        return int(self.metric.shape[1] * self.metric.shape[2])


@dataclass(frozen=True)
class Effect:
    """The effect of a param on a metric: ``size`` is the mean at its best value less that at its
    worst one.

    ``interval`` is of the size, with the values selected anew in each resample, which makes it
    slightly too wide. ``chance`` is the 95 % quantile of sizes if the values made no difference
    (values permuted within each fold and seed), ``p`` the share of such sizes that reach ``size``,
    and ``least`` the smallest p that even the clearest effect can have.
    """

    size: float
    interval: Interval
    chance: float
    p: float
    least: float
    best: Any
    worst: Any


def frame(rows: Sequence[Mapping[str, Any]], plan: SensitivityPlan) -> pd.DataFrame:
    """One row for each run of the plan: fold, seed, metrics, and each axis' value as "=<name>"."""
    planned = {params_id(setting) for setting in plan.settings}
    return pd.DataFrame(
        {**row, **{f"={axis.name}": row["params"][axis.name] for axis in plan.axes}}
        for row in rows
        if params_id(row["params"]) in planned
    )


def cube(
    runs: pd.DataFrame, plan: SensitivityPlan, axis: Axis, column: str = "auroc"
) -> Cube | None:
    """The metric ``column`` along ``axis``; None where the base itself has no complete runs."""
    if plan.design == "one-at-a-time":
        for other in plan.axes:
            if other.name != axis.name:
                runs = runs[runs[f"={other.name}"] == other.base]
    units = [(fold, seed) for fold in plan.folds for seed in plan.seeds]
    values, metric, missing = [], [], {}
    for value in axis.values:
        of_value = runs[runs[f"={axis.name}"] == value]
        ok = of_value.dropna(subset=[column]) if column in of_value else of_value.head(0)
        means = ok.groupby(["fold", "seed"])[column].mean() if len(ok) else {}
        if all(unit in means for unit in units) and len(ok) == len(of_value):
            values.append(value)
            metric.append([means[unit] for unit in units])
        elif len(of_value):
            missing[value] = len(of_value) - len(ok)
    if axis.base not in values or len(values) < 2:
        return None
    shape = (len(values), len(plan.folds), len(plan.seeds))
    return Cube(tuple(values), values.index(axis.base), np.reshape(metric, shape), missing)


def differences(of: Cube) -> tuple[NDArray[np.float64], list[Interval]]:
    """The mean difference of each value to the base, ``(values,)``, and its interval."""
    change = of.metric - of.metric[of.base]
    return change.mean(axis=(1, 2)), [percentiles(means) for means in _resampled(change)]


def effect(of: Cube, seed: int = 0) -> Effect:
    """The effect of the param along the cube."""
    means = of.metric.mean(axis=(1, 2))
    size = float(np.ptp(means))
    rng = np.random.default_rng(seed)
    flat = of.metric.reshape(len(of.values), -1)
    shuffled = rng.permuted(np.broadcast_to(flat, (RESAMPLES, *flat.shape)), axis=1)
    by_chance = np.ptp(shuffled.mean(axis=2), axis=1)
    reached = int(np.count_nonzero(by_chance >= size - 1e-12))
    return Effect(
        size=size,
        interval=percentiles(np.ptp(_resampled(of.metric), axis=0)),
        chance=float(np.quantile(by_chance, 1 - LEVEL)),
        p=(1 + reached) / (1 + RESAMPLES),
        # best and worst value take the same two ranks in every fold and seed
        least=float(len(of.values) * (len(of.values) - 1)) ** (1 - of.units),
        best=of.values[int(means.argmax())],
        worst=of.values[int(means.argmin())],
    )


def corrected(effects: Mapping[str, Effect]) -> dict[str, float]:
    """Holm's p of each effect; all of them are one family."""
    return dict(zip(effects, holm([e.p for e in effects.values()]).tolist(), strict=True))


def surface(
    runs: pd.DataFrame, plan: SensitivityPlan, x: Axis, y: Axis, column: str = "auroc"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean of ``column`` over the values of two params, ``(y, x)``, and half the width of the
    interval of its difference to the base's cell; NaN where runs are missing.
    """
    mean = np.full((len(y.values), len(x.values)), np.nan)
    cells: dict[tuple[int, int], NDArray[np.float64]] = {}
    for row, b in enumerate(y.values):
        for at, a in enumerate(x.values):
            of_cell = runs[(runs[f"={x.name}"] == a) & (runs[f"={y.name}"] == b)]
            means = of_cell.groupby(["fold", "seed"])[column].mean() if column in runs else None
            if means is None or len(means.dropna()) < len(plan.folds) * len(plan.seeds):
                continue
            mean[row, at] = means.mean()
            cells[row, at] = means.to_numpy().reshape(1, len(plan.folds), len(plan.seeds))
    half = np.full_like(mean, np.nan)
    base = cells.get((y.values.index(y.base), x.values.index(x.base)))
    for cell, values in cells.items():
        if base is not None and values is not base:
            interval = percentiles(_resampled(values - base)[0])
            half[cell] = (interval.high - interval.low) / 2
    return mean, half


def _resampled(metric: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """Means ``(values, RESAMPLES)`` over drawn folds and seeds; NaN where there is one of each."""
    _, folds, seeds = metric.shape
    if folds * seeds < 2:
        return np.full((len(metric), RESAMPLES), np.nan)
    rng = np.random.default_rng(seed)
    fold = rng.integers(0, folds, (RESAMPLES, folds, 1))
    drawn: NDArray[np.float64] = metric[
        :, fold, rng.integers(0, seeds, (RESAMPLES, folds, seeds))
    ].mean(axis=(2, 3))
    return drawn
