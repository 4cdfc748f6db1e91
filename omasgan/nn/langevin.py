"""Langevin chains: samples that go down an energy and are shaken by noise."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]


def chain(
    energy: Map,
    start: Tensor,
    *,
    steps: int,
    rate: float,
    noise: float,
    onto: Map,
    generator: torch.Generator,
) -> Tensor:
    """Return where chains from ``start`` ``(n, ...)`` are after ``steps`` steps

        x <- onto(x - rate * grad energy(x) + noise * eps),  eps ~ N(0, I)

    ``energy`` gives ``(n,)``; ``onto`` brings points back to where they may lie. Without bounds,
    and for small rates, chains come to be distributed as exp(-energy / T) with a temperature T of
    ``noise^2 / (2 * rate)``.
    """
    x = start.detach()
    for _ in range(steps):
        shaken = torch.randn(x.shape, generator=generator, device=x.device)
        x = onto(x - rate * gradient(energy, x) + noise * shaken)
    return x


def gradient(energy: Map, x: Tensor) -> Tensor:
    """Return the gradient of each energy by its own ``x``, also where none are gathered."""
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(energy(point).sum(), point)
    return gradient
