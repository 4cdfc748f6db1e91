"""Gaussian mixtures: the density of scikit-learn's, and of a Gaussian that is known."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from omasgan.nn import mixture


def rows(n: int = 400, d: int = 5) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = np.repeat([[-1.0] * d, [1.0] * d], n // 2, axis=0)
    return (centres + rng.normal(0, 0.3, (n, d)) * np.arange(1, d + 1)).astype(np.float32)


def fitted(X: np.ndarray, components: int, gaussians: int, floor: float) -> dict:
    parts = mixture.fit(X, components=components, gaussians=gaussians, floor=floor, seed=0)
    return {name: torch.from_numpy(part) for name, part in parts.items()}


def test_the_density_is_scikit_learn_s_on_the_components() -> None:
    X = rows()
    pca = PCA(3, random_state=0).fit(X)
    Z = pca.transform(X).astype(np.float64)
    gmm = GaussianMixture(2, reg_covar=0.1 * Z.var(0).mean(), random_state=0).fit(Z)
    got = mixture.log_density(torch.from_numpy(X), fitted(X, 3, 2, 0.1))
    np.testing.assert_allclose(got.numpy(), gmm.score_samples(Z), rtol=1e-4, atol=1e-4)


def test_one_gaussian_on_all_components_is_that_of_the_rows() -> None:
    X = rows()
    x = torch.from_numpy(X[:20]).requires_grad_()
    got = mixture.log_density(x, fitted(X, 99, 1, 0.0))
    mean = torch.from_numpy(X.mean(0))
    cov = torch.from_numpy(np.cov(X.T, bias=True).astype(np.float32))
    expected = torch.distributions.MultivariateNormal(mean, cov + 1e-6 * torch.eye(5))
    torch.testing.assert_close(got, expected.log_prob(x), rtol=1e-3, atol=1e-3)
    (gradient,) = torch.autograd.grad(got.sum(), x)
    slope = -torch.linalg.solve(cov, (x.detach() - mean).T).T
    torch.testing.assert_close(gradient, slope, rtol=1e-2, atol=1e-2)


def test_samples_that_are_all_equal_have_a_density() -> None:
    got = mixture.log_density(torch.ones(3, 4), fitted(np.ones((50, 4), np.float32), 2, 1, 0.1))
    assert torch.isfinite(got).all()


def test_draws_have_the_moments_of_the_mixture() -> None:
    X = rows(4000, 2)
    noise = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))
    drawn = mixture.draws(noise, fitted(X, 2, 2, 0.0)).numpy()
    for sign in (-1, 1):
        of, real = (x[x[:, 0] * sign > 0] for x in (drawn, X))
        np.testing.assert_allclose(of.mean(0), real.mean(0), atol=0.05)
        np.testing.assert_allclose(np.cov(of.T), np.cov(real.T), atol=0.05)
    assert abs((drawn[:, 0] > 0).mean() - 0.5) < 0.02
