"""Gaussian posteriors against torch's distributions."""

from __future__ import annotations

import torch
from torch.distributions import Normal, kl_divergence

from omasgan.nn import posteriors

MEAN, LOG_VARIANCE, NOISE = torch.randn(3, 50, 3, generator=torch.Generator().manual_seed(0))
PRIOR = Normal(0.0, 1.0)
POSTERIOR = Normal(MEAN, (0.5 * LOG_VARIANCE).exp())


def test_kl_is_that_of_torch() -> None:
    expected = kl_divergence(POSTERIOR, PRIOR).sum(1)
    torch.testing.assert_close(posteriors.kl_divergence(MEAN, LOG_VARIANCE), expected)


def test_the_ratio_is_that_of_the_densities_of_what_is_drawn() -> None:
    z = posteriors.draw(MEAN, LOG_VARIANCE, NOISE)
    torch.testing.assert_close((z - MEAN) / POSTERIOR.stddev, NOISE)
    expected = (PRIOR.log_prob(z) - POSTERIOR.log_prob(z)).sum(1)
    torch.testing.assert_close(posteriors.log_ratio(z, NOISE, LOG_VARIANCE), expected)
