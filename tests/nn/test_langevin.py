"""Langevin chains against the Gaussians that they must end in."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from omasgan.nn import langevin


def stay(x: Tensor) -> Tensor:
    return x


def ends(
    steps: int, rate: float, noise: float, start: Tensor, onto: langevin.Map = stay
) -> Tensor:
    """Ends of chains on the energy (x_1^2 + 4 x_2^2) / 2."""
    return langevin.chain(
        lambda x: (x.square() * torch.tensor([0.5, 2.0])).sum(1),
        start,
        steps=steps,
        rate=rate,
        noise=noise,
        onto=onto,
        generator=torch.Generator().manual_seed(0),
    )


def test_the_gradient_is_that_of_each_chain_alone() -> None:
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ends(1, 0.1, 0.0, x), x - 0.1 * x * torch.tensor([1.0, 4.0]))


@pytest.mark.parametrize("rate", [0.4, 0.02])
def test_chains_on_a_quadratic_energy_end_in_its_gaussian(rate: float) -> None:
    """x <- (1 - rate k) x + noise eps has the variance noise^2 / (1 - (1 - rate k)^2), which goes
    to T / k as the rate goes to 0.
    """
    k, noise = torch.tensor([1.0, 4.0]), 0.3
    x = ends(round(6 / rate), rate, noise, torch.ones(20_000, 2))
    expected = noise**2 / (1 - (1 - rate * k) ** 2)
    covariance = torch.cov(x.T)
    assert (x.mean(0) / expected.sqrt()).abs().max() < 0.03
    torch.testing.assert_close(covariance.diagonal(), expected, rtol=0.04, atol=0)
    assert covariance[0, 1].abs() < 0.04 * expected.prod().sqrt()
    if rate < 0.1:
        temperature = noise**2 / (2 * rate)
        torch.testing.assert_close(expected, temperature / k, rtol=0.05, atol=0)


def test_no_steps_leave_the_start() -> None:
    start = torch.ones(3, 2)
    assert torch.equal(ends(0, 0.1, 0.1, start), start)


def test_chains_stay_where_they_may_lie() -> None:
    start = torch.ones(200, 2)
    inside = ends(20, 0.1, 1.0, start, onto=lambda x: x.clamp(-1, 1))
    assert inside.abs().max() == 1
    on_circle = ends(20, 0.1, 1.0, start, onto=F.normalize)
    torch.testing.assert_close(on_circle.norm(dim=1), torch.ones(200))
    # The energy on the circle is least at (1, 0) and (-1, 0).
    calm = ends(100, 0.1, 0.05, F.normalize(torch.randn(200, 2)), onto=F.normalize)
    assert (calm[:, 0].abs() > 0.9).all()


def test_a_chain_carries_no_gradient() -> None:
    with torch.no_grad():
        assert not ends(2, 0.1, 0.1, torch.ones(3, 2)).requires_grad
    assert not ends(2, 0.1, 0.1, torch.ones(3, 2, requires_grad=True)).requires_grad
