"""AED: its adversarial loss, its summed score, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from omasgan.detectors import parameters
from omasgan.detectors.aed import AED
from tests.contracts.test_detector import images, quick
from tests.detectors.learning import trained_and_untrained
from tests.detectors.test_ganomaly import begun, parts, weights


def test_one_step_trains_every_network() -> None:
    detector, normals = begun("aed")
    before = {name: weights(part) for name, part in parts(detector).items()}
    detector._step("train", normals)
    for name, part in parts(detector).items():
        assert not torch.equal(before[name], weights(part)), name


def test_the_generator_is_trained_to_deceive() -> None:
    """-log D(x') in closed form, and it falls as D's output on a reconstruction rises."""
    detector, normals = begun("aed")
    x = normals.draw(8, detector._generator)
    D = detector._networks["D"]
    with torch.no_grad():
        expected = F.binary_cross_entropy(torch.sigmoid(D(-x)), torch.ones(8))
        loss = detector._adversarial_loss(x, -x)
        D.head.bias += 1.0
        assert detector._adversarial_loss(x, -x) < loss
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


def test_the_adversarial_loss_is_not_feature_matching() -> None:
    detector, normals = begun("aed")
    x = normals.draw(8, detector._generator)
    assert detector._adversarial_loss(x, x.clone()).item() > 0.1


def test_the_summed_score_is_the_generators_loss_on_a_sample() -> None:
    X = images()
    detector = quick("aed", reconstruction_weight=3.0, latent_weight=7.0).fit(X)
    scores = detector.stage_scores(X)
    expected = 3 * scores["reconstruction"] + 7 * scores["latent"]
    np.testing.assert_allclose(scores["aed"], expected, rtol=1e-5)


def test_decision_function_is_the_score_that_stage_names() -> None:
    X = images()
    choices = parameters(AED)["stage"].choices
    assert set(choices) == set(quick("aed").fit(X).stage_scores(X))
    for score in choices:
        detector = quick("aed", stage=score).fit(X)
        assert np.array_equal(detector.decision_function(X), detector.stage_scores(X)[score])


def test_training_is_worth_something() -> None:
    # The fold of GANomaly's test, for the same reason.
    trained, untrained = trained_and_untrained(
        "aed", "digits-occ", 3, {"train_steps": 1}, width=16, train_steps=150, lr=1e-3
    )
    assert trained > max(untrained, 0.5) + 0.1
