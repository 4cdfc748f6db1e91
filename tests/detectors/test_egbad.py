"""EGBAD: who is trained to do what, its scores in closed form, and that it learns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from omasgan.detectors import parameters
from omasgan.detectors.egbad import EGBAD
from tests.contracts.test_detector import images, quick, vectors
from tests.detectors.learning import trained_and_untrained
from tests.detectors.test_anogan import begun, weights


def keep_still(detector: Any, *names: str) -> None:
    """These networks take no more steps, not even on Adam's old moments."""
    for name in names:
        detector._optimisers[name].state.clear()
        for p in detector._networks[name].parameters():
            p.register_hook(torch.zeros_like)


@pytest.mark.parametrize("maker", [images, vectors])
def test_one_step_trains_all_three(maker: Any) -> None:
    detector, normals = begun("egbad", maker())
    before = {name: weights(network) for name, network in detector._networks.items()}
    detector._step("bigan", normals)
    for name, network in detector._networks.items():
        assert not torch.equal(before[name], weights(network)), name


@pytest.mark.parametrize(("learner", "others"), [("g", "ED"), ("e", "GD"), ("d", "GE")])
def test_each_minimises_its_own_loss(learner: str, others: str) -> None:
    """With the other two standing still."""
    detector, normals = begun("egbad", images(), lr=1e-3)
    keep_still(detector, *others)
    losses = [detector._step("bigan", normals)[learner].item() for _ in range(40)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


@pytest.mark.parametrize("others", ["ED", "GD"])
def test_g_and_e_each_work_against_the_critic(others: str) -> None:
    """Where one of them alone is trained, D's loss rises."""
    detector, normals = begun("egbad", images(), lr=1e-3)
    keep_still(detector, *others)
    losses = [detector._step("bigan", normals)["d"].item() for _ in range(40)]
    assert np.mean(losses[-5:]) > np.mean(losses[:5])


def test_a_critic_that_knows_nothing_costs_two_log_two() -> None:
    detector, normals = begun("egbad", images())
    nn.init.zeros_(detector._networks["D"].head.weight)
    nn.init.zeros_(detector._networks["D"].head.bias)
    loss = detector._step("bigan", normals)["d"].item()
    assert loss == pytest.approx(2 * math.log(2), rel=1e-5)


@pytest.mark.parametrize("maker", [images, vectors])
def test_the_critic_judges_samples_and_latents_together(maker: Any) -> None:
    X = maker()
    detector = quick("egbad").fit(X)
    x = torch.from_numpy(X[:4]).float()
    z = torch.randn(4, detector.latent_dim, generator=torch.Generator().manual_seed(0))
    D = detector._networks["D"]
    with torch.no_grad():
        assert not torch.allclose(D(x, z), D(x, z.flip(0)))
        assert not torch.allclose(D(x, z), D(x.flip(0), z))


def test_scores_are_those_of_a_naive_computation() -> None:
    X = images()
    detector = quick("egbad", weight=0.4).fit(X)
    G, E, D = (detector._networks[name] for name in "GED")
    scores = detector.stage_scores(X)
    for i in range(5):
        x = torch.from_numpy(X[i : i + 1]).float() / 127.5 - 1
        with torch.no_grad():
            code = E(x)
            residual = (x - G(code)).abs().sum()
            entropy = F.binary_cross_entropy_with_logits(D(G(code), code), torch.ones(1))
            matching = (D.features(x, code) - D.features(G(code), code)).abs().sum()
        for stage, term in (("cross-entropy", entropy), ("feature-matching", matching)):
            expected = (0.6 * residual + 0.4 * term).item()
            assert scores[stage][i] == pytest.approx(expected, rel=1e-4), stage


def test_decision_function_is_the_score_that_stage_names() -> None:
    X = images()
    choices = parameters(EGBAD)["stage"].choices
    assert set(choices) == set(quick("egbad").fit(X).stage_scores(X))
    for score in choices:
        detector = quick("egbad", stage=score).fit(X)
        assert np.array_equal(detector.decision_function(X), detector.stage_scores(X)[score])


def test_training_beats_no_training() -> None:
    """One-vs-rest: what G makes of an encoded digit of another kind is the one kind it knows."""
    trained, untrained = trained_and_untrained(
        "egbad", "digits-occ", 4, {"train_steps": 1}, width=16, train_steps=200
    )
    assert trained > max(0.7, untrained + 0.1)
