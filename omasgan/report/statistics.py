"""Statistics of a comparison, from stored AUROCs alone.

Bootstrap intervals and the probability of improvement follow Agarwal et al. 2021, "Deep
Reinforcement Learning at the Edge of the Statistical Precipice" (section 4; a fold takes the place
of a task, a seed that of a run). Average ranks, signed-rank tests and the critical difference
follow Demšar 2006, "Statistical Comparisons of Classifiers over Multiple Data Sets"; signed-rank
tests with Holm's correction for all pairs follow Benavoli et al. 2016, "Should We Really Use
Post-Hoc Tests Based on Mean-Ranks?".

An interval covers what other seeds would give on the same folds and the same test samples. It does
not cover other folds, other data or other params; it has no width for a detector without
randomness, does not exist where a fold has only one seed, and is slightly too narrow with few
seeds. A test asks whether the folds agree on a difference; folds share training samples, so its p
is slightly too small.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

Folds: TypeAlias = Mapping[int, Sequence[float]]
"""By fold, the AUROC of each seed, in any order."""

LEVEL = 0.05
MIN_FOLDS = 6
"""With fewer, no two-sided signed-rank test can reach ``LEVEL``: its least p is 2 / 2^folds."""
RESAMPLES = 4000


class Interval(NamedTuple):
    """A 95 % percentile interval; both ends are NaN where there are no two values to resample."""

    low: float
    high: float


NONE = Interval(float("nan"), float("nan"))


def percentiles(resampled: NDArray[np.float64]) -> Interval:
    """The interval that holds 95 % of the resampled values; none if one of them is NaN."""
    if np.isnan(resampled).any():
        return NONE
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Interval(float(low), float(high))


def aurocs(frame: pd.DataFrame) -> dict[str, dict[int, list[float]]]:
    """By entry and fold, the AUROCs of the seeds; ``frame`` has entry, fold and auroc.

    Rows without an AUROC are left out, and so are entries without any.
    """
    by_entry: dict[str, dict[int, list[float]]] = {}
    good = frame.dropna(subset=["auroc"])
    for entry, fold, value in zip(good["entry"], good["fold"], good["auroc"], strict=True):
        by_entry.setdefault(str(entry), {}).setdefault(int(fold), []).append(float(value))
    return by_entry


def fold_means(entries: Mapping[str, Folds]) -> pd.DataFrame:
    """One row for each fold that all entries have, one column for each entry: means over seeds."""
    folds = sorted(set.intersection(*(set(folds) for folds in entries.values())))
    return pd.DataFrame(
        # rounded, so that equal means stay equal whatever the order of the seeds
        {name: [round(float(np.mean(of[f])), 12) for f in folds] for name, of in entries.items()},
        index=folds,
    )


def interval(folds: Folds, n_resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Stratified-bootstrap interval of the mean over seeds, then folds.

    Seeds are drawn with replacement within each fold.
    """
    if not folds or min(map(len, folds.values())) < 2:
        return NONE
    strata = _strata(folds)
    return percentiles(_resampled_means(strata, _draws(seed, n_resamples, _sizes(strata))))


def over_folds(values: ArrayLike, n_resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Bootstrap interval of a mean over folds, of which ``values`` has one each, NaN left out:
    what other folds of the same kind would give, were they drawn independently.
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    if len(known) < 2:
        return NONE
    (draws,) = _draws(seed, n_resamples, (len(known),))
    return percentiles(known[draws].mean(axis=1))


def difference_interval(
    x: Folds, y: Folds, n_resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Stratified-bootstrap interval of the mean of x less that of y over the folds of both.

    The seeds of x and y are drawn separately.
    """
    common = x.keys() & y.keys()
    x, y = ({fold: of[fold] for fold in common} for of in (x, y))
    if not common or min(len(of[fold]) for of in (x, y) for fold in common) < 2:
        return NONE
    first, second = _strata(x), _strata(y)
    draws = _draws(seed, n_resamples, (*_sizes(first), *_sizes(second)))
    of_x, of_y = draws[: len(first)], draws[len(first) :]
    return percentiles(_resampled_means(first, of_x) - _resampled_means(second, of_y))


def improvement(x: Folds, y: Folds) -> float:
    """P(X > Y): the share of seed pairs in which x beats y, ties half; mean over common folds.

    Raises:
        ValueError: x and y have no fold in common.
    """
    return float(np.mean([wins.mean() for wins in _wins(x, y)]))


def improvement_interval(
    x: Folds, y: Folds, n_resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Stratified-bootstrap interval of ``improvement``; the seeds of x and y are drawn separately.

    Raises:
        ValueError: x and y have no fold in common.
    """
    wins = _wins(x, y)
    if min(min(of_fold.shape) for of_fold in wins) < 2:
        return NONE
    # how often each seed is drawn: the pairs' mean is then two products, not n x n look-ups
    shares = iter(_shares(seed, n_resamples, tuple(n for of_fold in wins for n in of_fold.shape)))
    means = np.zeros(n_resamples)
    for of_fold in wins:
        rows, columns = next(shares), next(shares)
        means += ((rows @ of_fold) * columns).sum(axis=1)
    return percentiles(means / len(wins))


def average_ranks(means: pd.DataFrame) -> pd.Series[float]:
    """By entry, its rank (1 is best, ties averaged) in each row of ``fold_means``, averaged."""
    return means.rank(axis=1, ascending=False).mean()


def signed_rank(x: ArrayLike, y: ArrayLike) -> float:
    """Two-sided p of Wilcoxon's signed-rank test of fold means; exact for up to 13 folds.

    The ranks of zero differences are split between both signs (Demšar 2006, section 3.1.3). NaN
    for fewer than ``MIN_FOLDS`` folds.
    """
    from scipy.stats import wilcoxon

    differences = np.round(np.subtract(x, y), 12)
    if len(differences) < MIN_FOLDS:
        return float("nan")
    if not differences.any():
        return 1.0
    return float(wilcoxon(differences, zero_method="zsplit").pvalue)


def holm(p: Sequence[float]) -> NDArray[np.float64]:
    """Holm's step-down correction of one family of tests, in the order of ``p``.

    >>> holm([0.01, 0.04, 0.03, 0.005]).tolist()
    [0.03, 0.06, 0.06, 0.02]
    """
    order = np.argsort(p)
    steps = np.asarray(p, dtype=np.float64)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


def against(means: pd.DataFrame, references: Mapping[str, str]) -> dict[str, float]:
    """By entry, Holm's p of its test against its reference; all tests are one family.

    Two entries that are each other's reference are one test. NaN if there are too few folds.
    """
    pairs = {entry: frozenset((entry, other)) for entry, other in references.items()}
    family = list(dict.fromkeys(pairs.values()))
    p = [signed_rank(*(means[name] for name in sorted(pair))) for pair in family]
    if np.isnan(p).any() or not p:
        return dict.fromkeys(references, float("nan"))
    corrected = dict(zip(family, holm(p), strict=True))
    return {entry: float(corrected[pair]) for entry, pair in pairs.items()}


def least_p(n_tests: int, n_folds: int) -> float:
    """The least p that Holm's correction can leave of ``n_tests`` signed-rank tests.

    >>> round(least_p(1, 6), 3)
    0.031
    """
    return min(1.0, n_tests * math.ldexp(2.0, -n_folds))


def pairs_can_differ(n_entries: int, n_folds: int) -> bool:
    """Whether Holm's correction over all pairs leaves any signed-rank test below ``LEVEL``.

    >>> pairs_can_differ(7, 10), pairs_can_differ(8, 10)
    (True, False)
    """
    return least_p(n_entries * (n_entries - 1) // 2, n_folds) <= LEVEL


def all_pairs(means: pd.DataFrame) -> pd.DataFrame:
    """Corrected p of every pair, symmetric, 1 on the diagonal.

    Signed-rank tests with Holm's correction, one family; where those could not reach ``LEVEL``
    whatever the numbers (``pairs_can_differ``), Nemenyi's test of the average ranks.
    """
    names = list(means.columns)
    p = np.ones((len(names), len(names)))
    if pairs_can_differ(len(names), len(means)):
        rows, columns = np.triu_indices(len(names), 1)
        tests = [signed_rank(means[a], means[b]) for a, b in combinations(names, 2)]
        p[rows, columns] = p[columns, rows] = holm(tests)
    else:
        from scikit_posthocs import posthoc_nemenyi_friedman

        # it ranks in the opposite direction, which does not change the differences of ranks
        p = posthoc_nemenyi_friedman(means.to_numpy()).to_numpy()
    return pd.DataFrame(p, index=names, columns=names)


def _strata(folds: Folds) -> list[NDArray[np.float64]]:
    """The seeds' values fold by fold, sorted, so that the order of rows does not matter."""
    return [np.sort(np.asarray(folds[fold], dtype=np.float64)) for fold in sorted(folds)]


def _sizes(strata: Sequence[NDArray[np.float64]]) -> tuple[int, ...]:
    return tuple(map(len, strata))


def _resampled_means(
    strata: Sequence[NDArray[np.float64]], draws: Sequence[NDArray[np.int64]]
) -> NDArray[np.float64]:
    """Means over the drawn seeds, then folds, ``(n_resamples,)``."""
    means = np.zeros(len(draws[0]))
    for values, drawn in zip(strata, draws, strict=True):
        means += values[drawn].mean(axis=1)
    return means / len(strata)


def _wins(x: Folds, y: Folds) -> list[NDArray[np.float64]]:
    """For each common fold, 1 where a seed of x (rows) beats one of y (columns), 0.5 for ties."""
    common = x.keys() & y.keys()
    if not common:
        raise ValueError("x and y must have a fold in common, got none")
    pairs = zip(
        _strata({f: x[f] for f in common}), _strata({f: y[f] for f in common}), strict=True
    )
    return [(np.sign(a[:, None] - b[None, :]) + 1.0) / 2.0 for a, b in pairs]


@functools.lru_cache(maxsize=2)
def _draws(seed: int, n_resamples: int, sizes: tuple[int, ...]) -> Sequence[NDArray[np.int64]]:
    """For each size n, which of n seeds are drawn with replacement, ``(n_resamples, n)``; the same
    for all entries that have as many seeds.
    """
    rng = np.random.default_rng(seed)
    return [rng.integers(0, n, size=(n_resamples, n)) for n in sizes]


@functools.lru_cache(maxsize=1)
def _shares(seed: int, n_resamples: int, sizes: tuple[int, ...]) -> Sequence[NDArray[np.float64]]:
    """For each size n, the share of a resample's draws that each of the n seeds has."""
    return [
        _share(draws, n) for draws, n in zip(_draws(seed, n_resamples, sizes), sizes, strict=True)
    ]


def _share(draws: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    at = draws + n * np.arange(len(draws))[:, None]
    counts = np.bincount(at.ravel(), minlength=n * len(draws)).reshape(-1, n)
    shares: NDArray[np.float64] = counts / draws.shape[1]
    return shares
