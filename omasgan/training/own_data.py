"""Train a detector on normal samples of the user's own, without a benchmark, and save it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from omasgan import detectors
from omasgan.config import data_name
from omasgan.data.scaling import Scaling, scaled
from omasgan.data.tables import Table
from omasgan.errors import StoreError
from omasgan.store import files, saved
from omasgan.training.environment import code_version

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath

HELD_OUT = 0.1
"""Share of the samples that calibrates the scores and is not trained on."""


@dataclass(frozen=True)
class Settings:
    """What is trained, how, and where."""

    detector: str
    params: Mapping[str, Any]
    seed: int
    device: str


def check_free(folder: AnyPath) -> None:
    """Refuse a folder that has a saved detector already.

    Raises:
        StoreError: it has one.
    """
    if files.exists(folder / saved.DESCRIPTION):
        raise StoreError(f"'{folder}' has a saved detector already; choose another --save folder")


def fit(
    samples: NDArray[Any] | Table, data: Path, settings: Settings, folder: AnyPath
) -> Iterator[str]:
    """Train on nine tenths of the samples and save in ``folder``; yield lines of progress.

    A table is scaled by these nine tenths alone.

    Raises:
        OmasganError: the detector cannot work with these samples or params, the training
            diverged, or the folder cannot be written.
    """
    X, columns = (samples.X, samples.columns) if isinstance(samples, Table) else (samples, ())
    rows = np.random.default_rng(settings.seed).permutation(len(X))
    n = max(1, round(HELD_OUT * len(X)))
    scaling = Scaling.of(X, rows[n:], columns)
    held_out, train = (scaled(scaling, X[np.sort(part)]) for part in (rows[:n], rows[n:]))
    yield f"{len(train)} samples of shape {X.shape[1:]} to train on, {n} held out"
    if scaling is not None and scaling.constant:
        names = ", ".join(map(repr, scaling.constant))
        yield f"always the same in training, so that other values count in their own unit: {names}"
    cls = detectors.load(settings.detector)
    detector = cls(**settings.params, seed=settings.seed, device=settings.device)
    phase = None
    for epoch in detector.fit_epochs(train):
        if epoch.phase != phase:
            phase = epoch.phase
            yield f"{settings.detector}: {phase}"
    row = {
        "detector": settings.detector,
        "params": dict(settings.params),
        "seed": settings.seed,
        "benchmark": data_name(data),
        "fold": 0,
        "data_sha256": hashlib.sha256(np.ascontiguousarray(X).data).hexdigest(),
        "code_version": code_version(),
    }
    saved.save(folder, detector, row, held_out, scaling)
