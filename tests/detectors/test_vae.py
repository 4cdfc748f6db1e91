"""The VAE's bounds: against closed forms, numerical integrals and naive computations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributions, nn

from omasgan.detectors import parameters
from omasgan.detectors.vae import VAE
from omasgan.errors import ConfigError
from tests.contracts.test_detector import images, quick, vectors
from tests.detectors.learning import by_stage


def linear(*rows: tuple[float, float]) -> nn.Linear:
    """x to (weight x + bias) for each row."""
    layer = nn.Linear(1, len(rows))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[weight] for weight, _ in rows]))
        layer.bias.copy_(torch.tensor([bias for _, bias in rows]))
    return layer


def test_the_bounds_are_the_integrals_of_a_linear_model() -> None:
    """x = 0.8 z + 0.1 + N(0, 0.5^2) with a posterior that is a little off."""
    X = np.linspace(-1, 1, 5, dtype=np.float32)[:, None]
    detector = quick("vae", latent_dim=1, scale=0.5, importance_samples=4000).fit(X)
    detector._networks["encoder"] = linear((0.7, 0.0), (0.1, -1.0))
    detector._networks["decoder"] = linear((0.8, 0.1))
    scores = detector.stage_scores(X)

    z = np.linspace(-8, 8, 20_001)[None]
    mean, log_variance = 0.7 * X, 0.1 * X - 1.0

    def log_normal(x: np.ndarray, mean: Any, variance: Any) -> np.ndarray:
        return -((x - mean) ** 2 / variance + np.log(2 * math.pi * variance)) / 2

    q = log_normal(z, mean, np.exp(log_variance))
    joint = log_normal(X, 0.8 * z + 0.1, 0.25) + log_normal(z, 0.0, 1.0)
    elbo = np.trapezoid(np.exp(q) * (joint - q), z, axis=1)
    evidence = log_normal(X, 0.1, 0.8**2 + 0.25)[:, 0]
    np.testing.assert_allclose(scores["elbo"], -elbo, atol=0.03)
    np.testing.assert_allclose(scores["iw"], -evidence, atol=0.03)
    assert (scores["iw"] < scores["elbo"]).all()


@pytest.mark.parametrize("maker", [images, vectors])
def test_the_importance_weighted_bound_is_tighter_with_more_samples(maker: Any) -> None:
    X = maker()
    # A narrow likelihood makes the weights differ.
    scores = [
        quick("vae", importance_samples=k, scale=0.1).fit(X).stage_scores(X)["iw"].mean()
        for k in (1, 8, 64)
    ]
    assert scores[0] > scores[1] > scores[2]


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_scores_agree_with_a_naive_computation(likelihood: str) -> None:
    X = images(4)
    detector = quick("vae", likelihood=likelihood, importance_samples=3, scale=0.3).fit(images())
    x = torch.from_numpy(X.astype(np.float32) / 127.5 - 1)
    scores = detector.stage_scores(X)
    with torch.no_grad():
        mean, log_variance = detector._networks["encoder"](x).chunk(2, 1)
        q = distributions.Normal(mean, (0.5 * log_variance).exp())
        likelihoods, weights = [], []
        for noise in detector._noise():
            z = q.mean + q.stddev * noise
            decoded = detector._networks["decoder"](z)
            if likelihood == "gaussian":
                log_p = distributions.Normal(decoded, 0.3).log_prob(x)
            else:
                pixel = distributions.Bernoulli((decoded + 1) / 2, validate_args=False)
                log_p = pixel.log_prob((x + 1) / 2)
            likelihoods.append(log_p.sum((1, 2, 3)))
            prior = distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
            weights.append((likelihoods[-1] + prior - q.log_prob(z).sum(1)).double().exp())
        kl = distributions.kl_divergence(q, distributions.Normal(0.0, 1.0)).sum(1)
        error = (x - detector._networks["decoder"](mean)).square().sum((1, 2, 3))
    elbo = kl - torch.stack(likelihoods).mean(0)
    iw = -torch.stack(weights).mean(0).log()
    np.testing.assert_allclose(scores["reconstruction"], error.numpy(), rtol=1e-4)
    np.testing.assert_allclose(scores["elbo"], elbo.numpy(), rtol=1e-4)
    np.testing.assert_allclose(scores["iw"], iw.numpy(), rtol=1e-4)


def test_training_minimises_what_elbo_scores() -> None:
    X = vectors(200)
    detector = VAE(train_steps=400, epoch_steps=200, batch_size=128, width=16, device="cpu")
    losses = [sum(epoch.losses.values()) for epoch in detector.fit_epochs(X)]
    assert losses[-1] < losses[0]
    assert losses[-1] == pytest.approx(detector.stage_scores(X)["elbo"].mean(), abs=0.1)


@pytest.mark.parametrize("maker", [images, vectors])
@pytest.mark.parametrize("params", [{}, {"precision": "bfloat16"}, {"latent_dim": 5}], ids=str)
def test_gradients_flow_into_both_networks(params: dict[str, Any], maker: Any) -> None:
    detector = quick("vae", **params).fit(maker())
    for name in ("encoder", "decoder"):
        for weight, before in zip(
            detector._networks[name].parameters(), detector._new(name).parameters(), strict=True
        ):
            assert not torch.equal(weight, before), name


def test_bernoulli_in_bfloat16_trains() -> None:
    detector = quick("vae", likelihood="bernoulli", precision="bfloat16").fit(images())
    assert np.isfinite(detector.decision_function(images())).all()


def test_bernoulli_is_refused_for_vectors() -> None:
    with pytest.raises(ConfigError, match=r"'bernoulli' is for images, got vectors; choose"):
        quick("vae", likelihood="bernoulli").fit(vectors())


def test_decision_function_is_the_score_that_stage_names() -> None:
    X = images()
    for score in parameters(VAE)["stage"].choices:
        detector = quick("vae", stage=score).fit(X)
        assert np.array_equal(detector.decision_function(X), detector.stage_scores(X)[score])


def test_training_pays() -> None:
    """Fold 3: an untrained decoder's flat image ranks by brightness, which a 3 does not betray
    (0 and 1 do, and would flatter or shame the untrained copy).
    """
    trained, untrained = by_stage("vae", "digits-loo", 3, {"train_steps": 1}, train_steps=400)
    assert trained.keys() == set(parameters(VAE)["stage"].choices)
    # The rate alone is no detector here: a digit never seen is encoded to ordinary latents.
    for stage in trained.keys() - {"rate"}:
        assert trained[stage] > max(untrained[stage], 0.5) + 0.1, stage


def test_with_a_new_flow_as_prior_the_rate_is_near_the_closed_form() -> None:
    """It is estimated over the noise, and the flow begins as N(0, I)."""
    X = images()
    plain = quick("vae", train_steps=1, lr=1e-9).fit(X)
    flow = quick(
        "vae", train_steps=1, lr=1e-9, prior_blocks=2, prior_width=8, importance_samples=500
    ).fit(X)
    by_flow, closed = flow.stage_scores(X), plain.stage_scores(X)
    np.testing.assert_allclose(by_flow["rate"], closed["rate"], atol=0.15)
    np.testing.assert_allclose(closed["elbo"] - closed["rate"], distortion(plain, X), rtol=1e-4)


def distortion(detector: VAE, X: np.ndarray) -> np.ndarray:
    """Minus log p(x|z) over the fixed noise."""
    x = torch.from_numpy(X.astype(np.float32) / 127.5 - 1)
    with torch.no_grad():
        mean, log_variance = detector._posterior(x)
        parts = [
            detector._log_likelihood(
                x, detector._networks["decoder"](mean + (0.5 * log_variance).exp() * noise)
            )
            for noise in detector._noise()
        ]
    return -torch.stack(parts).mean(0).numpy()


def test_a_flow_as_prior_is_trained_along_and_saved() -> None:
    X = images()
    detector = quick("vae", prior_blocks=2, prior_width=8, lr=1e-2).fit(X)
    z = torch.randn(50, detector.latent_dim, generator=torch.Generator().manual_seed(0))
    new = detector._new("prior")
    trained: Any = detector._networks["prior"]
    assert not torch.allclose(trained.log_density(z), new.log_density(z), atol=1e-3)
    again = quick("vae", prior_blocks=2, prior_width=8, lr=1e-2)
    again.load_state_dict(detector.state_dict())
    for name, scores in again.stage_scores(X).items():
        assert np.array_equal(scores, detector.stage_scores(X)[name]), name
