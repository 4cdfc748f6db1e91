"""The detector contract: training is an iterator, scoring is a pure function of one sample."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from omasgan.detectors import bar, inputs
from omasgan.detectors.calibration import Calibrated
from omasgan.detectors.estimator import Estimator, not_fitted
from omasgan.detectors.labels import Labels
from omasgan.detectors.params import check_values
from omasgan.errors import ConfigError

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
that it generates as negatives, and training against negatives; a loss that seeks the boundary of
the data; any f-divergence for a metric; and what its score consists of.
"""


@dataclass(frozen=True)
class Epoch:
    """One step of the training iterator.

    ``index`` counts from 0 over all phases; ``losses`` holds finite floats by name: the losses of
    this epoch and its label-free health figures.
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


@dataclass(kw_only=True, eq=False, repr=False)
class IterativeDetector(Estimator, Labels, Calibrated, ABC):
    """An anomaly detector that is trained step by step.

    A detector is a keyword-only dataclass whose fields are its params: each is annotated with its
    type and range, and constructing one does nothing but store them, as scikit-learn's ``clone``
    and ``set_params`` need it. Two are never equal, and ``repr`` is the estimator's. ``X`` is
    float32 of shape ``(n, c, h, w)`` or ``(n, d)`` in [-1, 1], or uint8 images of shape
    ``(n, c, h, w)``, which stand for ``x / 127.5 - 1``; it is never modified.
    """

    properties: ClassVar[frozenset[Property]] = frozenset()
    takes_anomalies: ClassVar[bool] = False
    """Whether training takes labelled anomalies beside the normal samples."""
    defaults_saw: ClassVar[str] = ""
    """The test data that were looked at when the defaults were chosen; empty if there are none."""

    seed: int = 0
    """Of everything random here; no global generator is used."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda`` ...; what computes without torch accepts and ignores it."""
    contamination: float = 0.1
    """For labels alone (``Labels``): the share of the training samples that is called anomalous,
    in (0, 0.5]. No score depends on it."""

    def fit(self, X: Any, y: object = None, *, anomalies: Any = None) -> Self:
        """Train to the end; ``y`` is ignored (scikit-learn's convention).

        ``X`` may also be lists, tensors or a table. A bar shows the progress where a terminal
        looks on.

        Raises:
            ConfigError: a param has a value that it cannot have.
            ValueError: ``X`` holds no samples, or values that are not finite or out of range.
            TrainingDiverged: a loss is not finite.
        """
        check_values(self)
        self._check_contamination()
        vars(self).pop("_resume", None)
        normals = inputs.learn(self, X)
        known = None if anomalies is None else inputs.anomalies_like(self, anomalies)
        self._train(*samples(normals, known))
        self._remember(normals)
        vars(self).pop("calibration_", None)
        return self

    def _train(self, *arrays: NDArray[Any]) -> None:
        """Exhaust ``fit_epochs``."""
        for _ in bar.shown(self, self.fit_epochs(*arrays)):
            pass

    @abstractmethod
    def fit_epochs(
        self, X: NDArray[Any], anomalies: NDArray[Any] | None = None
    ) -> Iterator[Epoch]:
        """Train on normal samples ``X``, from the loaded state if there is one.

        ``anomalies`` are samples ``(m, ...)`` that are known to be anomalous; a detector that does
        not take any (``takes_anomalies``) may leave the argument out.

        Raises:
            TrainingDiverged: a loss is not finite.
            ConfigError: there are anomalies, and the detector takes none.
        """

    def beginnings(self) -> Sequence[Beginning]:
        """Return the parts of this training that others may share, shortest first; by default
        none.
        """
        return ()

    @abstractmethod
    def stage_scores(self, X: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Return every score of this training by name, each ``(n,)`` float32, higher = more
        anomalous.

        The score of a sample does not depend on the other samples of ``X``.
        """

    @property
    def stage(self) -> str:
        """The name of the score among ``stage_scores``; a param where there are several."""
        return "score"

    def decision_function(self, X: Any) -> NDArray[np.float32]:
        """Return the score of each sample, ``(n,)`` float32, higher = more anomalous.

        Raises:
            NotFittedError: the training has not come to its end.
            ValueError: ``X`` is of another kind than the training samples.
        """
        return self._own_stage(inputs.like(self, X))

    def _own_stage(self, X: NDArray[Any]) -> NDArray[np.float32]:
        """Return the score called ``stage``."""
        return self.stage_scores(X)[self.stage]

    def __sklearn_is_fitted__(self) -> bool:
        """Whether it can score."""
        return "_input" in vars(self)

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise not_fitted(
                f"{type(self).__name__} is not trained to its end yet; call fit first"
            )

    @abstractmethod
    def state_dict(self) -> State:
        """Return everything that training and scoring continue from: networks, optimisers,
        generators, position.
        """

    @abstractmethod
    def load_state_dict(self, state: State) -> None:
        """Continue from a state that ``state_dict`` returned."""

    def pictures(self, n: int) -> dict[str, NDArray[np.float32]]:
        """Return rows of up to ``n`` images in [-1, 1], by name, ``(n, c, h, w)``; by default
        none.
        """
        return {}


def samples(X: NDArray[Any], anomalies: NDArray[Any] | None = None) -> tuple[NDArray[Any], ...]:
    """Return what ``fit_epochs`` is given; a detector that takes no anomalies need not know that
    there can be any.
    """
    return (X,) if anomalies is None else (X, anomalies)


def check_takes_anomalies(detector: type[Any]) -> None:
    """See that a detector takes labelled anomalies.

    Raises:
        ConfigError: it does not.
    """
    if not getattr(detector, "takes_anomalies", False):
        raise ConfigError(
            f"{detector.__name__} takes no labelled anomalies; leave them out, or choose a "
            "detector that does, such as deep-sad or omasgan"
        )
