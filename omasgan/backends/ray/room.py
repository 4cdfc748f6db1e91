"""How many trainings have room on a Ray cluster, whose nodes come and go."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from omasgan.backends import shares
from omasgan.backends.ray import cluster
from omasgan.errors import BackendError

if TYPE_CHECKING:
    from omasgan.backends.ray.attempts import Attempt

ROOM_SECONDS = 5.0
"""How long the count of a cluster's nodes is taken as current."""


class Room:
    """How many trials of ``cpus`` CPUs and ``share`` of a GPU run at once on the cluster."""

    def __init__(self, cpus: float, share: float, at_once: int | None) -> None:
        self.cpus, self.share = cpus, share
        self._at_once = at_once
        self._counted, self._trials = float("-inf"), 0

    def check(self) -> None:
        """Refuse a cluster on which no trial fits, unless it is to grow.

        Raises:
            BackendError: no node has so many CPUs or GPUs.
        """
        if self._at_once is None:
            shares.capacity(cluster.living_nodes(), self.cpus, self.share)

    def trials(self) -> int:
        """Return how many fit now; the number that was asked for at once, if one was."""
        if self._at_once is not None:
            return self._at_once
        if time.monotonic() - self._counted > ROOM_SECONDS:
            self._counted = time.monotonic()
            try:
                self._trials = shares.capacity(cluster.living_nodes(), self.cpus, self.share)
            except BackendError:
                self._trials = 0
        return self._trials

    def cpus_for(self, attempt: Attempt) -> float:
        """Return the CPUs that an attempt is given; one that is to have a node for itself gets all
        those of the smallest node that holds a trial, so that no other fits there.
        """
        if not attempt.is_alone:
            return self.cpus
        nodes = [node["CPU"] for node in cluster.living_nodes() if node.get("CPU", 0) >= self.cpus]
        return min(nodes, default=self.cpus)
