"""Isolation forest (Liu et al. 2008): anomalies are cut off by few random splits.

Score: scikit-learn's ``score_samples`` with its sign turned, so that higher = more anomalous.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest as Forest

from omasgan.detectors.ranges import Count, Pairs
from omasgan.detectors.yardstick import Yardstick


@dataclass(kw_only=True, eq=False, repr=False)
class IsolationForest(Yardstick):
    """Isolation forest."""

    trees: Count = 100
    samples: Pairs = 256
    """Training samples that a tree is grown on, at most as many as there are."""

    def _fit(self, X: NDArray[np.float32]) -> None:
        samples = min(self.samples, len(X))
        self._forest = Forest(
            n_estimators=self.trees, max_samples=samples, random_state=self.seed
        ).fit(X)

    def _score(self, X: NDArray[np.float32]) -> NDArray[Any]:
        return -np.asarray(self._forest.score_samples(X))
