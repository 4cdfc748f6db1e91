"""How unlikely scores are among those of held-out normal samples, and how scores are combined.

Fisher's method (R. A. Fisher, "Statistical Methods for Research Workers", 4th ed., 1932,
section 21.1) adds minus the logarithms of p-values: one that is tiny decides, and the sum never
saturates. The p-values here are empirical tail probabilities, continued beyond the held-out range
such that every score keeps its order. The scores of a sample are not independent, so their sum
ranks samples and is no test statistic.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def fisher(held_out: NDArray[Any], scores: NDArray[Any]) -> NDArray[np.float64]:
    """Combine several scores of each sample into one, ``(n,)``: the sum of their ``surprise``.

    Args:
        held_out: ``(k, m)``, the k scores of m >= 2 normal samples that were not trained on.
        scores: ``(k, n)``, those of the samples to judge.
    """
    parts = [surprise(known, values) for known, values in zip(held_out, scores, strict=True)]
    return np.asarray(np.sum(parts, axis=0), dtype=np.float64)


def surprise(held_out: NDArray[Any], scores: NDArray[Any]) -> NDArray[np.float64]:
    """Return minus the logarithm of each score's tail probability among ``held_out``, ``(n,)``, >
    0.

    It increases strictly with the score and depends on nothing but that score and ``held_out``:

    - within the held-out range the tail probability is one minus the interpolated distribution
      function, which is k / (m + 1) at the k-th smallest score;
    - above, it falls exponentially, at the rate of the upper half. This is the limit of tails as
      light as a Gaussian's (Pickands 1975, a generalised Pareto distribution of shape 0), and its
      logarithm is linear in the score: no far score is too far to be ranked;
    - below, the distribution function falls as 1 / (1 + distance), in units of the lower half. An
      exponential would soon be too small to change a sum of two surprises.

    Args:
        held_out: scores of normal samples that were not trained on, ``(m,)``, m >= 2.
        scores: ``(n,)``.
    """
    m = len(held_out)
    known, counts = np.unique(held_out.astype(np.float64), return_counts=True)
    low, middle, high = known[0], np.median(held_out.astype(np.float64)), known[-1]
    values = scores.astype(np.float64)
    smaller = np.interp(values, known, np.cumsum(counts) / (m + 1))
    below = np.maximum(low - values, 0.0) / _unit(middle - low, high - low, m)
    above = np.maximum(values - high, 0.0) / _unit(high - middle, high - low, m)
    return np.asarray(above - np.log1p(-smaller / (1.0 + below)))


def at_same_ranks(values: NDArray[Any], held_out: NDArray[Any]) -> NDArray[Any]:
    """Return ``values`` ``(n,)`` with the distribution of ``held_out`` ``(m,)``: each becomes its
    quantile at the value's rank.

    >>> at_same_ranks(np.array([3.0, 1.0, 2.0]), np.array([10.0, 20.0, 30.0])).round(1).tolist()
    [26.7, 13.3, 20.0]
    """
    ranks = np.empty(len(values))
    ranks[values.argsort(kind="stable")] = (np.arange(len(values)) + 0.5) / len(values)
    return np.asarray(np.quantile(held_out, ranks))


def _unit(half: float, whole: float, m: int) -> float:
    """Return the distance over which an exponential tail through a half of the scores falls by e.

    Where that half is a single value, the whole range takes its place, or 1 where all are equal.
    """
    return float(half or whole or 1.0) / math.log((m + 1) / 2)
