"""The quick form of a frozen network is the same map."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from omasgan.nn import frozen, networks

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32)]


def pair(shape: tuple[int, ...], width: int = 8) -> tuple[nn.Module, nn.Module]:
    """A generator with batch statistics of its own, and a critic's features."""
    G = networks.generator(shape, latent_dim=5, width=width, depth=0, seed=0)
    D = networks.critic(shape, width=width, depth=0, normalised=False, seed=1)
    generator = torch.Generator().manual_seed(0)
    for p in [*G.parameters(), *D.parameters()]:
        p.data += 0.1 * torch.randn(p.shape, generator=generator)
    G(3 * torch.randn(50, 5, generator=generator))
    return G.double().eval().requires_grad_(False), D.features.double().requires_grad_(False)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("largest", [0, frozen.LARGEST_MATRIX])
def test_values_and_gradients_are_the_same(
    shape: tuple[int, ...], largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen, "LARGEST_MATRIX", largest)
    G, features = pair(shape)
    quick_G, quick_features = frozen.quick(G, (5,)), frozen.quick(features, shape)
    z = torch.randn(7, 5, generator=torch.Generator().manual_seed(1)).double().requires_grad_()
    x = G(z)
    torch.testing.assert_close(quick_G(z), x)
    torch.testing.assert_close(quick_features(x), features(x))
    (expected,) = torch.autograd.grad(features(x).abs().sum(), z)
    (gradient,) = torch.autograd.grad(quick_features(quick_G(z)).abs().sum(), z)
    torch.testing.assert_close(gradient, expected)


def test_small_maps_are_matrices_and_large_ones_have_no_batch_norm() -> None:
    small, large = (frozen.quick(pair(shape)[0], (5,)) for shape in SHAPES[:2])
    assert {type(layer).__name__ for layer in small.children()} == {"_Matrix", "ReLU", "Tanh"}
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in large.modules())
    assert any(isinstance(layer, nn.ConvTranspose2d) for layer in large.modules())


def test_the_network_itself_stays_as_it_is() -> None:
    G, _ = pair((1, 28, 28))
    before = {name: value.clone() for name, value in G.state_dict().items()}
    frozen.quick(G, (5,))
    assert all(torch.equal(before[name], value) for name, value in G.state_dict().items())


def test_a_network_that_is_no_chain_is_given_back() -> None:
    G = networks.generator((2,), latent_dim=5, width=8, depth=0, seed=0)
    assert frozen.quick(G, (5,)) is G
