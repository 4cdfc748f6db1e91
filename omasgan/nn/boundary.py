"""The terms of OMASGAN's Task 2 besides the divergence, the density that BDSG has in its place,
and how to see that B has collapsed.

Samples ``(n, ...)`` are compared as flat vectors, latents are ``(n, k)``. The paper's terms grow
with the square root of the dimension and with the latent's scale; dividing by the ``Scale`` of
G's samples and of the latent makes the weights mu and nu mean the same on every data set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from omasgan.nn.kinds import DensityKind


@dataclass(frozen=True)
class Scale:
    """Units of distance: among G's samples and among latents. ``Scale(1, 1)`` is the paper's."""

    sample: float
    latent: float

    @classmethod
    def measure(cls, samples: Tensor, latents: Tensor) -> Self:
        """Measure the mean pairwise distances of ``samples`` and of ``latents``."""
        return cls(mean_pairwise(samples).item(), mean_pairwise(latents).item())


LITERAL = Scale(1.0, 1.0)


def pairwise(x: Tensor) -> Tensor:
    """Return Euclidean distances ``(n, n)`` among the rows of ``x``; differentiable on the
    diagonal too.

    The batch is centred first: distances stay the same and cancellation is least.
    """
    flat = x.float().flatten(1)
    flat = flat - flat.mean(0).detach()
    square = flat.square().sum(1)
    squared = square[:, None] + square[None, :] - 2 * flat @ flat.T
    return squared.clamp_min(1e-12).sqrt()


def mean_pairwise(x: Tensor) -> Tensor:
    """Return mean distance between two different rows of ``x``, a scalar."""
    n = len(x)
    distances = pairwise(x)
    return (distances.sum() - distances.diagonal().sum()) / (n * (n - 1))


def point_to_set(boundary: Tensor, generated: Tensor, scale: Scale = LITERAL) -> Tensor:
    """Return the distance of each of ``N`` boundary samples to the nearest of ``Q`` generated
    ones, averaged.

    Only the nearest sample's distance is formed exactly; the search for it carries no gradient.
    Source: OMASGAN paper, eq. 3.
    """
    b, g = boundary.float().flatten(1), generated.float().flatten(1)
    with torch.no_grad():
        nearest = (g.square().sum(1) - 2 * b @ g.T).argmin(1)
    return (b - g[nearest]).square().sum(1).clamp_min(1e-12).sqrt().mean() / scale.sample


def dispersion(boundary: Tensor, latents: Tensor, scale: Scale = LITERAL) -> Tensor:
    """Return how little B spreads its samples out: the mean over i and j != i of ``|z_i - z_j| /
    |B(z_i) - B(z_j)|``, a scalar that grows as samples fall together.

    Source: OMASGAN paper, eq. 4 (its mean over the batch).
    """
    n = len(latents)
    ratio = (pairwise(latents) / scale.latent) / (pairwise(boundary) / scale.sample)
    other = ~torch.eye(n, dtype=torch.bool, device=ratio.device)
    return torch.where(other, ratio, 0.0).sum() / (n * (n - 1))


def density_term(log_p: Tensor, d: int, kind: DensityKind) -> Tensor:
    """Return what B keeps low where there is a density p_g, a scalar, from log p_g ``(n,)`` of its
    samples of dimension ``d``: the mean of p_g, or the exponential of the mean of log p_g per
    dimension, in bits.

    The former is the first term of BDSG's loss. For images it is 0 in any number format, while the
    latter has a gradient everywhere.
    """
    if kind == "plain":
        return log_p.exp().mean()
    return torch.exp(log_p.mean() / (d * math.log(2)))


def spread(boundary: Tensor, generated: Tensor) -> Tensor:
    """Return the mean distance among B's samples over that among G's: 1 is alike, near 0 is
    collapse.
    """
    return mean_pairwise(boundary) / mean_pairwise(generated).clamp_min(1e-12)


def alikeness(boundary: Tensor, generated: Tensor) -> Tensor:
    """Return the mean cosine in [-1, 1] between two of B's samples, seen from the centre of G's.

    About 0 where B surrounds the data, 1 where all its samples are one pattern, whatever its
    strength: this is how a free B collapses on images, while ``spread`` still looks healthy.
    """
    n = len(boundary)
    centre = generated.float().flatten(1).mean(0)
    directions = F.normalize(boundary.float().flatten(1) - centre)
    return (directions.sum(0).square().sum() - n) / (n * (n - 1))
