"""Labels and probabilities from scores, as PyOD has them.

Source of the names and rules: Zhao, Nasrullah, Li, "PyOD: A Python Toolbox for Scalable Outlier
Detection" (2019). The training samples' own scores set the scale. Detectors here are trained on
normal samples alone, so that ``contamination`` is the share of these that is called anomalous, a
rate of false alarms; on samples that it knows, a network is surer than on new ones, and the true
rate is higher.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from omasgan.data import metrics
from omasgan.detectors.estimator import not_fitted
from omasgan.detectors.inputs import Fitted
from omasgan.errors import ConfigError


class Labels:
    """What follows from the scores of the samples that a detector was fitted to.

    They are computed when they are first asked for; the samples are kept until then by reference.
    A detector that was trained by ``fit_epochs`` has none.
    """

    contamination: float
    _own: OwnScores
    _input: Fitted

    @abstractmethod
    def decision_function(self, X: Any) -> NDArray[np.float32]:
        """Return the score of each sample, ``(n,)`` float32, higher = more anomalous."""

    @abstractmethod
    def _own_stage(self, X: NDArray[Any]) -> NDArray[np.float32]:
        """Return the same of samples that are known to be of the right kind."""

    def _training_scores(self, X: NDArray[Any]) -> NDArray[np.float32]:
        """Return the score of each training sample, as if it were not one where that is easy."""
        return self._own_stage(X)

    @property
    def decision_scores_(self) -> NDArray[np.float32]:
        """The scores of the training samples, ``(n,)``.

        Raises:
            NotFittedError: ``fit`` has not been called.
        """
        if "_own" not in self.__dict__:
            raise not_fitted(f"{type(self).__name__} knows no training samples; call fit first")
        return self._own.by(self._training_scores)

    @property
    def threshold_(self) -> float:
        """The score above which a sample is called anomalous: the 1 - ``contamination`` quantile
        of ``decision_scores_``.

        Raises:
            NotFittedError: ``fit`` has not been called.
            ConfigError: ``contamination`` is not in (0, 0.5].
        """
        self._check_contamination()
        return float(np.quantile(self.decision_scores_, 1 - self.contamination))

    @property
    def labels_(self) -> NDArray[np.int64]:
        """The labels of the training samples, ``(n,)``: 1 anomalous, 0 normal."""
        return self._labels(self.decision_scores_)

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Return the label of each sample, ``(n,)``: 1 anomalous, 0 normal.

        Raises:
            NotFittedError: ``fit`` has not been called.
        """
        return self._labels(self.decision_function(X))

    def score(self, X: Any, y: Any) -> float:
        """Return the AUROC of the scores of ``X``: what scikit-learn's searches maximise if they
        are not told otherwise.

        Args:
            X: samples, of both kinds.
            y: ``(n,)``, 0 for each that is normal, anything else for each that is anomalous.

        Raises:
            DataError: all of them are of one kind.
        """
        return metrics.auroc((np.asarray(y) != 0).astype(np.int64), self.decision_function(X))

    def fit_predict(self, X: Any, y: object = None) -> NDArray[np.int64]:
        """Train on ``X``; return ``labels_``."""
        self.fit(X)
        return self.labels_

    @abstractmethod
    def fit(self, X: Any, y: object = None) -> Any:
        """Train to the end."""

    def predict_proba(
        self, X: Any, method: Literal["linear", "unify"] = "linear"
    ) -> NDArray[np.float64]:
        """Return for each sample how normal and how anomalous it is, ``(n, 2)``, rows add up to 1.

        Args:
            X: the samples.
            method: ``linear`` is the place of a score between the least and the greatest of
                ``decision_scores_``, clipped to [0, 1]; ``unify`` the error function of its
                distance to their mean, in standard deviations times sqrt(2), 0 below the mean
                (Kriegel, Kroeger, Schubert, Zimek 2011).

        Raises:
            NotFittedError: ``fit`` has not been called.
            ValueError: there is no such method.
        """
        own = self.decision_scores_.astype(np.float64)
        scores = self.decision_function(X).astype(np.float64)
        if method == "linear":
            share = (scores - own.min()) / max(float(np.ptp(own)), TINY)
        elif method == "unify":
            from scipy.special import erf

            share = erf((scores - own.mean()) / max(float(own.std()), TINY) / np.sqrt(2))
        else:
            raise ValueError(f"method must be linear or unify, got {method!r}")
        anomalous = np.clip(share, 0.0, 1.0)
        return np.column_stack([1 - anomalous, anomalous])

    def _check_contamination(self) -> None:
        if not 0 < self.contamination <= 0.5:
            raise ConfigError(f"contamination must be in (0, 0.5], got {self.contamination}")

    def _labels(self, scores: NDArray[np.float32]) -> NDArray[np.int64]:
        return (scores > self.threshold_).astype(np.int64)

    def _remember(self, X: NDArray[Any]) -> None:
        """Note the samples of a training that has just ended."""
        self._own = OwnScores(samples=X)


@dataclass(eq=False)
class OwnScores:
    """The scores of the training samples, or else the samples that they are computed of when they
    are asked for. An object of its own, so that nothing that only reads a detector changes it.
    """

    samples: NDArray[Any] | None = None
    scores: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))

    def by(self, score: Callable[[NDArray[Any]], NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the scores, which ``score`` gives; the samples are let go then."""
        if self.samples is not None:
            self.scores, self.samples = score(self.samples), None
        return self.scores


TINY = 1e-12
"""Below this spread all scores are the same."""
