"""The detector contract: training is an iterator, scoring is a pure function of one sample."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

State: TypeAlias = dict[str, Any]
"""A nested dict whose leaves are torch tensors, numpy arrays, numbers, strings, bools or None."""

Property: TypeAlias = Literal[
    "GAN",
    "autoencoder",
    "negative sampling",
    "negative training",
    "boundary loss",
    "f-divergence",
    "discriminator score",
    "reconstruction",
    "likelihood",
]
"""What a detector is built on, in the rows of OMASGAN's Table 1: a GAN or an autoencoder; samples
of its own making that serve as negatives, and training against negatives; a loss that seeks the
boundary of the data; any f-divergence for a metric; and what its score is made of.
"""


@dataclass(frozen=True)
class Epoch:
    """One step of the training iterator.

    ``index`` counts from 0 over the whole training, whatever the phase; ``losses`` holds finite
    floats by name (losses and label-free health figures of this epoch).
    """

    index: int
    phase: str
    losses: Mapping[str, float]


@dataclass(frozen=True)
class Beginning:
    """The first ``epochs`` epochs of a training, up to the end of ``phase``.

    The state after them depends on X, the seed, the device and ``params`` (values by name), and
    on no other param: trainings that agree in these can share it.
    """

    phase: str
    epochs: int
    params: Mapping[str, Any]


class IterativeDetector(BaseEstimator, ABC):  # type: ignore[misc]
    """An anomaly detector that is trained step by step.

    Constructors are keyword-only, annotate every parameter with its type and range, store each
    argument unchanged under its own name and include ``seed`` and ``device``. ``X`` is float32 of
    shape ``(n, c, h, w)`` or ``(n, d)`` in [-1, 1], or uint8 images of shape ``(n, c, h, w)``,
    which stand for ``x / 127.5 - 1``; it is never modified.
    """

    properties: ClassVar[frozenset[Property]] = frozenset()
    defaults_saw: ClassVar[str] = ""
    """The test data in whose sight the defaults were found; empty if there are none."""

    def fit(self, X: NDArray[Any], y: object = None) -> Self:
        """Train to the end; ``y`` is ignored (scikit-learn's convention)."""
        for _ in self.fit_epochs(X):
            pass
        return self

    @abstractmethod
    def fit_epochs(self, X: NDArray[Any]) -> Iterator[Epoch]:
        """Train on normal samples ``X``, going on from a loaded state if there is one.

        Raises:
            TrainingDiverged: a loss is not finite.
        """

    def beginnings(self) -> Sequence[Beginning]:
        """What other trainings may share of this one, shortest first; by default nothing."""
        return ()

    @abstractmethod
    def stage_scores(self, X: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Every score of this training by name, each ``(n,)`` float32, higher = more anomalous,
        and independent of the other samples of ``X``.
        """

    @property
    def stage(self) -> str:
        """Which of ``stage_scores`` is the score: what the parameter ``score`` names where there
        is one, or the only one there is.
        """
        return str(getattr(self, "score", "score"))

    def decision_function(self, X: NDArray[Any]) -> NDArray[np.float32]:
        """The score of each sample, ``(n,)`` float32, higher = more anomalous."""
        return self.stage_scores(X)[self.stage]

    @abstractmethod
    def state_dict(self) -> State:
        """Everything that training and scoring go on from: networks, optimisers, generators,
        position.
        """

    @abstractmethod
    def load_state_dict(self, state: State) -> None:
        """Take over a state that ``state_dict`` gave."""

    def pictures(self, n: int) -> dict[str, NDArray[np.float32]]:
        """Rows of up to ``n`` images in [-1, 1], by name, ``(n, c, h, w)``; by default none."""
        return {}
