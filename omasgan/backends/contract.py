"""What a backend does: it executes trials and runs, and decides nothing about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from omasgan.config import BenchmarkSpec
    from omasgan.data.datasets import Dataset
    from omasgan.progress import OnEvent
    from omasgan.store.files import AnyPath
    from omasgan.study.search import Search
    from omasgan.training.jobs import RunJob


class Backend(Protocol):
    """Where trials and runs are executed."""

    def check_out(self, root: AnyPath) -> None:
        """Refuse an output folder that a worker cannot write to, before any work starts."""

    def search(self, searches: Sequence[Search], on_event: OnEvent) -> None:
        """Carry on all ``searches`` to their ends, in whatever order suits the backend."""

    def runs(
        self, jobs: Sequence[RunJob], spec: BenchmarkSpec, dataset: Dataset, on_event: OnEvent
    ) -> list[dict[str, Any]]:
        """Execute ``jobs`` on folds of ``dataset``; return their rows, in their order.

        Runs that are done are returned as they are stored; if they were made on another kind of
        device than would be used now, ``on_event`` is given a note.
        """

    def close(self) -> None:
        """End what was started."""
