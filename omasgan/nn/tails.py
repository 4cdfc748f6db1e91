"""Empirical tail probabilities of scores against held-out normal samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def rank_among(held_out: NDArray[Any], scores: NDArray[Any]) -> NDArray[np.float32]:
    """One minus the tail probability of each score among ``held_out`` scores, in (0, 1).

    Within the held-out range this is their interpolated distribution function. Above it the
    tail is continued exponentially at the rate of the upper half, so that clear anomalies keep
    their order instead of all being as extreme as the most extreme normal. Each result depends
    on its own score and on ``held_out`` alone.

    Args:
        held_out: scores of normal samples that were not trained on, ``(m,)``, m >= 2.
        scores: scores to place, ``(n,)``.
    """
    known = np.sort(held_out.astype(np.float64))
    m = len(known)
    within = np.interp(scores, known, np.arange(1, m + 1) / (m + 1), left=0.5 / (m + 1))
    rate = max((known[-1] - np.median(known)) / np.log(m / 2 + 1), 1e-12)
    above = np.maximum(scores.astype(np.float64) - known[-1], 0.0)
    beyond = 1 - np.exp(-above / rate) / (m + 1)
    return np.asarray(np.where(above > 0, beyond, within), dtype=np.float32)
