"""The log of a run's epochs, beside its result."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from omasgan.store.files import AnyPath, exists
from omasgan.store.journal import Row

if TYPE_CHECKING:
    from omasgan.detectors.base import Epoch
    from omasgan.store.results import RunKey, Store
    from omasgan.training.loop import Training


class EpochLog:
    """Epochs on their way to the store; an object store is written many at once.

    They are written before each checkpoint, since a training that goes on from it does not repeat
    them.
    """

    def __init__(self, store: Store, key: RunKey) -> None:
        self._store, self._key = store, key
        self._rows: list[Row] = []
        self._is_cut = False

    def seconds_before(self, checkpoint: AnyPath) -> float:
        """Return what an interrupted attempt has taken; 0 if it has left no ``checkpoint``."""
        epochs = self._store.read_epochs(self._key) if exists(checkpoint) else []
        return float(epochs[-1]["seconds"]) if epochs else 0.0

    @contextlib.contextmanager
    def following(self, training: Training) -> Iterator[None]:
        """Log a training; an earlier attempt's epochs stay up to where this one goes on."""
        if not training.is_resumed:
            self._store.drop_epochs(self._key, 0)
            self._is_cut = True
        try:
            yield
        finally:
            self.flush()

    def add(self, epoch: Epoch, seconds: float, cached_seconds: float) -> None:
        """Log an epoch that ended ``seconds`` after the start."""
        if not self._is_cut:
            self._store.drop_epochs(self._key, epoch.index)
            self._is_cut = True
        row = {"epoch": epoch.index, "phase": epoch.phase, "seconds": seconds, **epoch.losses}
        if cached_seconds:
            row["cached_seconds"] = cached_seconds
        self._rows.append(row)
        if isinstance(self._store.root, Path):
            self.flush()

    def flush(self) -> None:
        """Write what has been added."""
        self._store.append_epochs(self._key, self._rows)
        self._rows = []

    def summary(self, *, cached: bool) -> Row:
        """Return what a row says of the whole log, earlier attempts included."""
        epochs = self._store.read_epochs(self._key)
        row: Row = {"epochs": len(epochs)}
        if cached:
            row["cached_seconds"] = max(
                (epoch.get("cached_seconds", 0.0) for epoch in epochs), default=0.0
            )
        return row
