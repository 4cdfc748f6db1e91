"""The variational forms against closed forms, and their stability."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from omasgan.nn.divergences import (
    F_DIVERGENCES,
    abnormality,
    divergence,
)
from omasgan.nn.kinds import DivergenceName

# P = N(SHIFT, 1), Q = N(0, 1).
SHIFT = 0.7
RATIO_POINTS = torch.linspace(-9, 9, 20_001, dtype=torch.float64)


def log_ratio(x: torch.Tensor) -> torch.Tensor:
    return SHIFT * x - SHIFT**2 / 2


def optimal_output(name: str, log_r: torch.Tensor) -> torch.Tensor:
    """The raw output v with g_f(v) = f'(p/q)."""
    return {
        "pearson": 2 * (torch.exp(log_r) - 1),
        "kl": 1 + log_r,
        "reverse-kl": log_r,
        "jensen-shannon": log_r,
        "gan": log_r,
        "squared-hellinger": log_r / 2,
        "neyman": 2 * log_r,
        "total-variation": 50.0 * torch.sign(log_r),
    }[name]


def by_definition(name: str) -> float:
    """Integral of q f(p/q), in closed form where there is one."""
    s = SHIFT
    if name in ("jensen-shannon", "gan"):
        p, q = stats.norm(s).pdf, stats.norm(0).pdf
        half = lambda a, x: a(x) * np.log(2 * a(x) / (p(x) + q(x)))  # noqa: E731
        js = integrate.quad(lambda x: half(p, x) + half(q, x), -9, 9)[0]
        return js if name == "jensen-shannon" else js - math.log(4)
    return {
        "pearson": math.exp(s**2) - 1,
        "kl": s**2 / 2,
        "reverse-kl": s**2 / 2,
        "squared-hellinger": 2 - 2 * math.exp(-(s**2) / 8),
        "neyman": math.exp(s**2) - 1,
        "total-variation": 2 * stats.norm.cdf(s / 2) - 1,
    }[name]


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_the_optimal_critic_attains_the_closed_form(name: str) -> None:
    f = F_DIVERGENCES[name]()
    v = optimal_output(name, log_ratio(RATIO_POINTS))
    x = RATIO_POINTS.numpy()
    positive = integrate.simpson(stats.norm(SHIFT).pdf(x) * f.activation(v).numpy(), x=x)
    negative = integrate.simpson(stats.norm(0).pdf(x) * f.conjugate(v).numpy(), x=x)
    # Total variation jumps at one point of the grid.
    tolerance = 1e-3 if name == "total-variation" else 1e-6
    assert positive - negative == pytest.approx(by_definition(name), abs=tolerance)


@pytest.mark.parametrize("name", F_DIVERGENCES)
@pytest.mark.parametrize("off", [-0.3, 0.3])
def test_any_other_critic_attains_less(name: str, off: float) -> None:
    f = F_DIVERGENCES[name]()
    x = RATIO_POINTS.numpy()

    def bound(v: torch.Tensor) -> float:
        positive = integrate.simpson(stats.norm(SHIFT).pdf(x) * f.activation(v).numpy(), x=x)
        return positive - integrate.simpson(stats.norm(0).pdf(x) * f.conjugate(v).numpy(), x=x)

    best = optimal_output(name, log_ratio(RATIO_POINTS))
    other = torch.zeros_like(best) if name == "total-variation" else best + off
    assert bound(other) < bound(best) - 1e-4


@pytest.mark.parametrize("name", get_args(DivergenceName))
@pytest.mark.parametrize("size", [1e2, 1e4])
def test_large_outputs_give_finite_losses_and_gradients(name: DivergenceName, size: float) -> None:
    m = divergence(name)
    for loss in (m.positive_loss, m.negative_loss, m.generator_loss, m.boundary_loss):
        v = torch.tensor([-size, -1.0, 0.0, 1.0, size], requires_grad=True)
        value = loss(v)
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(v.grad).all()


@pytest.mark.parametrize("name", get_args(DivergenceName))
def test_boundary_loss_opposes_the_generator(name: DivergenceName) -> None:
    m = divergence(name)
    v = torch.linspace(-2, 2, 32)
    assert m.boundary_loss(v).item() == pytest.approx(-m.generator_loss(v).item())


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_the_score_ranks_as_the_variational_function_does(name: str) -> None:
    v = torch.linspace(-3, 3, 50)
    assert (F_DIVERGENCES[name]().activation(v).diff() > 0).all()
    assert (abnormality(v).diff() < 0).all()


def test_scores_keep_their_order_where_most_variational_functions_saturate() -> None:
    v = torch.cat([torch.linspace(-200, -20, 500), torch.linspace(20, 200, 500)])
    saturated = [n for n, f in F_DIVERGENCES.items() if (f().activation(v).diff() == 0).any()]
    assert {"jensen-shannon", "squared-hellinger", "total-variation"} <= set(saturated)
    assert (abnormality(v).diff() < 0).all()


def test_kl_wgan_weights_are_a_distribution_over_the_batch() -> None:
    v = torch.tensor([1.0, 2.0, 4.0])
    w = torch.exp(v / 2.0) / torch.exp(v / 2.0).mean()
    assert divergence("kl-wgan", tau=2.0).generator_loss(v) == pytest.approx(
        -(w * v).mean().item()
    )


def test_half_precision_outputs_are_taken_in_single() -> None:
    v = torch.full((4,), 30.0, dtype=torch.bfloat16)
    assert divergence("pearson").negative_loss(v).dtype == torch.float32


def test_unknown_divergence() -> None:
    with pytest.raises(ValueError, match=r"divergence must be one of .*pearson.*, got 'cauchy'"):
        divergence("cauchy")  # type: ignore[arg-type]
