"""Gradient penalties of critics whose gradient is known."""

from __future__ import annotations

import pytest
import torch

from omasgan.nn import penalties


def linear(x: torch.Tensor) -> torch.Tensor:
    return x @ torch.tensor([3.0, 4.0])


def test_r1_of_a_linear_critic_is_half_its_squared_slope() -> None:
    assert penalties.r1(linear, torch.randn(5, 2)).item() == pytest.approx(12.5)


def test_gradient_penalty_of_a_linear_critic() -> None:
    real, fake = torch.randn(5, 2), torch.randn(5, 2)
    value = penalties.gradient_penalty(linear, real, fake, torch.rand(5))
    assert value.item() == pytest.approx(16.0)


def test_penalties_train_the_critic() -> None:
    critic = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    penalties.r1(critic, torch.randn(5, 2)).backward()
    assert critic[0].weight.grad.abs().sum() > 0
