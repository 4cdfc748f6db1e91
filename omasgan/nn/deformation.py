"""Smooth displacement fields: samples near the data that no pixel noise gives.

A field is drawn on a coarse grid of control points and interpolated bicubically; displacements
are in units of half the image side, so a radius of 0.2 moves a pixel of a 28x28 image by 2.8
pixels (root mean square). A vector is displaced as it stands. Whoever trains a classifier on
deformed negatives sends its positives through ``resample``: otherwise it learns the blur of the
interpolation.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omasgan.nn import batches
from omasgan.nn.networks import initialised_from


def field_size(shape: Sequence[int], grid: int) -> int:
    """Return how many numbers describe one field: ``d`` for vectors, ``2 * grid^2`` for images."""
    return shape[0] if len(shape) == 1 else 2 * grid * grid


def deform(x: Tensor, field: Tensor) -> Tensor:
    """Displace samples ``x`` ``(n, d)`` or ``(n, c, s, s)`` by fields ``(n, field_size)``."""
    if x.dim() == 2:
        return x + field
    # Under autocast the grid of pixels would be rounded to bfloat16.
    with batches.exactly(x.device):
        where = _identity(x.shape[2], x.device) + _smooth(field, 2, x.shape[2]).movedim(1, 3)
        # A GPU adds up grid_sample's gradient in an order that differs from time to time.
        if x.is_cuda and x.requires_grad:
            return read_at(x.float(), where)
        return F.grid_sample(x.float(), where, padding_mode="border", align_corners=True)


def read_at(x: Tensor, where: Tensor) -> Tensor:
    """Read images ``(n, c, s, s)`` at points ``(n, s, s, 2)``, as ``grid_sample`` does: in [-1, 1]
    from edge to edge, x before y, bilinearly. The gradient of ``x`` is always the same.
    """
    last = x.shape[2] - 1
    point = ((where + 1) * (last / 2)).clamp(0, last)
    corner = point.floor().clamp(max=last - 1)
    right, down = (point - corner)[..., None, :].unbind(-1)
    (column, row), image = corner.long().unbind(-1), torch.arange(len(x), device=x.device)
    pixels, image = x.movedim(1, 3), image[:, None, None]
    above, below = (
        pixels[image, r, column] * (1 - right) + pixels[image, r, column + 1] * right
        for r in (row, row + 1)
    )
    return (above * (1 - down) + below * down).movedim(3, 1)


def _smooth(values: Tensor, channels: int, side: int) -> Tensor:
    """Interpolate values at control points ``(n, channels * grid^2)`` bicubically to images
    ``(n, channels, side, side)``.
    """
    grid = round((values.shape[1] / channels) ** 0.5)
    points = values.float().reshape(-1, grid * grid)
    pixels = points @ _bicubic(grid, side, values.device)
    return pixels.reshape(len(values), channels, side, side)


@functools.cache
def _bicubic(grid: int, side: int, device: torch.device) -> Tensor:
    """Return what each control point adds to each pixel, ``(grid^2, side^2)``: bicubic
    interpolation is linear in its control points.
    """
    points = torch.eye(grid * grid).reshape(-1, 1, grid, grid)
    pixels = F.interpolate(points, (side, side), mode="bicubic", align_corners=True)
    return pixels.flatten(1).to(device)


@functools.cache
def _identity(side: int, device: torch.device) -> Tensor:
    """Return the grid ``(1, side, side, 2)`` with which ``grid_sample`` changes nothing."""
    return F.affine_grid(torch.eye(2, 3)[None], [1, 1, side, side], align_corners=True).to(device)


def random_fields(n: int, size: int, radius: float, generator: torch.Generator) -> Tensor:
    """Draw fields ``(n, size)``, each number Gaussian with standard deviation ``radius``, on the
    generator's device.
    """
    return radius * torch.randn(n, size, generator=generator, device=generator.device)


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
        with batches.exactly(x.device):
            smooth = _smooth(change, x.shape[1], x.shape[2])
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
