"""Tables in [-1, 1]: each column by the least and the largest value among the training samples.

Source: the tabular protocol of Choi, Jang, Alemi, "WAIC, but Why? Generative Ensembles for Robust
Anomaly Detection" (2018), which scales each column by its minimum and maximum. Here these are of
the normal samples that are trained on, and of no others. Their released code takes them over
normals and frauds, test samples included, so that the range of a column tells what the anomalies
are like.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNITS = np.dtype(np.float64)
"""The dtype of values in the units of their columns; other samples are in [-1, 1] already."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """From the units of columns, whose training values reach from ``low`` to ``high``, each
    ``(d,)``, to [-1, 1]. ``columns`` are their names, where they are known.

    Nothing is clipped: values beyond the training samples' lie outside [-1, 1], the farther the
    stranger. A column that is constant among these is moved to 0 and keeps its unit.

    >>> scale = Scaling.of(np.array([[0.0, 7.0], [10.0, 7.0]]), np.array([0, 1]))
    >>> scale(np.array([[0.0, 7.0], [5.0, 7.0], [20.0, 9.0]])).tolist()
    [[-1.0, 0.0], [0.0, 0.0], [3.0, 2.0]]
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    columns: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, X: NDArray[Any], rows: NDArray[np.int64], columns: tuple[str, ...] = ()
    ) -> Scaling | None:
        """Return the scaling by the training samples ``X[rows]``; None for samples that are in
        [-1, 1] already: images, and vectors in float32.
        """
        if X.dtype != UNITS:
            return None
        train = X[rows]
        return cls(train.min(axis=0), train.max(axis=0), columns)

    def __call__(self, X: NDArray[Any]) -> NDArray[np.float32]:
        """Return rows ``(n, d)`` in these units as float32."""
        span, constant = self.high - self.low, self._is_constant()
        share = (X - self.low) / np.where(constant, 1.0, span)
        # What is too large for float32 becomes infinite, and is then a score that is not finite.
        with np.errstate(over="ignore"):
            return np.where(constant, share, 2 * share - 1).astype(np.float32)

    @property
    def constant(self) -> list[str]:
        """The names of the columns that are constant in training."""
        names = zip(self.columns, self._is_constant(), strict=True)
        return [name for name, constant in names if constant]

    def _is_constant(self) -> NDArray[np.bool_]:
        # Differences of the size of rounding are no range.
        rounding = 10 * np.finfo(np.float64).eps * np.maximum(abs(self.low), abs(self.high))
        return np.asarray(self.high - self.low <= rounding)


def scaled(scaling: Scaling | None, X: NDArray[Any]) -> NDArray[Any]:
    """Return samples as a detector takes them."""
    return X if scaling is None else scaling(X)
