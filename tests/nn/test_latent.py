"""Moves of codes: how far, where to, and whose gradient decides."""

from __future__ import annotations

import pytest
import torch

from omasgan.nn import latent


def codes(n: int = 50, k: int = 4) -> torch.Tensor:
    return torch.randn(n, k, generator=torch.Generator().manual_seed(0))


def test_a_code_moves_along_its_noise_by_a_size_of_its_own() -> None:
    noise = torch.randn(50, 4, generator=torch.Generator().manual_seed(1))
    away = latent.near(codes(), noise, torch.Generator().manual_seed(2)) - codes()
    sizes = (away / noise).mean(1)
    torch.testing.assert_close(away, sizes[:, None] * noise)
    low, high = latent.SIZES
    assert low < sizes.min() < low + 0.1 and high - 0.1 < sizes.max() < high


def test_between_lies_on_the_line_to_the_next_code() -> None:
    x, end = codes(), codes().roll(1, 0)
    at = latent.between(x, torch.Generator().manual_seed(2))
    shares = ((at - x) * (end - x)).sum(1) / (end - x).square().sum(1)
    torch.testing.assert_close(at, x + shares[:, None] * (end - x))
    low, high = latent.WEIGHTS
    assert low < shares.min() and shares.max() < high


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_steps_go_down_and_keep_their_distance(steps: int) -> None:
    x = codes()
    start = latent.near(x, codes().flip(0), torch.Generator().manual_seed(2))
    weights = torch.tensor([1.0, 0.0, 0.0, 0.0])

    def energy(at: torch.Tensor) -> torch.Tensor:
        return at @ weights

    end = latent.descend(energy, start, x, steps=steps, rate=0.3)
    torch.testing.assert_close((end - x).norm(dim=1), (start - x).norm(dim=1))
    if steps == 0:
        assert torch.equal(end, start)
    else:
        # Far from the lowest point of a sphere a step goes down; there it stays.
        assert (energy(end) <= energy(start) + 1e-5).float().mean() > 0.9
        assert energy(end).mean() < energy(start).mean() - 0.1 * steps


def test_a_step_s_length_does_not_depend_on_the_slope() -> None:
    x = codes()
    start = x + 1.0
    ends = [
        latent.descend(lambda at, s=s: s * at.square().sum(1), start, x, steps=1, rate=0.1)
        for s in (1e-3, 1e3)
    ]
    torch.testing.assert_close(*ends)
