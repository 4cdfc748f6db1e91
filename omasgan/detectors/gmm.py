"""Gaussian mixture on principal components: the strongest yardstick on MNIST.

Score: negative log-likelihood of the sample's leading principal components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import decomposition
from sklearn.mixture import GaussianMixture

from omasgan.detectors.ranges import Count, Pairs
from omasgan.detectors.yardstick import Yardstick


@dataclass(kw_only=True, eq=False, repr=False)
class GMM(Yardstick):
    """Gaussian mixture with full covariances."""

    properties = frozenset({"likelihood"})

    mixture: Count = 30
    """Gaussians in the mixture."""
    components: Count = 32
    """Principal components that it is fitted to."""
    samples: Pairs = 15_000
    """Training samples that it is fitted to, drawn at random; bounds the time."""

    def _fit(self, X: NDArray[np.float32]) -> None:
        rows = np.random.default_rng(self.seed).permutation(len(X))[: self.samples]
        chosen = X[rows]
        n = min(self.components, chosen.shape[1], len(chosen))
        self._pca = decomposition.PCA(n, random_state=self.seed).fit(chosen)
        mixture = GaussianMixture(
            min(self.mixture, len(chosen)), reg_covar=1e-4, random_state=self.seed
        )
        self._gmm = mixture.fit(self._pca.transform(chosen).astype(np.float64))

    def _score(self, X: NDArray[np.float32]) -> NDArray[Any]:
        return -np.asarray(self._gmm.score_samples(self._pca.transform(X).astype(np.float64)))
