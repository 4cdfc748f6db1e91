"""One-class support vector machine on principal components.

Source: Schoelkopf, Platt, Shawe-Taylor, Smola, Williamson, "Estimating the Support of a
High-Dimensional Distribution" (2001).

Score: scikit-learn's ``score_samples`` with its sign turned, so that higher = more anomalous.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn import decomposition
from sklearn.svm import OneClassSVM

from omasgan.detectors.yardstick import Yardstick


class OCSVM(Yardstick):
    """One-class SVM with a Gaussian kernel.

    Args:
        nu: upper bound of the share of training samples left outside.
        gamma: the kernel's coefficient, in units of 1 / (components x their mean variance).
        components: principal components it is fitted to.
        samples: training samples it is fitted to, drawn at random; bounds the time.
        seed: of the draw.
        device: accepted for the contract.
    """

    def __init__(
        self,
        *,
        nu: Annotated[float, Field(gt=0, lt=1)] = 0.1,
        gamma: Annotated[float, Field(gt=0)] = 1.0,
        components: Annotated[int, Field(ge=1)] = 32,
        samples: Annotated[int, Field(ge=2)] = 5_000,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        self.nu = nu
        self.gamma = gamma
        self.components = components
        self.samples = samples
        self.seed = seed
        self.device = device

    def _fit(self, X: NDArray[np.float32]) -> None:
        rows = np.random.default_rng(self.seed).permutation(len(X))[: self.samples]
        chosen = X[rows]
        n = min(self.components, chosen.shape[1], len(chosen))
        self._pca = decomposition.PCA(n, random_state=self.seed).fit(chosen)
        reduced = self._pca.transform(chosen)
        gamma = self.gamma / (n * float(reduced.var()))
        self._svm = OneClassSVM(nu=self.nu, gamma=gamma).fit(reduced)

    def _score(self, X: NDArray[np.float32]) -> NDArray[Any]:
        return -np.asarray(self._svm.score_samples(self._pca.transform(X)))
