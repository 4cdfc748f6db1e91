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
    anomalies, normals = _counts(labels, scores)
    above = anomalies - np.diff(anomalies, prepend=0) / 2
    return float(np.diff(normals, prepend=0) @ above / (normals[-1] * anomalies[-1]))


def average_precision(labels: NDArray[Any], scores: NDArray[Any]) -> float:
    """Return the area in (0, 1] under precision over recall, as steps; arguments and errors as
    ``auroc``.
    """
    anomalies, normals = _counts(labels, scores)
    found = np.diff(anomalies, prepend=0) / anomalies[-1]
    return float(found @ (anomalies / (anomalies + normals)))


def fpr95(labels: NDArray[Any], scores: NDArray[Any]) -> float:
    """Return the share in [0, 1] of normal samples above the highest threshold that finds 95 % of
    the anomalies; lower is better. Arguments and errors as ``auroc``.

    >>> fpr95(np.array([0, 0, 1]), np.array([0.1, 0.7, 0.5]))
    0.5
    """
    anomalies, normals = _counts(labels, scores)
    return float(normals[np.argmax(anomalies / anomalies[-1] >= 0.95)] / normals[-1])


def roc_curve(
    labels: NDArray[Any], scores: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return false and true positive rates, both rising from 0 to 1, with a point for each
    threshold; arguments and errors as ``auroc``.
    """
    anomalies, normals = (np.append(0, counts) for counts in _counts(labels, scores))
    return normals / normals[-1], anomalies / anomalies[-1]


def precision_recall_curve(
    labels: NDArray[Any], scores: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return precision and recall, which rises to 1, with a point for each threshold; arguments
    and errors as ``auroc``.
    """
    anomalies, normals = _counts(labels, scores)
    return anomalies / (anomalies + normals), anomalies / anomalies[-1]


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


def _counts(labels: NDArray[Any], scores: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return how many anomalies and how many normal samples reach each threshold, the highest
    first; the thresholds are the different scores.

    Computed here since every worker would import scikit-learn for it, which takes a second or two.
    """
    _check(labels, scores)
    _, place = np.unique(-scores, return_inverse=True)
    anomalies, normals = (np.cumsum(np.bincount(place, labels == label)) for label in (1, 0))
    return anomalies, normals


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
