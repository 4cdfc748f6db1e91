"""RaPP: its two aggregations in closed form, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from omasgan.detectors import parameters
from omasgan.detectors.pca import PCA
from omasgan.detectors.rapp import RaPP, whitening
from tests.contracts.test_detector import images, quick
from tests.detectors.learning import by_stage


def correlated(n: int = 200, d: int = 5) -> np.ndarray:
    """A Gaussian with correlated coordinates, ``(n, d)``."""
    rng = np.random.default_rng(1)
    return (rng.normal(size=(n, d)) @ rng.normal(0, 0.4, (d, d)) + 0.3).astype(np.float32)


def linear(encode: np.ndarray, decode: np.ndarray, X: np.ndarray) -> RaPP:
    """RaPP on the autoencoder x -> decode encode x, matrices ``(k, d)`` and ``(d, k)``."""
    detector = RaPP(latent_dim=len(encode), train_steps=1, device="cpu").fit(X)
    for name, matrix in (("encoder", encode), ("decoder", decode)):
        layer = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False)
        layer.weight.data = torch.from_numpy(matrix.astype(np.float32))
        detector._networks[name] = nn.Sequential(layer)
    detector._finish(X)
    return detector


def test_nap_of_a_linear_autoencoder_is_the_mahalanobis_distance() -> None:
    """d(x) is an invertible map of x here, which the distance does not notice."""
    X, test = correlated(), correlated(20) + 0.5
    rng = np.random.default_rng(2)
    detector = linear(rng.normal(0, 0.3, (2, 5)), rng.normal(0, 0.3, (5, 2)), X)
    rest = test - X.mean(0)
    expected = np.sum(rest @ np.linalg.inv(np.cov(X.T, bias=True)) * rest, axis=1)
    assert detector._fitted["axes"].shape == (7, 5)
    np.testing.assert_allclose(detector.stage_scores(test)["nap"], expected, rtol=1e-3)


def test_sap_of_a_projection_is_the_distance_to_its_plane() -> None:
    """The reconstruction's latents are the sample's, and add nothing."""
    X, test = correlated(), correlated(20) + 0.5
    X, test = X - X.mean(0), test - X.mean(0)
    axes = np.linalg.svd(X)[2][:2]
    scores = linear(axes, axes.T, X).stage_scores(test)
    expected = PCA(components=2).fit(X).decision_function(test)
    np.testing.assert_allclose(scores["sap"], expected, rtol=1e-3)
    np.testing.assert_allclose(scores["reconstruction"], expected, rtol=1e-3)


def test_sap_adds_up_the_squares_of_every_layer() -> None:
    X = images()
    detector = quick("rapp").fit(X)
    x = torch.from_numpy(X.reshape(len(X), -1)).float() / 127.5 - 1
    with torch.no_grad():
        encoder, decoder = detector._networks["encoder"], detector._networks["decoder"]
        pairs = [(x, decoder(encoder(x)))]
        for at in range(0, len(encoder), 3):  # a linear layer, its normalisation, its activation
            pairs.append(tuple(encoder[at : at + 3](h) for h in pairs[-1]))
        expected = sum((a - b).square().sum(1) for a, b in pairs)
    assert len(pairs) == detector.depth + 2, "the sample, the hidden layers, the latents"
    np.testing.assert_allclose(detector.stage_scores(X)["sap"], expected.numpy(), rtol=1e-4)


def test_layers_narrow_evenly_from_the_sample_to_the_latents() -> None:
    detector = RaPP(latent_dim=2, depth=2, train_steps=1).fit(correlated(d=8))
    networks = (detector._networks[name] for name in ("encoder", "decoder"))
    sizes = [[m.out_features for m in network if isinstance(m, nn.Linear)] for network in networks]
    assert sizes == [[6, 4, 2], [4, 6, 8]]


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(6, 40),
    m=st.integers(1, 5),
    scale=st.floats(0.01, 100),
    seed=st.integers(0, 99),
)
def test_whitened_deviations_are_uncorrelated_and_of_unit_variance(
    n: int, m: int, scale: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    # The last column repeats the first: one direction has no variance.
    d = rng.normal(size=(n, m)) * scale + rng.normal(size=m)
    X = torch.from_numpy(np.column_stack([d, d[:, 0]]))
    mean, axes = whitening(X, 1e-9)
    white = (X - mean) @ axes
    assert white.shape == (n, m)
    torch.testing.assert_close(white.T @ white / n, torch.eye(m, dtype=X.dtype))


def test_the_mean_nap_of_the_training_samples_is_the_rank() -> None:
    X = images()
    detector = quick("rapp").fit(X)
    assert detector.stage_scores(X)["nap"].mean() == pytest.approx(
        detector._fitted["axes"].shape[1], rel=1e-2
    )


def test_nap_is_fitted_to_a_bounded_draw() -> None:
    X = images()
    detector = quick("rapp", samples=9).fit(X)
    assert detector._fitted["axes"].shape[1] <= 8


def test_decision_function_is_the_score_that_stage_names() -> None:
    X = images()
    choices = parameters(RaPP)["stage"].choices
    assert set(choices) == set(quick("rapp").fit(X).stage_scores(X))
    for score in choices:
        detector = quick("rapp", stage=score).fit(X)
        assert np.array_equal(detector.decision_function(X), detector.stage_scores(X)[score])


def test_training_pays() -> None:
    trained, untrained = by_stage(
        "rapp", "digits-loo", 3, {"train_steps": 1}, train_steps=300, samples=1_000
    )
    for stage, auroc in trained.items():
        assert auroc > max(untrained[stage], 0.5) + 0.05, stage
