"""Distance to the k-th nearest training sample: the yardstick that needs no learning.

Score: Euclidean distance in pixel space (Ramaswamy et al. 2000, with k = 1 by default).
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.neighbors import NearestNeighbors

from omasgan.detectors.yardstick import Yardstick
from omasgan.errors import ConfigError


class KNN(Yardstick):
    """k-nearest neighbours.

    Args:
        k: which neighbour's distance is the score.
        seed, device: accepted for the contract; nothing here is random or on a GPU.
    """

    def __init__(
        self, *, k: Annotated[int, Field(ge=1)] = 1, seed: int = 0, device: str = "auto"
    ) -> None:
        self.k = k
        self.seed = seed
        self.device = device

    def _fit(self, X: NDArray[np.float32]) -> None:
        if self.k > len(X):
            raise ConfigError(f"k must be at most the {len(X)} training samples, got {self.k}")
        self._index = NearestNeighbors(n_neighbors=self.k, algorithm="brute").fit(X)

    def _score(self, X: NDArray[np.float32]) -> NDArray[Any]:
        distances, _ = self._index.kneighbors(X)
        return np.asarray(distances[:, -1])
