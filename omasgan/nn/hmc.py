"""Hamiltonian Monte Carlo: chains that are distributed as exp(-energy) and go far in each step.

Source: Neal, "MCMC using Hamiltonian dynamics" (2011), sections 2.3 and 3. A transition draws a
momentum from N(0, I), follows the dynamics for some leapfrog steps, and is accepted with the
probability that keeps exp(-energy) as it is: whatever has this distribution before has it after.
Leaps have another length in each transition of each chain, or paths that are as long as a
direction's period would come back to where they began.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Energy = Callable[[Tensor], Tensor]
"""Of points ``(n, d)``, ``(n,)``."""

ACCEPTED = 0.67
"""The share of transitions that the adapted step aims at."""

PATIENCE = 0.02
"""By how much of itself a step changes, at most, in a transition of the burn-in."""


class Points(NamedTuple):
    """Points ``(n, d)``, with the energy of each and its gradient."""

    x: Tensor
    energy: Tensor
    gradient: Tensor


def chain(
    energy: Energy,
    start: Tensor,
    *,
    step: Tensor,
    leaps: int,
    burn_in: int,
    samples: int,
    generator: torch.Generator,
) -> Tensor:
    """Return ``samples`` states of chains from ``start`` ``(n, d)``, ``(samples, n, d)``: those
    that follow the first ``burn_in`` transitions.

    ``step`` is the mean length of a leap, a scalar tensor, which the burn-in changes in place;
    lengths are between half of it and three halves.
    """
    points = _points(energy, start)
    states = []
    for i in range(burn_in + samples):
        points, accepted = _transition(energy, points, step, leaps, generator)
        if i < burn_in:
            step.mul_(1 + PATIENCE * (accepted - ACCEPTED))
        else:
            states.append(points.x)
    return torch.stack(states)


def _transition(
    energy: Energy, before: Points, step: Tensor, leaps: int, generator: torch.Generator
) -> tuple[Points, Tensor]:
    """Return the points after a transition, and the share of them that have moved."""
    x, device = before.x, before.x.device
    start = momentum = torch.randn(x.shape, generator=generator, device=device)
    length = step * (0.5 + torch.rand(len(x), 1, generator=generator, device=device))
    after = before
    for _ in range(leaps):
        momentum = momentum - length / 2 * after.gradient
        after = _points(energy, after.x + length * momentum)
        momentum = momentum - length / 2 * after.gradient
    lost = before.energy - after.energy + (start.square() - momentum.square()).sum(1) / 2
    # A comparison with NaN is false: a chain does not go where there is no energy.
    accepted = torch.rand(len(x), generator=generator, device=device).log() < lost
    moved = Points(
        torch.where(accepted[:, None], after.x, before.x),
        torch.where(accepted, after.energy, before.energy),
        torch.where(accepted[:, None], after.gradient, before.gradient),
    )
    return moved, accepted.float().mean()


def _points(energy: Energy, x: Tensor) -> Points:
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        values = energy(point)
        (gradient,) = torch.autograd.grad(values.sum(), point)
    return Points(point.detach(), values.detach(), gradient)
