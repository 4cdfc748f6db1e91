"""One run, before it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from omasgan.training.evaluate import CHECKPOINT_SECONDS

if TYPE_CHECKING:
    from omasgan.store.results import Store
    from omasgan.training.stages import StageCache


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
