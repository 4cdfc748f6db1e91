"""The masked autoregressive flow: its order, its log-determinant, and what it learns."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omasgan.nn.maf import MAF


def shaken(d: int, blocks: int, seed: int = 0, by: float = 0.5) -> MAF:
    """A flow that is not the identity."""
    flow = MAF(d, blocks=blocks, hidden=8, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=generator))
    return flow.double()


@settings(max_examples=20)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(0, 99))
def test_the_log_determinant_is_that_of_the_jacobian(d: int, blocks: int, seed: int) -> None:
    flow = shaken(d, blocks, seed)
    z = torch.randn(1, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))

    def to_normal(z: torch.Tensor) -> torch.Tensor:
        for block in flow.blocks:
            z = block(z)[0]
        return z

    jacobian = torch.autograd.functional.jacobian(to_normal, z).reshape(d, d)
    u = to_normal(z)
    expected = torch.linalg.slogdet(jacobian).logabsdet - u.square().sum() / 2
    expected = expected - d * math.log(2 * math.pi) / 2
    torch.testing.assert_close(flow.log_density(z)[0], expected)


def test_a_coordinate_depends_on_those_before_it_alone() -> None:
    block = shaken(4, 1).blocks[0]
    z = torch.randn(1, 4, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda z: block(z)[0], z).reshape(4, 4)
    in_order = jacobian[:, block.order]
    assert torch.equal(in_order, in_order.tril())
    assert (in_order.tril(-1) != 0).any()


def test_the_density_integrates_to_one() -> None:
    flow = shaken(2, 2, by=0.3)
    axis = torch.linspace(-12, 12, 801, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        total = flow.log_density(grid).exp().sum() * (axis[1] - axis[0]) ** 2
    assert total.item() == pytest.approx(1.0, abs=1e-2)


def test_a_new_flow_is_the_standard_normal() -> None:
    z = torch.randn(9, 3)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    torch.testing.assert_close(MAF(3, blocks=4, hidden=8, seed=1).log_density(z), expected)


def test_maximum_likelihood_finds_a_curved_density() -> None:
    """z2 given z1 is N(z1^2, 0.5^2): the entropy is known."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(4000, 2, generator=generator)
    z = torch.stack([noise[:, 0], noise[:, 0].square() + 0.5 * noise[:, 1]], 1)
    flow = MAF(2, blocks=3, hidden=32, seed=0)
    optimiser = torch.optim.Adam(flow.parameters(), lr=1e-2)
    before = -flow.log_density(z).mean().item()
    for _ in range(300):
        rows = torch.randint(len(z), (256,), generator=generator)
        loss = -flow.log_density(z[rows]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    entropy = math.log(2 * math.pi * math.e) + math.log(0.5)
    after = -flow.log_density(z).mean().item()
    assert after == pytest.approx(entropy, abs=0.15)
    assert before > entropy + 1
