"""The normalised autoencoder: its energy, its samples and its likelihood in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from omasgan.detectors import parameters
from omasgan.detectors.nae import NAE, NORMALISED, PLAIN
from omasgan.nn.batches import Sampler
from tests.contracts.test_detector import images, quick, vectors
from tests.detectors.learning import by_stage


class Constant(nn.Module):
    """Any latents to one sample."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = nn.Parameter(value)

    def forward(self, z: Tensor) -> Tensor:
        return self.value + 0 * z.sum(1, keepdim=True)


def entered(d: int, decoder: nn.Module, encoder: nn.Module | None = None, **params: Any) -> NAE:
    """A detector of vectors ``(n, d)`` that has entered ``train`` with these networks."""
    detector = quick("nae", **params)
    detector._begin([d])
    detector._enter_up_to("pretrain")
    autoencoder = detector._networks[PLAIN]
    autoencoder.decoder, autoencoder.encoder = decoder, encoder or autoencoder.encoder
    detector._enter_up_to("train")
    return detector


def projection(d: int, k: int, **params: Any) -> tuple[NAE, Tensor]:
    """A detector whose autoencoder projects on k axes, and the projection ``(d, d)``."""
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(d, k, generator=generator))[0]
    encoder, decoder = nn.Linear(d, k, bias=False), nn.Linear(k, d, bias=False)
    encoder.weight.data, decoder.weight.data = axes.T, axes
    params = {"sphere": False, "latent_dim": k, **params}
    return entered(d, decoder, encoder, **params), axes @ axes.T


def test_the_energy_of_a_projection_is_the_mean_square_off_its_plane() -> None:
    detector, onto = projection(5, 2)
    x = torch.randn(7, 5, generator=torch.Generator().manual_seed(1), requires_grad=True)
    energy = detector._energy(x)
    off = x - x @ onto
    torch.testing.assert_close(energy, off.square().sum(1) / 5)
    (gradient,) = torch.autograd.grad(energy.sum(), x)
    torch.testing.assert_close(gradient, 2 * off / 5)


def test_samples_of_a_projection_are_gaussian_off_its_plane() -> None:
    """There the energy is quadratic: the chain in x ends in the variance noise^2 / (1 - (1 -
    rate)^2). In the plane the energy is 0: the chain walks at random.
    """
    rate, noise, steps = 0.2, 0.05, 25
    detector, onto = projection(
        4, 1, batch_size=8000, chains=8000, fresh=0.0,
        latent_steps=0, sample_steps=steps, sample_rate=rate, sample_noise=noise,
    )  # fmt: skip
    detector._fitted["chains"] = torch.zeros(8000, 1)
    x = detector._samples()
    off, along = x - x @ onto, x @ onto
    expected = noise**2 / (1 - (1 - rate) ** 2)
    assert off.square().sum(1).mean().item() / 3 == pytest.approx(expected, rel=0.04)
    assert along.square().sum(1).mean().item() == pytest.approx(steps * noise**2, rel=0.06)


def test_the_chain_in_the_latent_seeks_what_is_reconstructed() -> None:
    """The decoder puts z in [-1, 1] on a line; the encoder gives back the positive half of it."""
    encoder = nn.Sequential(nn.Linear(2, 1, bias=False), nn.ReLU())
    encoder[0].weight.data = torch.tensor([[1.0, 0.0]])
    decoder = nn.Linear(1, 2, bias=False)
    decoder.weight.data = torch.tensor([[1.0], [0.0]])
    detector = entered(
        2, decoder, encoder, sphere=False, latent_dim=1, batch_size=500, chains=500, fresh=0.0,
        latent_steps=50, latent_rate=0.2, latent_noise=0.01,
    )  # fmt: skip
    detector._fitted["chains"] = torch.linspace(-1, 1, 500)[:, None]
    detector._samples()
    ends = detector._fitted["chains"]
    assert ends.min() > -0.1
    assert (ends > 0.2).float().mean() > 0.3, "those that are reconstructed stay"


def test_training_with_a_constant_decoder_finds_the_mean() -> None:
    """The density is then a Gaussian around the constant, whose likelihood is greatest there."""
    X = vectors(400) + np.float32([0.3, -0.2])
    detector = entered(
        2, Constant(torch.zeros(2)), gamma=0.0, lr=2e-2, batch_size=400,
        sample_steps=5, sample_rate=0.3, sample_noise=0.1,
    )  # fmt: skip
    normals = Sampler(X, np.arange(len(X)), torch.device("cpu"))
    decoder = detector._networks[NORMALISED].decoder
    first = None
    for _ in range(100):
        detector._step("train", normals)
        first = decoder.value.detach().clone() if first is None else first
    assert first is not None
    assert first[0] > 0 > first[1], "the first step already goes to the data"
    mean = torch.from_numpy(X.mean(0))
    torch.testing.assert_close(decoder.value.detach(), mean, rtol=0, atol=0.04)
    assert torch.equal(detector._networks[PLAIN].decoder.value, torch.zeros(2))


def test_gamma_says_up_to_which_energy_samples_are_pushed() -> None:
    """-E + gamma E^2 is least at 1 / (2 gamma)."""
    energies = []
    for gamma in (0.25, 50.0):
        detector = quick("nae", gamma=gamma, pretrain_steps=100, train_steps=60, lr=1e-3)
        losses = [epoch.losses for epoch in detector.fit_epochs(images())]
        energies.append(losses[-1]["negative"])
    assert energies[0] > 2 * energies[1]


def test_samples_lie_in_the_range_of_the_data() -> None:
    X = images()
    detector = quick("nae", sample_noise=2.0)
    for epoch in detector.fit_epochs(X):
        if epoch.phase == "train":
            x = detector._samples()
            assert x.shape == (detector.batch_size, 64) and x.abs().max() == 1
            norms = detector._fitted["chains"].norm(dim=1)
            torch.testing.assert_close(norms, torch.ones(1000))
            break


def test_without_steps_samples_are_what_latents_decode_to() -> None:
    params = {"latent_steps": 0, "sample_steps": 0, "fresh": 0.0, "batch_size": 1000}
    detector = quick("nae", **params)
    training = detector.fit_epochs(images())
    assert [next(training).phase for _ in range(3)][-1] == "train"
    before = detector._fitted["chains"].clone()
    x = detector._samples()
    assert torch.equal(detector._fitted["chains"], before)
    with torch.no_grad():
        decoded = detector._networks[NORMALISED].decoder(before).clamp(-1, 1)
    torch.testing.assert_close(x.sort(0).values, decoded.sort(0).values)
    assert np.isfinite(list(next(training).losses.values())).all()


@pytest.mark.parametrize(("fresh", "moved"), [(0.0, 0), (1.0, 40)])
def test_a_step_moves_as_many_chains_as_a_batch(fresh: float, moved: int) -> None:
    detector = entered(2, Constant(torch.zeros(2)), fresh=fresh, latent_steps=0, batch_size=40)
    before = detector._fitted["chains"].clone()
    detector._samples()
    assert (detector._fitted["chains"] != before).any(1).sum() == moved


def test_without_the_second_phase_the_scores_are_one() -> None:
    scores = quick("nae", train_steps=0).fit(images()).stage_scores(images())
    assert np.array_equal(scores["energy"], scores["reconstruction"])


def test_the_second_phase_leaves_the_plain_autoencoder_alone() -> None:
    X = images()
    without, trained = (quick("nae", train_steps=n).fit(X).stage_scores(X) for n in (0, 4))
    assert np.array_equal(without["reconstruction"], trained["reconstruction"])
    assert not np.array_equal(trained["energy"], trained["reconstruction"])


CHANGES = {
    "sphere": False, "gamma": 9.0, "chains": 50, "fresh": 1.0, "latent_steps": 1,
    "latent_rate": 5.0, "latent_noise": 0.5, "sample_steps": 1, "sample_rate": 0.9,
    "sample_noise": 0.3,
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_every_param_counts(name: str) -> None:
    X = images()
    energies = [
        quick("nae", **params).fit(X).stage_scores(X)["energy"]
        for params in ({}, {name: CHANGES[name]})
    ]
    assert not np.array_equal(*energies)


def test_decision_function_is_the_score_that_stage_names() -> None:
    X = images()
    choices = parameters(NAE)["stage"].choices
    assert set(choices) == set(quick("nae").fit(X).stage_scores(X))
    for score in choices:
        detector = quick("nae", stage=score).fit(X)
        assert np.array_equal(detector.decision_function(X), detector.stage_scores(X)[score])


def test_training_pays() -> None:
    trained, untrained = by_stage(
        "nae", "digits-loo", 3, {"pretrain_steps": 1, "train_steps": 0},
        pretrain_steps=300, train_steps=60, width=64,
    )  # fmt: skip
    for stage, auroc in trained.items():
        assert auroc > max(untrained[stage], 0.5) + 0.05, stage
    assert trained["energy"] > trained["reconstruction"]
