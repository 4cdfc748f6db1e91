"""Masked autoregressive flow: a learned density of vectors, whose logarithm takes one pass.

Source: Papamakarios, Pavlakou, Murray, "Masked Autoregressive Flow for Density Estimation" (2017),
eqs. 3 to 5; the masks are those of Germain, Gregor, Murray, Larochelle, "MADE" (2015), section 3.
A block maps z to (z_i - m_i) exp(-s_i) with m_i and s_i computed from z_1 to z_{i-1} alone, so
that its log-determinant is -sum s_i. Blocks take the coordinates in orders of their own, drawn
once.

Ours: one hidden layer, s between -``MAX_LOG_SCALE`` and ``MAX_LOG_SCALE``, and last layers that
begin at zero: a new flow is the identity but for the orders.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omasgan.nn.networks import initialised_from

MAX_LOG_SCALE = 3.0


class MaskedLinear(nn.Linear):
    """A linear layer whose output i sees input j only where ``mask[i, j]`` is 1."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.float())

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class Block(nn.Module):
    """One autoregressive map of vectors ``(n, d)``, in the order that ``order`` ``(d,)`` says."""

    order: Tensor

    def __init__(self, order: Tensor, hidden: int) -> None:
        super().__init__()
        d = len(order)
        self.register_buffer("order", order)
        inputs = torch.arange(1, d + 1)
        degrees = torch.arange(hidden) % max(1, d - 1) + 1
        self.first = MaskedLinear(degrees[:, None] >= inputs)
        self.last = MaskedLinear((inputs[:, None] > degrees).repeat(2, 1))
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the map of ``z`` and its log-determinant at each row, ``(n,)``."""
        z = z[:, self.order]
        m, raw = self.last(F.relu(self.first(z))).chunk(2, dim=1)
        s = MAX_LOG_SCALE * torch.tanh(raw / MAX_LOG_SCALE)
        return (z - m) * torch.exp(-s), -s.sum(1)


class MAF(nn.Module):
    """A density of vectors of dimension ``d``: ``blocks`` maps to N(0, I)."""

    def __init__(self, d: int, *, blocks: int, hidden: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        orders = [torch.randperm(d, generator=generator) for _ in range(blocks)]
        with initialised_from(seed):
            self.blocks = nn.ModuleList(Block(order, hidden) for order in orders)

    def log_density(self, z: Tensor) -> Tensor:
        """Return the log-density of rows ``(n, d)``, ``(n,)``."""
        log_det = z.new_zeros(len(z))
        for block in self.blocks:
            z, change = block(z)
            log_det = log_det + change
        constant = z.shape[1] * math.log(2 * math.pi) / 2
        return log_det - z.square().sum(1) / 2 - constant
