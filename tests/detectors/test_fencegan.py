"""FenceGAN's own rules: where the fence is, what spreads it, and what trains what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from omasgan.detectors.fencegan import FenceGAN, inverse_spread
from tests.contracts.test_detector import images, quick, vectors
from tests.detectors.learning import trained_and_untrained


def weights(detector: FenceGAN, name: str) -> torch.Tensor:
    return torch.cat([p.flatten() for p in detector._networks[name].parameters()]).clone()


def test_dispersion_is_one_over_the_mean_distance_to_the_centre() -> None:
    x = torch.randn(20, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    rows = x.flatten(1).numpy()
    expected = 1 / np.linalg.norm(rows - rows.mean(0), axis=1).mean()
    assert inverse_spread(x).item() == pytest.approx(expected, rel=1e-5)
    assert inverse_spread(2 * x + 7).item() == pytest.approx(expected / 2, rel=1e-5)


def test_dispersion_spreads_g_s_samples() -> None:
    spreads = []
    for beta in (0.0, 10.0):
        detector = quick("fencegan", beta=beta, generator_lr=1e-2, train_steps=40)
        detector.fit(vectors())
        with torch.no_grad():
            z = torch.randn(200, 64, generator=torch.Generator().manual_seed(0))
            spreads.append(1 / inverse_spread(detector._networks["G"](z)).item())
    assert spreads[1] > 1.5 * spreads[0]


def test_pretraining_trains_d_alone_and_training_both() -> None:
    detector = quick("fencegan")
    for epoch in detector.fit_epochs(images()):
        for name in ("G", "D"):
            new = torch.cat([p.flatten() for p in detector._new(name).parameters()])
            moved = not torch.equal(weights(detector, name), new)
            assert moved == (name == "D" or epoch.phase == "train"), (name, epoch.phase)
        assert ("encirclement" in epoch.losses) == (epoch.phase == "train")


@pytest.mark.parametrize("change", [{"alpha": 0.1}, {"beta": 0.0}, {"gamma": 0.1}], ids=str)
def test_every_weight_reaches_g(change: dict[str, float]) -> None:
    """gamma does so through D."""
    g = [weights(quick("fencegan", **params).fit(images()), "G") for params in ({}, change)]
    assert not torch.equal(*g)


def test_without_gamma_d_never_learns_of_g() -> None:
    d = [weights(quick("fencegan", gamma=0.0, beta=b).fit(images()), "D") for b in (0.0, 9.0)]
    assert torch.equal(*d)


@pytest.mark.parametrize("maker", [images, vectors])
@pytest.mark.parametrize("params", [{}, {"precision": "bfloat16"}, {"pretrain_steps": 0}], ids=str)
def test_every_variant_trains(params: dict[str, Any], maker: Any) -> None:
    X = maker()
    assert np.isfinite(quick("fencegan", **params).fit(X).decision_function(X)).all()


def test_the_score_is_d_s_logit_turned() -> None:
    """Real samples, which D learns to be normal, score low; what D never saw as real, high."""
    X = images()
    detector = quick("fencegan", pretrain_steps=60, train_steps=0, discriminator_lr=1e-3).fit(X)
    x = torch.from_numpy(X.astype(np.float32) / 127.5 - 1)
    with torch.no_grad():
        expected = -detector._networks["D"](x).numpy()
        z = torch.randn(60, 64, generator=torch.Generator().manual_seed(0))
        generated = detector._networks["G"](z).numpy()
    np.testing.assert_allclose(detector.decision_function(X), expected, rtol=1e-5, atol=1e-6)
    assert detector.decision_function(X).max() < detector.decision_function(generated).min()


def test_samples_of_the_boundary_are_g_s() -> None:
    X = vectors()
    detector = quick("fencegan").fit(X)
    samples = detector.samples(X)
    assert np.array_equal(samples["real"], X) and samples["B"].shape == X.shape
    assert not np.array_equal(
        samples["B"], quick("fencegan", train_steps=0).fit(X).samples(X)["B"]
    )


def test_training_pays() -> None:
    """One digit is a compact set that a fence can close; nine are not (digits-loo: near chance).
    Fold 3, since the untrained D ranks it no worse than chance.
    """
    untrained = {"pretrain_steps": 0, "train_steps": 1}
    trained, before = trained_and_untrained(
        "fencegan", "digits-occ", 3, untrained, width=16, train_steps=200
    )
    assert trained > max(before, 0.5) + 0.1
