"""B in its latent forms: codes of an autoencoder, moved away from those of normal samples.

A code ``(n, k)`` is what the encoder makes of a sample, in units of the codes' standard deviation.
What B decodes begins at random, near a normal sample's code or between two of them, and then goes
a few steps down eq. 2, at the distance from the code that it began at: how far is drawn, where to
is learned.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from omasgan.nn import langevin

SIZES = (0.3, 1.0)
"""The range of a move's size, one for each sample, in units of the codes' standard deviation."""

WEIGHTS = (0.3, 0.7)
"""The range of the other sample's weight between two."""


def near(codes: Tensor, noise: Tensor, generator: torch.Generator) -> Tensor:
    """Move each code by Gaussian ``noise`` ``(n, k)`` of a size that is drawn for it."""
    return codes + _uniform(codes, SIZES, generator) * noise


def between(codes: Tensor, generator: torch.Generator) -> Tensor:
    """Move each code towards that of the next sample, by a share that is drawn for it."""
    return codes.lerp(codes.roll(1, 0), _uniform(codes, WEIGHTS, generator))


def descend(
    energy: langevin.Map, start: Tensor, codes: Tensor, *, steps: int, rate: float
) -> Tensor:
    """Go ``steps`` steps from ``start`` down ``energy``, each on the sphere around its code.

    A step is ``rate`` times the sphere's radius long, whatever the size of the gradient.
    """
    radius = (start - codes).norm(dim=1, keepdim=True)
    at = start
    for _ in range(steps):
        down = at - rate * radius * F.normalize(langevin.gradient(energy, at))
        at = codes + radius * F.normalize(down - codes)
    return at


def _uniform(like: Tensor, limits: tuple[float, float], generator: torch.Generator) -> Tensor:
    low, high = limits
    drawn = torch.rand(len(like), 1, generator=generator, device=generator.device)
    return low + (high - low) * drawn.to(like)
