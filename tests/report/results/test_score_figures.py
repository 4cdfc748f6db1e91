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
