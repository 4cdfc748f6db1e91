"""A trial, and what its training yields: epochs, the value of each task, and its ending."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

OUTCOMES = ("ok", "pruned", "diverged", "out-of-memory", "failed")

COLLAPSED = "collapsed"
"""The health figure that is 1.0 when all samples of a generator are alike."""


@dataclass(frozen=True, slots=True)
class EpochRow:
    """One epoch of the training for the task ``task``, the trial's ``step``-th from 0.

    ``losses`` holds losses and health figures by name.
    """

    task: str
    step: int
    epoch: int
    phase: str
    losses: Mapping[str, float]

    @property
    def has_collapsed(self) -> bool:
        """Whether the generator's samples are all alike."""
        return self.losses.get(COLLAPSED) == 1.0


@dataclass(frozen=True, slots=True)
class ValueRow:
    """The value of a finished task for each stage that is judged, in [0, 1].

    ``cached_seconds`` is the training time that another trial has saved this one; None where
    trials share nothing.
    """

    task: str
    step: int
    values: Mapping[str, float]
    cached_seconds: float | None = None

    @property
    def value(self) -> float:
        """The best stage's: what the pruner compares trials by."""
        return max(self.values.values())


@dataclass(frozen=True, slots=True)
class Ending:
    """How a trial ended.

    ``outcome`` is one of ``OUTCOMES``. Unless it is ok, ``objective`` and ``stage``, the stage
    whose mean value that is, are None. ``seconds`` and ``peak_memory_mb`` are those of the last
    attempt, None where its process died. ``gpus`` is its share of a GPU and
    ``predicted_gpu_memory_mb`` what it was measured to need; None without one. ``cached_seconds``
    is the training time, not in ``seconds``, that other trials have saved its finished tasks; None
    where trials share nothing.
    """

    outcome: str
    objective: float | None = None
    error: str | None = None
    stage: str | None = None
    seconds: float | None = None
    peak_memory_mb: float | None = None
    gpu_peak_memory_mb: float | None = None
    gpus: float | None = None
    predicted_gpu_memory_mb: float | None = None
    cached_seconds: float | None = None


def death(error: str) -> Ending:
    """Return the ending of a training whose process died of ``error``; Ray ends the processes of a
    node whose memory has run out.
    """
    return Ending("out-of-memory" if "OutOfMemory" in error else "failed", error=error)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A worker on which no trial can work, for ``reason``; that says nothing of the params."""

    reason: str


TrialRow: TypeAlias = EpochRow | ValueRow | Ending | Refusal
"""What a trial yields, in order; the last one is an ``Ending`` or a ``Refusal``."""


@dataclass(frozen=True)
class Trial:
    """One point of a study; ``ending`` is None while it runs.

    ``values`` are those of its finished tasks, by step and stage; ``attempts`` counts the
    processes that trained it; ``ended_at`` is in seconds since 1970. ``enqueued`` says why its
    params were given instead of drawn. ``group`` is the number of those that share stages with it.
    """

    number: int
    params: Mapping[str, Any]
    values: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    ending: Ending | None = None
    attempts: int = 1
    ended_at: float | None = None
    enqueued: str | None = None
    group: int | None = None

    @property
    def outcome(self) -> str | None:
        return self.ending.outcome if self.ending else None

    @property
    def objective(self) -> float | None:
        return self.ending.objective if self.ending else None

    @property
    def error(self) -> str | None:
        return self.ending.error if self.ending else None
