"""When a training whose process has died is repeated, and how it counts when it is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omasgan.training.trials import Ending

DEATHS = 3
"""A training whose process has died so often at the same place is given up."""


@dataclass
class RetryPolicy:
    """Whether a training whose process has died is to be repeated, from its checkpoint.

    What dies with a node or by another's hand gets further each time, and is repeated as often as
    it takes; what kills its own process does so at the same place.
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


def death(error: str) -> Ending:
    """Return the ending of a process that is gone: Ray ends those that exhaust a node's memory."""
    outcome = "out-of-memory" if "OutOfMemory" in error else "failed"
    return Ending(outcome, error=error)
