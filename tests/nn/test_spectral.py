"""Spectral norm: torch's own, with fewer operations and in float32."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from omasgan.nn import batches, spectral

LAYERS = [nn.Linear(7, 5), nn.Linear(3, 1), nn.Conv2d(2, 6, 3)]


def pair(layer: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Return the layer normalised by us and by torch, in the same state."""
    ours, theirs = spectral.normalised(deepcopy(layer)), spectral_norm(deepcopy(layer))
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_weights_gradients_and_states_are_those_of_torch(layer: nn.Module) -> None:
    ours, theirs = pair(layer)
    for _ in range(3):
        probe = torch.randn_like(layer.weight)  # type: ignore[arg-type]
        for each in (ours, theirs):
            each.zero_grad()
            (each.weight * probe).sum().backward()
        gradients = [each.parametrizations.weight.original.grad for each in (ours, theirs)]
        torch.testing.assert_close(*gradients)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)
    torch.testing.assert_close(ours.eval().weight, theirs.eval().weight)


def test_two_passes_before_one_backward() -> None:
    layer = spectral.normalised(nn.Linear(4, 3))
    x = torch.randn(5, 4)
    (layer(x).sum() + layer(2 * x).square().sum()).backward()
    assert layer.parametrizations.weight.original.grad.isfinite().all()


def test_the_norm_is_computed_in_float32_under_autocast() -> None:
    layer = spectral.normalised(nn.Linear(400, 50))
    expected = layer.eval().weight
    with batches.autocast(torch.device("cpu"), "bfloat16"):
        assert torch.equal(layer.weight, expected)
        assert layer(torch.randn(2, 400)).dtype == torch.bfloat16


@pytest.mark.parametrize("size", [0.01, 5.0])
def test_a_bounded_weight_has_at_most_that_norm(size: float) -> None:
    torch.manual_seed(0)
    layer = spectral.bounded(nn.Linear(7, 4), 0.9)
    original = layer.parametrizations.weight.original
    original.data = size * torch.randn(4, 7)
    for _ in range(50):
        layer(torch.zeros(1, 7))
    norm = torch.linalg.matrix_norm(original, 2)
    expected = original * min(1, 0.9 / norm.item())
    torch.testing.assert_close(layer.weight, expected, rtol=1e-3, atol=1e-5)
    assert torch.equal(layer.weight, original) == (size < 1)
