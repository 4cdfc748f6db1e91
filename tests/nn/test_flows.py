"""Flows: the exact log-determinant, the inverse, and densities that are known."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from omasgan.nn import flows


def jacobian(network: Any, x: Tensor) -> Tensor:
    """The Jacobian of a map of rows at each row, ``(n, d, d)``."""
    one = torch.func.jacrev(lambda row: network(row[None])[0][0])
    return torch.stack([one(row) for row in x])


def scrambled(network: torch.nn.Module, d: int, size: float) -> Any:
    """A network of rows ``(n, d)`` whose weights are far from where they start, in eval mode."""
    with torch.no_grad():
        for p in network.parameters():
            p.add_(size * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    network.train()
    for _ in range(200):  # the power iteration catches up
        network(torch.zeros(2, d))
    return network.eval()


def flow(d: int = 3, **params: Any) -> flows.Flow:
    return flows.Flow(d, **{"blocks": 3, "hidden": 8, "bound": 0.95, "seed": 0, **params})


@pytest.mark.parametrize(("d", "hidden"), [(6, 3), (3, 7), (1, 1)])
def test_the_lemma_gives_the_determinant(d: int, hidden: int) -> None:
    torch.manual_seed(0)
    block = flows.Residual(d, hidden, 0.9).double().eval()
    x = 3 * torch.randn(5, d).double()
    torch.testing.assert_close(block(x)[1], torch.linalg.slogdet(jacobian(block, x)).logabsdet)
    assert (torch.linalg.det(jacobian(block, x)) > 0).all()


@pytest.mark.parametrize("k", [1, 5, 60])
def test_both_ways_to_a_determinant_agree(k: int) -> None:
    torch.manual_seed(k)
    contraction = torch.randn(4, k, k, dtype=torch.double)
    contraction *= 0.95 / torch.linalg.matrix_norm(contraction, 2)[:, None, None]
    matrices = (torch.eye(k) + contraction).requires_grad_()
    expected, halved = flows.log_abs_det(matrices), flows.half_log_det_of_square(matrices)
    torch.testing.assert_close(halved, expected)
    gradients = [torch.autograd.grad(y.sum(), matrices)[0] for y in (expected, halved)]
    torch.testing.assert_close(*gradients)


def test_the_slope_of_lip_swish_is_its_own_and_at_most_one() -> None:
    swish = flows.LipSwish()
    for raw in (-2.0, 0.5, 3.0):
        swish.raw.data.fill_(raw)
        x = torch.linspace(-30, 30, 6001, requires_grad=True)
        values, slopes = swish(x)
        (gradient,) = torch.autograd.grad(values.sum(), x)
        torch.testing.assert_close(slopes, gradient)
        assert slopes.abs().max() <= 1


@pytest.mark.parametrize("hidden", [4, 40])
def test_a_block_is_a_contraction_and_has_an_inverse(hidden: int) -> None:
    torch.manual_seed(1)
    block = scrambled(flows.Residual(5, hidden, 0.95), 5, 0.5)
    for layer in (block.first, block.second):
        assert torch.linalg.matrix_norm(layer.weight, 2).item() == pytest.approx(0.95, abs=1e-3)
    x = 2 * torch.randn(50, 5)
    y, _ = block(x)
    change = torch.linalg.matrix_norm(jacobian(block, x) - torch.eye(5), 2)
    assert change.max() < 0.95**2 + 1e-3
    torch.testing.assert_close(block.inverse(y), x, rtol=0, atol=1e-4)


def test_a_flow_and_its_inverse() -> None:
    torch.manual_seed(2)
    network = scrambled(flow(), 3, 0.3).double()
    x = torch.randn(9, 3).double()
    z, log_det = network(x)
    torch.testing.assert_close(network.inverse(z), x, rtol=0, atol=1e-5)
    torch.testing.assert_close(log_det, torch.linalg.slogdet(jacobian(network, x)).logabsdet)


def test_the_density_integrates_to_one() -> None:
    torch.manual_seed(3)
    network = scrambled(flow(d=2), 2, 0.4)
    side = torch.linspace(-12, 12, 400)
    grid = torch.cartesian_prod(side, side)
    with torch.no_grad():
        density = network.log_density(grid).exp()
    mass = density.sum() * (side[1] - side[0]) ** 2
    assert mass.item() == pytest.approx(1, abs=1e-3)
    centred = torch.distributions.Normal(0.0, 1.0).log_prob(grid).sum(1).exp()
    assert (density - centred).abs().max() > 0.02, "it is not where it started"


def test_first_batches_leave_every_act_norm_at_mean_zero_and_variance_one() -> None:
    x = 4 * torch.randn(500, 3, generator=torch.Generator().manual_seed(4)) + 7
    x[:, 2] = 0.5
    network = flow()
    network.initialise(x)
    for layer in network.layers:
        x, _ = layer(x)
        if isinstance(layer, flows.ActNorm):
            torch.testing.assert_close(x.mean(0), torch.zeros(3), rtol=0, atol=1e-4)
            varies = x.std(0) > 1e-3
            assert varies[:2].all()
            ones = torch.ones(int(varies.sum()))
            torch.testing.assert_close(x.std(0, unbiased=False)[varies], ones, rtol=0, atol=1e-3)


def test_maximum_likelihood_reaches_the_entropy_of_a_gaussian() -> None:
    sd, generator = 0.3, torch.Generator().manual_seed(5)
    network = flow(d=2)
    network.initialise(sd * torch.randn(256, 2, generator=generator))
    adam = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(150):
        loss = -network.log_density(sd * torch.randn(256, 2, generator=generator)).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    with torch.no_grad():
        x = sd * torch.randn(5000, 2, generator=generator)
        found = -network.eval().log_density(x).mean().item()
    assert found == pytest.approx(math.log(2 * math.pi * math.e * sd**2), abs=0.05)


def test_the_log_determinant_of_logits_is_that_of_autograd() -> None:
    x = torch.rand(4, 3, generator=torch.Generator().manual_seed(6)).double()
    x[0] = torch.tensor([0.0, 1.0, 0.5])
    y, log_det = flows.logits(x, 0.05)
    expected = torch.linalg.slogdet(jacobian(lambda row: flows.logits(row, 0.05), x)).logabsdet
    torch.testing.assert_close(log_det, expected)
    torch.testing.assert_close(torch.sigmoid(y), 0.05 + 0.9 * x)
