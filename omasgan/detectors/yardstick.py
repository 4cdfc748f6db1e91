"""The base of the detectors that are fitted in one go: the yardsticks.

A yardstick states ``_fit`` and ``_score`` over flat float32 samples ``(n, d)`` in [-1, 1]. Its
training is a single epoch, and its state is its training data: loading it fits again, to the same
detector, since nothing is random but what ``seed`` decides.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omasgan.detectors.base import Epoch, IterativeDetector, State, check_takes_anomalies


class Yardstick(IterativeDetector):
    """Base of the detectors that are fitted in one go."""

    @abstractmethod
    def _fit(self, X: NDArray[np.float32]) -> None:
        """Fit to normal samples ``(n, d)``."""

    @abstractmethod
    def _score(self, X: NDArray[np.float32]) -> NDArray[Any]:
        """Return scores ``(n,)``, higher = more anomalous."""

    def _figures(self) -> dict[str, float]:
        """Return what fitting chose, by name; by default nothing."""
        return {}

    def fit_epochs(
        self, X: NDArray[Any], anomalies: NDArray[Any] | None = None
    ) -> Iterator[Epoch]:
        """Fit in a single epoch; there is none after a state was loaded."""
        if anomalies is not None and len(anomalies):
            check_takes_anomalies(type(self))
        if self.__dict__.pop("_resume", False):
            return
        self._trained_on = X
        self._fit(flat(X))
        yield Epoch(0, "fit", self._figures())

    def stage_scores(self, X: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Return the one score there is."""
        self._check_fitted()
        return {"score": np.asarray(self._score(flat(X)), dtype=np.float32)}

    def state_dict(self) -> State:
        """Return the training data."""
        self._check_fitted()
        return {"trained_on": self._trained_on}

    def load_state_dict(self, state: State) -> None:
        """Fit to the training data of ``state``."""
        self._trained_on = np.asarray(state["trained_on"])
        self._refit(flat(self._trained_on), state)
        self._resume = True

    def _refit(self, X: NDArray[np.float32], state: State) -> None:
        """Fit to the training data ``X`` of ``state``."""
        self._fit(X)

    def __sklearn_is_fitted__(self) -> bool:
        return "_trained_on" in vars(self)


def flat(X: NDArray[Any]) -> NDArray[np.float32]:
    """Return samples as float32 rows ``(n, d)`` in [-1, 1]."""
    rows = X.reshape(len(X), -1).astype(np.float32)
    if X.dtype == np.uint8:
        # In place: these are the largest arrays of a yardstick.
        rows /= 127.5
        rows -= 1
    return rows
