"""The test samples that a detector scored lowest and highest: where it errs, and where it is sure.

The store keeps scores of all test samples, and the images of these few, so that a report can show
them without the data set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omasgan.store.files import AnyPath, write_atomic

FILE = "extremes.npz"
COUNT = 8
"""Samples of each kind."""
MAX_SIDE = 64
"""Larger images are thinned: they are for looking at."""


def rows(label: NDArray[Any], score: NDArray[Any]) -> dict[str, NDArray[np.int64]]:
    """Return by kind the rows of its samples, the most extreme first.

    >>> {k: v.tolist() for k, v in rows(np.array([0, 0, 1, 1]), np.array([1, 3, 2, 4.0])).items()}
    {'missed': [2, 3], 'false alarms': [1, 0], 'found': [3, 2], 'normal': [0, 1]}

    Args:
        label: ``(n,)``, 0 normal, 1 anomalous.
        score: ``(n,)``, higher is more anomalous.
    """
    order = np.argsort(score, kind="stable")
    normal, anomalous = (order[label[order] == kind] for kind in (0, 1))
    return {
        "missed": anomalous[:COUNT],
        "false alarms": normal[::-1][:COUNT],
        "found": anomalous[::-1][:COUNT],
        "normal": normal[:COUNT],
    }


def save(folder: AnyPath, scores: Mapping[str, NDArray[Any]], X: NDArray[Any]) -> None:
    """Write the images among the test samples ``X`` of ``scores`` that are extreme.

    Samples that are no grey or colour images leave no file.
    """
    if X.ndim != 4 or X.shape[1] not in (1, 3):
        return
    by_kind = rows(scores["label"], scores["score"])
    shown = np.unique(np.concatenate(list(by_kind.values())))
    step = math.ceil(max(X.shape[2:]) / MAX_SIDE)
    buffer = BytesIO()
    np.savez_compressed(
        buffer, sample_id=scores["sample_id"][shown], images=X[shown][:, :, ::step, ::step]
    )
    write_atomic(folder / FILE, buffer.getvalue())
