"""What long work says of itself while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath


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


OnEvent: TypeAlias = Callable[[Event], None]
