"""A random forest: with labelled anomalies a supervised classifier, so no rival but a reference.

Source: Breiman, "Random Forests" (2001), as scikit-learn has it. Shown labelled anomalies, it
tells them from the normal samples; what it reaches with many of them is what there was to find, an
upper reference for detectors that have seen none or few. Shown none, it tells the normal samples
from samples made of them by shuffling each column by itself, so that columns keep their values and
lose their dependence (Breiman's unsupervised forest; Shi, Horvath, "Unsupervised Learning With
Random Forest Predictors" (2006), "addcl1").

Score: the trees' mean probability that a sample is no normal one, in [0, 1]. Both classes weigh
the same, however many samples they have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from omasgan.detectors.base import Epoch, State
from omasgan.detectors.ranges import Count, Pairs
from omasgan.detectors.yardstick import Yardstick, flat


@dataclass(kw_only=True, eq=False, repr=False)
class RandomForest(Yardstick):
    """Random forest against labelled anomalies or, where there are none, shuffled columns."""

    takes_anomalies = True

    trees: Count = 200
    samples: Pairs = 10_000
    """Normal samples that are used, chosen at random where there are more."""

    def fit_epochs(
        self, X: NDArray[Any], anomalies: NDArray[Any] | None = None
    ) -> Iterator[Epoch]:
        """Fit in a single epoch; there is none after a state was loaded."""
        if not vars(self).get("_resume", False):
            self._anomalies = X[:0] if anomalies is None else anomalies
        yield from super().fit_epochs(X)

    def state_dict(self) -> State:
        """Return the training data, of both kinds."""
        return super().state_dict() | {"anomalies": self._anomalies}

    def load_state_dict(self, state: State) -> None:
        """Fit to the training data of ``state``."""
        self._anomalies = np.asarray(state["anomalies"])
        super().load_state_dict(state)

    def _fit(self, X: NDArray[np.float32]) -> None:
        rng = np.random.default_rng(self.seed)
        normals = rng.permutation(X)[: self.samples]
        others = flat(self._anomalies) if len(self._anomalies) else rng.permuted(normals, axis=0)
        is_other = np.arange(len(normals) + len(others)) >= len(normals)
        self._forest = RandomForestClassifier(
            n_estimators=self.trees, class_weight="balanced", random_state=self.seed
        ).fit(np.concatenate([normals, others]), is_other)

    def _score(self, X: NDArray[np.float32]) -> NDArray[Any]:
        return np.asarray(self._forest.predict_proba(X))[:, 1]
