"""How unusual a score is among normal samples that nothing was trained on: conformal p-values."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from omasgan.detectors.estimator import not_fitted


def p_values(scores: NDArray[Any], calibration: NDArray[Any]) -> NDArray[np.float64]:
    """Return conformal p-values in (0, 1]: ``(1 + #{calibration >= score}) / (n + 1)``.

    If a sample is exchangeable with the n calibration samples, P(p <= t) <= t for every t (Vovk
    et al. 2005; Bates et al. 2023). That holds on average over calibration sets, for each sample
    by itself: the p-values of one calibration set depend on each other.

    >>> p_values(np.array([0.0, 2.0, 9.0]), np.array([1.0, 2.0, 3.0])).tolist()
    [1.0, 0.75, 0.25]
    """
    n = len(calibration)
    below = np.searchsorted(np.sort(calibration), scores, side="left")
    return np.asarray((1 + n - below) / (n + 1), dtype=np.float64)


class Calibrated:
    """What follows from the scores of held-out normal samples.

    Once calibrated, ``calibration_`` holds these scores, sorted, float32 ``(m,)``; another ``fit``
    forgets them.
    """

    @abstractmethod
    def decision_function(self, X: Any) -> NDArray[np.float32]:
        """Return the score of each sample, ``(n,)`` float32, higher = more anomalous."""

    def calibrate(self, X: Any) -> Self:
        """Note the scores of ``X``, normal samples that this detector was not trained on."""
        self.calibration_ = np.sort(self.decision_function(X))
        return self

    def p_values(self, X: Any) -> NDArray[np.float64]:
        """Return conformal p-values ``(n,)`` in (0, 1], the smaller the more anomalous: the share
        of the held-out samples that score at least as high.

        Raises:
            NotFittedError: ``calibrate`` has not been called since the last ``fit``.
        """
        if "calibration_" not in vars(self):
            raise not_fitted(
                f"{type(self).__name__} knows no held-out samples; call calibrate(X) with normal "
                "samples that it was not trained on"
            )
        return p_values(self.decision_function(X), self.calibration_)
