"""Importance and dependence follow the truth of a made-up objective."""

from __future__ import annotations

import math

import pytest

from omasgan.report.sensitivity.sweeps.dependence import (
    GRID,
    dependences,
    seconds_per_100_steps,
    surface,
)
from omasgan.report.sensitivity.sweeps.importance import importances
from omasgan.report.sensitivity.sweeps.pool import Pool, value_at


@pytest.mark.slow
def test_importance_is_significant_for_what_matters_and_not_for_what_is_idle(rich: Pool) -> None:
    shares = {(i.evaluator, i.param): i for i in importances(rich)}
    assert shares["fanova", "form"].is_significant
    assert not shares["fanova", "idle"].is_significant
    assert not shares["ped-anova", "idle"].is_significant
    # a conditional param has no share of the variance over the whole space
    assert ("fanova", "radius") not in shares and ("ped-anova", "radius") in shares
    for one in shares.values():
        assert 0 <= one.interval.low <= one.interval.high <= 1


@pytest.mark.slow
def test_dependence_follows_the_objective(rich: Pool) -> None:
    by_param = {one.param.name: one for one in dependences(rich)}
    form, lr = by_param["form"], by_param["lr"]
    assert form.mean[0] - form.mean[1] == pytest.approx(0.2, abs=0.06)
    assert math.log10(value_at(lr.param, lr.positions[lr.mean.argmax()])) < -1
    assert by_param["idle"].size < 0.03 and by_param["radius"].size < 0.03
    change, interval = by_param["gan_steps"].change
    assert interval.low > 0 and change == pytest.approx(0.16, abs=0.08)
    plane = surface(rich, "lr", "gan_steps")
    assert plane.mean.shape == plane.half.shape == (GRID, GRID)
    assert plane.mean[-1].mean() > plane.mean[0].mean()


def test_the_cost_of_a_phase_is_exact(rich: Pool) -> None:
    ((name, (seconds, interval)),) = seconds_per_100_steps(rich).items()
    assert name == "gan_steps" and seconds == pytest.approx(2.0)
    assert interval.low == pytest.approx(2.0) == interval.high
