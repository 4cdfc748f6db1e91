"""Distances to the nearest of many vectors, plain and in units of what is usual where they lie.

Vectors are rows of length 1; their distance is one minus the cosine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from omasgan.nn import batches

NEAREST = 5
"""How many neighbours the local distance looks at."""

SPARE = 3
"""How many more are looked for: the search is coarse, and the nearest of what it finds count."""

CHUNK = 512
"""Vectors whose neighbours are looked for at once when a reference is compared with itself."""

SMALLEST = 1e-6
"""The least distance that counts as usual; without it a vector that occurs ten times would make
all others infinitely far."""


@dataclass(frozen=True)
class Neighbourhoods:
    """Vectors ``reference`` ``(m, d)`` to compare with, and ``usual`` ``(m,)``: how far each of
    them is from its own neighbours.
    """

    reference: Tensor
    usual: Tensor

    @classmethod
    def of(cls, reference: Tensor) -> Self:
        """Measure what is usual among the vectors ``(m, d)``, of which there are at least 2."""
        near, _ = _others(reference)
        return cls(reference, near.mean(1).clamp_min(SMALLEST))

    def distances(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return two distances of vectors ``(n, d)`` to their neighbours in the reference, each
        ``(n,)``: that to the nearest one, and the local one.

        The local distance is the mean over the ``NEAREST`` nearest, over the square root of the
        mean of what is usual for them: halfway, on a scale of logarithms, between the plain
        distance and one in units of the neighbours' own, as the local outlier factor has it.
        """
        return self._distances(*_nearest(x, self.reference, 0))

    def own_distances(self) -> tuple[Tensor, Tensor]:
        """Return the same of the reference, each of whose vectors is no neighbour of itself."""
        return self._distances(*_others(self.reference))

    def _distances(self, near: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        return near[:, 0], near.mean(1) / self.usual[index].mean(1).sqrt()


def _others(reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return what ``_nearest`` does of each vector and the others."""
    parts = [_nearest(part, reference, 1) for part in reference.split(CHUNK)]
    return torch.cat([near for near, _ in parts]), torch.cat([index for _, index in parts])


def _nearest(x: Tensor, reference: Tensor, skipped: int) -> tuple[Tensor, Tensor]:
    """Return the distances of ``x`` ``(n, d)`` to its ``NEAREST`` nearest in ``reference``, in
    order, and their places there, both ``(n, k)``; the first ``skipped`` are left out.
    """
    last = min(skipped + NEAREST, len(reference))
    found = min(last + SPARE, len(reference))
    with batches.coarse_products():
        candidates = (x @ reference.T).topk(found).indices
    # 1 - cos of unit vectors, without the cancellation; one candidate each at a time takes the
    # least memory.
    exact = [(x - reference[chosen]).square().sum(1) / 2 for chosen in candidates.T]
    near, order = torch.stack(exact, 1).sort(1)
    return near[:, skipped:last], candidates.gather(1, order)[:, skipped:last]
