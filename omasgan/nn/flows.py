"""Invertible networks with an exact density: residual flows of blocks with one hidden layer.

Source: Behrmann, Grathwohl, Chen, Duvenaud, Jacobsen, "Invertible Residual Networks" (2019): the
block x + g(x) is invertible if the Lipschitz constant of g is below 1; Chen, Behrmann, Duvenaud,
Jacobsen, "Residual Flows for Invertible Generative Modeling" (2019): the activation LipSwish.

Both estimate log det(I + dg/dx) by a power series with random vectors. With g(x) = W2 a(W1 x + b)
and S(x) the diagonal matrix of the slopes a'(W1 x + b) there is no need to: by the matrix
determinant lemma

    det(I + W2 S W1) = det(I + S W1 W2)

whose right-hand side has the size of the hidden layer, whatever that of x.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omasgan.nn import spectral
from omasgan.nn.networks import initialised_from

INVERSE_STEPS = 100
"""Of the fixed-point iteration: an error shrinks by the block's Lipschitz constant in each."""


class LipSwish(nn.Module):
    """The activation x sigmoid(beta x) / 1.1, whose slope is at most 1; beta > 0 is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return values and slopes at ``x``."""
        scaled = F.softplus(self.raw) * x
        gate = torch.sigmoid(scaled)
        return x * gate / 1.1, gate * (1 + scaled * (1 - gate)) / 1.1


class Residual(nn.Module):
    """The map x + W2 a(W1 x + b) + c of rows ``(n, d)``; the norms of W1 and W2 are at most
    ``bound`` each, below 1.
    """

    def __init__(self, d: int, hidden: int, bound: float) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(d, hidden), nn.Linear(hidden, d)
        for layer in (self.first, self.second):
            spectral.bounded(layer, bound)
        self.activation = LipSwish()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the map of ``x`` and its log-determinant at each row, ``(n,)``."""
        # Each reading of a weight takes a step of the power iteration.
        first, second = self.first.weight, self.second.weight
        a, slope = self.activation(F.linear(x, first, self.first.bias))
        one = torch.eye(len(first), device=x.device)
        log_det = log_abs_det(one + slope[:, :, None] * (first @ second))
        return x + F.linear(a, second, self.second.bias), log_det

    def inverse(self, y: Tensor) -> Tensor:
        """Return the rows that are mapped to ``y``."""
        x = y
        for _ in range(INVERSE_STEPS):
            a, _ = self.activation(self.first(x))
            x = y - self.second(a)
        return x


def log_abs_det(matrices: Tensor) -> Tensor:
    """Return log |det A| of matrices A ``(n, k, k)`` that are far from singular, ``(n,)``."""
    if matrices.is_cuda:
        return half_log_det_of_square(matrices)
    return torch.linalg.slogdet(matrices).logabsdet  # type: ignore[no-any-return]


def half_log_det_of_square(matrices: Tensor) -> Tensor:
    """Return log |det A| as half of log det(A A^T), by Cholesky's decomposition.

    A GPU's decomposition of a batch into L U cannot be recorded in a CUDA graph. On a CPU this way
    is slower.
    """
    lower: Tensor = torch.linalg.cholesky_ex(matrices @ matrices.mT).L
    return lower.diagonal(dim1=-2, dim2=-1).log().sum(-1)


class ActNorm(nn.Module):
    """A learned shift and scale of each coordinate (Kingma and Dhariwal 2018, section 3.1)."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(d))
        self.log_scale = nn.Parameter(torch.zeros(d))

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Give each coordinate of this batch mean 0 and variance 1; one that is constant keeps
        its scale.
        """
        deviation = x.std(0, unbiased=False)
        self.shift.copy_(-x.mean(0))
        self.log_scale.copy_(-torch.where(deviation > 1e-4, deviation, 1.0).log())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the map of ``x`` and its log-determinant at each row, ``(n,)``."""
        return (x + self.shift) * self.log_scale.exp(), self.log_scale.sum().expand(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """Return the rows that are mapped to ``y``."""
        return y * torch.exp(-self.log_scale) - self.shift


class Flow(nn.Module):
    """Rows ``(n, d)`` to rows that are N(0, I) if the former are distributed as the model says:
    ``blocks`` residual blocks, with an ActNorm before, between and after them.
    """

    def __init__(self, d: int, *, blocks: int, hidden: int, bound: float, seed: int) -> None:
        super().__init__()
        with initialised_from(seed):
            layers: list[ActNorm | Residual] = [ActNorm(d)]
            for _ in range(blocks):
                layers += [Residual(d, hidden, bound), ActNorm(d)]
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the map of ``x`` and its log-determinant at each row, ``(n,)``."""
        log_det = x.new_zeros(len(x))
        for layer in self.layers:
            x, change = layer(x)
            log_det = log_det + change
        return x, log_det

    def log_density(self, x: Tensor) -> Tensor:
        """Return the log of the density of each row, ``(n,)``."""
        z, log_det = self(x)
        normal = z.square().sum(1) / 2 + z.shape[1] * math.log(2 * math.pi) / 2
        return log_det - normal  # type: ignore[no-any-return]

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Let every ActNorm take its shift and scale from what a first batch is when it gets
        there.
        """
        for layer in self.layers:
            if isinstance(layer, ActNorm):
                layer.initialise(x)
            x, _ = layer(x)

    @torch.no_grad()
    def inverse(self, z: Tensor) -> Tensor:
        """Return the rows that are mapped to ``z``: samples of the model, if z ~ N(0, I)."""
        for layer in reversed(self.layers):
            assert isinstance(layer, ActNorm | Residual)
            z = layer.inverse(z)
        return z


def logits(x: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """Return the logits of ``margin + (1 - 2 margin) x`` for rows ``x`` ``(n, d)`` in [0, 1], and
    the log-determinant of that map at each row, ``(n,)``.

    Source: Dinh, Sohl-Dickstein, Bengio, "Density estimation using Real NVP" (2017), section 4.1.
    """
    p = margin + (1 - 2 * margin) * x
    slope = math.log(1 - 2 * margin) - p.log() - (1 - p).log()
    return p.log() - (1 - p).log(), slope.sum(1)
