"""Metrics of (labels, scores): label 1 is an anomaly, the positive; a higher score is more so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omasgan.errors import DataError, unknown


def auroc(labels: NDArray[Any], scores: NDArray[Any]) -> float:
    """Return the probability in [0, 1] that an anomaly scores above a normal sample; a tie counts
    half.

    Args:
        labels: ``(n,)``, 0 normal or 1 anomaly, both present.
        scores: ``(n,)``, finite, higher = more anomalous.

    Raises:
        DataError: labels of one kind only, or a score that is not finite.

    >>> auroc(np.array([0, 0, 1]), np.array([0.1, 0.5, 0.5]))
    0.75
    """
    _check(labels, scores)
    # Not by scikit-learn, whose import would take each worker a second.
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    ranks, is_anomaly = middle[place], labels == 1
    n = int(is_anomaly.sum())
    above = ranks[is_anomaly].sum() - n * (n + 1) / 2
    return float(above / (n * (len(labels) - n)))


def average_precision(labels: NDArray[Any], scores: NDArray[Any]) -> float:
    """Return the area in (0, 1] under precision over recall, as steps; arguments and errors as
    ``auroc``.
    """
    from sklearn.metrics import average_precision_score

    _check(labels, scores)
    return float(average_precision_score(labels, scores))


def fpr95(labels: NDArray[Any], scores: NDArray[Any]) -> float:
    """Return the share in [0, 1] of normal samples above the highest threshold that finds 95 % of
    the anomalies; lower is better. Arguments and errors as ``auroc``.

    >>> fpr95(np.array([0, 0, 1]), np.array([0.1, 0.7, 0.5]))
    0.5
    """
    from sklearn.metrics import roc_curve

    _check(labels, scores)
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    return float(fpr[np.argmax(tpr >= 0.95)])


_METRICS: dict[str, Callable[[NDArray[Any], NDArray[Any]], float]] = {
    "auroc": auroc,
    "average_precision": average_precision,
    "fpr95": fpr95,
}


def compute(names: Iterable[str], labels: NDArray[Any], scores: NDArray[Any]) -> dict[str, float]:
    """Compute the named metrics, by name.

    Raises:
        ConfigError: there is no such metric.
        DataError: see ``auroc``.
    """
    values = {}
    for name in names:
        if name not in _METRICS:
            raise unknown("metric", name, _METRICS)
        values[name] = _METRICS[name](labels, scores)
    return values


def _check(labels: NDArray[Any], scores: NDArray[Any]) -> None:
    if labels.shape != scores.shape or labels.ndim != 1:
        raise DataError(
            f"labels and scores must both be (n,), got {labels.shape} and {scores.shape}"
        )
    if set(np.unique(labels).tolist()) != {0, 1}:
        raise DataError(f"labels must hold 0 and 1 both, got {np.unique(labels)[:5].tolist()}")
    if not np.isfinite(scores).all():
        bad = int(np.count_nonzero(~np.isfinite(scores)))
        raise DataError(f"scores must be finite, got {bad} of {len(scores)} that are not")
