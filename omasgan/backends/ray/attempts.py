"""Attempts at a training on the cluster: when one has stalled, and when another one follows.

Trials (``driver.py``) and final runs (``runs.py``) are repeated, grow and stall by these rules.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omasgan.backends import shares
from omasgan.training.trials import death

if TYPE_CHECKING:
    from omasgan.backends.ray.needs import Need
    from omasgan.backends.ray.nodes import WorkerLocation

DEATHS = 3
"""A training whose process has died so often at the same point is given up."""

LOOKS = 20
"""How often a training is looked at, within the time after which it counts as stalled."""

WATCH_SECONDS = 5.0
"""The longest time between two looks at what runs."""

STALLED = "it stalled: nothing came from it for too long"


@dataclass
class Attempt:
    """One process's attempt at a training.

    ``share`` is its share of a GPU; ``is_alone`` says that it gets a node for itself. The process
    is at ``location``, if that is known.
    """

    share: float
    is_alone: bool = False
    location: WorkerLocation | None = None
    has_stalled: bool = False
    last_sign: float | None = None

    def show_life(self) -> None:
        """Note that the process has begun, or has said something."""
        self.last_sign = time.monotonic()

    def check(self, stall_seconds: float) -> bool:
        """Return whether the process has said nothing for so long, which counts from when it began
        or from now.
        """
        if self.last_sign is None:
            self.show_life()
        elif time.monotonic() - self.last_sign > stall_seconds:
            self.has_stalled = True
        return self.has_stalled


class Attempts:
    """All attempts at one training.

    One that dies is followed by another, as ``RetryPolicy`` allows. If the memory of its node ran
    out, the others have a node for themselves: Ray ends whatever trains on such a node, and alone
    a training shows whether it was the cause. If the training ran out of a measured share of a
    GPU, the next attempt has a larger share, once.
    """

    def __init__(self, need: Need) -> None:
        self._share, self._is_alone = need.share, False
        self._larger = None if need.memory_mb is None else shares.larger(need.share)
        self._retries = RetryPolicy()

    def begin(self) -> Attempt:
        """Return the next attempt, whose process is about to be started."""
        return Attempt(self._share, self._is_alone)

    def cause_to_repeat(self, outcome: str | None, error: str, furthest: Any) -> str | None:
        """Return why the attempt that has just ended is followed by another; None if it is not.

        Args:
            outcome: of the training; None if the process died.
            error: what it died of.
            furthest: how far the training came; compares with what it was before.
        """
        if outcome is None:
            self._is_alone |= death(error).outcome == "out-of-memory"
            return error if self._retries.allows(furthest) else None
        if outcome != "out-of-memory" or self._larger is None:
            return None
        self._share, self._larger = self._larger, None
        return f"it ran out of memory, and gets {self._share:g} of a GPU"


@dataclass
class RetryPolicy:
    """Whether a training whose process has died is repeated, from its checkpoint.

    What dies with a node or by another's hand gets further each time, and is repeated as often as
    it takes; what kills its own process does so at the same point.
    """

    furthest: Any = None
    deaths: int = 0

    def allows(self, furthest: Any) -> bool:
        """Return whether a death is followed by another attempt; ``furthest`` says how far the
        training came, and compares with what it was before.
        """
        if self.furthest is None or furthest > self.furthest:
            self.furthest, self.deaths = furthest, 0
        self.deaths += 1
        return self.deaths < DEATHS


def cause_of_death(error: Any) -> str:
    """Return the lines of a Ray error that say what happened, as one."""
    lines = [line.strip() for line in str(error or "").splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Failure #", "class_name", "actor_id"))]
    return " ".join(told[:2]) or "worker died"
