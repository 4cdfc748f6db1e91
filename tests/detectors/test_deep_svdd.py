"""Deep SVDD's own rules: no way to a constant, a centre that stays, and what trains what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from omasgan.detectors.deep_svdd import DeepSVDD, pushed_from_zero
from tests.contracts.test_detector import images, quick, vectors
from tests.detectors.learning import trained_and_untrained


def weights(detector: DeepSVDD, name: str) -> torch.Tensor:
    return torch.cat([p.flatten() for p in detector._networks[name].parameters()]).clone()


def codes(detector: DeepSVDD, X: np.ndarray) -> torch.Tensor:
    x = torch.from_numpy(X.astype(np.float32) / 127.5 - 1 if X.dtype == np.uint8 else X)
    phi = detector._networks["phi"]
    training = phi.training
    with torch.no_grad():
        result = phi.eval()(x)
    phi.train(training)
    return result


@pytest.mark.parametrize("maker", [images, vectors])
def test_phi_has_weights_alone(maker: Any) -> None:
    detector = quick("deep-svdd").fit(maker())
    names = [name for name, _ in detector._networks["phi"].named_parameters()]
    assert names
    assert all(name.endswith("weight") for name in names)
    assert all(p.dim() > 1 for p in detector._networks["phi"].parameters())


def test_phi_of_nothing_is_nothing() -> None:
    detector = quick("deep-svdd").fit(vectors())
    assert not codes(detector, np.zeros((1, 2), np.float32)).any()


def test_the_centre_is_pushed_from_zero() -> None:
    centre = torch.tensor([0.5, 0.05, 0.0, -0.01, -2.0])
    expected = torch.tensor([0.5, 0.1, 0.1, -0.1, -2.0])
    assert torch.equal(pushed_from_zero(centre, 0.1), expected)
    assert torch.equal(pushed_from_zero(centre, 0.0), centre)


@pytest.mark.parametrize("maker", [images, vectors])
def test_the_centre_is_the_mean_after_pretraining_and_stays(maker: Any) -> None:
    X = maker(700)
    detector = quick("deep-svdd", centre_margin=0.01, depth=2)  # batch normalisation from 2 on
    centre, expected = None, None
    for epoch in detector.fit_epochs(X):
        if epoch.phase == "pretrain":
            assert "centre" not in detector._fitted
            expected = pushed_from_zero(codes(detector, X).mean(0), 0.01)
        elif centre is None:
            centre = detector._fitted["centre"].clone()
        else:
            assert torch.equal(detector._fitted["centre"], centre)
    assert centre is not None and expected is not None
    torch.testing.assert_close(centre, expected, rtol=1e-4, atol=1e-5)


def test_pretraining_moves_both_networks_and_training_phi_alone() -> None:
    detector = quick("deep-svdd")
    before: dict[str, torch.Tensor] = {}
    for epoch in detector.fit_epochs(images()):
        after = {name: weights(detector, name) for name in ("phi", "decoder")}
        for name, old in before.items():
            moved = not torch.equal(old, after[name])
            assert moved == (name == "phi" or epoch.phase == "pretrain"), (name, epoch.phase)
        before = after


@pytest.mark.parametrize("maker", [images, vectors])
@pytest.mark.parametrize(
    "params",
    [{}, {"train_steps": 0}, {"pretrain_steps": 0}, {"precision": "bfloat16"}],
    ids=str,
)
def test_the_score_is_the_squared_distance_to_the_centre(
    params: dict[str, Any], maker: Any
) -> None:
    X = maker()
    detector = quick("deep-svdd", **params).fit(X)
    expected = (codes(detector, X) - detector._fitted["centre"]).square().sum(1)
    np.testing.assert_allclose(detector.decision_function(X), expected.numpy(), rtol=1e-4)


def test_training_shrinks_the_distance() -> None:
    X = images()
    detector = quick("deep-svdd", train_steps=60)
    distances = [e.losses["distance"] for e in detector.fit_epochs(X) if e.phase == "train"]
    assert distances[-1] < 0.5 * distances[0]


def test_weight_decay_shrinks_phi() -> None:
    norms = [
        weights(quick("deep-svdd", weight_decay=decay, train_steps=60).fit(images()), "phi").norm()
        for decay in (0.0, 10.0)
    ]
    assert norms[1] < norms[0]


@pytest.mark.parametrize("fold", [1, 8])
def test_training_pays(fold: int) -> None:
    """One digit is one cluster, as the method assumes. 1 and 8, since a random phi already finds
    the others (0: AUROC 0.99).
    """
    untrained = {"pretrain_steps": 0, "train_steps": 1}
    trained, before = trained_and_untrained(
        "deep-svdd", "digits-occ", fold, untrained, width=16, train_steps=200, pretrain_steps=200
    )
    assert trained > max(before, 0.5) + 0.1
