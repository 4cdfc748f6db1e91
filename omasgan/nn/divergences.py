"""Divergences in variational form: what a critic and a generator minimise.

An f-divergence is estimated by a critic as ``F = E_P T(x) - E_Q f*(T(x))`` (Nowozin et al. 2016,
eq. 4) with ``T = g_f(v)``, ``v`` the critic's raw output and ``g_f`` the output activation of
their Table 6. The critic maximises ``F``, the generator of ``Q`` minimises it. ``T* = f'(p/q)``
increases with the density ratio, and every ``g_f`` with ``v``, so ``-v`` ranks samples by
abnormality as ``-T`` does. It is the score: most ``T`` are bounded, and far samples would tie.

Every divergence here has four scalar losses over raw outputs ``v`` of shape ``(n,)``:
``positive_loss`` and ``negative_loss`` (the critic's), ``generator_loss`` (fools the critic) and
``boundary_loss`` (the ``-m`` of OMASGAN's eq. 2: moves samples where the critic calls them
abnormal). They are computed in float32 whatever the networks ran in. Exponentials go over into
their tangent at ``LINEAR_FROM``, so that large outputs give large finite losses and gradients.
"""

from __future__ import annotations

import math
from typing import Protocol, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from omasgan.nn.kinds import DivergenceName

LINEAR_FROM = 20.0
"""Exponent from which ``exp`` is continued by its tangent: e^20 is far beyond any useful ratio."""


class Divergence(Protocol):
    """Losses over raw critic outputs of shape ``(n,)``; each a scalar to be minimised."""

    def positive_loss(self, v: Tensor) -> Tensor:
        """The critic's loss on samples of ``P`` (the data)."""

    def negative_loss(self, v: Tensor) -> Tensor:
        """The critic's loss on samples of ``Q`` (generated)."""

    def generator_loss(self, v: Tensor) -> Tensor:
        """The loss of the generator of ``Q``."""

    def boundary_loss(self, v: Tensor) -> Tensor:
        """The part of ``-m(B, G)`` that depends on B (OMASGAN, eq. 2)."""


def abnormality(v: Tensor) -> Tensor:
    """Return the score ``(n,)``, float32, of raw critic outputs ``v``: higher = more anomalous.

    The same for every divergence; see the module.
    """
    return -v.float()


def _exp(x: Tensor) -> Tensor:
    """Return ``exp`` up to ``LINEAR_FROM``, its tangent beyond."""
    bounded = x.clamp(max=LINEAR_FROM)
    return torch.exp(bounded) * (1 + x - bounded)


class FDivergence:
    """Shared form of the f-divergences: a subclass states ``T(v)`` and ``f*(T(v))``."""

    def activation(self, v: Tensor) -> Tensor:
        """Return ``T = g_f(v)``, shape ``(n,)``."""
        raise NotImplementedError

    def conjugate(self, v: Tensor) -> Tensor:
        """Return ``f*(g_f(v))``, shape ``(n,)``, in a simplified and stable form."""
        raise NotImplementedError

    def positive_loss(self, v: Tensor) -> Tensor:
        return -self.activation(v.float()).mean()

    def negative_loss(self, v: Tensor) -> Tensor:
        return self.conjugate(v.float()).mean()

    def generator_loss(self, v: Tensor) -> Tensor:
        return -self.negative_loss(v)

    def boundary_loss(self, v: Tensor) -> Tensor:
        return self.negative_loss(v)


class Pearson(FDivergence):
    """Pearson chi-squared: f(u) = (u - 1)^2, f*(t) = t^2/4 + t."""

    def activation(self, v: Tensor) -> Tensor:
        return v

    def conjugate(self, v: Tensor) -> Tensor:
        return v * v / 4 + v


class KL(FDivergence):
    """Kullback-Leibler: f(u) = u log u, f*(t) = exp(t - 1)."""

    def activation(self, v: Tensor) -> Tensor:
        return v

    def conjugate(self, v: Tensor) -> Tensor:
        return _exp(v - 1)


class ReverseKL(FDivergence):
    """Reverse Kullback-Leibler: f(u) = -log u, f*(t) = -1 - log(-t)."""

    def activation(self, v: Tensor) -> Tensor:
        return -_exp(-v)

    def conjugate(self, v: Tensor) -> Tensor:
        return v - 1


class SquaredHellinger(FDivergence):
    """Squared Hellinger: f(u) = (sqrt u - 1)^2, f*(t) = t / (1 - t)."""

    def activation(self, v: Tensor) -> Tensor:
        return 1 - _exp(-v)

    def conjugate(self, v: Tensor) -> Tensor:
        return _exp(v) - 1


class Neyman(FDivergence):
    """Neyman chi-squared: f(u) = (1 - u)^2 / u, f*(t) = 2 - 2 sqrt(1 - t)."""

    def activation(self, v: Tensor) -> Tensor:
        return 1 - _exp(-v)

    def conjugate(self, v: Tensor) -> Tensor:
        return 2 - 2 * _exp(-v / 2)


class JensenShannon(FDivergence):
    """Jensen-Shannon: f(u) = u log u - (u + 1) log((1 + u) / 2), f*(t) = -log(2 - exp t)."""

    def activation(self, v: Tensor) -> Tensor:
        return math.log(2) - F.softplus(-v)

    def conjugate(self, v: Tensor) -> Tensor:
        return F.softplus(v) - math.log(2)


class GAN(FDivergence):
    """The original GAN (OMASGAN, eq. 1): f(u) = u log u - (u + 1) log(u + 1)."""

    def activation(self, v: Tensor) -> Tensor:
        return -F.softplus(-v)

    def conjugate(self, v: Tensor) -> Tensor:
        return F.softplus(v)


class TotalVariation(FDivergence):
    """Total variation: f(u) = |u - 1| / 2, f*(t) = t on [-1/2, 1/2]."""

    def activation(self, v: Tensor) -> Tensor:
        return torch.tanh(v) / 2

    def conjugate(self, v: Tensor) -> Tensor:
        return torch.tanh(v) / 2


class KLWGAN:
    """KL-WGAN with hinges (Song & Ermon 2020): generated samples are weighted by
    ``w = exp(v / tau) / mean exp(v / tau)`` over their batch, and gradients flow through ``w``.

    The weights exist only in training: a score depends on one sample alone.
    """

    def __init__(self, tau: float) -> None:
        self.tau = tau

    def _weighted(self, v: Tensor) -> Tensor:
        v = v.float()
        return len(v) * torch.softmax(v / self.tau, dim=0) * v

    def positive_loss(self, v: Tensor) -> Tensor:
        return F.relu(1 - v.float()).mean()

    def negative_loss(self, v: Tensor) -> Tensor:
        return F.relu(1 + self._weighted(v)).mean()

    def generator_loss(self, v: Tensor) -> Tensor:
        return -self._weighted(v).mean()

    def boundary_loss(self, v: Tensor) -> Tensor:
        return self._weighted(v).mean()


class Wasserstein:
    """Wasserstein-1 in its dual form (Arjovsky et al. 2017); the critic needs the gradient
    penalty of ``omasgan.nn.penalties``.
    """

    def positive_loss(self, v: Tensor) -> Tensor:
        return -v.float().mean()

    def negative_loss(self, v: Tensor) -> Tensor:
        return v.float().mean()

    def generator_loss(self, v: Tensor) -> Tensor:
        return -v.float().mean()

    def boundary_loss(self, v: Tensor) -> Tensor:
        return v.float().mean()


F_DIVERGENCES: dict[str, type[FDivergence]] = {
    "pearson": Pearson,
    "kl": KL,
    "reverse-kl": ReverseKL,
    "jensen-shannon": JensenShannon,
    "gan": GAN,
    "squared-hellinger": SquaredHellinger,
    "neyman": Neyman,
    "total-variation": TotalVariation,
}


def divergence(name: DivergenceName, *, tau: float = 5.0) -> Divergence:
    """Return the divergence called ``name``; ``tau`` (> 0) is the temperature of KL-WGAN.

    Raises:
        ValueError: there is no such divergence.
    """
    if name == "kl-wgan":
        return KLWGAN(tau)
    if name == "wasserstein":
        return Wasserstein()
    if name in F_DIVERGENCES:
        return F_DIVERGENCES[name]()
    raise ValueError(f"divergence must be one of {get_args(DivergenceName)}, got {name!r}")
