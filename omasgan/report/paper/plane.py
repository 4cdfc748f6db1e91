"""What 2-D suites ask of trained detectors: samples, J over the square, and thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omasgan.experiments.paper.training import Part
from omasgan.report.paper.figures import POINTS
from omasgan.store import saved
from omasgan.store.results import RunKey, Store

SIDE = 60
"""Points a side of the grid on which J is asked."""
QUANTILE = 0.95
"""Of the scores of held-out normals: the threshold. No test sample has a part in it."""
RATES = ("accuracy", "F1", "precision", "recall")


def clouds(store: Store, part: Part, key: RunKey) -> dict[str, NDArray[np.float32]]:
    """Normal training samples, and as many of G's, B's and G's successor's, by name."""
    fold = next(fold for fold in part.folds if fold.index == key.fold)
    rows = np.random.default_rng(0).permutation(fold.train)[:POINTS]
    detector: Any = _detector(store, key)
    found: dict[str, NDArray[np.float32]] = detector.samples(part.dataset.train.X[rows])
    return found


def field(store: Store, key: RunKey) -> NDArray[np.float32]:
    """J's raw output on an even grid over [-1, 1]^2, ``(SIDE, SIDE)``, rows along y."""
    at = np.linspace(-1.0, 1.0, SIDE, dtype=np.float32)
    points = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2)
    scores: NDArray[np.float32] = _detector(store, key).stage_scores(points)["j"]
    return scores.reshape(SIDE, SIDE)


def rates(store: Store, part: Part, key: RunKey) -> dict[str, dict[str, float]]:
    """By stage, ``RATES`` of a run on its test samples, at the threshold that ``QUANTILE`` of the
    fold's held-out normals stay below.
    """
    fold = next(fold for fold in part.folds if fold.index == key.fold)
    held_out = _detector(store, key).stage_scores(part.dataset.train.X[fold.validation])
    test = store.scores(key)
    labels = test["label"].to_numpy() == 1
    return {
        stage: _rates(labels, test[stage].to_numpy() > np.quantile(scores, QUANTILE))
        for stage, scores in held_out.items()
    }


def _rates(labels: NDArray[np.bool_], called: NDArray[np.bool_]) -> dict[str, float]:
    """``RATES`` of anomalies that are ``called`` so; precision is 0 where none is.

    >>> _rates(np.array([False, False, True, True]), np.array([False, True, True, True]))["F1"]
    0.8
    """
    found = int((labels & called).sum())
    precision = found / max(1, int(called.sum()))
    recall = found / int(labels.sum())
    return {
        "accuracy": float((labels == called).mean()),
        "F1": 2 * precision * recall / (precision + recall) if found else 0.0,
        "precision": precision,
        "recall": recall,
    }


def _detector(store: Store, key: RunKey) -> Any:
    return saved.load(store.run_dir(key), device="cpu").detector


def equation_2(epochs: list[dict[str, Any]], params: Mapping[str, Any]) -> list[float]:
    """Task 2's loss of each epoch: ``-m(B, G) + mu d + nu s``, of ``-m`` what depends on B."""
    return [
        row["metric"] + params["mu"] * row["d"] + params["nu"] * row["s"]
        for row in epochs
        if row["phase"] == "boundary"
    ]
