"""A detector as scikit-learn's own outlier detectors are: +1 for normal, -1 for anomalous.

That is the opposite sign of everything else in this package, for code that was written for
``sklearn.ensemble.IsolationForest`` and its like.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.utils.validation import check_is_fitted


class OutlierAdapter(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """A detector with the interface and the sign of scikit-learn's ``OutlierMixin``.

    Once fitted, ``detector_`` is a fitted copy of ``detector``, and ``offset_`` minus its
    ``threshold_``, which its ``contamination`` sets.
    """

    def __init__(self, detector: Any) -> None:
        self.detector = detector

    def fit(self, X: Any, y: object = None) -> Self:
        """Fit a copy of the detector; ``y`` is ignored."""
        self.detector_ = clone(self.detector).fit(X)
        self.offset_ = -self.detector_.threshold_
        self.n_features_in_ = self.detector_.n_features_in_
        if hasattr(self.detector_, "feature_names_in_"):
            self.feature_names_in_ = self.detector_.feature_names_in_
        return self

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Return minus the score of each sample, ``(n,)``: lower = more anomalous."""
        check_is_fitted(self)
        return -np.asarray(self.detector_.decision_function(X), np.float64)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return ``score_samples - offset_``, ``(n,)``: below 0 for what is called anomalous."""
        scores = self.score_samples(X)
        return np.asarray(scores - self.offset_)

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Return +1 for each normal sample and -1 for each anomalous one, ``(n,)``."""
        return np.where(self.decision_function(X) < 0, -1, 1)
