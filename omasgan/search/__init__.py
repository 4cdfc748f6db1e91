"""Search: a space, a guide that asks and learns, and backends that execute.

``guide`` decides which params a trial gets and whether it goes on, the same way on every backend;
``local`` and ``ray_backend`` only run trials and report what they did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from omasgan.search.checkpoints import Checkpoints

if TYPE_CHECKING:
    from omasgan.config import BenchmarkSpec
    from omasgan.datasets import Dataset
    from omasgan.files import AnyPath
    from omasgan.search.guide import Guide
    from omasgan.selection import TrialData
    from omasgan.stages import StageCache
    from omasgan.store import Store


@dataclass(frozen=True)
class Event:
    """Progress, as the driver sees it.

    ``kind`` is "epoch" (a trial went on), "trial" or "run" (one has ended), "study" or
    "comparison" (``text`` says "running" or "complete") or "note" (``text`` is for the reader).
    ``done`` of ``total`` trials or runs have ended, ``best`` is the
    best objective so far. ``study_dir`` and ``number`` say which trial, ``benchmark`` is the id of
    a comparison's, ``row`` is a run's result.
    """

    kind: str
    done: int
    total: int
    outcome: str | None = None
    objective: float | None = None
    best: float | None = None
    text: str = ""
    study_dir: AnyPath | None = None
    number: int | None = None
    row: dict[str, Any] | None = None
    benchmark: str | None = None


CHECKPOINT_SECONDS = 30.0
"""The time between two checkpoints of a training."""

OnEvent: TypeAlias = Callable[[Event], None]


@dataclass(frozen=True)
class TrialJob:
    """What the trials of a study have in common, besides their data."""

    detector: str
    device: str
    prune_collapsed: bool
    study_dir: AnyPath
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    checkpoint_seconds: float = CHECKPOINT_SECONDS

    def workdir(self, number: int) -> AnyPath:
        """Where a trial keeps its checkpoint and its records."""
        return self.study_dir / "trials" / f"{number:04d}"


@dataclass(frozen=True)
class Search:
    """A study to be carried on until ``guide`` has ``n_trials`` finished trials."""

    guide: Guide
    job: TrialJob
    data: TrialData
    n_trials: int


@dataclass(frozen=True)
class RunJob:
    """One training, tested, on the fold with the index ``fold``."""

    fold: int
    detector: str
    params: dict[str, Any]
    seed: int
    selection: str
    store: Store
    device: str = "auto"
    save: bool = False
    cache: StageCache | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    checkpoint_seconds: float = CHECKPOINT_SECONDS


class Backend(Protocol):
    """Where trials and runs are executed."""

    def check_out(self, root: AnyPath) -> None:
        """Refuse an output folder that a worker cannot write to, before any work starts."""

    def search(self, searches: Sequence[Search], on_event: OnEvent) -> None:
        """Carry on all ``searches`` to their ends, in whatever order suits the backend."""

    def runs(
        self, jobs: Sequence[RunJob], spec: BenchmarkSpec, dataset: Dataset, on_event: OnEvent
    ) -> list[dict[str, Any]]:
        """The rows of ``jobs``, in their order."""

    def close(self) -> None:
        """Give back what was started."""
