from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from omasgan.report.page.drawing import png
from omasgan.report.page.palette import ANOMALOUS, NORMAL
from omasgan.report.results import figures
from tests.report.figure_texts import texts


def test_box_plot_says_what_it_shows() -> None:
    figure = figures.box_plot({"knn · fixed": [0.7, 0.8], "omasgan · nested": [0.9]})
    said = texts(figure)
    for words in ("AUROC", "chance", "n = 2 folds", "n = 1 fold"):
        assert words in said
    ticks = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert ticks[-1].startswith("omasgan"), "the best mean is on top"


def test_a_few_folds_are_points_without_a_box() -> None:
    for n, boxes in ((4, 0), (5, 1)):
        figure = figures.box_plot({"knn": list(np.linspace(0.6, 0.9, n))})
        # a box is five lines besides the mean and chance
        assert (len(figure.axes[0].lines) > 2) is bool(boxes)


def test_what_is_neither_slower_nor_worse_is_red() -> None:
    figure = figures.costs([("slow", 10.0, 0.9), ("fast", 0.1, 0.8), ("worse", 1.0, 0.7)])
    colours = [to_hex(dots.get_facecolor()[0]) for dots in figure.axes[0].collections]
    red, blue = (colour.lower() for colour in (ANOMALOUS, NORMAL))
    assert colours == [red, blue, red], "by their seconds"
    assert {text.get_text() for text in figure.axes[0].texts} == {"slow", "fast", "worse"}


@pytest.mark.parametrize(("n_entries", "test"), [(4, "signed-rank"), (16, "Nemenyi")])
def test_critical_difference_names_every_entry_and_its_test(n_entries: int, test: str) -> None:
    rng = np.random.default_rng(0)
    shifts = 0.02 * np.arange(n_entries)
    means = pd.DataFrame(rng.normal(0.5, 0.01, (10, n_entries)) + shifts)
    means.columns = [f"detector-{i} · fixed" for i in range(n_entries)]
    figure = figures.critical_difference(means)
    said = texts(figure)
    assert all(f"{name}  " in said or f"  {name}" in said for name in means.columns)
    for words in ("10 folds", "0.05", test):
        assert words in said
    assert png(figure).startswith(b"\x89PNG")


def test_critical_difference_of_entries_that_are_the_same() -> None:
    means = pd.DataFrame(np.full((10, 9), 0.5), columns=list("abcdefghi"))
    assert "a  5.00" in texts(figures.critical_difference(means))


def test_bars_of_the_diagram_are_the_same_in_every_process() -> None:
    rng = np.random.default_rng(0)
    names = [f"detector-{i}" for i in range(12)]
    figure = figures.critical_difference(pd.DataFrame(rng.normal(size=(10, 12)), columns=names))
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 3]
    assert lines, "entries that do not differ are joined"
    for line in lines:
        assert list(line.get_xdata()) == sorted(line.get_xdata()), "the order of a set"


@pytest.mark.parametrize("name", ["omasgan · fixed · negatives=early-generator", "knn"])
def test_nothing_is_cut_off(name: str) -> None:
    for figure in (
        figures.box_plot({f"{name}-{i}": [0.5, 0.8] for i in range(16)}),
        figures.critical_difference(
            pd.DataFrame(
                np.random.default_rng(0).normal(size=(10, 16)),
                columns=[f"{name}-{i}" for i in range(16)],
            )
        ),
        figures.search([{"number": 0, "outcome": "out-of-memory", "objective": None}]),
    ):
        png(figure)
        width, height = figure.get_size_inches()
        box = figure.get_tightbbox()
        assert box.x0 >= 0, figure
        assert box.y0 >= 0, figure
        assert box.x1 <= width, figure
        assert box.y1 <= height, figure


def test_search_shows_outcomes_and_the_best_so_far() -> None:
    trials = [
        {"number": 2, "outcome": "ok", "objective": 0.6},
        {"number": 0, "outcome": "ok", "objective": 0.7},
        {"number": 1, "outcome": "diverged", "objective": None},
        {"number": 3, "outcome": "failed", "objective": None},
    ]
    figure = figures.search(trials)
    said = texts(figure)
    for words in ("ok (n = 2)", "diverged (n = 1)", "chance", "objective (AUROC)"):
        assert words in said
    best = figure.axes[0].lines[0]
    assert (list(best.get_xdata()), list(best.get_ydata())) == ([0, 2, 3], [0.7, 0.7, 0.7])


def test_search_without_any_objective() -> None:
    trials = [{"number": 0, "outcome": "failed", "objective": None}]
    assert png(figures.search(trials)).startswith(b"\x89PNG")
