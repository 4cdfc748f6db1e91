"""ConAD: winners, losers, what D teaches them, and that it learns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from omasgan.detectors.conad import in_use, shares, shown
from omasgan.errors import ConfigError
from omasgan.nn import batches
from tests.contracts.test_detector import images, quick, vectors
from tests.detectors.learning import by_stage
from tests.detectors.test_ganomaly import begun


def normal_of(X: np.ndarray) -> torch.Tensor:
    return next(batches.in_order(X, torch.device("cpu")))


@pytest.mark.parametrize("maker", [images, vectors])
def test_one_head_without_d_is_the_vae(maker: Any) -> None:
    """Bit for bit, in training; the score is the VAE's, but for units and a constant."""
    X = maker()
    same = {"latent_dim": 3, "scale": 0.3, "lr": 2e-3}
    conad = quick("conad", heads=1, adversarial_weight=0.0, **same)
    vae = quick("vae", **same)
    epochs = [list(detector.fit_epochs(X)) for detector in (conad, vae)]
    for name in ("distortion", "kl"):
        assert [e.losses[name] for e in epochs[0]] == [e.losses[name] for e in epochs[1]]
    d = math.prod(X.shape[1:])
    constant = d * (math.log(0.3) + math.log(2 * math.pi) / 2)
    expected = vae.stage_scores(X)["reconstruction"] / (2 * 0.3**2) + constant
    np.testing.assert_allclose(conad.stage_scores(X)["wta"], expected, rtol=1e-4, atol=1e-4)


class Heads(nn.Module):
    """A decoder whose hypotheses do not depend on z: ``(n, heads * d)``."""

    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.values.expand(len(z), -1)


def two_values() -> np.ndarray:
    return np.repeat(np.array([[-1.0], [1.0]], np.float32), 20, axis=0)


@pytest.mark.parametrize(("relaxation", "expected"), [(0.0, [-1, 1]), (0.5, [0, 0])])
def test_heads_part_where_the_winner_takes_all_and_meet_where_all_count_alike(
    relaxation: float, expected: list[float]
) -> None:
    """One input, two values: +1 and -1. With eps = (H - 1) / H each head learns their mean."""
    detector = quick("conad", heads=2, adversarial_weight=0.0, relaxation=relaxation, lr=0.05)
    X = two_values()
    next(detector.fit_epochs(X))
    detector._networks["decoder"] = Heads([-0.2, 0.3])
    detector._train_here("decoder")
    normals = detector._normals(X)
    for _ in range(150):
        detector._step("train", normals)
    values = detector._networks["decoder"].values.tolist()
    assert values == pytest.approx(expected, abs=0.15)


def gradients(**params: Any) -> torch.Tensor:
    """Of two heads at 0.9 and -5 from one step on samples at 1."""
    X = np.ones((20, 1), np.float32)
    detector = quick("conad", heads=2, **params)
    next(detector.fit_epochs(X))
    detector._networks["decoder"] = Heads([0.9, -5.0])
    detector._train_here("decoder")
    detector._step("train", detector._normals(X))
    gradient = detector._networks["decoder"].values.grad
    assert gradient is not None
    return gradient


def test_a_losing_head_learns_from_d_alone() -> None:
    winner, loser = gradients(adversarial_weight=0.0)
    assert winner and not loser
    assert gradients(adversarial_weight=1.0).all()
    assert gradients(adversarial_weight=0.0, relaxation=0.1).all()


def test_the_adversarial_weight_scales_what_the_loser_learns() -> None:
    once, thrice = (gradients(adversarial_weight=w)[1].item() for w in (1.0, 3.0))
    assert thrice == pytest.approx(3 * once, rel=1e-4)


def test_shares_add_up_to_one() -> None:
    winners = torch.tensor([2, 0])
    torch.testing.assert_close(
        shares(winners, 4, 0.3),
        torch.tensor([[0.1, 0.1, 0.7, 0.1], [0.7, 0.1, 0.1, 0.1]]),
    )
    torch.testing.assert_close(shares(winners, 4, 0.75), torch.full((2, 4), 0.25))


def test_heads_in_use_are_counted() -> None:
    assert in_use(torch.tensor([1, 1, 1]), 4).item() == pytest.approx(1)
    assert in_use(torch.arange(8) % 4, 4).item() == pytest.approx(4)


def test_each_sample_has_its_own_winner() -> None:
    x, hypotheses = normal_of(images()), torch.randn(60, 4, 1, 8, 8)
    detector, _ = begun("conad")
    likelihoods = detector._log_likelihoods(x, hypotheses)
    winners = likelihoods.argmax(1)
    assert len(winners.unique()) > 1
    order = torch.randperm(len(x))
    moved = detector._log_likelihoods(x[order], hypotheses[order]).argmax(1)
    assert torch.equal(moved, winners[order])
    picked = shown(hypotheses, winners)
    for i in range(len(x)):
        assert torch.equal(picked[i], hypotheses[i, winners[i]])


def test_scores_are_those_of_the_distributions() -> None:
    X = images()
    detector = quick("conad", scale=0.7, worst_share=0.25).fit(X)
    x = normal_of(X)
    with torch.no_grad():
        hypotheses = detector._hypotheses(detector._posterior(x)[0])
    of_pixels = -torch.distributions.Normal(hypotheses, 0.7).log_prob(x[:, None]).flatten(2)
    scores = detector.stage_scores(X)
    expected = of_pixels.sum(2).amin(1)
    np.testing.assert_allclose(scores["wta"], expected.numpy(), rtol=1e-4)
    assert (scores["wta"][:, None] <= of_pixels.sum(2).numpy() + 1e-3).all(), "best of all heads"
    worst = of_pixels.sort(2).values[..., -16:].sum(2).amin(1)
    np.testing.assert_allclose(scores["worst"], worst.numpy(), rtol=1e-4)


def test_d_sees_all_heads_of_any_latents_and_the_winners() -> None:
    detector, _ = begun("conad", heads=3)
    hypotheses = torch.randn(6, 3, 1, 8, 8)
    winners = torch.tensor([2, 2, 1, 0, 1, 1])
    imagined, of_samples, best = detector._groups(hypotheses, winners)
    assert imagined.shape == of_samples.shape == best.shape == (6, 1, 8, 8)
    for i in range(6):
        assert torch.equal(of_samples[i], hypotheses[i, i % 3])
        assert torch.equal(best[i], hypotheses[i, winners[i]])


def test_d_stands_still_while_the_heads_are_trained_against_it() -> None:
    detector, normals = begun("conad")
    D = detector._networks["D"]
    groups = detector._groups(torch.randn(6, 4, 1, 8, 8, requires_grad=True), torch.arange(6) % 4)
    for p in D.parameters():
        p.grad = None
    detector._adversarial_loss(groups).backward()
    assert all(p.grad is None for p in D.parameters())
    assert all(p.requires_grad for p in D.parameters())
    before = [p.detach().clone() for p in D.parameters()]
    detector._step("train", normals)
    assert any(not torch.equal(a, b) for a, b in zip(before, D.parameters(), strict=True))


def test_a_relaxation_without_losers_is_refused() -> None:
    with pytest.raises(ConfigError, match="choose more heads"):
        quick("conad", heads=1, relaxation=0.1).fit(images())


@pytest.mark.parametrize(
    "params", [{"precision": "bfloat16"}, {"heads": 1}, {"heads": 70}], ids=str
)
@pytest.mark.parametrize("maker", [images, vectors])
def test_every_variant_trains(params: dict[str, Any], maker: Any) -> None:
    X = maker()
    assert np.isfinite(quick("conad", **params).fit(X).decision_function(X)).all()


def test_training_pays() -> None:
    trained, untrained = by_stage(
        "conad", "digits-loo", 0, {"train_steps": 1}, width=16, train_steps=150
    )
    for stage, auroc in trained.items():
        assert auroc > max(untrained[stage], 0.5) + 0.2, stage
