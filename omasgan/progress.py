"""The events that long work reports while it goes on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath
    from omasgan.training.trials import Trial


@dataclass(frozen=True)
class Note:
    """A sentence for the reader."""

    text: str


@dataclass(frozen=True)
class EpochEnded:
    """An epoch of a training has ended; ``text`` says which. ``study`` is the folder of a trial's
    study, None for a run; ``done`` of ``total`` trials or runs have ended. After ``deadline``, in
    seconds of ``time.monotonic``, none begins.
    """

    text: str
    done: int
    total: int
    study: AnyPath | None = None
    best: float | None = None
    deadline: float = math.inf


@dataclass(frozen=True)
class TrialEnded:
    """A trial has ended; ``best`` is the study's best objective so far, ``deadline`` as above."""

    trial: Trial
    study: AnyPath
    done: int
    total: int
    best: float | None
    deadline: float = math.inf


@dataclass(frozen=True)
class RunEnded:
    """A run has ended with the result ``row``; ``comparison`` is the id of the benchmark if the
    run belongs to a comparison on it.
    """

    row: dict[str, Any]
    done: int
    total: int
    comparison: str | None = None


@dataclass(frozen=True)
class StudyChanged:
    """A study is now "running" or "complete"."""

    study: AnyPath
    status: str
    done: int
    total: int


@dataclass(frozen=True)
class ComparisonChanged:
    """The comparison on a benchmark is now "running" or "complete", or has a finished entry."""

    benchmark: str
    status: str


def study_name(folder: AnyPath) -> str:
    """Return detector, rule and study of ``<benchmark>/<detector>/<rule>/studies/<study>``."""
    detector, rule, _, study = folder.parts[-4:]
    return f"{detector} {rule} {study}"


Event: TypeAlias = Note | EpochEnded | TrialEnded | RunEnded | StudyChanged | ComparisonChanged
OnEvent: TypeAlias = Callable[[Event], None]
