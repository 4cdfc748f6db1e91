"""Gaussian mixture on principal components: the strongest yardstick on MNIST.

Score: negative log-likelihood of the sample's leading principal components.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn import decomposition
from sklearn.mixture import GaussianMixture

from omasgan.detectors.yardstick import Yardstick


class GMM(Yardstick):
    """Gaussian mixture with full covariances.

    Args:
        mixture: Gaussians in the mixture.
        components: principal components it is fitted to.
        samples: training samples it is fitted to, drawn at random; bounds the time.
        seed: of the draw and of the mixture's start.
        device: accepted for the contract.
    """

    properties = frozenset({"likelihood"})

    def __init__(
        self,
        *,
        mixture: Annotated[int, Field(ge=1)] = 30,
        components: Annotated[int, Field(ge=1)] = 32,
        samples: Annotated[int, Field(ge=2)] = 15_000,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.mixture = mixture
        self.components = components
        self.samples = samples
        self.seed = seed
        self.device = device

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
