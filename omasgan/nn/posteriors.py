"""Gaussian posteriors: q(z|x) = N(mean, diag(exp(log_variance))), beside p(z) = N(0, I).

``mean`` and ``log_variance`` are ``(n, k)``, what an encoder makes of n samples.
"""

from __future__ import annotations

import torch
from torch import Tensor


def draw(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Return what standard normal ``noise`` becomes under q(z|x), with gradients to q."""
    return mean + (0.5 * log_variance).exp() * noise


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(q(z|x) || p(z)) of each sample, ``(n,)``."""
    # exp(v) - 1 itself would round away what is left where v is near 0.
    return (mean.square() + torch.expm1(log_variance) - log_variance).sum(1) / 2


def log_ratio(z: Tensor, noise: Tensor, log_variance: Tensor) -> Tensor:
    """Return log p(z) - log q(z|x), ``(n,)``, at the z that ``draw`` makes of ``noise``."""
    # The normalising constants cancel.
    return (noise.square() + log_variance - z.square()).sum(1) / 2
