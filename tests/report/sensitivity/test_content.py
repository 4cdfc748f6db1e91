"""The page of a study."""

from __future__ import annotations

import re
from typing import Any

from omasgan.config import BenchmarkSpec
from omasgan.experiments.sensitivity.design import SensitivityPlan
from omasgan.experiments.sensitivity.training import SensitivitySpec
from omasgan.report.page import plain
from omasgan.report.page.blocks import Page
from omasgan.report.sensitivity import content
from tests.experiments.sensitivity.staged import NAME
from tests.report.sensitivity.studies import planned, rows


def page(plan: SensitivityPlan, runs: list[dict[str, Any]], spec: BenchmarkSpec) -> Page:
    return content.page(SensitivitySpec("digits-loo", spec, NAME, plan), runs)


def test_the_page_says_what_it_is_and_how_certain(small_spec: BenchmarkSpec) -> None:
    plan = planned(design="grid")
    whole = page(plan, rows(plan, lambda p: 0.9 - 0.2 * p["tail"]), small_spec)
    text = plain.summary(whole)
    assert "No result, sensitivity only" in text and "81 trainings" in text
    assert re.search(r"\| tail \| 0\.(19|20)\d \|.*\| significant \|", text)
    assert re.search(r"\| tail \|.*\| significant \| 0 \| 1 \|", text)
    assert re.search(r"\| idle \|.*\| not significant \| - \| - \|", text), "no best of no effect"
    assert "| 81 | 162.0 | 81.0 | 1.50 |" in text
    command = f"omasgan sensitivity digits-loo {NAME}"
    assert f"{command} --params tail,idle --design grid --points 3 --folds 0,1,2" in text
    (section,) = whole.sections
    names = [figure.name for figure in section.figures]
    assert names == ["effects", "curves", "stages", "grid-tail-idle"]
    assert all(figure.drawn.svg for figure in section.figures)


def test_the_page_says_where_ranges_come_from_without_a_space(small_spec: BenchmarkSpec) -> None:
    plan = planned()
    (section,) = page(plan, rows(plan, lambda p: 0.9), small_spec).sections
    about = section.prose[0]
    assert "tail in 0, 0.5, 1 (base 0.5; range: all that the detector accepts, since no" in about
    assert "idle in 2, 8, 32 (base 8; range: base / 4 to base * 4, since no space" in about


def test_the_page_states_its_doubts(small_spec: BenchmarkSpec) -> None:
    plan = planned("tail", folds=1, seeds=1)
    (section,) = page(plan, rows(plan, lambda p: 0.9), small_spec).sections
    assert "no number here has an interval" in " ".join(section.prose)
    plan = planned("tail", folds=2, seeds=2)
    runs = rows(plan, lambda p: 0.9)
    runs[-1] |= {"outcome": "failed", "auroc": None}
    (section,) = page(plan, runs, small_spec).sections
    doubts = " ".join(section.prose)
    assert "Only 4 pairs of fold and seed" in doubts
    assert "1 of 12 trainings gave no score" in doubts and "1 (1 runs)" in doubts
