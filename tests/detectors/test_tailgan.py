"""TailGAN against a linear generator, whose density, posterior and entropy are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from omasgan.detectors.tailgan import TailGAN
from tests.contracts.test_detector import quick, vectors
from tests.detectors.learning import trained_and_untrained
from tests.detectors.test_density_boundary import assert_surrounds

A = torch.tensor([[0.5, 0.2], [-0.1, 0.4]])
B = torch.tensor([0.1, -0.2])
SIGMA = 0.3
COVARIANCE = A @ A.T + SIGMA**2 * torch.eye(2)
KNOWN = torch.distributions.MultivariateNormal(B, COVARIANCE)


def linear(**params: Any) -> Any:
    """A detector at the beginning of its training whose G is z -> A z + B."""
    settings = {"gan_steps": 1, "encoder_steps": 0, "boundary_steps": 0, "noise": SIGMA}
    detector: Any = TailGAN(**(settings | {"latent_dim": 2} | params), seed=0, device="cpu")
    detector._begin([2])
    for phase in detector._phases():
        detector._enter_up_to(phase)
    G = detector._networks["G"]
    with torch.no_grad():
        for parameter in G.parameters():
            parameter.zero_()
        G.skip.weight.copy_(A)
        G.body[-1].bias.copy_(B)
    return detector


def points(n: int) -> torch.Tensor:
    return KNOWN.sample((n,))


@pytest.fixture(autouse=True)
def _seeded() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def of_posterior(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and covariance of p(z|x)."""
    gain = A.T @ torch.linalg.inv(COVARIANCE)
    return (x - B) @ gain.T, torch.eye(2) - gain @ A


def test_importance_sampling_from_any_proposal_comes_to_the_density(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The nearer the proposal is to the posterior, the sooner."""
    x = points(50)
    mean, covariance = of_posterior(x)
    errors = []
    for widening, draws in ((1.0, 1_000), (1.0, 50), (9.0, 50)):
        detector = linear(importance_samples=draws)
        log_variance = (widening * covariance.diagonal()).log().expand_as(mean)
        monkeypatch.setattr(detector, "_posterior", lambda rows, v=log_variance: (mean, v))
        errors.append((detector._log_density(x) - KNOWN.log_prob(x)).abs().max().item())
    assert errors[0] < 0.1
    assert errors[0] < errors[1] < errors[2]


def test_a_proposal_that_is_the_posterior_needs_one_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where A's columns are orthogonal the posterior's covariance is diagonal, as q's is."""
    detector = linear(importance_samples=1)
    detector._networks["G"].skip.weight.data.copy_(0.5 * torch.eye(2))
    variance = 0.25 + SIGMA**2
    log_variance = torch.tensor(SIGMA**2 / variance).log()
    monkeypatch.setattr(
        detector, "_posterior",
        lambda rows: (0.5 * (rows - B) / variance, log_variance.expand_as(rows)),
    )  # fmt: skip
    x = points(20).requires_grad_()
    got = detector._log_density(x)
    expected = torch.distributions.Normal(B, variance**0.5).log_prob(x).sum(1)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    (gradient,) = torch.autograd.grad(got.sum(), x)
    torch.testing.assert_close(gradient, (B - x.detach()) / variance, rtol=1e-3, atol=1e-3)


def test_the_trained_encoder_is_such_a_proposal() -> None:
    detector = linear(encoder_steps=300, encoder_lr=5e-3, epoch_steps=300, width=32)
    detector._position, detector._resume, detector._entered = 1, True, 1
    list(detector.fit_epochs(vectors()))
    x = points(100)
    got = -torch.from_numpy(detector.decision_function(x.numpy()))
    assert (got - KNOWN.log_prob(x)).abs().mean() < 0.05


def test_the_chains_give_the_gradient_of_the_log_density() -> None:
    detector = linear(burn_in=20)
    x = torch.tensor([0.8, -0.3])
    got = detector._downhill(x.expand(4000, 2), torch.zeros(4000, 2)).mean(0)
    torch.testing.assert_close(got, torch.linalg.solve(COVARIANCE, x - B), atol=0.1, rtol=0)


def test_the_surrogate_has_the_gradient_of_the_entropy() -> None:
    """That of H = log det(2 pi e COVARIANCE) / 2, with respect to sigma and to A."""
    detector = linear(burn_in=6)
    detector._networks["G"].requires_grad_(True)
    detector._networks["sigma"].requires_grad_(True)
    z = detector._latents(10_000)
    noise = torch.randn(z.shape)
    sigma, weight = detector._sigma.deviations(), detector._networks["G"].skip.weight
    fake = detector._networks["G"](z) + sigma * noise
    surrogate = (detector._downhill(fake, z) * fake).sum(1).mean()
    by_sigma, by_a = torch.autograd.grad(surrogate, (sigma, weight))
    known_sigma, known_a = torch.full((2,), SIGMA, requires_grad=True), A.clone().requires_grad_()
    covariance = known_a @ known_a.T + torch.diag(known_sigma.square())
    expected = torch.autograd.grad(torch.logdet(covariance) / 2, (known_sigma, known_a))
    torch.testing.assert_close(by_sigma, expected[0], atol=0.08, rtol=0)
    torch.testing.assert_close(by_a, expected[1], atol=0.08, rtol=0)


def test_without_entropy_it_is_a_gan_with_noise() -> None:
    X = vectors()
    plain, other, with_chains = (
        quick("tailgan", **params).fit(X).decision_function(X)
        for params in (
            {"entropy": 0.0}, {"entropy": 0.0, "leaps": 1, "burn_in": 1}, {"entropy": 1.0},
        )
    )  # fmt: skip
    assert np.array_equal(plain, other)
    assert not np.array_equal(plain, with_chains)


def test_entropy_spreads_the_gan_and_its_noise() -> None:
    X = vectors()
    spreads, sigmas = [], []
    for weight in (0.0, 1.0):
        detector = quick("tailgan", entropy=weight, gan_steps=40, gan_lr=1e-2).fit(X)
        spreads.append(detector.samples(X)["G"].std())
        sigmas.append(detector._sigma.deviations().mean().item())
    assert spreads[1] > 1.2 * spreads[0] and sigmas[1] > 1.2 * sigmas[0]


def test_sigma_stays_between_its_limits() -> None:
    for noise, start in ((0.02, "least"), (0.98, "most")):
        sign = {"least": -1e3, "most": 1e3}[start]
        detector = linear(noise=noise, least_noise=0.015)
        sigma = detector._sigma
        sigma.raw.data += sign
        sigma.limit()
        expected = {"least": 0.015, "most": 1.0}[start]
        torch.testing.assert_close(sigma.deviations(), torch.full((2,), expected))


def test_the_length_of_a_leap_adapts_and_is_taken_up_again() -> None:
    X = vectors()
    detector = quick("tailgan").fit(X)
    leap = detector._fitted["leap"]
    assert leap != 1 / detector.latent_dim
    again = quick("tailgan")
    again.load_state_dict(detector.state_dict())
    assert torch.equal(again._fitted["leap"], leap)


def test_the_boundary_surrounds_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """B of a GAN that is at its best: G(z) = 0.19 z, whose density is N(0, 0.2^2 I)."""
    detector = linear(
        noise=0.0624, importance_samples=2, boundary_steps=200, boundary_lr=3e-3, density="plain",
        width=16,
    )  # fmt: skip
    detector._networks["G"].skip.weight.data.copy_(0.19 * torch.eye(2))
    detector._networks["G"].body[-1].bias.data.zero_()
    variance = 0.0624**2 / 0.2**2
    log_variance = torch.tensor(variance).log()
    monkeypatch.setattr(
        detector, "_posterior", lambda rows: (0.19 / 0.04 * rows, log_variance.expand_as(rows))
    )
    normals = detector._normals(vectors(2000))
    detector._prepare("boundary", normals)
    for _ in range(200):
        detector._boundary_step(normals)
    with torch.no_grad():
        b = detector._networks["B"](detector._latents(300)).numpy()
    assert_surrounds(b, 0.2)


def test_training_pays() -> None:
    untrained = {"gan_steps": 1, "encoder_steps": 1}
    trained, before = trained_and_untrained(
        "tailgan", "digits-occ", 3, untrained, width=32, gan_steps=80, encoder_steps=100,
        boundary_steps=0, importance_samples=10,
    )  # fmt: skip
    assert trained > max(before, 0.5) + 0.05
