"""Reconstruction error from the leading principal components.

Score: squared Euclidean distance between a sample and its projection.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn import decomposition

from omasgan.detectors.yardstick import Yardstick


class PCA(Yardstick):
    """Principal component analysis.

    Args:
        components: how many components reconstruct a sample; at most as many as it has values.
        seed: of the randomised solver.
        device: accepted for the contract.
    """

    properties = frozenset({"reconstruction"})

    def __init__(
        self, *, components: Annotated[int, Field(ge=1)] = 16, seed: int = 0, device: str = "auto"
    ) -> None:
        self.components = components
        self.seed = seed
        self.device = device

    def _fit(self, X: NDArray[np.float32]) -> None:
        # One component less than there are values: with all of them every error is zero.
        n = min(self.components, max(1, X.shape[1] - 1), len(X))
        self._pca = decomposition.PCA(n, random_state=self.seed).fit(X)

    def _score(self, X: NDArray[np.float32]) -> NDArray[Any]:
        error = X - self._pca.inverse_transform(self._pca.transform(X))
        return np.asarray(np.square(error).sum(axis=1))
