"""OGNet: what each phase trains, its second loss in closed form, and that it learns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from omasgan.detectors.ognet import OLD, SECOND, OGNet, second_phase_losses
from omasgan.nn import batches
from tests.contracts.test_detector import images, quick, vectors
from tests.detectors.learning import by_stage
from tests.detectors.test_ganomaly import begun


def contents(detector: OGNet, name: str) -> torch.Tensor:
    """All weights and running statistics of a network."""
    state = detector._networks[name].state_dict().values()
    return torch.cat([x.flatten().double() for x in state]).clone()


def total(logits: list[torch.Tensor], a: float, b: float) -> torch.Tensor:
    return torch.stack(list(second_phase_losses(logits, a, b).values())).sum()


@pytest.mark.parametrize(("a", "b"), [(0.1, 0.001), (0.0, 1.0), (0.7, 0.3)])
def test_a_d_that_knows_nothing_has_a_loss_of_two_bits(a: float, b: float) -> None:
    logits = [torch.zeros(5)] * 4
    assert total(logits, a, b).item() == pytest.approx(2 * math.log(2))


def test_samples_against_the_old_g_are_left_with_both_weights_at_one() -> None:
    logits = list(torch.randn(4, 7, generator=torch.Generator().manual_seed(0)))
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    expected = bce(logits[0], torch.zeros(7)) + bce(logits[2], torch.ones(7))
    torch.testing.assert_close(total(logits, 1.0, 1.0), expected)


def test_every_group_has_its_weight_and_label() -> None:
    logits = list(torch.randn(4, 7, generator=torch.Generator().manual_seed(0)))
    a, b = 0.3, 0.2
    good = -torch.nn.functional.logsigmoid(-torch.stack(logits)).mean(1)
    bad = -torch.nn.functional.logsigmoid(torch.stack(logits)).mean(1)
    expected = a * good[0] + (1 - a) * good[1] + b * bad[2] + (1 - b) * bad[3]
    torch.testing.assert_close(total(logits, a, b), expected)


@pytest.mark.parametrize("a", [0.1, 0.5, 0.9])
def test_an_old_g_that_is_no_older_contradicts_itself(a: float) -> None:
    """With b = 1 the same reconstructions are good and bad: D can do no better than
    D = 1 / (2 - a) on them.
    """
    sure = torch.tensor([-50.0])
    grid = torch.linspace(-6, 6, 24_001)
    losses = torch.stack([total([sure, x[None], x[None], sure], a, 1.0) for x in grid[::40]])
    bound = (2 - a) * math.log(2 - a) - (1 - a) * math.log(1 - a)
    assert losses.min().item() == pytest.approx(bound, abs=1e-4)
    best = torch.sigmoid(grid[::40][losses.argmin()]).item()
    assert best == pytest.approx(1 / (2 - a), abs=0.01)


def test_the_first_phase_trains_both_networks_and_the_second_a_copy_of_d_alone() -> None:
    detector = quick("ognet", depth=2)  # batch normalisation from 2 on
    before: dict[str, torch.Tensor] = {}
    for epoch in detector.fit_epochs(images()):
        if epoch.phase == "discriminate" and SECOND not in before:
            before[SECOND] = before["D"]
        after = {name: contents(detector, name) for name in detector._networks}
        for name in before.keys() - {OLD}:
            moved = not torch.equal(before[name], after[name])
            assert moved == (
                name in {"reconstruct": ("G", "D"), "discriminate": (SECOND,)}[epoch.phase]
            )
        if epoch.phase == "discriminate":
            assert torch.equal(before[OLD], after[OLD])
        before = after


def test_the_old_g_is_g_after_its_share_of_the_steps() -> None:
    X = images()
    short = quick("ognet", reconstruct_steps=2, discriminate_steps=0).fit(X)
    whole = quick("ognet", reconstruct_steps=8, old=0.25, discriminate_steps=0).fit(X)
    assert torch.equal(contents(short, "G"), contents(whole, OLD))
    assert not torch.equal(contents(whole, "G"), contents(whole, OLD))


def test_d_goes_on_at_half_its_rate_also_where_a_training_is_resumed() -> None:
    detector, resumed = (quick("ognet", discriminator_lr=0.02) for _ in range(2))
    for epoch in detector.fit_epochs(images()):
        resumed.load_state_dict(detector.state_dict())
        name, rate = ("D", 0.02) if epoch.phase == "reconstruct" else (SECOND, 0.01)
        if detector._optimisers:  # else the training has ended
            for each in (detector, resumed):
                assert each._optimisers[name].param_groups[0]["lr"] == rate


def test_noise_stays_within_the_range_of_images() -> None:
    detector, _ = begun("ognet", noise=0.4)
    x = torch.zeros(50, 1, 8, 8)
    noisy = detector._noisy(x)
    assert noisy.std().item() == pytest.approx(0.4, rel=0.1)
    assert detector._noisy(x + 1).max() <= 1
    detector.noise = 0.0
    assert torch.equal(detector._noisy(x), x)


def test_g_s_loss_weighs_its_two_terms() -> None:
    """At w = 0 G is a denoising autoencoder that does not know of D."""
    g = [
        contents(quick("ognet", adversarial_weight=w, discriminator_lr=lr).fit(images()), "G")
        for w, lr in ((0.0, 1e-4), (0.0, 1e-2), (0.5, 1e-4))
    ]
    assert torch.equal(g[0], g[1])
    assert not torch.equal(g[0], g[2])


@pytest.mark.parametrize("maker", [images, vectors])
@pytest.mark.parametrize(
    "params",
    [{}, {"discriminate_steps": 0}, {"reconstruct_steps": 0}, {"precision": "bfloat16"}],
    ids=str,
)
def test_scores_are_what_they_are_said_to_be(params: dict[str, Any], maker: Any) -> None:
    X = maker()
    detector = quick("ognet", **params).fit(X)
    x = next(batches.in_order(X, torch.device("cpu")))
    with torch.no_grad():
        y = detector._networks["G"](x)
        expected = {
            "ognet": detector._networks[SECOND](y),
            "baseline": detector._networks["D"](y),
            "reconstruction": ((x - y) ** 2).flatten(1).sum(1),
        }
    scores = detector.stage_scores(X)
    assert scores.keys() == expected.keys()
    for stage, values in expected.items():
        np.testing.assert_allclose(scores[stage], values.numpy(), rtol=1e-4, atol=1e-5)
    assert np.array_equal(scores["ognet"], scores["baseline"]) == ("discriminate_steps" in params)


def test_pairs_are_of_different_samples() -> None:
    X = np.arange(3, dtype=np.float32)[:, None]
    sampler = batches.Sampler(X, np.array([0, 2]), torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    first, second = sampler.draw_pairs(200, generator)
    assert (first != second).all()
    assert set(first.flatten().tolist()) == {0.0, 2.0}


def test_training_pays() -> None:
    """Fold 1, whose digits an untrained D ranks the wrong way round."""
    untrained = {"reconstruct_steps": 1, "discriminate_steps": 1}
    trained, before = by_stage(
        "ognet", "digits-loo", 1, untrained, width=16, reconstruct_steps=200
    )
    for stage in ("ognet", "baseline"):
        assert trained[stage] > max(before[stage], 0.5) + 0.1, stage
