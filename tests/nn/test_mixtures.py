"""Gaussian mixtures against closed forms and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from omasgan.nn import mixtures


def groups(n: int = 300, d: int = 6) -> torch.Tensor:
    """Three groups of unlike shapes."""
    draw = np.random.default_rng(0)
    centres = draw.normal(0, 4, (3, d))
    shapes = draw.normal(0, 1, (3, d, d))
    parts = [c + draw.normal(0, 1, (n, d)) @ s for c, s in zip(centres, shapes, strict=True)]
    return torch.from_numpy(np.concatenate(parts))


def test_one_gaussian_is_the_closed_form() -> None:
    z = groups()
    fitted = mixtures.fit(z, 1, 0.1, seed=0)
    covariance = torch.cov(z.T, correction=0) + 0.1 * torch.eye(6)
    expected = torch.distributions.MultivariateNormal(z.mean(0), covariance).log_prob(z)
    torch.testing.assert_close(fitted.parts(z)[:, 0], expected)


def test_a_mixture_is_as_likely_as_scikit_learn_s() -> None:
    z = groups()
    fitted = mixtures.fit(z, 3, 0.01, seed=0).parts(z).logsumexp(1)
    other = GaussianMixture(3, reg_covar=0.01, random_state=0).fit(z.numpy())
    np.testing.assert_allclose(fitted.numpy(), other.score_samples(z.numpy()), atol=0.05)


def test_the_density_of_components_is_that_of_the_vectors_where_none_is_left_out() -> None:
    """Whitening multiplies a density by the standard deviations."""
    x = groups().float()
    plain, whitened = (
        mixtures.Density.of(x, mixtures.Form(6, 1, 1e-9, whiten), seed=0).surprise(x)
        for whiten in (False, True)
    )
    covariance = torch.cov(x.T, correction=0) + mixtures.TINY * torch.eye(6)
    expected = -torch.distributions.MultivariateNormal(x.mean(0), covariance).log_prob(x)
    torch.testing.assert_close(plain, expected, rtol=1e-3, atol=1e-3)
    logs = torch.logdet(torch.cov(x.T, correction=0)) / 2
    torch.testing.assert_close(whitened + logs, expected, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(("n", "d"), [(200, 40), (30, 80)])
def test_principal_components_are_those_of_an_exact_decomposition(n: int, d: int) -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(0, 1, (n, d)) * np.geomspace(10, 0.1, d)
    _, axes, deviations = mixtures.principal(torch.from_numpy(x), 5, seed=0)
    exact = PCA(5, svd_solver="full").fit(x)
    cosines = np.abs((axes.numpy() * exact.components_.T).sum(0))
    np.testing.assert_allclose(cosines, 1, atol=1e-3)
    np.testing.assert_allclose(
        deviations.numpy(), np.sqrt(exact.explained_variance_ * (n - 1) / n), rtol=1e-3
    )


@pytest.mark.parametrize(
    "x", [torch.ones(20, 7), torch.eye(4), torch.eye(3, 50)], ids=["equal", "few", "fewer than d"]
)
def test_few_or_equal_vectors_have_finite_densities(x: torch.Tensor) -> None:
    density = mixtures.Density.of(x, mixtures.Form(32, 5, 0.1, True), seed=0)
    assert torch.isfinite(density.surprise(torch.cat([x, x + 1]))).all()


def test_a_far_vector_is_a_surprise_without_end() -> None:
    x = groups().float()
    density = mixtures.Density.of(x, mixtures.Form(4, 3, 0.1, False), seed=0)
    far = density.surprise(x[:1] * torch.tensor([[1.0], [1e2], [1e4]]))
    assert math.isfinite(far[2].item()) and (far.diff() > 0).all()


def test_a_gradient_goes_through_the_density() -> None:
    x = groups(d=3).float()
    density = mixtures.Density.of(x, mixtures.Form(3, 1, 0.0, False), seed=0)
    at = x[:20].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(density.surprise(at).sum(), at)
    slope = torch.linalg.solve(torch.cov(x.T, correction=0), (x[:20] - x.mean(0)).T).T
    torch.testing.assert_close(gradient, slope, rtol=1e-2, atol=1e-2)


def test_draws_have_the_moments_of_the_mixture() -> None:
    draw = np.random.default_rng(0)
    sides = np.repeat([[-1.0, -1.0], [1.0, 1.0]], 2000, axis=0)
    x = torch.from_numpy(sides + draw.normal(0, 0.3, (4000, 2)) * [1, 2]).float()
    density = mixtures.Density.of(x, mixtures.Form(2, 2, 0.0, False), seed=0)
    drawn = density.draws(torch.randn(4000, 2, generator=torch.Generator().manual_seed(0)))
    for sign in (-1, 1):
        of, real = (y[y[:, 0] * sign > 0] for y in (drawn, x))
        torch.testing.assert_close(of.mean(0), real.mean(0), rtol=0, atol=0.05)
        torch.testing.assert_close(of.T.cov(), real.T.cov(), rtol=0, atol=0.05)
    assert abs((drawn[:, 0] > 0).float().mean() - 0.5) < 0.02
