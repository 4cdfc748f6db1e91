"""Plots show the values that they get."""

from __future__ import annotations

import numpy as np
import pytest

from omasgan.data.published import Number
from omasgan.report.page import drawing
from omasgan.report.paper import figures
from omasgan.report.paper.numbers import Cell, sd
from omasgan.report.statistics import NONE, Interval

PRINTED = Number("d", "leave-one-out", "", "x", "auroc", None, 0.85, 0.1, "a paper", "a word")
CELLS = {
    "first": [Cell(0.7, Interval(0.6, 0.75)), Cell(0.8, NONE, (PRINTED,))],
    "second": [Cell(float("nan"), NONE), Cell(0.4, NONE)],
}


def test_bars_have_their_values_and_show_printed_numbers() -> None:
    figure = figures.bars(["0", "mean"], CELLS, "digit")
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    np.testing.assert_array_equal(heights, [0.7, 0.8, np.nan, 0.4])
    assert "printed (bar: sd)" in [t.get_text() for t in figure.legends[0].get_texts()]
    svg = drawing.Drawn(figure, "bars").svg
    assert "first, mean: 0.800" in svg and "printed: 0.85 (a paper; a word)" in svg


def test_without_printed_numbers_the_legend_has_none() -> None:
    figure = figures.bars(["mean"], {"second": [Cell(0.4, NONE)]}, "digit")
    assert len(figure.legends[0].get_texts()) == 2


def test_a_box_reaches_from_the_mean_to_the_last_seed() -> None:
    figure = figures.seeds(["cat", "dog"], [{0: 0.5, 1: 0.6, 2: 0.7}, {}])
    (box,) = figure.axes[0].patches
    assert (box.get_y(), box.get_height()) == pytest.approx((0.6, 0.1))
    assert drawing.Drawn(figure, "seeds").svg


def test_a_panel_says_how_many_samples_are_outside() -> None:
    samples = {"real": np.zeros((4, 2)), "B": np.array([[0, 0], [0, 0], [0, 3], [-2, 0]])}
    figure = figures.evolution({"10 steps": samples})
    assert figure.axes[0].get_title() == "10 steps\n50% outside"


def test_sd_of_one_value_is_unknown() -> None:
    assert np.isnan(sd([0.5])) and sd([0.4, 0.6]) == pytest.approx(0.1 * 2**0.5)


def test_boundaries_have_a_panel_for_each_data_set_and_arm_that_there_is() -> None:
    rng = np.random.default_rng(0)
    points = {name: rng.normal(0, 0.3, (20, 2)).astype(np.float32) for name in ("real", "B")}
    at = np.linspace(-1, 1, 30)
    field = np.hypot(*np.meshgrid(at, at)).astype(np.float32)
    rows = {
        "one": {"a": (points, field, 0.5)},
        "two": {"a": (points, field, 0.7), "b": (points, field, 0.5)},
    }
    figure = figures.boundaries(rows)
    assert [axes.get_visible() for axes in figure.axes] == [True, False, True, True]
    for axes, radius in zip((figure.axes[0], figure.axes[2]), (0.5, 0.7), strict=True):
        blue, orange, border = axes.collections
        assert len(blue.get_offsets()) == len(orange.get_offsets()) == 20
        line = np.concatenate([path.vertices for path in border.get_paths()])
        np.testing.assert_allclose(np.linalg.norm(line, axis=1), radius, atol=0.01)
    assert drawing.Drawn(figure, "boundaries").svg
