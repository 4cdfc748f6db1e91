"""Gradient penalties on a critic."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def r1(critic: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return half the mean squared gradient norm of the critic at data ``x`` ``(n, ...)``, a
    scalar.

    Source: Mescheder et al. 2018, eq. 9 (without its weight).
    """
    return 0.5 * _gradient(critic, x).square().flatten(1).sum(1).mean()


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor
) -> Tensor:
    """Return mean squared deviation from 1 of the critic's gradient norm between data and
    generated samples, a scalar; ``mix`` ``(n,)`` in [0, 1] says how far each point lies from
    ``real``.

    Source: Gulrajani et al. 2017, eq. 3 (without its weight).
    """
    weight = mix.reshape(-1, *[1] * (real.dim() - 1))
    between = torch.lerp(real.float(), fake.detach().float(), weight)
    norm = _gradient(critic, between).square().flatten(1).sum(1).clamp_min(1e-12).sqrt()
    return (norm - 1).square().mean()


def _gradient(critic: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    point = x.detach().float().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(point).float().sum(), point, create_graph=True)
    return gradient
