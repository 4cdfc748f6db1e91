"""Hamiltonian Monte Carlo against distributions that are known."""

from __future__ import annotations

import torch
from torch import Tensor

from omasgan.nn import hmc

PRECISION = torch.tensor([[4.0, 1.5], [1.5, 2.0]])
MEAN = torch.tensor([1.0, -2.0])


def gaussian(x: Tensor) -> Tensor:
    centred = x - MEAN
    return ((centred @ PRECISION) * centred).sum(1) / 2


def run(energy: hmc.Energy, start: Tensor, step: float = 0.3, **params: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    settings = {"leaps": 5, "burn_in": 0, "samples": 1} | params
    return hmc.chain(energy, start, step=torch.tensor(step), generator=generator, **settings)


def test_chains_come_to_the_distribution_from_anywhere() -> None:
    start = torch.full((4000, 2), 5.0)
    x = run(gaussian, start, burn_in=20)[0]
    torch.testing.assert_close(x.mean(0), MEAN, atol=0.05, rtol=0)
    torch.testing.assert_close(torch.cov(x.T), torch.linalg.inv(PRECISION), atol=0.04, rtol=0)


def test_what_has_the_distribution_keeps_it_at_any_step() -> None:
    """At a long step most proposals are refused, as they must be: the leaps alone are far off."""
    root = torch.linalg.cholesky(torch.linalg.inv(PRECISION))
    start = MEAN + torch.randn(4000, 2, generator=torch.Generator().manual_seed(1)) @ root.T
    for step in (0.05, 0.8):
        x = run(gaussian, start, step, samples=3)[-1]
        torch.testing.assert_close(x.mean(0), MEAN, atol=0.05, rtol=0)
        torch.testing.assert_close(torch.cov(x.T), torch.linalg.inv(PRECISION), atol=0.04, rtol=0)


def test_the_states_are_those_after_the_burn_in() -> None:
    start = torch.zeros(7, 2)
    whole = run(gaussian, start, samples=5)
    assert whole.shape == (5, 7, 2)
    assert torch.equal(whole[:2], run(gaussian, start, samples=2))
    assert not torch.equal(whole[0], whole[1])


def test_the_burn_in_makes_long_steps_shorter_and_short_ones_longer() -> None:
    for begin, sign in ((3.0, -1), (0.01, 1)):
        step = torch.tensor(begin)
        hmc.chain(
            gaussian, torch.zeros(50, 2), step=step, leaps=5, burn_in=10, samples=1,
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        assert (step.item() - begin) * sign > 0


def test_a_chain_does_not_go_where_there_is_no_energy() -> None:
    def half_plane(x: Tensor) -> Tensor:
        return torch.where(x[:, 0] > 0, x.square().sum(1), torch.nan)

    x = run(half_plane, torch.full((200, 2), 0.2), burn_in=5, samples=5)
    assert (x[..., 0] > 0).all()
