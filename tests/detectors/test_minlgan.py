"""Our reading of MinLGAN: its equilibrium on a few atoms, its threshold, and its ensemble."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from omasgan.detectors.minlgan import generator_losses
from omasgan.nn import mixtures
from tests.contracts.test_detector import images, quick, vectors
from tests.detectors.learning import by_stage

ATOMS = torch.tensor([0.55, 0.3, 0.15]).double()
"""The probabilities of the data, which are the density too."""


def equilibrium(weight: float, t: float) -> tuple[torch.Tensor, torch.Tensor]:
    """D's probabilities C exp(weight max(log p - t, 0)), and G's p / D - p, which add up to 1."""
    shape = torch.exp(weight * (ATOMS.log() - t).clamp_min(0))
    c = (ATOMS / shape).sum() / 2
    return c * shape, ATOMS / (c * shape) - ATOMS


def losses(d: torch.Tensor, weight: float, t: float) -> torch.Tensor:
    return generator_losses(torch.logit(d), ATOMS.log(), torch.tensor(t), weight).double()


CASES = pytest.mark.parametrize(("weight", "t"), [(0.0, -9.0), (0.3, -9.0), (0.4, -1.5)])


@CASES
def test_at_the_equilibrium_no_sample_is_cheaper_for_g_than_another(
    weight: float, t: float
) -> None:
    d, q = equilibrium(weight, t)
    assert q.sum().item() == pytest.approx(1) and (q >= 0).all() and (d < 1).all()
    torch.testing.assert_close(d, ATOMS / (ATOMS + q))
    cost = losses(d, weight, t)
    torch.testing.assert_close(cost, cost[0].expand(3), rtol=1e-5, atol=1e-5)


@CASES
def test_training_comes_to_the_equilibrium(weight: float, t: float) -> None:
    """A table for D, always at its optimum, and a softmax for G, by gradient descent."""
    theta = torch.tensor([0.0, 1.0, -1.0]).double().requires_grad_()
    optimiser = torch.optim.SGD([theta], lr=1.0)
    for _ in range(600):
        q = F.softmax(theta, 0)
        d = (ATOMS / (ATOMS + q)).detach()
        loss = (q * losses(d, weight, t)).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    expected_d, expected_q = equilibrium(weight, t)
    q = F.softmax(theta.detach(), 0)
    torch.testing.assert_close(q, expected_q, atol=5e-3, rtol=0)
    torch.testing.assert_close(ATOMS / (ATOMS + q), expected_d, atol=5e-3, rtol=0)


def test_d_grows_with_the_density_if_there_is_a_weight_and_above_the_threshold() -> None:
    assert torch.allclose(equilibrium(0.0, -9.0)[0], torch.tensor(0.5).double())
    d, _ = equilibrium(0.3, -9.0)
    assert d[0] > d[1] > d[2]
    d, _ = equilibrium(0.4, -1.5)  # the third atom is below
    assert d[0] > d[1] > d[2] == pytest.approx(equilibrium(0.4, -1.5)[0][2].item())


def test_below_the_threshold_there_is_nothing_to_gain() -> None:
    log_p = torch.tensor([-3.0, -1.0], requires_grad=True)
    logits = torch.tensor([0.5, 0.5])
    cost = generator_losses(logits, log_p, torch.tensor(-2.0), 0.7)
    plain = F.softplus(-logits)
    torch.testing.assert_close(cost.detach() - plain, torch.tensor([0.0, 0.7]))
    (gradient,) = torch.autograd.grad(cost.sum(), log_p)
    torch.testing.assert_close(gradient, torch.tensor([0.0, 0.7]))


def test_the_threshold_is_a_quantile_of_samples_that_the_density_does_not_know() -> None:
    X = vectors(500)
    for quantile in (0.0, 0.2):
        detector = quick("minlgan", quantile=quantile, gaussians=1, floor=0.0).fit(X)
        density = mixtures.Density.among(detector._fitted)
        log_p = -density.surprise(torch.from_numpy(vectors(4000, 1)))
        below = (log_p < detector._fitted["t"]).float().mean().item()
        assert below == pytest.approx(quantile, abs=0.06)


def test_the_regularisation_drives_g_off_the_likeliest_samples() -> None:
    X = vectors(500)
    shares = []
    for weight in (0.0, 30.0):
        detector = quick("minlgan", likelihood=weight, train_steps=60, generator_lr=5e-3, width=32)
        *_, last = detector.fit_epochs(X)
        shares.append(last.losses["log_density"])
    assert shares[1] < shares[0] - 0.5


def test_without_weight_the_density_has_no_part() -> None:
    X = images()
    scores = [
        quick("minlgan", likelihood=weight, components=n).fit(X).stage_scores(X)["last"]
        for weight, n in ((0.0, 2), (0.0, 5), (1.0, 2), (1.0, 5))
    ]
    assert np.array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[2], scores[3])


def test_the_ensemble_is_the_mean_of_states_of_the_second_half() -> None:
    X = images()
    kept = {}
    detector = quick("minlgan", train_steps=8, snapshots=4, epoch_steps=1)
    for epoch in detector.fit_epochs(X):
        with torch.no_grad():
            x = torch.from_numpy(X).float() / 127.5 - 1
            kept[epoch.index + 1] = -detector._networks["D"](x).numpy()
    scores = detector.stage_scores(X)
    expected = np.mean([kept[step] for step in (5, 6, 7, 8)], axis=0)
    np.testing.assert_allclose(scores["ensemble"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scores["last"], kept[8], rtol=1e-5, atol=1e-6)


def test_an_ensemble_of_one_is_the_last_state() -> None:
    X = images()
    for steps in (1, 5):
        scores = quick("minlgan", snapshots=1, train_steps=steps).fit(X).stage_scores(X)
        assert np.array_equal(scores["ensemble"], scores["last"])


@pytest.mark.parametrize("maker", [images, vectors])
@pytest.mark.parametrize("params", [{}, {"precision": "bfloat16"}, {"train_steps": 1}], ids=str)
def test_every_variant_trains(params: dict[str, Any], maker: Any) -> None:
    X = maker()
    assert np.isfinite(quick("minlgan", **params).fit(X).decision_function(X)).all()


def test_training_pays() -> None:
    trained, untrained = by_stage(
        "minlgan", "digits-occ", 3, {"train_steps": 1}, width=16, train_steps=150
    )
    assert trained["ensemble"] > max(untrained["ensemble"], 0.5) + 0.1
