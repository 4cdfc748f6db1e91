"""Gaussian mixtures on principal components: a density of vectors that is fitted and computed
where they lie.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

TINY = 1e-6
"""The least that is added to a variance; without it samples that are all equal have no
likelihood."""

RANK_TOL = 1e-6
"""Components whose variance is below this share of the largest count as none."""

LEAST = 20
"""Vectors to a Gaussian: where there are fewer, so are the Gaussians."""

GROUPING_STEPS = 20
STEPS = 100
TOLERANCE = 1e-3
"""Fitting ends after so many steps, or when the mean log-likelihood grows by less than this."""


@dataclass(frozen=True)
class Mixture:
    """m Gaussians in k dimensions: ``centres`` ``(m, k)``, ``factors`` ``(m, k, k)`` of their
    precisions, ``logs`` ``(m,)``, the logarithms of each one's density at its centre, times its
    weight.
    """

    centres: Tensor
    factors: Tensor
    logs: Tensor

    def parts(self, z: Tensor) -> Tensor:
        """Return the logarithms of what each Gaussian adds to the density of vectors ``(n, k)``,
        ``(n, m)``.
        """
        away = z @ self.factors - (self.centres[:, None] @ self.factors)
        return (self.logs[:, None] - away.square().sum(2) / 2).T


def fit(z: Tensor, mixture: int, added: float, seed: int) -> Mixture:
    """Fit Gaussians with full covariances to vectors ``(n, k)`` by expectation and maximisation:
    ``mixture`` of them, or one for every ``LEAST`` vectors; ``added`` is added to their variances.
    """
    # Products of two coordinates, (n, k^2), make each step two matrix products.
    products = (z[:, :, None] * z[:, None, :]).flatten(1)
    shares = _grouped(z, min(mixture, max(len(z) // LEAST, 1)), seed)
    before = -math.inf
    for _ in range(STEPS):
        fitted = _likeliest(shares, z, products, added)
        parts = _parts(fitted, z, products)
        likelihood = parts.logsumexp(1).mean().item()
        if likelihood - before < TOLERANCE:
            break
        before, shares = likelihood, parts.softmax(1)
    return fitted


def _likeliest(shares: Tensor, z: Tensor, products: Tensor, added: float) -> Mixture:
    """Return the likeliest mixture where each Gaussian holds ``shares`` ``(n, m)`` of vectors."""
    held = shares.sum(0)[:, None] + 10 * torch.finfo(z.dtype).eps
    centres = shares.T @ z / held
    moments = (shares.T @ products / held).unflatten(1, (z.shape[1], -1))
    covariances = moments - centres[:, :, None] * centres[:, None, :]
    covariances.diagonal(dim1=1, dim2=2).add_(added)
    factors = torch.linalg.inv(torch.linalg.cholesky(covariances)).mT
    at_centre = factors.diagonal(dim1=1, dim2=2).log().sum(1)
    weights = (held[:, 0] / len(z)).log()
    return Mixture(centres, factors, weights + at_centre - z.shape[1] / 2 * math.log(2 * math.pi))


def _parts(mixture: Mixture, z: Tensor, products: Tensor) -> Tensor:
    """Return ``mixture.parts(z)``, from the ``products``."""
    precisions = mixture.factors @ mixture.factors.mT
    slopes = (precisions @ mixture.centres[:, :, None])[:, :, 0]
    starts = mixture.logs - (slopes * mixture.centres).sum(1) / 2
    return starts + z @ slopes.T - products @ precisions.flatten(1).T / 2


def _grouped(z: Tensor, groups: int, seed: int) -> Tensor:
    """Return which of ``groups`` each vector belongs to by k-means, one-hot ``(n, groups)``; the
    first centres are drawn far from each other (Arthur, Vassilvitskii 2007).
    """
    generator = torch.Generator().manual_seed(seed)
    centres = z[torch.randint(len(z), (1,), generator=generator)]
    for _ in range(groups - 1):
        away = torch.cdist(z, centres).square().amin(1).cpu() + TINY
        centres = torch.cat([centres, z[torch.multinomial(away, 1, generator=generator)]])
    for _ in range(GROUPING_STEPS):
        belongs = torch.nn.functional.one_hot(torch.cdist(z, centres).argmin(1), groups).to(z)
        counts = belongs.sum(0)[:, None]
        centres = torch.where(counts > 0, belongs.T @ z / counts.clamp_min(1), centres)
    return belongs


@dataclass(frozen=True)
class Form:
    """What a density is made of: how many principal ``components`` (or as many as there are), how
    many Gaussians in the ``mixture``, the ``floor`` that is added to their variances, in units of
    the components' mean variance, and whether to ``whiten``: to give each component the variance
    1 first.
    """

    components: int
    mixture: int
    floor: float
    whiten: bool


@dataclass(frozen=True)
class Density:
    """A mixture on the k leading principal components of vectors of length d: ``mean`` ``(d,)``
    and ``axes`` ``(d, k)`` give the components, the others are those of ``Mixture``.
    """

    mean: Tensor
    axes: Tensor
    centres: Tensor
    factors: Tensor
    logs: Tensor

    @classmethod
    def of(cls, x: Tensor, form: Form, seed: int) -> Self:
        """Fit to vectors ``(n, d)``; ``seed`` is that of the beginning."""
        mean, axes, deviations = principal(x, form.components, seed)
        if form.whiten:
            kept = deviations > RANK_TOL**0.5 * deviations.max()
            axes = torch.where(kept, axes / deviations.clamp_min(1e-12), 0.0)
        z = ((x - mean) @ axes).double()
        added = max(form.floor * z.var(0, correction=0).mean().item(), TINY)
        fitted = fit(z, form.mixture, added, seed)
        return cls(mean, axes, *(value.to(x) for value in vars(fitted).values()))

    @classmethod
    def among(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Return the density whose parts are among these, by name."""
        return cls(**{part.name: tensors[part.name] for part in fields(cls)})

    def surprise(self, x: Tensor) -> Tensor:
        """Return minus the logarithm of the density of vectors ``(n, d)``, ``(n,)``."""
        mixture = Mixture(self.centres, self.factors, self.logs)
        return -mixture.parts((x - self.mean) @ self.axes).logsumexp(1)

    def draws(self, noise: Tensor) -> Tensor:
        """Return draws of a density without ``whiten``, ``(n, d)``, from draws of N(0, I),
        ``(n, d)``: each Gaussian gets its share of them in turn.
        """
        weights = self.logs - self.factors.diagonal(dim1=1, dim2=2).log().sum(1)
        shares = torch.softmax(weights, 0).cumsum(0)
        turns = (torch.arange(len(noise), device=noise.device) + 0.5) / len(noise)
        of = torch.searchsorted(shares, turns).clamp_max(len(shares) - 1)
        white = noise[:, None, : self.centres.shape[1]]
        z = self.centres[of] + torch.linalg.solve(self.factors[of], white, left=False).squeeze(1)
        drawn: Tensor = z @ self.axes.T + self.mean
        return drawn


def principal(x: Tensor, components: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean ``(d,)`` of vectors ``(n, d)``, the axes ``(d, k)`` of their leading
    principal components, and the standard deviations ``(k,)`` along them.

    By subspace iteration (Halko, Martinsson, Tropp 2011, algorithm 4.4): a decomposition of
    thousands of dimensions takes a CPU many seconds.
    """
    n, d = x.shape
    k = min(components, n, d)
    mean = x.mean(0)
    centred = x - mean
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(d, min(k + 10, n, d), generator=generator).to(x)
    basis = torch.linalg.qr(centred.T @ (centred @ start)).Q
    for _ in range(4):
        basis = torch.linalg.qr(centred.T @ (centred @ basis)).Q
    _, lengths, rows = torch.linalg.svd(centred @ basis, full_matrices=False)
    return mean, basis @ rows.T[:, :k], lengths[:k] / n**0.5
