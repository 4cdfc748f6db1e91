"""Label-free negatives that need no training: the controls that a learned boundary must beat.

Each takes samples ``x`` ``(n, ...)`` in [-1, 1] and a generator of the same device, and gives as
many negatives of the same shape.
"""

from __future__ import annotations

import torch
from torch import Tensor

PATCHES = 4
"""Patches per side that ``patch_shuffle`` cuts an image into (fewer where the side is odd)."""


def uniform_noise(x: Tensor, generator: torch.Generator) -> Tensor:
    """Draw independent uniform values in [-1, 1]."""
    return torch.rand(x.shape, generator=generator, device=generator.device) * 2 - 1


def patch_shuffle(x: Tensor, generator: torch.Generator) -> Tensor:
    """Put each image's patches in a random order; take a vector's coordinates each from another
    sample.
    """
    n = len(x)
    if x.dim() == 2:
        order = torch.rand(x.shape, generator=generator, device=generator.device).argsort(0)
        return x.gather(0, order)
    _, c, side, _ = x.shape
    k = next(k for k in (PATCHES, 3, 2, 1) if side % k == 0)
    p = side // k
    patches = x.reshape(n, c, k, p, k, p).permute(0, 2, 4, 1, 3, 5).reshape(n, k * k, c, p, p)
    order = torch.rand(n, k * k, generator=generator, device=generator.device).argsort(1)
    shuffled = patches[torch.arange(n, device=x.device)[:, None], order]
    return shuffled.reshape(n, k, k, c, p, p).permute(0, 3, 1, 4, 2, 5).reshape(n, c, side, side)
