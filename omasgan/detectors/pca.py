"""Reconstruction error from the leading principal components.

Score: squared Euclidean distance between a sample and its projection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import decomposition

from omasgan.detectors.ranges import Count
from omasgan.detectors.yardstick import Yardstick


@dataclass(kw_only=True, eq=False, repr=False)
class PCA(Yardstick):
    """Principal component analysis."""

    properties = frozenset({"reconstruction"})

    components: Count = 16
    """How many components reconstruct a sample; at most as many as it has values."""

    def _fit(self, X: NDArray[np.float32]) -> None:
        # One component less than there are values: with all of them every error is zero.
        n = min(self.components, max(1, X.shape[1] - 1), len(X))
        self._pca = decomposition.PCA(n, random_state=self.seed).fit(X)

    def _score(self, X: NDArray[np.float32]) -> NDArray[Any]:
        error = X - self._pca.inverse_transform(self._pca.transform(X))
        return np.asarray(np.square(error).sum(axis=1))
