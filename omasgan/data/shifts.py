"""Anomalies that are made from the normal images: noise, flips, and steps towards likelihood.

Source: Choi, Jang, Alemi, "WAIC, but Why? Generative Ensembles for Robust Anomaly Detection"
(2018), whose out-of-distribution sets these are. A benchmark with the protocol out-of-dataset
names one of ``SETS`` as its ``anomalies``: each test image of the normal data set gives one
anomaly, of the set's two kinds in turn.

``adversarial`` holds inputs moved by one step of ``STEP`` along the sign of a log-likelihood's
gradient. The paper takes the gradient of the model that is tested, so that each model meets other
samples, and its released code takes it at other images than it moves. Here it is the gradient of
one density for all detectors, the Gaussian with independent pixels that fits the normal training
images; its sign is that of their mean minus the input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from omasgan.errors import ConfigError

Images: TypeAlias = NDArray[np.uint8]
Shift: TypeAlias = Callable[[np.random.RandomState, Images, Images], NDArray[Any]]
"""From the training images, and some test images, to as many anomalies; values beyond 0 and 255
are clipped.
"""

STEP = 77
"""Grey levels of a step, of 255: the paper's 0.3."""


def _uniform(draw: np.random.RandomState, train: Images, test: Images) -> NDArray[Any]:
    return draw.randint(0, 256, test.shape)


def _gaussian(draw: np.random.RandomState, train: Images, test: Images) -> NDArray[Any]:
    """Draw grey levels of mean 127.5 and standard deviation 63.75."""
    return np.floor(draw.normal(127.5, 63.75, test.shape) + 0.5)


def _horizontal(draw: np.random.RandomState, train: Images, test: Images) -> NDArray[Any]:
    return np.flip(test, -1)


def _vertical(draw: np.random.RandomState, train: Images, test: Images) -> NDArray[Any]:
    return np.flip(test, -2)


def _noise_step(draw: np.random.RandomState, train: Images, test: Images) -> NDArray[Any]:
    return _step(_uniform(draw, train, test), train)


def _image_step(draw: np.random.RandomState, train: Images, test: Images) -> NDArray[Any]:
    return _step(test, train)


def _step(x: NDArray[Any], train: Images) -> NDArray[Any]:
    # In integers, so that every machine makes the same samples.
    total = train.sum(axis=0, dtype=np.int64)
    moved: NDArray[Any] = x + STEP * np.sign(total - len(train) * x.astype(np.int64))
    return moved


SETS: dict[str, dict[str, Shift]] = {
    "noise": {"uniform": _uniform, "gaussian": _gaussian},
    "flips": {"horizontal": _horizontal, "vertical": _vertical},
    "adversarial": {"noise": _noise_step, "images": _image_step},
}


def anomalies(name: str, train: NDArray[Any], test: NDArray[Any]) -> tuple[Images, NDArray[Any]]:
    """Return the anomalies ``(n, c, h, w)`` of the set ``name`` and their kinds ``(n,)``, int64.

    Args:
        name: one of ``SETS``.
        train: the normal training images, ``(m, c, h, w)`` uint8.
        test: the normal test images, ``(n, c, h, w)`` uint8.

    Raises:
        ConfigError: the samples are no uint8 images.
    """
    if test.dtype != np.uint8 or test.ndim != 4:
        raise ConfigError(
            f"anomalies = '{name}' are made from images, but the samples are {test.dtype} of "
            f"shape {test.shape[1:]}; name a data set of images"
        )
    kinds = np.arange(len(test), dtype=np.int64) % len(SETS[name])
    made = np.empty_like(test)
    for kind, shift in enumerate(SETS[name].values()):
        # Its streams are frozen by numpy for good, those of Generator are not.
        draw = np.random.RandomState(20210)
        made[kinds == kind] = np.clip(shift(draw, train, test[kinds == kind]), 0, 255)
    return made, kinds
