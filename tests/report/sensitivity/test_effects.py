"""Effects are found where there are some, and are not where there are none."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from omasgan.detectors import check_params
from omasgan.experiments.sensitivity import design
from omasgan.experiments.sensitivity.design import SensitivityPlan
from omasgan.experiments.sensitivity.training import SensitivitySpec
from omasgan.report.sensitivity import content, effects
from tests.experiments.sensitivity.staged import StagedDetector

BASE = check_params(StagedDetector, {})


def plan(names: str = "tail,idle", folds: int = 3, seeds: int = 3, **more: Any) -> SensitivityPlan:
    return design.design(
        StagedDetector, names.split(","), BASE, None,
        folds=range(folds), seeds=range(seeds), points=3, **more,
    )  # fmt: skip


def rows(
    made: SensitivityPlan,
    auroc: Callable[[dict[str, Any]], float],
    noise: float = 0.01,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """What a study would store if the AUROC were this; folds have levels of their own."""
    rng = np.random.default_rng(seed)
    found = []
    for params in made.settings:
        for fold in made.folds:
            for s in made.seeds:
                value = auroc(dict(params)) - 0.1 * fold + noise * rng.normal()
                found.append(
                    {
                        "params": dict(params), "fold": fold, "seed": s, "outcome": "ok",
                        "auroc": value, "auroc.first": value / 2, "seconds": 2.0,
                        "cached_seconds": 1.0,
                    }
                )  # fmt: skip
    return found


def cube_of(
    made: SensitivityPlan, found: list[dict[str, Any]], place: int = 0
) -> effects.Cube | None:
    return effects.cube(effects.frame(found, made), made, made.axes[place])


def test_a_real_effect_is_told_and_an_idle_param_is_not() -> None:
    made = plan()
    found = rows(made, lambda p: 0.9 - 0.2 * p["tail"])
    tail, idle = (cube_of(made, found, place) for place in (0, 1))
    assert tail is not None and idle is not None
    one, other = effects.effect(tail), effects.effect(idle)
    assert one.size == pytest.approx(0.2, abs=0.02) and one.best == 0.0 and one.worst == 1.0
    assert one.interval.low < one.size < one.interval.high < 0.25
    assert one.size > one.chance and one.p < 0.01
    assert other.p > 0.05 and other.size < one.chance
    p = effects.corrected({"tail": one, "idle": other})
    assert p["tail"] == pytest.approx(2 * one.p) and p["idle"] >= other.p


def test_chance_errs_as_often_as_it_says() -> None:
    made = plan("idle")
    hits = 0
    for seed in range(200):
        cube = cube_of(made, rows(made, lambda p: 0.8, seed=seed))
        assert cube is not None
        hits += effects.effect(cube).p <= 0.05
    assert 2 <= hits <= 20


def test_differences_are_paired_by_fold_and_seed() -> None:
    made = plan("tail")
    cube = cube_of(made, rows(made, lambda p: 0.9 - 0.2 * p["tail"], noise=0.0))
    assert cube is not None
    change, intervals = effects.differences(cube)
    assert change == pytest.approx([0.1, 0.0, -0.1])
    # the folds' levels, which differ by 0.1, do not widen it
    assert [i.high - i.low for i in intervals] == pytest.approx([0.0] * 3, abs=1e-9)


@pytest.mark.slow
def test_intervals_hold_what_they_are_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "RESAMPLES", 400)
    for folds, seeds, least, most in ((2, 2, 0.7, 0.85), (3, 3, 0.88, 0.98), (5, 3, 0.91, 0.99)):
        made, held = plan("tail", folds, seeds), 0
        for seed in range(200):
            cube = cube_of(made, rows(made, lambda p: -0.2 * p["tail"], seed=seed))
            assert cube is not None
            low, high = effects.differences(cube)[1][2]
            held += low <= -0.1 <= high
        assert least <= held / 200 <= most, (folds, seeds)


def test_what_no_effect_could_pass_is_no_verdict() -> None:
    for folds, seeds, verdict in ((1, 2, "too few folds and seeds to tell"), (2, 2, "beyond")):
        made = plan("tail", folds, seeds)
        cube = cube_of(made, rows(made, lambda p: 0.9 - 0.2 * p["tail"], noise=0.0))
        assert cube is not None
        one = effects.effect(cube)
        # the clearest effect there is reaches the least p, as far as the draws can tell
        assert one.p == pytest.approx(one.least, rel=0.2, abs=0.003)
        assert content.effects_table({"tail": one})["verdict"].str.startswith(verdict).all()


def test_one_fold_and_seed_has_no_interval() -> None:
    made = plan("tail", folds=1, seeds=1)
    cube = cube_of(made, rows(made, lambda p: 0.9 - 0.2 * p["tail"]))
    assert cube is not None
    assert np.isnan(effects.effect(cube).interval).all()
    assert effects.effect(cube).p > 0.05


def test_a_value_whose_runs_failed_is_left_out_and_told() -> None:
    made = plan("tail")
    found = rows(made, lambda p: 0.9)
    for row in found:
        if row["params"]["tail"] == 1.0 and row["seed"] == 0:
            row |= {"outcome": "diverged", "auroc": None}
    cube = cube_of(made, found)
    assert cube is not None and cube.values == (0.0, 0.5) and cube.lost == {1.0: 3}
    for row in found:
        if row["params"] == BASE:
            row |= {"outcome": "diverged", "auroc": None}
    assert cube_of(made, found) is None


def test_a_grid_averages_over_the_other_params() -> None:
    made = plan(design="grid")
    found = rows(made, lambda p: 0.9 - 0.2 * p["tail"] + 0.01 * np.log2(p["idle"] / 8), noise=0.0)
    cube = cube_of(made, found)
    assert cube is not None
    assert cube.metric[:, 0, 0] == pytest.approx([0.9, 0.8, 0.7])
    mean, half = effects.surface(effects.frame(found, made), made, *made.axes)
    assert mean[1] == pytest.approx([0.8, 0.7, 0.6])  # folds 0 to 2 are 0.1 lower in the mean
    assert np.isnan(half[1, 1]) and np.nanmax(half) == pytest.approx(0.0, abs=1e-9)


def test_rows_of_other_settings_do_not_count() -> None:
    made, other = plan("tail"), plan("kind")
    found = rows(made, lambda p: 0.9) + rows(other, lambda p: 0.1)[9:]
    assert len(effects.frame(found, made)) == made.trainings


def page(made: SensitivityPlan, found: list[dict[str, Any]], spec: Any) -> Any:
    name = f"{StagedDetector.__module__}:StagedDetector"
    return content.page(SensitivitySpec("digits-loo", spec, name, made), found)


def test_the_page_says_what_it_is_and_how_sure(small_spec: Any) -> None:
    from omasgan.report.page import files

    made = plan(design="grid")
    found = rows(made, lambda p: 0.9 - 0.2 * p["tail"])
    files = files.of_page(page(made, found, small_spec))
    text = files["summary.md"].decode()
    assert "No result, sensitivity only" in text and "81 trainings" in text
    assert (
        re.search(r"\| tail \| 0\.(19|20)\d \|.*\| beyond chance \|", text)
        and "not told from chance" in text
    )
    assert "| 81 | 162.0 | 81.0 | 1.50 |" in text
    command = "omasgan sensitivity digits-loo tests.experiments.sensitivity.staged:StagedDetector"
    assert f"{command} --params tail,idle --design grid --points 3 --folds 0,1,2" in text
    figures = {name for name in files if name.endswith(".png")}
    assert figures == {
        f"figures/{n}.png" for n in ("effects", "curves", "stages", "grid-tail-idle")
    }


def test_the_page_tells_its_doubts(small_spec: Any) -> None:
    made = plan("tail", folds=1, seeds=1)
    found = rows(made, lambda p: 0.9)
    (section,) = page(made, found, small_spec).sections
    assert "no number here has an interval" in " ".join(section.prose)
    made = plan("tail", folds=2, seeds=2)
    found = rows(made, lambda p: 0.9)
    found[-1] |= {"outcome": "failed", "auroc": None}
    (section,) = page(made, found, small_spec).sections
    told = " ".join(section.prose)
    assert "Only 4 pairs of fold and seed" in told
    assert "1 of 12 trainings gave no score" in told and "1 (1 runs)" in told
