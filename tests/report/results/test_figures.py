from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from omasgan.report.results import figures

LABELS = np.repeat([0, 1], [150, 50])
SCORES = np.concatenate([np.linspace(0, 1, 150), np.linspace(0.5, 1.5, 50)]).astype(np.float32)


def texts(figure: Figure) -> str:
    """Every word on the figure's axes: labels, ticks, legends and titles."""
    words = [figure.get_suptitle(), figure.get_supxlabel(), figure.get_supylabel()]
    for axes in figure.axes:
        words += [axes.get_xlabel(), axes.get_ylabel(), axes.get_title()]
        words += [text.get_text() for text in (*axes.texts, *axes.get_yticklabels())]
        legend = axes.get_legend()
        words += [text.get_text() for text in legend.get_texts()] if legend else []
    return "\n".join(words)


def test_box_plot_says_what_it_shows() -> None:
    figure = figures.box_plot({"knn · fixed": [0.7, 0.8], "omasgan · nested": [0.9]}, "title")
    said = texts(figure)
    for words in ("AUROC", "chance", "n = 2 folds", "n = 1 fold", "title"):
        assert words in said
    ticks = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert ticks[-1].startswith("omasgan"), "the best mean stands on top"


@pytest.mark.parametrize(("n_entries", "test"), [(4, "signed-rank"), (16, "Nemenyi")])
def test_critical_difference_names_every_entry_and_its_test(n_entries: int, test: str) -> None:
    rng = np.random.default_rng(0)
    shifts = 0.02 * np.arange(n_entries)
    means = pd.DataFrame(rng.normal(0.5, 0.01, (10, n_entries)) + shifts)
    means.columns = [f"detector-{i} · fixed" for i in range(n_entries)]
    figure = figures.critical_difference(means, "title")
    said = texts(figure)
    assert all(f"{name}  " in said or f"  {name}" in said for name in means.columns)
    for words in ("10 folds", "0.05", test, "title"):
        assert words in said
    assert figures.png(figure).startswith(b"\x89PNG")


def test_critical_difference_of_entries_that_are_the_same() -> None:
    means = pd.DataFrame(np.full((10, 9), 0.5), columns=list("abcdefghi"))
    assert "a  5.00" in texts(figures.critical_difference(means, "title"))


@pytest.mark.parametrize("name", ["omasgan · fixed · negatives=early-generator", "knn"])
def test_nothing_is_cut_off(name: str) -> None:
    for figure in (
        figures.box_plot({f"{name}-{i}": [0.5, 0.8] for i in range(16)}, "title"),
        figures.critical_difference(
            pd.DataFrame(
                np.random.default_rng(0).normal(size=(10, 16)),
                columns=[f"{name}-{i}" for i in range(16)],
            ),
            "title",
        ),
        figures.search([{"number": 0, "outcome": "out-of-memory", "objective": None}], "title"),
    ):
        png = figures.png(figure)
        assert png
        width, height = figure.get_size_inches()
        box = figure.get_tightbbox()
        assert box.x0 >= 0, figure
        assert box.y0 >= 0, figure
        assert box.x1 <= width, figure
        assert box.y1 <= height, figure


def test_roc_averages_scorings_and_shows_chance() -> None:
    figure = figures.roc({"fold 0": [(LABELS, SCORES), (LABELS, -SCORES)]}, "title")
    said = texts(figure)
    assert "fold 0: 0.500 (n = 200)" in said
    assert "chance" in said
    curve = figure.axes[0].lines[0]
    assert curve.get_xdata()[-1] == curve.get_ydata()[-1] == 1.0


def test_histogram_counts_both_kinds() -> None:
    figure = figures.histogram({f"fold {k}": (LABELS, SCORES) for k in range(7)}, "title")
    said = texts(figure)
    for words in ("n = 150 + 50", "score", "density", "each row scaled by itself"):
        assert words in said
    rows = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert [row.split(":")[0] for row in rows] == [f"fold {k}" for k in range(7)]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["normal", "anomalous"]
    tops = np.array([patch.get_data()[0].max() for patch in figure.axes[0].patches])
    assert len(tops) == 14
    assert np.allclose(tops.reshape(7, 2).max(axis=1), 0.85 - np.arange(7)), "own scale"


def test_histogram_of_constant_scores() -> None:
    assert figures.png(figures.histogram({"fold 0": (LABELS, np.zeros(200))}, "title"))


@pytest.mark.parametrize("channels", [1, 3])
def test_samples_show_every_row_of_images(channels: int) -> None:
    images = np.zeros((4, channels, 8, 8), dtype=np.float32)
    figure = figures.samples({"real": images, "G": images, "latent": images[:, 0, 0]}, "title")
    assert [axes.get_ylabel() for axes in figure.axes] == ["real", "G"]


def test_samples_are_scaled_from_minus_one_to_one() -> None:
    images = np.array([-1.0, 1.0], dtype=np.float32).reshape(2, 1, 1, 1)
    shown = figures.samples({"real": images}, "title").axes[0].get_images()[0].get_array()
    grey = np.asarray(shown)[0].tolist()
    assert grey == [[0.0, 0.0, 0.0, 1.0], [0.0] * 4, [1.0] * 4], "the gap between them is clear"


def test_search_shows_outcomes_and_the_best_so_far() -> None:
    trials = [
        {"number": 2, "outcome": "ok", "objective": 0.6},
        {"number": 0, "outcome": "ok", "objective": 0.7},
        {"number": 1, "outcome": "diverged", "objective": None},
        {"number": 3, "outcome": "failed", "objective": None},
    ]
    figure = figures.search(trials, "title")
    said = texts(figure)
    for words in ("ok (n = 2)", "diverged (n = 1)", "chance", "objective (AUROC)"):
        assert words in said
    best = figure.axes[0].lines[0]
    assert (list(best.get_xdata()), list(best.get_ydata())) == ([0, 2, 3], [0.7, 0.7, 0.7])


def test_search_without_any_objective() -> None:
    trials = [{"number": 0, "outcome": "failed", "objective": None}]
    assert figures.png(figures.search(trials, "title")).startswith(b"\x89PNG")
