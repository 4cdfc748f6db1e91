"""Autoencoders: shapes, and weights of their own for every part."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from omasgan.nn import autoencoders

SHAPES = [(2,), (1, 8, 8), (1, 28, 28), (3, 32, 32)]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_reconstruction_has_the_shape_of_its_sample(shape: tuple[int, ...]) -> None:
    network = autoencoders.Autoencoder(shape, latent_dim=5, width=4, depth=0, seed=0)
    assert network(torch.zeros(3, *shape)).shape == (3, *shape)


@pytest.mark.parametrize(
    ("shape", "places"), [((1, 8, 8), 16), ((1, 28, 28), 49), ((3, 32, 32), 16)]
)
def test_the_latent_of_a_map_is_as_large_as_wanted(shape: tuple[int, ...], places: int) -> None:
    network = autoencoders.MapAutoencoder(shape, latent_dim=5, width=4, depth=0, seed=0)
    x = torch.zeros(3, *shape)
    assert network.encoder(x).flatten(1).shape == (3, 5 * places)
    assert network(x).shape == x.shape


@pytest.mark.parametrize("shape", SHAPES)
def test_encoder_decoder_encoder_is_what_its_parts_are(shape: tuple[int, ...]) -> None:
    network = autoencoders.EncoderDecoderEncoder(shape, latent_dim=5, width=4, depth=0, seed=0)
    x = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    z, reconstruction, again = network.eval()(x)
    assert z.shape == again.shape == (3, 5)
    assert torch.equal(reconstruction, network.decoder(network.encoder(x)))
    assert torch.equal(again, network.second(reconstruction))


def test_the_second_encoder_has_weights_of_its_own() -> None:
    network = autoencoders.EncoderDecoderEncoder((1, 8, 8), latent_dim=5, width=4, depth=0, seed=0)
    for first, second in zip(
        network.encoder.parameters(), network.second.parameters(), strict=True
    ):
        assert first is not second
        assert first.shape == second.shape
    assert not torch.equal(network.encoder[0].weight, network.second[0].weight)


@pytest.mark.parametrize("kind", [autoencoders.Autoencoder, autoencoders.MapAutoencoder])
def test_initial_weights_depend_on_the_seed_alone(kind: Any) -> None:
    first, same, other = (
        kind((1, 8, 8), latent_dim=5, width=4, depth=0, seed=seed) for seed in (0, 0, 7)
    )
    assert all(map(torch.equal, first.parameters(), same.parameters()))
    assert not all(map(torch.equal, first.parameters(), other.parameters()))
