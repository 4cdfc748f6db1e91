"""What a Ray backend would send to its workers, as bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from omasgan.backends.local import LocalBackend
from omasgan.progress import OnEvent
from omasgan.store.files import AnyPath
from omasgan.store.results import Store
from omasgan.study.search import Search
from omasgan.training.jobs import RunJob

if TYPE_CHECKING:
    from omasgan.backends.ray.backend import RayBackend


class Watched(LocalBackend):
    """Carries out in this process what it watches ``ray`` being asked to: it keeps what would go
    to workers until the first run, which must not come before every study's winner is written
    down.
    """

    def __init__(self, ray: RayBackend, store: Store) -> None:
        self._ray, self._store = ray, store
        self.wire = b""
        self.n_runs = 0

    def check_out(self, root: AnyPath) -> None:
        self._ray.check_out(root)

    def search(self, searches: Sequence[Search], on_event: OnEvent) -> None:
        from ray import cloudpickle

        from omasgan.backends.ray.worker import train_trial

        assert self.n_runs == 0
        for part in (*self._ray.payloads(searches), train_trial):
            self.wire += cloudpickle.dumps(part)
        super().search(searches, on_event)

    def runs(self, jobs: Sequence[RunJob], *args: Any) -> list[dict[str, Any]]:
        assert all((folder / "winner.json").exists() for folder in self._store.studies())
        self.n_runs += len(jobs)
        return super().runs(jobs, *args)


def is_sent(X: NDArray[Any], wire: bytes) -> NDArray[np.bool_]:
    """Of each image, whether it is among the bytes."""
    return np.array([image.tobytes() in wire for image in X])
