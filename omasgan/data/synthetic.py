"""2-D point sets of the synthetic study: the data, and anomalies anywhere else in the square."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Arrays: TypeAlias = tuple[NDArray[Any], NDArray[np.int64]]

CLASS_NAMES = ("data", "anomalies")
_N_TRAIN, _N_TEST = 4096, 1024
_MARGIN = 0.1
"""A 2-D anomaly is at least this far from every normal sample."""


def _gaussian(draw: np.random.RandomState, n: int) -> NDArray[np.float64]:
    """Draw from one Gaussian at the origin, sd 0.15."""
    return draw.normal(0, 0.15, (n, 2))


def _two_gaussians(draw: np.random.RandomState, n: int) -> NDArray[np.float64]:
    """Draw from two equal Gaussians at (-0.45, 0) and (0.45, 0), sd 0.1."""
    centres = np.repeat([[-0.45, 0.0], [0.45, 0.0]], [n // 2, n - n // 2], axis=0)
    return centres + draw.normal(0, 0.1, (n, 2))


def _ring(draw: np.random.RandomState, n: int) -> NDArray[np.float64]:
    """Draw from a circle of radius 0.6 around the origin, radial sd 0.04."""
    angle, radius = draw.uniform(0, 2 * np.pi, n), draw.normal(0.6, 0.04, n)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _student_t(draw: np.random.RandomState, n: int) -> NDArray[np.float64]:
    """Draw from the paper's two clusters: Student-t, 40 degrees of freedom in each coordinate.

    Centres 1.5 and 4 in both coordinates, scales 0.15 and 0.25, then ``(x - 2.75) / 2.75``. (The
    released script gives both clusters the parameters of the first.)
    """
    sizes = [n // 2, n - n // 2]
    centre, scale = np.repeat([1.5, 4.0], sizes), np.repeat([0.15, 0.25], sizes)
    x = centre[:, None] + scale[:, None] * draw.standard_t(40, (n, 2))
    return (x - 2.75) / 2.75


SETS: dict[str, Callable[[np.random.RandomState, int], NDArray[np.float64]]] = {
    "gaussian": _gaussian,
    "two-gaussians": _two_gaussians,
    "ring": _ring,
    "student-t": _student_t,
}


def points(name: str) -> tuple[Arrays, Arrays]:
    """Return points ``(n, 2)`` float32 and classes ``(n,)`` int64 of the train and test splits:
    4,096 train samples of class 0; in test 1,024 more and as many anomalies, class 1.

    The anomalies are uniform over [-1, 1]^2 outside a margin of 0.1 around the normal samples.
    """
    # Its streams are frozen by numpy for good, those of Generator are not.
    draw = np.random.RandomState(20210)
    train, normal = (_rounded(SETS[name](draw, n)) for n in (_N_TRAIN, _N_TEST))
    anomalies = _away_from(np.concatenate([train, normal]), draw, _N_TEST)
    test = np.concatenate([normal, anomalies]), np.repeat(np.array([0, 1]), _N_TEST)
    return (train, np.zeros(_N_TRAIN, dtype=np.int64)), test


def _rounded(x: NDArray[np.float64]) -> NDArray[np.float32]:
    # Four decimals hide the last bits of sin and cos, which differ between machines.
    return np.clip(x, -1, 1).round(4).astype(np.float32)


def _away_from(
    normal: NDArray[np.float32], draw: np.random.RandomState, n: int
) -> NDArray[np.float32]:
    from scipy.spatial import cKDTree

    tree = cKDTree(normal)
    away = np.empty((0, 2), dtype=np.float32)
    while len(away) < n:
        candidates = _rounded(draw.uniform(-1, 1, (4 * n, 2)))
        distance, _ = tree.query(candidates)
        away = np.concatenate([away, candidates[distance >= _MARGIN]])
    return away[:n]
