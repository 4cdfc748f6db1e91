"""What a fitted detector knows of its samples besides its state: taken out, and put back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omasgan.detectors.estimator import not_fitted
from omasgan.detectors.inputs import Fitted
from omasgan.detectors.labels import OwnScores


def _no_scores() -> NDArray[np.float32]:
    return np.empty(0, np.float32)


@dataclass(frozen=True)
class Notes:
    """What ``fit`` and ``calibrate`` noted.

    ``training_scores`` are those of the training samples, ``calibration`` those of held-out ones,
    ``(n,)`` and ``(m,)``, empty where they are not known; ``feature_names`` are the columns of the
    table that it was fitted to, if it was one.
    """

    fitted: Fitted
    training_scores: NDArray[np.float32] = field(default_factory=_no_scores)
    calibration: NDArray[np.float32] = field(default_factory=_no_scores)
    feature_names: tuple[str, ...] = ()


def notes_of(detector: Any) -> Notes:
    """Return what a detector has noted; scores its training samples if it has not yet.

    Raises:
        NotFittedError: ``fit`` has not been called.
    """
    known = vars(detector)
    if "_input" not in known:
        raise not_fitted(f"{type(detector).__name__} is not fitted yet; call fit first")
    return Notes(
        known["_input"],
        detector.decision_scores_ if "_own" in known else _no_scores(),
        known.get("calibration_", _no_scores()),
        tuple(map(str, known.get("feature_names_in_", ()))),
    )


def recall(detector: Any, notes: Notes) -> None:
    """Give ``detector``, which has loaded a state, what another one has noted."""
    detector._input = notes.fitted
    detector.n_features_in_ = math.prod(notes.fitted.shape)
    if notes.feature_names:
        detector.feature_names_in_ = np.array(notes.feature_names, dtype=object)
    if len(notes.training_scores):
        detector._own = OwnScores(scores=notes.training_scores)
    if len(notes.calibration):
        detector.calibration_ = np.sort(notes.calibration)
