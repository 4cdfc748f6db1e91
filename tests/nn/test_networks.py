"""Shapes, initialisation and separateness of the networks."""

from __future__ import annotations

import pytest
import torch

from omasgan.errors import ConfigError
from omasgan.nn import batches, networks

SHAPES = [(2,), (1, 8, 8), (1, 28, 28), (3, 32, 32)]


def new_generator(shape: tuple[int, ...], seed: int = 0) -> torch.nn.Module:
    return networks.generator(shape, latent_dim=5, width=4, depth=2, seed=seed)


def new_critic(shape: tuple[int, ...], *, normalised: bool = True) -> networks.Critic:
    return networks.critic(shape, width=4, depth=2, normalised=normalised, seed=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_generator_and_critic_fit_each_other(shape: tuple[int, ...]) -> None:
    x = new_generator(shape)(torch.randn(3, 5))
    assert x.shape == (3, *shape)
    critic = new_critic(shape)
    assert critic(x).shape == (3,)
    assert critic.features(x).ndim == 2


@pytest.mark.parametrize("shape", SHAPES)
def test_initial_weights_depend_on_the_seed_alone(shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    first = new_generator(shape)
    expected = torch.rand(1)
    torch.manual_seed(1)
    torch.rand(100)
    assert all(map(torch.equal, first.parameters(), new_generator(shape).parameters()))
    other = new_generator(shape, seed=1)
    assert not all(map(torch.equal, first.parameters(), other.parameters()))
    # The global generator was not advanced by building a network.
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("shape", "features"), [((2,), 4), ((1, 8, 8), 32), ((1, 28, 28), 256), ((3, 32, 32), 128)]
)
def test_depth_0_fits_the_data(shape: tuple[int, ...], features: int) -> None:
    critic = networks.critic(shape, width=4, depth=0, normalised=False, seed=0)
    assert critic.features(torch.zeros(1, *shape)).shape == (1, features)


def test_spectral_norm_bounds_the_slope() -> None:
    critic = new_critic((2,)).train()
    for _ in range(50):
        critic(torch.randn(8, 2))
    x = torch.randn(100, 2, requires_grad=True)
    critic.eval()(x).sum().backward()
    assert x.grad.norm(dim=1).max() <= 1.01


@pytest.mark.parametrize(("side", "depth"), [(28, 3), (32, 5)])
def test_an_image_that_cannot_be_halved(side: int, depth: int) -> None:
    with pytest.raises(ConfigError, match=f"depth={depth} for images of {side}x{side}"):
        networks.critic((1, side, side), width=4, depth=depth, normalised=False, seed=0)


def test_moving_average_lies_between() -> None:
    average, network = new_generator((2,)), new_generator((2,), seed=1)
    before = [p.clone() for p in average.parameters()]
    networks.update_average(average, network, 0.75)
    for old, now, new in zip(before, average.parameters(), network.parameters(), strict=True):
        assert torch.allclose(now, 0.75 * old + 0.25 * new)


def test_frozen_passes_gradients_on() -> None:
    critic, x = new_critic((2,)), torch.randn(3, 2, requires_grad=True)
    with networks.frozen(critic):
        critic(x).sum().backward()
    assert x.grad is not None
    assert all(p.grad is None and p.requires_grad for p in critic.parameters())


def test_images_are_scaled_batch_by_batch() -> None:
    import numpy as np

    X = np.array([[[[0, 255]]], [[[51, 204]]]], dtype=np.uint8)
    (batch,) = batches.in_order(X, torch.device("cpu"))
    assert torch.allclose(batch.flatten(), torch.tensor([-1.0, 1.0, -0.6, 0.6]), atol=1e-6)


def test_joint_outputs_are_those_of_each_set() -> None:
    critic = new_critic((1, 8, 8), normalised=False)
    sets = [torch.randn(n, 1, 8, 8) for n in (3, 5, 2)]
    outputs = networks.jointly(critic, *sets)
    assert [len(v) for v in outputs] == [3, 5, 2]
    for v, x in zip(outputs, sets, strict=True):
        torch.testing.assert_close(v, critic(x))


def test_gradients_come_back_in_the_layout_of_images() -> None:
    x = torch.randn(4, 3, 8, 8).to(memory_format=networks.LAYOUT).requires_grad_()
    layouts: list[bool] = []
    inner = x * 1
    inner.register_hook(lambda g: layouts.append(g.is_contiguous(memory_format=networks.LAYOUT)))
    weight = torch.randn(192)
    (networks.Flatten()(inner * 1) @ weight).sum().backward()
    assert layouts == [True]
    assert torch.equal(x.grad.flatten(1), weight.expand(4, 192))
