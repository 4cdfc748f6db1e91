"""ADAE: the signs of its losses, the balance of its rates, and that it learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from omasgan.nn import batches
from tests.contracts.test_detector import images, quick, vectors
from tests.detectors.learning import trained_and_untrained
from tests.detectors.test_ganomaly import begun, weights


def still(detector: Any, name: str) -> None:
    """This network takes no more steps, not even on Adam's old moments."""
    detector._optimisers[name].state.clear()
    for p in detector._networks[name].parameters():
        p.register_hook(torch.zeros_like)


def test_one_step_trains_both_autoencoders() -> None:
    detector, normals = begun("adae")
    before = {name: weights(network) for name, network in detector._networks.items()}
    detector._step("train", normals)
    for name, network in detector._networks.items():
        assert not torch.equal(before[name], weights(network)), name


def test_g_and_d_start_as_different_networks_of_one_size() -> None:
    detector = quick("adae", lr=1e-12)
    next(detector.fit_epochs(images()))
    g, d = (weights(detector._networks[name]) for name in ("G", "D"))
    assert g.shape == d.shape
    assert not torch.allclose(g, d)


def test_d_reconstructs_samples_and_spoils_reconstructions() -> None:
    # G stands still; what the second term of L_D adds shows against a D without it.
    last = {}
    for weight in (0.0, 1.0):
        detector, normals = begun("adae", lr=1e-3, balance=0.0, adversarial_weight=weight)
        still(detector, "G")
        steps = [detector._step("train", normals) for _ in range(60)]
        last[weight] = steps[-1]["d_on_reconstructions"].item()
        assert steps[-1]["d_on_samples"] < steps[0]["d_on_samples"]
    assert last[1.0] > last[0.0] + 0.1


def test_g_makes_what_d_leaves_as_it_is() -> None:
    detector, normals = begun("adae", lr=1e-3, balance=0.0)
    still(detector, "D")
    steps = [detector._step("train", normals) for _ in range(60)]
    assert steps[-1]["g"] < 0.8 * steps[0]["g"]
    assert steps[-1]["d_on_reconstructions"] < steps[0]["d_on_reconstructions"]


def test_the_losses_are_the_papers() -> None:
    detector, normals = begun("adae", adversarial_weight=1.0)
    for name in ("G", "D"):
        still(detector, name)
    losses = detector._step("train", normals)
    expected = losses["d_on_samples"] - losses["d_on_reconstructions"]
    assert losses["d"].item() == pytest.approx(expected.item(), rel=1e-5)
    # D has not moved between its loss and G's.
    expected = losses["reconstruction"] + losses["d_on_reconstructions"]
    assert losses["g"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_weaker_network_catches_up() -> None:
    detector, _ = begun("adae", balance=5.0, lr=1e-3)

    def rates(loss_d: float) -> tuple[float, float]:
        detector._balance(torch.tensor(loss_d))
        d, g = (detector._optimisers[name].param_groups[0]["lr"].item() for name in ("D", "G"))
        return d, g

    assert rates(0.0) == pytest.approx((1e-3, 1e-3))
    d, g = rates(-0.3)
    assert d < 1e-3 < g
    assert rates(0.3) == pytest.approx((g, d))
    assert rates(-1e6) == pytest.approx((0, 2e-3))


def test_without_balance_the_rates_stay() -> None:
    detector, _ = begun("adae", balance=0.0, lr=1e-3)
    detector._balance(torch.tensor(-0.7))
    assert all(
        o.param_groups[0]["lr"].item() == pytest.approx(1e-3)
        for o in detector._optimisers.values()
    )


def test_a_step_is_taken_at_the_balanced_rates() -> None:
    detector, normals = begun("adae", balance=5.0, lr=1e-3, adversarial_weight=0.5)
    losses = detector._step("train", normals)
    ahead = (losses["d_on_samples"] - losses["d_on_reconstructions"]).item()
    rate = detector._optimisers["D"].param_groups[0]["lr"]
    assert rate == pytest.approx(2e-3 / (1 + np.exp(-5 * ahead)))


def test_the_balance_is_what_stops_d() -> None:
    """For vectors L_D has no lower bound at the paper's weight; G stands still here."""
    X = vectors()
    errors = {}
    for balance in (0.0, 5.0):
        detector = quick("adae", lr=1e-2, balance=balance, adversarial_weight=1.0)
        next(detector.fit_epochs(X))
        still(detector, "G")
        normals = batches.Sampler(X, np.arange(len(X)), torch.device("cpu"))
        for _ in range(200):
            losses = detector._step("train", normals)
        errors[balance] = losses["d_on_reconstructions"].item()
    assert errors[0.0] > 3 * errors[5.0], errors


@pytest.mark.parametrize("maker", [images, vectors])
def test_scores_are_the_distances_that_they_are_said_to_be(maker: Any) -> None:
    X = maker()
    detector = quick("adae").fit(X)
    scores = detector.stage_scores(X[:5])
    G, D = detector._networks["G"], detector._networks["D"]
    for i in range(5):
        x = batches.rows_of(X, np.array([i]), torch.device("cpu"))
        with torch.no_grad():
            fake = G(x)
            twice = D(fake)
        for stage, y in (("generator", fake), ("discriminator", twice)):
            expected = np.sqrt(((x - y).numpy() ** 2).sum())
            assert scores[stage][i] == pytest.approx(expected, rel=1e-3), stage


def test_training_is_worth_something() -> None:
    # One digit is normal, as in GANomaly's test.
    trained, untrained = trained_and_untrained(
        "adae", "digits-occ", 3, {"train_steps": 1}, width=16, train_steps=150, lr=1e-3
    )
    assert trained > max(untrained, 0.5) + 0.1
