"""Losses on raw outputs: where they are least, and what they are worth."""

from __future__ import annotations

import math

import pytest
import torch

from omasgan.nn.losses import binary_cross_entropy


@pytest.mark.parametrize("target", [0.1, 0.5, 0.9])
def test_cross_entropy_is_least_where_the_probability_is_the_target(target: float) -> None:
    logits = torch.linspace(-4, 4, 8001)
    losses = torch.stack([binary_cross_entropy(logit[None], target) for logit in logits])
    assert torch.sigmoid(logits[losses.argmin()]).item() == pytest.approx(target, abs=1e-3)


def test_cross_entropy_is_a_mean_of_logarithms_also_in_bfloat16() -> None:
    logits = torch.tensor([0.0, 2.0], dtype=torch.bfloat16)
    expected = -(math.log(0.5) + math.log(1 / (1 + math.exp(-2)))) / 2
    loss = binary_cross_entropy(logits, 1.0)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected, rel=1e-5)
