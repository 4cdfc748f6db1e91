"""Samples as Python hands them over: arrays, lists, tensors and tables, read alike or refused.

``fit`` and ``decision_function`` pass through here. ``fit_epochs`` and ``stage_scores``, which the
harness calls, do not: they are given what ``omasgan.data`` has checked.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omasgan.errors import DataError

ROUNDING = 1e-3
"""By so much a float of an image may lie outside [-1, 1]."""


@dataclass(frozen=True)
class Fitted:
    """What a detector was fitted to: the shape of a sample, whether its values were uint8, and
    their range, as floats.
    """

    shape: tuple[int, ...]
    uint8: bool
    low: float = -1.0
    high: float = 1.0

    @classmethod
    def to(cls, X: NDArray[Any]) -> Fitted:
        """Return what ``X`` is."""
        uint8 = X.dtype == np.uint8
        low, high = float(X.min()), float(X.max())
        if uint8:
            low, high = low / 127.5 - 1, high / 127.5 - 1
        return cls(X.shape[1:], uint8, low, high)

    @property
    def is_bounded(self) -> bool:
        """Whether values must lie in [-1, 1]: those of images, and what stands for uint8."""
        return self.uint8 or len(self.shape) == 3


def learn(detector: Any, X: Any) -> NDArray[Any]:
    """Return training samples, uint8 or float32, and note in ``detector`` what they are.

    Raises:
        ValueError: they are no samples (a ``DataError``, or scikit-learn's own).
        TypeError: they are sparse, or their values are no numbers.
    """
    given = _without_torch(X)
    samples = _samples(detector, given, at_least=2)
    fitted = Fitted.to(samples)
    if fitted.is_bounded:
        _check_range(fitted.low, fitted.high)
    _note_features(detector, given, samples, reset=True)
    detector._input = fitted
    return samples


def like(detector: Any, X: Any) -> NDArray[Any]:
    """Return samples, uint8 or float32, of the kind that ``detector`` was fitted to, as far as it
    has noted any.

    Raises:
        ValueError: they are no samples, or of another kind (a ``DataError``, or scikit-learn's
            own).
        TypeError: they are sparse, or their values are no numbers.
    """
    given = _without_torch(X)
    samples = _samples(detector, given, at_least=1)
    fitted: Fitted | None = getattr(detector, "_input", None)
    if fitted is not None:
        if samples.ndim != 2 or len(fitted.shape) != 1:
            _check_shape(detector, samples, fitted)
        else:
            _note_features(detector, given, samples, reset=False)
        _check_values(samples, fitted)
    return samples


def anomalies_like(detector: Any, X: Any) -> NDArray[Any] | None:
    """Return labelled anomalies of the kind that ``detector`` has noted; None if there are none.

    Raises:
        DataError: they are no samples, or of another kind.
    """
    try:
        return like(detector, X) if len(X) else None
    except ValueError as error:
        raise DataError(f"anomalies: {error}") from error


def _without_torch(X: Any) -> Any:
    """Return a tensor as an array, anything else as it is."""
    return X.detach().cpu().numpy() if hasattr(X, "detach") else X


def _samples(detector: Any, X: Any, *, at_least: int) -> NDArray[Any]:
    from sklearn.utils import check_array

    name = type(detector).__name__
    try:
        samples: NDArray[Any] = check_array(
            X,
            dtype=[np.float32, np.uint8],
            ensure_2d=False,
            allow_nd=True,
            ensure_all_finite=False,
            ensure_min_samples=at_least,
            estimator=name,
            input_name="X",
        )
    except ValueError as error:
        raise DataError(str(error).splitlines()[0]) from error
    if samples.ndim == 1:
        raise DataError(
            f"X must be samples (n, d) or images (n, c, h, w), got shape {samples.shape}. "
            "Reshape your data: X.reshape(1, -1) is one sample, X.reshape(-1, 1) one value each"
        )
    if samples.ndim not in (2, 4):
        raise DataError(
            f"X must be samples (n, d) or images (n, c, h, w), got shape {samples.shape}; "
            "grey images without a channel are given as X[:, None]"
        )
    if samples.dtype != np.uint8:
        _check_finite(samples)
    return samples


def _check_finite(X: NDArray[Any]) -> None:
    bad = ~np.isfinite(X)
    if bad.any():
        rows = np.flatnonzero(bad.any(axis=tuple(range(1, X.ndim))))
        raise DataError(
            f"X must be finite numbers, got NaN or infinity in {len(rows)} of {len(X)} samples, "
            f"first in sample {rows[0]}; remove or fill them"
        )


def _check_shape(detector: Any, X: NDArray[Any], fitted: Fitted) -> None:
    if X.shape[1:] != fitted.shape:
        raise DataError(
            f"a sample has the shape {X.shape[1:]}, but {type(detector).__name__} was fitted to "
            f"{fitted.shape}"
        )


def _check_range(low: float, high: float) -> None:
    if low < -1 - ROUNDING or high > 1 + ROUNDING:
        raise DataError(
            f"images must be uint8, or floats in [-1, 1], got values from {low:g} to {high:g}; "
            "give uint8, or x / 127.5 - 1"
        )


def _check_values(X: NDArray[Any], fitted: Fitted) -> None:
    """Refuse values on another scale than those that the detector was fitted to."""
    given = Fitted.to(X)
    if given.uint8:
        if not fitted.uint8 and (fitted.low < -1 - ROUNDING or fitted.high > 1 + ROUNDING):
            raise DataError(
                "uint8 stands for x / 127.5 - 1, but the detector was fitted to floats from "
                f"{fitted.low:g} to {fitted.high:g}; give floats"
            )
    elif fitted.is_bounded:
        _check_range(given.low, given.high)
        if given.low >= 0 > fitted.low and given.high > 0.5:
            warnings.warn(
                "no value of X is below 0, those that the detector was fitted to begin at "
                f"{fitted.low:g}; if X lies in [0, 1], give 2 * X - 1",
                stacklevel=4,
            )


def _note_features(detector: Any, given: Any, samples: NDArray[Any], *, reset: bool) -> None:
    """Note, or compare, the number of values of a sample and the names of a table's columns."""
    from sklearn.utils.validation import validate_data

    if samples.ndim == 2:
        validate_data(detector, given, reset=reset, skip_check_array=True)
    else:
        detector.n_features_in_ = math.prod(samples.shape[1:])
        vars(detector).pop("feature_names_in_", None)
