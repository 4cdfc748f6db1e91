"""WGAN-GP's own rules: what each phase trains, and what the classifier's output converges to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from omasgan.detectors.wgan import WGAN
from tests.contracts.test_detector import images, quick, vectors
from tests.detectors.learning import by_stage


def weights(detector: WGAN, name: str) -> torch.Tensor:
    return torch.cat([p.flatten() for p in detector._networks[name].parameters()]).clone()


def test_the_classifier_starts_from_the_critic_and_leaves_it_and_g_alone() -> None:
    detector = quick("wgan")
    kept: dict[str, torch.Tensor] = {}
    for epoch in detector.fit_epochs(images()):
        if epoch.phase == "gan":
            kept = {name: weights(detector, name) for name in ("G", "D")}
        assert ("classifier" in detector._networks) == (epoch.phase == "classifier")
    for name, before in kept.items():
        assert torch.equal(weights(detector, name), before), name
    assert not torch.equal(weights(detector, "classifier"), kept["D"])
    idle = quick("wgan", classifier_steps=0).fit(images())
    scores = idle.stage_scores(images())
    assert np.array_equal(scores["classifier"], scores["critic"])


def test_the_classifier_s_output_becomes_the_ratio_of_the_densities() -> None:
    """G at given weights puts out N(m, s^2 I), whose ratio to the data is known."""
    rng = np.random.default_rng(0)
    X = rng.normal(-0.2, 0.25, (4000, 2)).astype(np.float32)
    detector = WGAN(
        gan_steps=0, classifier_steps=1500, classifier_lr=2e-3, batch_size=256, width=32,
        latent_dim=2, device="cpu",
    )  # fmt: skip
    epochs = detector.fit_epochs(X)
    next(epochs)
    G = detector._networks["G"]
    with torch.no_grad():
        for parameter in G.parameters():
            parameter.zero_()
        G.skip.weight.copy_(0.35 * torch.eye(2))
        G.body[-1].bias.fill_(0.1)
    for _ in epochs:
        pass
    test = rng.normal(-0.05, 0.25, (300, 2)).astype(np.float32)

    def log_density(mean: float, sd: float) -> Any:
        return -np.square((test - mean) / sd).sum(1) / 2 - 2 * np.log(sd)

    expected = log_density(0.1, 0.35) - log_density(-0.2, 0.25)
    got = detector.stage_scores(test)["classifier"]
    assert np.abs(got - expected).mean() < 0.2
    assert np.corrcoef(got, expected)[0, 1] > 0.98


def test_the_penalty_holds_the_critic_s_slope() -> None:
    """Without it the slope grows with the training."""
    X = vectors()
    slopes = []
    for penalty in (0.0, 100.0):
        detector = quick(
            "wgan", penalty=penalty, gan_lr=1e-2, gan_steps=60, critic_steps=3, width=32
        )
        detector.fit(X)
        x = torch.from_numpy(X).requires_grad_()
        (gradient,) = torch.autograd.grad(detector._networks["D"](x).sum(), x)
        slopes.append(gradient.norm(dim=1).mean().item())
    assert slopes[1] < 2 < slopes[0]


@pytest.mark.parametrize("maker", [images, vectors])
@pytest.mark.parametrize("params", [{}, {"precision": "bfloat16"}, {"gan_steps": 0}], ids=str)
def test_every_variant_trains(params: dict[str, Any], maker: Any) -> None:
    X = maker()
    for scores in quick("wgan", **params).fit(X).stage_scores(X).values():
        assert np.isfinite(scores).all()


def test_training_pays() -> None:
    trained, untrained = by_stage(
        "wgan", "digits-occ", 3, {"gan_steps": 1, "classifier_steps": 0},
        width=16, gan_steps=80, classifier_steps=60,
    )  # fmt: skip
    assert trained["classifier"] > max(untrained["classifier"], 0.5) + 0.1
