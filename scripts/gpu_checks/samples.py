"""What the checks train: detectors by name, and samples of the kinds that benchmarks have."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from gpu_checks.rows import Options
from omasgan import detectors
from omasgan.data import datasets
from omasgan.detectors.neural import NeuralDetector
from omasgan.errors import DataError

Samples = NDArray[Any]

IMAGES = {"mnist": (1, 28), "digits": (1, 8), "cifar10": (3, 32)}
"""Channels and side."""

VECTOR = 16
ANOMALOUS = 0
OTHERS = frozenset({"epoch_steps", "critic_steps", "search_steps"})
"""Params that end like the length of a phase, and are none."""

SMALL = {"width": 8, "detector_width": 8, "neighbours": 100, "search_steps": 10}
"""Params, where a detector has them, that make trainings quick."""

VARIANTS: dict[str, dict[str, Any]] = {
    "pixel": {"form": "pixel"},
    "latent, guided by J": {"form": "latent", "guide": "j"},
    "between": {"form": "between"},
    "mixture": {"form": "mixture"},
    "random mixture": {"form": "mixture", "negatives": "random"},
    "base generator, residual": {"base": "generator", "residual": 0.05},
    "wasserstein, penalty": {"divergence": "wasserstein", "penalty": 10.0},
    "gan, R1, no spectral norm": {"divergence": "gan", "penalty": 1.0, "spectral_norm": False},
    "average, early generator": {"ema": 0.9, "negatives": "early-generator"},
    "noise": {"negatives": "noise"},
    "patch-shuffle": {"negatives": "patch-shuffle"},
    "deformation": {"negatives": "deformation"},
    "two critic steps": {"critic_steps": 2},
}
"""OMASGAN's other forms: each takes a path of its own through a step."""


def neural() -> list[str]:
    """Return the detectors that are trained by steps."""
    return [name for name in detectors.names() if issubclass(detectors.load(name), NeuralDetector)]


def lengths(name: str, steps: int) -> dict[str, int]:
    """Return the params that give each phase of a detector ``steps`` steps."""
    known = detectors.load(name)().get_params()
    return {param: steps for param in known if param.endswith("_steps") and param not in OTHERS}


def small(name: str) -> dict[str, int]:
    """Return those of ``SMALL`` that the detector has."""
    known = detectors.load(name)().get_params()
    return {param: value for param, value in SMALL.items() if param in known}


def build(name: str, steps: int, options: Options, **params: Any) -> NeuralDetector:
    """Return a detector whose phases have ``steps`` steps each, in one epoch unless said."""
    chosen: dict[str, Any] = {"epoch_steps": steps, "device": options.device}
    chosen |= lengths(name, steps) | (small(name) if options.small else {}) | params
    detector = detectors.load(name)(**chosen)
    assert isinstance(detector, NeuralDetector)
    return detector


def samples(kind: str, n_train: int, n_test: int) -> tuple[Samples, Samples]:
    """Return training and test samples: real ones where they are found, else smooth random ones;
    ``vectors`` are Gaussian.
    """
    if kind == "vectors":
        draw = np.random.default_rng(0)
        X = draw.normal(0, 0.3, (n_train + n_test, VECTOR)).clip(-1, 1).astype(np.float32)
        return X[:n_train], X[n_train:]
    try:
        data = datasets.load(kind)
    except DataError:
        images = _smooth(*IMAGES[kind], n_train + n_test)
        return images[:n_train], images[n_train:]
    X = data.train.X[data.train.classes != ANOMALOUS]
    return np.resize(X, (n_train, *X.shape[1:])), data.test.X[:n_test]


def _smooth(channels: int, side: int, n: int) -> NDArray[np.uint8]:
    noise = torch.rand(n, channels, 4, 4, generator=torch.Generator().manual_seed(0))
    smooth = interpolate(noise, size=side, mode="bicubic").clamp(0, 1)
    return (255 * smooth).byte().numpy()


def spread(scores: NDArray[np.float32]) -> float:
    """Return the interquartile range of scores: the unit in which their movements are told."""
    low, high = np.quantile(scores.astype(np.float64), [0.25, 0.75])
    return max(float(high - low), 1e-12)


def largest_movement(
    scores: dict[str, NDArray[np.float32]], others: dict[str, NDArray[np.float32]]
) -> float:
    """Return the most that a score moved in any stage, in units of the stage's spread."""
    return max(
        float(np.abs(scores[stage].astype(np.float64) - others[stage]).max())
        / spread(scores[stage])
        for stage in scores
    )
