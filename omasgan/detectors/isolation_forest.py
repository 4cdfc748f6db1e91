"""Isolation forest (Liu et al. 2008): anomalies are cut off by few random splits.

Score: scikit-learn's ``score_samples`` with its sign turned, so that higher = more anomalous.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.ensemble import IsolationForest as Forest

from omasgan.detectors.yardstick import Yardstick


class IsolationForest(Yardstick):
    """Isolation forest.

    Args:
        trees: how many trees.
        samples: training samples a tree is grown on (at most as many as there are).
        seed: of the trees.
        device: accepted for the contract.
    """

    def __init__(
        self,
        *,
        trees: Annotated[int, Field(ge=1)] = 100,
        samples: Annotated[int, Field(ge=2)] = 256,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.trees = trees
        self.samples = samples
        self.seed = seed
        self.device = device

    def _fit(self, X: NDArray[np.float32]) -> None:
        samples = min(self.samples, len(X))
        self._forest = Forest(
            n_estimators=self.trees, max_samples=samples, random_state=self.seed
        ).fit(X)

    def _score(self, X: NDArray[np.float32]) -> NDArray[Any]:
        return -np.asarray(self._forest.score_samples(X))
