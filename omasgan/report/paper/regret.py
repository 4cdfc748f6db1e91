"""What a rule's choice from a pool of configurations is worth, from stored scores alone.

In each fold a rule chooses the configuration with the best objective, and its regret is the test
AUROC of the pool's best configuration less that of the choice. All rules choose from the same
trainings, so that their differences are paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from omasgan.data import metrics
from omasgan.experiments.paper.judging import Objectives

Floats: TypeAlias = NDArray[np.float64]

ORACLE, DEFAULTS, RANDOM, TRANSFER = "oracle", "defaults", "random", "transfer"

CHANCE = 0.5
"""What stands for the test AUROC of a configuration that gave no score."""

RESAMPLES = 100
"""Smaller pools that are drawn from a pool, for each size."""


@dataclass(frozen=True)
class Pool:
    """The scores of one stage of all configurations on one benchmark.

    ``test`` are AUROCs on the test samples, ``(folds, configurations)``. ``surprise`` has for each
    fold minus the logarithms of tail probabilities of its test samples, ``(configurations, seeds,
    samples)``, of which an ensemble is the mean, and ``labels`` has theirs. ``elsewhere`` are the
    configurations' mean test AUROCs on another benchmark, ``top`` is the size of an ensemble.
    """

    test: Floats
    objectives: Objectives
    surprise: Sequence[Floats]
    labels: Sequence[NDArray[np.int64]]
    top: int
    elsewhere: Floats | None = None

    @property
    def size(self) -> int:
        """How many configurations there are."""
        return int(self.test.shape[1])

    def ensemble(self, fold: int, members: NDArray[np.int64]) -> float:
        """Return the test AUROC of an ensemble in the ``fold``-th fold, averaged over seeds."""
        together = self.surprise[fold][members].mean(axis=0)
        return float(np.mean([metrics.auroc(self.labels[fold], of_seed) for of_seed in together]))


def best(objective: Floats, among: NDArray[np.int64], n: int = 1) -> NDArray[np.int64]:
    """Return the ``n`` configurations with the highest objective ``among`` some, the first of
    equals; one without an objective comes last.

    >>> best(np.array([0.9, np.nan, 0.7, 0.9]), np.array([1, 2, 3]), 2).tolist()
    [3, 2]
    """
    values = np.where(np.isnan(objective), -np.inf, objective)[among]
    return among[np.argsort(-values, kind="stable")[:n]]


def chosen(pool: Pool, among: NDArray[np.int64] | None = None) -> dict[str, Floats]:
    """Return by rule the test AUROC in each fold of what it chooses ``among`` some configurations,
    all by default. ``random`` is what to expect of one drawn at random.
    """
    among = np.arange(pool.size) if among is None else among
    folds = range(len(pool.test))
    by_rule = {}
    for rule, objective in pool.objectives.items():
        picks = [best(of_fold, among, pool.top) for of_fold in objective]
        by_rule[rule] = np.array([pool.test[f, picks[f][0]] for f in folds])
        by_rule[f"{rule}, top {pool.top}"] = np.array([pool.ensemble(f, picks[f]) for f in folds])
    if pool.elsewhere is not None:
        (pick,) = best(pool.elsewhere, among)
        by_rule[TRANSFER] = pool.test[:, pick]
    by_rule[DEFAULTS] = pool.test[:, 0]
    by_rule[RANDOM] = pool.test[:, among].mean(axis=1)
    by_rule[ORACLE] = pool.test[:, among].max(axis=1)
    return by_rule


def regrets(by_rule: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return by rule its regret in each fold; that of an ensemble may be below 0."""
    return {rule: by_rule[ORACLE] - aurocs for rule, aurocs in by_rule.items()}


def curve(pool: Pool, sizes: Sequence[int], seed: int = 0) -> dict[str, list[float]]:
    """Return by rule the mean regret at each size of pool: that of smaller ones is to be expected
    of as many configurations drawn from this one.

    What is chosen is compared with the best of the whole pool, so that a curve falls where more
    trials help.
    """
    rng = np.random.default_rng(seed)
    highest = pool.test.max(axis=1)
    means: dict[str, list[float]] = {}
    for size in sizes:
        draws = 1 if size == pool.size else RESAMPLES
        samples = [chosen(pool, rng.permutation(pool.size)[:size]) for _ in range(draws)]
        for rule in samples[0]:
            regret = np.mean([(highest - sample[rule]).mean() for sample in samples])
            means.setdefault(rule, []).append(float(regret))
    return means


def agreement(objective: Floats, test: Floats) -> Floats:
    """Return the rank correlation of objective and test AUROC in each fold; NaN where one of them
    is constant.
    """
    from scipy.stats import spearmanr

    pairs = zip(objective, test, strict=True)
    known = [(o[~np.isnan(o)], t[~np.isnan(o)]) for o, t in pairs]
    return np.array(
        [
            spearmanr(o, t).statistic if len(o) > 1 and np.ptp(o) and np.ptp(t) else np.nan
            for o, t in known
        ]
    )


def optimism(objective: Floats, test: Floats) -> Floats:
    """Return in each fold how far the objective of the choice is above its test AUROC."""
    everything = np.arange(objective.shape[1])
    picks = [int(best(of_fold, everything)[0]) for of_fold in objective]
    return np.array([o[i] - t[i] for i, o, t in zip(picks, objective, test, strict=True)])
