from __future__ import annotations

import numpy as np
import pytest

from omasgan.report.page.drawing import png
from omasgan.report.results import score_figures
from tests.report.figure_texts import texts

LABELS = np.repeat([0, 1], [150, 50])
SCORES = np.concatenate([np.linspace(0, 1, 150), np.linspace(0.5, 1.5, 50)]).astype(np.float32)


def test_roc_averages_scorings_and_shows_chance() -> None:
    figure = score_figures.roc({"fold 0": [(LABELS, SCORES), (LABELS, -SCORES)]}, "title")
    said = texts(figure)
    assert "fold 0: 0.500 (n = 200)" in said
    assert "chance" in said
    curve = figure.axes[0].lines[0]
    assert curve.get_xdata()[-1] == curve.get_ydata()[-1] == 1.0


def test_precision_is_the_best_that_finds_as_many() -> None:
    labels, scores = np.array([1, 0, 1, 0]), np.array([4.0, 3.0, 2.0, 1.0])
    figure = score_figures.precision_recall({"digit 8": [(labels, scores)]})
    line = figure.axes[0].lines[0]
    by_recall = dict(zip(line.get_xdata().tolist(), line.get_ydata().tolist(), strict=True))
    assert (by_recall[0.5], by_recall[1.0]) == (1.0, pytest.approx(2 / 3))
    assert "digit 8: 0.833" in texts(figure) and "chance: 0.500" in texts(figure)


def test_extremes_show_each_image_with_its_score() -> None:
    grey, colour = np.zeros((1, 8, 8), np.uint8), np.zeros((3, 8, 8), np.uint8)
    kinds = {"missed": [(grey, 0.25), (colour, 0.5)], "found": [(grey, 9)]}
    figure = score_figures.extremes(kinds)
    assert len(figure.axes[0].images) == 3
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said == ["missed", "0.25", "0.5", "found", "9"]


def test_training_has_a_panel_for_each_loss() -> None:
    both = {"digit 1": [(0, 1.0), (1, 0.5)], "digit 8": [(0, 2.0)]}
    figure = score_figures.training({"d": both, "g": {"digit 1": [(0, 3.0)]}})
    assert [axes.get_title() for axes in figure.axes] == ["d", "g"]
    assert [len(axes.lines) for axes in figure.axes] == [2, 1]


def test_histogram_counts_both_kinds() -> None:
    figure = score_figures.histogram({f"fold {k}": (LABELS, SCORES) for k in range(7)}, "title")
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
    assert png(score_figures.histogram({"fold 0": (LABELS, np.zeros(200))}, "title"))


@pytest.mark.parametrize("channels", [1, 3])
def test_samples_show_every_row_of_images(channels: int) -> None:
    images = np.zeros((4, channels, 8, 8), dtype=np.float32)
    figure = score_figures.samples(
        {"real": images, "G": images, "latent": images[:, 0, 0]}, "title"
    )
    assert [axes.get_ylabel() for axes in figure.axes] == ["real", "G"]


def test_samples_are_scaled_from_minus_one_to_one() -> None:
    images = np.array([-1.0, 1.0], dtype=np.float32).reshape(2, 1, 1, 1)
    shown = score_figures.samples({"real": images}, "title").axes[0].get_images()[0].get_array()
    grey = np.asarray(shown)[0].tolist()
    assert grey == [[0.0, 0.0, 0.0, 1.0], [0.0] * 4, [1.0] * 4], "the gap between them is clear"
