"""Effects are significant where there are some, and are not where there are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from omasgan.experiments.sensitivity.design import SensitivityPlan
from omasgan.report.sensitivity import effects, tables
from tests.report.sensitivity.studies import BASE, planned, rows


def cube_of(
    plan: SensitivityPlan, runs: list[dict[str, Any]], axis: int = 0
) -> effects.Cube | None:
    return effects.cube(effects.frame(runs, plan), plan, plan.axes[axis])


def test_a_real_effect_is_significant_and_an_idle_param_is_not() -> None:
    plan = planned()
    stored = rows(plan, lambda p: 0.9 - 0.2 * p["tail"])
    tail, idle = (cube_of(plan, stored, axis) for axis in (0, 1))
    assert tail is not None and idle is not None
    one, other = effects.effect(tail), effects.effect(idle)
    assert one.size == pytest.approx(0.2, abs=0.02) and one.best == 0.0 and one.worst == 1.0
    assert one.interval.low < one.size < one.interval.high < 0.25
    assert one.size > one.chance and one.p < 0.01
    assert other.p > 0.05 and other.size < one.chance
    p = effects.corrected({"tail": one, "idle": other})
    assert p["tail"] == pytest.approx(2 * one.p) and p["idle"] >= other.p


def test_an_idle_param_is_significant_as_rarely_as_the_level_says() -> None:
    hits = 0
    for seed in range(200):
        noise = 0.01 * np.random.default_rng(seed).normal(size=(3, 3, 3))
        levels = 0.1 * np.arange(3)[:, None]
        cube = effects.Cube((2, 8, 32), 1, 0.8 - levels + noise, {})
        hits += effects.effect(cube).p <= 0.05
    assert 2 <= hits <= 20


def test_differences_are_paired_by_fold_and_seed() -> None:
    plan = planned("tail")
    cube = cube_of(plan, rows(plan, lambda p: 0.9 - 0.2 * p["tail"], noise=0.0))
    assert cube is not None
    change, intervals = effects.differences(cube)
    assert change == pytest.approx([0.1, 0.0, -0.1])
    # the folds' levels, which differ by 0.1, do not widen it
    assert [i.high - i.low for i in intervals] == pytest.approx([0.0] * 3, abs=1e-9)


@pytest.mark.slow
def test_intervals_contain_the_truth_as_often_as_the_page_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(effects, "RESAMPLES", 400)
    for folds, seeds, least, most in ((2, 2, 0.7, 0.85), (3, 3, 0.88, 0.98), (5, 3, 0.91, 0.99)):
        plan, held = planned("tail", folds, seeds), 0
        for seed in range(200):
            cube = cube_of(plan, rows(plan, lambda p: -0.2 * p["tail"], seed=seed))
            assert cube is not None
            low, high = effects.differences(cube)[1][2]
            held += low <= -0.1 <= high
        assert least <= held / 200 <= most, (folds, seeds)


def test_there_is_no_verdict_where_no_effect_could_be_significant() -> None:
    for folds, seeds, verdict in (
        (1, 2, "too few folds and seeds for a test"),
        (2, 2, "significant"),
    ):
        plan = planned("tail", folds, seeds)
        cube = cube_of(plan, rows(plan, lambda p: 0.9 - 0.2 * p["tail"], noise=0.0))
        assert cube is not None
        one = effects.effect(cube)
        # the clearest effect there is reaches the least p, as far as the draws can tell
        assert one.p == pytest.approx(one.least, rel=0.2, abs=0.003)
        assert tables.by_effect({"tail": one}, {})["verdict"].str.startswith(verdict).all()


def test_one_fold_and_seed_has_no_interval() -> None:
    plan = planned("tail", folds=1, seeds=1)
    cube = cube_of(plan, rows(plan, lambda p: 0.9 - 0.2 * p["tail"]))
    assert cube is not None
    assert np.isnan(effects.effect(cube).interval).all()
    assert effects.effect(cube).p > 0.05


def test_a_value_whose_runs_failed_is_left_out_and_counted() -> None:
    plan = planned("tail")
    stored = rows(plan, lambda p: 0.9)
    for row in stored:
        if row["params"]["tail"] == 1.0 and row["seed"] == 0:
            row |= {"outcome": "diverged", "auroc": None}
    cube = cube_of(plan, stored)
    assert cube is not None and cube.values == (0.0, 0.5) and cube.missing == {1.0: 3}
    for row in stored:
        if row["params"] == BASE:
            row |= {"outcome": "diverged", "auroc": None}
    assert cube_of(plan, stored) is None


def test_a_grid_averages_over_the_other_params() -> None:
    plan = planned(design="grid")
    stored = rows(plan, lambda p: 0.9 - 0.2 * p["tail"] + 0.01 * np.log2(p["idle"] / 8), noise=0.0)
    cube = cube_of(plan, stored)
    assert cube is not None
    assert cube.metric[:, 0, 0] == pytest.approx([0.9, 0.8, 0.7])
    mean, half = effects.surface(effects.frame(stored, plan), plan, *plan.axes)
    assert mean[1] == pytest.approx([0.8, 0.7, 0.6])  # folds 0 to 2 are 0.1 lower in the mean
    assert np.isnan(half[1, 1]) and np.nanmax(half) == pytest.approx(0.0, abs=1e-9)


def test_rows_of_other_settings_do_not_count() -> None:
    plan, other = planned("tail"), planned("kind")
    stored = rows(plan, lambda p: 0.9) + rows(other, lambda p: 0.1)[9:]
    assert len(effects.frame(stored, plan)) == plan.trainings
