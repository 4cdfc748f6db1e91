"""Smooth displacement fields: samples near the data that no pixel noise gives.

A field is drawn on a coarse grid of control points and interpolated bicubically; displacements
are in units of half the image side, so a radius of 0.2 moves a pixel of a 28x28 image by 2.8
pixels (root mean square). A vector is displaced as it stands. Whoever trains a classifier on
deformed negatives sends its positives through ``resample``: otherwise it learns the blur of the
interpolation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omasgan.nn.networks import initialised_from


def field_size(shape: Sequence[int], grid: int) -> int:
    """Return how many numbers describe one field: ``d`` for vectors, ``2 * grid^2`` for images."""
    return shape[0] if len(shape) == 1 else 2 * grid * grid


def deform(x: Tensor, field: Tensor) -> Tensor:
    """Displace samples ``x`` ``(n, d)`` or ``(n, c, s, s)`` by fields ``(n, field_size)``."""
    if x.dim() == 2:
        return x + field
    n, _, height, width = x.shape
    grid = round((field.shape[1] / 2) ** 0.5)
    smooth = F.interpolate(
        field.float().reshape(n, 2, grid, grid),
        (height, width),
        mode="bicubic",
        align_corners=True,
    )
    identity = F.affine_grid(
        torch.eye(2, 3, device=x.device).expand(n, 2, 3), [n, 1, height, width], align_corners=True
    )
    where = identity + smooth.permute(0, 2, 3, 1)
    return F.grid_sample(x.float(), where, padding_mode="border", align_corners=True)


def random_fields(n: int, size: int, radius: float, generator: torch.Generator) -> Tensor:
    """Draw fields ``(n, size)``, each number Gaussian with standard deviation ``radius``."""
    return radius * torch.randn(n, size, generator=generator)


class Deformer(nn.Module):
    """B in its ``deformation`` form: latents ``(n, latent_dim)`` and samples ``(n, ...)`` to
    deformed samples.

    The batch's fields are centred and scaled to a root mean square of ``radius``: what is learned
    is their shape alone. Otherwise eq. 2 finds one common shift of the largest size allowed. With
    ``residual`` > 0 an image also receives a smooth additive change of that root mean square.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        latent_dim: int,
        width: int,
        grid: int,
        radius: float,
        residual: float,
    ) -> None:
        super().__init__()
        self.radius, self.residual = radius, residual
        self.field_size = field_size(shape, grid)
        self.grid = grid
        extra = grid * grid * shape[0] if len(shape) == 3 and residual > 0 else 0
        size = self.field_size + extra
        self.body = nn.Sequential(
            nn.Linear(latent_dim, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, size),
        )
        self.skip = nn.Linear(latent_dim, size, bias=False)

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        raw = self.body(z) + self.skip(z)
        deformed = deform(x, _scaled(raw[:, : self.field_size], self.radius))
        if raw.shape[1] == self.field_size:
            return deformed
        change = _scaled(raw[:, self.field_size :], self.residual)
        coarse = change.float().reshape(len(x), x.shape[1], self.grid, self.grid)
        smooth = F.interpolate(coarse, x.shape[2:], mode="bicubic", align_corners=True)
        return (deformed + smooth).clamp(-1, 1)


def deformer(
    shape: Sequence[int], *, latent_dim: int, grid: int, radius: float, residual: float, seed: int
) -> Deformer:
    """Build a ``Deformer`` for samples of ``shape``, initialised from ``seed``."""
    with initialised_from(seed):
        return Deformer(
            shape, latent_dim=latent_dim, width=64, grid=grid, radius=radius, residual=residual
        )


def _scaled(raw: Tensor, size: float) -> Tensor:
    centred = raw.float() - raw.float().mean(0)
    return size * centred / centred.square().mean().clamp_min(1e-12).sqrt()
