"""GANomaly's losses, what trains what, and that its scores learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from omasgan.detectors.ganomaly import GANomaly
from omasgan.nn import batches
from tests.contracts.test_detector import images, quick, vectors
from tests.detectors.learning import trained_and_untrained


def begun(name: str = "ganomaly", **params: Any) -> tuple[Any, batches.Sampler]:
    """A detector in the midst of its training, and what it draws from."""
    X = images()
    detector = quick(name, **params)
    next(detector.fit_epochs(X))
    return detector, batches.Sampler(X, np.arange(len(X)), torch.device("cpu"))


def weights(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.flatten() for p in module.parameters()]).detach().clone()


def parts(detector: Any) -> dict[str, torch.nn.Module]:
    G = detector._networks["G"]
    return {
        "encoder": G.encoder,
        "decoder": G.decoder,
        "second": G.second,
        "D": detector._networks["D"],
    }


def test_one_step_trains_every_network() -> None:
    detector, normals = begun()
    before = {name: weights(part) for name, part in parts(detector).items()}
    detector._step("train", normals)
    for name, part in parts(detector).items():
        assert not torch.equal(before[name], weights(part)), name


@pytest.mark.parametrize(
    ("weight", "trained"),
    [
        ("adversarial", {"encoder", "decoder"}),
        ("reconstruction", {"encoder", "decoder"}),
        ("latent", {"encoder", "decoder", "second"}),
    ],
)
def test_each_loss_trains_what_it_depends_on(weight: str, trained: set[str]) -> None:
    off = dict.fromkeys(["adversarial_weight", "reconstruction_weight", "latent_weight"], 0.0)
    detector, normals = begun(**(off | {f"{weight}_weight": 1.0}))
    before = {name: weights(part) for name, part in parts(detector).items()}
    detector._step("train", normals)
    moved = {n for n, part in parts(detector).items() if not torch.equal(before[n], weights(part))}
    assert moved == trained | {"D"}


def test_the_generators_loss_leaves_no_gradient_in_the_discriminator() -> None:
    detector, normals = begun()
    x = normals.draw(8, detector._generator)
    D = detector._networks["D"]
    D.zero_grad()
    with torch.no_grad():
        fake = torch.zeros_like(x)
    fake.requires_grad_(True)
    D.requires_grad_(False)
    detector._adversarial_loss(x, fake).backward()
    assert fake.grad is not None and fake.grad.abs().sum() > 0
    assert all(p.grad is None for p in D.parameters())


def test_feature_matching_is_0_for_a_perfect_reconstruction_only() -> None:
    detector, normals = begun()
    x = normals.draw(8, detector._generator)
    assert detector._adversarial_loss(x, x.clone()).item() == 0
    other = -x
    D = detector._networks["D"]
    naive = ((D.features(x) - D.features(other)) ** 2).sum() / D.features(x).numel()
    assert detector._adversarial_loss(x, other).item() == pytest.approx(naive.item(), rel=1e-4)


def test_the_generators_loss_weighs_its_terms() -> None:
    detector, normals = begun(adversarial_weight=2.0, reconstruction_weight=3.0, latent_weight=5.0)
    losses = detector._step("train", normals)
    expected = 2 * losses["adversarial"] + 3 * losses["reconstruction"] + 5 * losses["latent"]
    assert losses["g"].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("name", ["ganomaly", "aed"])
def test_the_discriminator_puts_samples_above_reconstructions(name: str) -> None:
    # The generator stands still.
    detector, normals = begun(name, lr=1e-3)
    detector._optimisers["G"].param_groups[0]["lr"] = 0.0
    losses = [detector._step("train", normals)["d"].item() for _ in range(40)]
    assert losses[-1] < 0.5 * losses[0]
    x = normals.draw(32, detector._generator)
    with torch.no_grad():
        _, fake, _ = detector._networks["G"](x)
        D = detector._networks["D"]
        assert D(x).mean() > 0 > D(fake).mean()


@pytest.mark.parametrize("maker", [images, vectors])
def test_scores_are_the_distances_that_they_are_said_to_be(maker: Any) -> None:
    X = maker()
    detector = quick("ganomaly").fit(X)
    scores = detector.stage_scores(X[:5])
    G = detector._networks["G"]
    for i in range(5):
        x = batches.rows_of(X, np.array([i]), torch.device("cpu"))
        with torch.no_grad():
            z = G.encoder(x)
            fake = G.decoder(z)
            latent = sum((a - b) ** 2 for a, b in zip(z[0], G.second(fake)[0], strict=True))
        assert scores["latent"][i] == pytest.approx(latent.item() / 32, rel=1e-3, abs=1e-7)
        assert scores["reconstruction"][i] == pytest.approx(
            np.abs((x - fake).numpy()).mean(), rel=1e-3
        )


def test_scoring_moves_no_running_statistic() -> None:
    X = images()
    detector = quick("ganomaly").fit(X)
    before = {k: v.clone() for k, v in detector._networks["G"].state_dict().items()}
    detector.decision_function(X)
    after = detector._networks["G"].state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_decision_function_is_the_score_that_stage_names() -> None:
    X = images()
    for score in ("latent", "reconstruction"):
        detector = quick("ganomaly", stage=score).fit(X)
        assert np.array_equal(detector.decision_function(X), detector.stage_scores(X)[score])


def test_the_papers_weights_are_the_defaults() -> None:
    detector = GANomaly()
    assert detector.adversarial_weight == detector.latent_weight == 1
    assert detector.reconstruction_weight == 50
    assert detector.stage == "latent"


def test_training_is_worth_something() -> None:
    # One digit is normal: what was never seen is reconstructed badly. With nine normal digits
    # (leave-one-out) an autoencoder reconstructs the tenth as well. At the 0 even an untrained
    # AED has 0.8; the 3 leaves room.
    trained, untrained = trained_and_untrained(
        "ganomaly", "digits-occ", 3, {"train_steps": 1}, width=16, train_steps=150, lr=1e-3
    )
    assert trained > max(untrained, 0.5) + 0.1
