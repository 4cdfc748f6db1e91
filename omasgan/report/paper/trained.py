"""What 2-D suites ask of trained detectors: samples, a score over the square, and thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omasgan.data.protocols import Fold
from omasgan.experiments.paper.training import Part
from omasgan.store import saved
from omasgan.store.results import RunKey, Store

POINTS = 250
"""Samples of each kind."""
SIDE = 60
"""Points along a side of the grid on which J is evaluated."""
QUANTILE = 0.95
"""The threshold among the scores of held-out normals; no test sample takes part in it."""
RATES = ("accuracy", "F1", "precision", "recall")


def samples(store: Store, part: Part, key: RunKey) -> dict[str, NDArray[np.float32]]:
    """Normal training samples, and as many of G's, B's and the retrained G's, by name, each
    ``(POINTS, 2)``.
    """
    rows = np.random.default_rng(0).permutation(_fold(part, key).train)[:POINTS]
    detector: Any = _detector(store, key)
    by_name: dict[str, NDArray[np.float32]] = detector.samples(part.dataset.train.X[rows])
    return by_name


def field(store: Store, key: RunKey) -> NDArray[np.float32]:
    """J's raw output, or the score of a detector without J, on an even grid over [-1, 1]^2,
    ``(SIDE, SIDE)``, rows along y.
    """
    at = np.linspace(-1.0, 1.0, SIDE, dtype=np.float32)
    points = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2)
    return _scores(_detector(store, key), points).reshape(SIDE, SIDE)


def level(store: Store, part: Part, key: RunKey) -> float:
    """The value of the ``field`` that ``QUANTILE`` of the fold's held-out normals stay below."""
    held_out = part.dataset.train.X[_fold(part, key).validation]
    return float(np.quantile(_scores(_detector(store, key), held_out), QUANTILE))


def rates(store: Store, part: Part, key: RunKey) -> dict[str, dict[str, float]]:
    """By stage, the ``RATES`` of a run on its test samples, at the threshold that ``QUANTILE`` of
    the fold's held-out normals stay below.
    """
    held_out = part.dataset.train.X[_fold(part, key).validation]
    scores = _detector(store, key).stage_scores(held_out)
    test = store.scores(key)
    labels = test["label"].to_numpy() == 1
    return {
        stage: _rates(labels, test[stage].to_numpy() > np.quantile(of_stage, QUANTILE))
        for stage, of_stage in scores.items()
    }


def boundary_losses(epochs: Sequence[Mapping[str, Any]], params: Mapping[str, Any]) -> list[float]:
    """B's loss of each epoch: OMASGAN's eq. 2, ``-m(B, G) + mu d + nu s``, where ``-m`` is only
    the part that depends on B, or BDSG's density, distance and scattering.
    """
    losses = []
    for row in epochs:
        if row["phase"] == "boundary" and "metric" in row:
            losses.append(row["metric"] + params["mu"] * row["d"] + params["nu"] * row["s"])
        elif row["phase"] == "boundary":
            distance = params["distance"] * row["distance"]
            losses.append(row["density"] + distance + params["scattering"] * row["scattering"])
    return losses


def _rates(labels: NDArray[np.bool_], called: NDArray[np.bool_]) -> dict[str, float]:
    """The ``RATES`` of samples that are ``called`` anomalous; precision is 0 where none is.

    >>> _rates(np.array([False, False, True, True]), np.array([False, True, True, True]))["F1"]
    0.8
    """
    hits = int((labels & called).sum())
    precision = hits / max(1, int(called.sum()))
    recall = hits / int(labels.sum())
    return {
        "accuracy": float((labels == called).mean()),
        "F1": 2 * precision * recall / (precision + recall) if hits else 0.0,
        "precision": precision,
        "recall": recall,
    }


def _scores(detector: Any, X: NDArray[Any]) -> NDArray[np.float32]:
    """J's raw output, or the score of a detector without J."""
    stages: dict[str, NDArray[np.float32]] = detector.stage_scores(X)
    return stages["j" if "j" in stages else detector.stage]


def _fold(part: Part, key: RunKey) -> Fold:
    return next(fold for fold in part.folds if fold.index == key.fold)


def _detector(store: Store, key: RunKey) -> Any:
    return saved.load(store.run_dir(key), device="cpu").detector
