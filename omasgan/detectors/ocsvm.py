"""One-class support vector machine on principal components.

Source: Schoelkopf, Platt, Shawe-Taylor, Smola, Williamson, "Estimating the Support of a
High-Dimensional Distribution" (2001).

Score: scikit-learn's ``score_samples`` with its sign turned, so that higher = more anomalous.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import decomposition
from sklearn.svm import OneClassSVM

from omasgan.detectors.ranges import Count, Pairs, Positive, Share
from omasgan.detectors.yardstick import Yardstick


@dataclass(kw_only=True, eq=False, repr=False)
class OCSVM(Yardstick):
    """One-class SVM with a Gaussian kernel."""

    nu: Share = 0.1
    """Upper bound of the share of training samples left outside."""
    gamma: Positive = 1.0
    """The kernel's coefficient, in units of 1 / (components x their mean variance)."""
    components: Count = 32
    """Principal components that it is fitted to."""
    samples: Pairs = 5_000
    """Training samples that it is fitted to, drawn at random; bounds the time."""

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
