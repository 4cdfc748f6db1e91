"""Spectral norm: layers whose largest singular value is about 1, or at most a bound.

Source: Miyato, Kataoka, Koyama, Yoshida, "Spectral Normalization for Generative Adversarial
Networks" (2018), algorithm 1: one step of the power iteration a pass in training. Torch's own does
the same with one matrix product and four small operations more, and computes the norm in bfloat16
under autocast on a GPU, which leaves it eight bits.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from omasgan.nn import batches

WARM_UP = 15
"""Steps of the power iteration that a new layer starts from."""


def normalised(layer: nn.Module) -> nn.Module:
    """Divide the weight of ``layer`` by its largest singular value, and return the layer."""
    weight = cast(Tensor, layer.weight)
    return parametrize.register_parametrization(layer, "weight", SpectralNorm(weight))


def bounded(layer: nn.Module, bound: float) -> nn.Module:
    """Divide the weight of ``layer`` such that its largest singular value is at most ``bound``,
    and return the layer; a smaller weight stays as it is.
    """
    weight = cast(Tensor, layer.weight)
    return parametrize.register_parametrization(layer, "weight", Bounded(weight, bound))


class SpectralNorm(nn.Module):
    """The map of a weight ``(m, ...)`` to the weight over its largest singular value.

    In training each call takes a step of the power iteration; in eval mode the map is fixed. The
    buffers have the names and the meaning of torch's, so states of either are read by both.
    """

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.register_buffer("_u", F.normalize(torch.randn(matrix.shape[0]), dim=0))
        self.register_buffer("_v", F.normalize(torch.randn(matrix.shape[1]), dim=0))
        for _ in range(WARM_UP):
            self._step(matrix)

    def forward(self, weight: Tensor) -> Tensor:
        with batches.exactly(weight.device):
            return weight / self._divisor(self._norm(weight.flatten(1)))

    def _divisor(self, norm: Tensor) -> Tensor:
        return norm

    def _norm(self, matrix: Tensor) -> Tensor:
        """Return the largest singular value, after a step of the iteration in training."""
        if self.training:
            return self._step(matrix)
        return torch.dot(self._u, torch.mv(matrix, self._v))

    def _step(self, matrix: Tensor) -> Tensor:
        """Move u and v by one step; return ``u' W v = |W' u|``, with its gradient by W."""
        with torch.no_grad():
            u = F.normalize(torch.mv(matrix, self._v), dim=0)
            self._u.copy_(u)
        image = torch.mv(matrix.T, u)
        norm: Tensor = torch.linalg.vector_norm(image)
        with torch.no_grad():
            self._v.copy_(image / norm.clamp_min(1e-12))
        return norm


class Bounded(SpectralNorm):
    """The map of a weight to itself, or to the weight of norm ``bound`` where it has a larger one.

    Source: Gouk, Frank, Pfahringer, Cree, "Regularisation of Neural Networks by Enforcing
    Lipschitz Continuity" (2018), eq. 8.
    """

    def __init__(self, weight: Tensor, bound: float) -> None:
        super().__init__(weight)
        self.bound = bound

    def _divisor(self, norm: Tensor) -> Tensor:
        return (norm / self.bound).clamp_min(1.0)
