"""Figures of single test scores and of sample pictures; each function returns a new figure.

An empty title leaves no room for one: a page has its own. Lines are marked (``drawing.mark``), so
that they respond to a pointer in a page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from omasgan.data import metrics
from omasgan.report.page.drawing import mark, set_title
from omasgan.report.page.palette import ANOMALOUS, GREY, LINES, NORMAL, WIDTH
from omasgan.report.page.plots import COLUMNS

Scored: TypeAlias = tuple[NDArray[Any], NDArray[Any]]
"""Labels (0 normal, 1 anomalous) and scores of the same samples, each ``(n,)``."""

RATES = np.linspace(0.0, 1.0, 201)
"""The places at which curves are averaged."""


def roc(curves: Mapping[str, Sequence[Scored]], title: str = "") -> Figure:
    """ROC curves.

    Several scorings of one curve are averaged vertically (the mean true positive rate at each
    false positive rate); the legend gives their mean AUROC.

    Args:
        curves: by name, for instance a fold with one scoring for each seed, or a stage with one.
        title: of the figure.
    """
    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    axes = figure.subplots()
    for index, (name, scorings) in enumerate(curves.items()):
        rates_and_areas = [_curve(*scored) for scored in scorings]
        value = float(np.mean([area for _, area in rates_and_areas]))
        (line,) = axes.plot(
            RATES,
            np.mean([rates for rates, _ in rates_and_areas], axis=0),
            color=LINES[index % len(LINES)],
            linestyle=("-", "--", ":")[index // len(LINES) % 3],
            label=f"{name}: {value:.3f} (n = {len(scorings[0][0])})",
            linewidth=1.5,
        )
        mark(line, series=name, tips=[f"{name}: AUROC {value:.3f}"])
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="chance: 0.500")
    axes.set_xlabel("false positive rate (normal samples called anomalous)")
    axes.set_ylabel("true positive rate (anomalies found)")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_box_aspect(1)
    set_title(figure, title)
    axes.grid(alpha=0.25)
    axes.legend(
        title="AUROC (n test samples)", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False
    )
    return figure


def precision_recall(curves: Mapping[str, Sequence[Scored]]) -> Figure:
    """Precision-recall curves, averaged over the scorings of one curve; the legend gives their
    mean average precision.

    Args:
        curves: by name, for instance a fold with one scoring for each seed.
    """
    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    axes = figure.subplots()
    for index, (name, scorings) in enumerate(curves.items()):
        value = float(np.mean([metrics.average_precision(*scored) for scored in scorings]))
        (line,) = axes.plot(
            RATES,
            np.mean([_precision(*scored) for scored in scorings], axis=0),
            color=LINES[index % len(LINES)],
            linestyle=("-", "--", ":")[index // len(LINES) % 3],
            label=f"{name}: {value:.3f}",
            linewidth=1.5,
        )
        mark(line, series=name, tips=[f"{name}: average precision {value:.3f}"])
    labels = [labels for scorings in curves.values() for labels, _ in scorings]
    chance = float(np.mean([np.mean(of) for of in labels]))
    axes.axhline(chance, color=GREY, linestyle="--", linewidth=1, label=f"chance: {chance:.3f}")
    axes.set_xlabel("recall (anomalies found)")
    axes.set_ylabel("precision (anomalies among those called anomalous)")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_box_aspect(1)
    axes.grid(alpha=0.25)
    axes.legend(
        title="average precision", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False
    )
    return figure


def extremes(kinds: Mapping[str, Sequence[tuple[NDArray[Any], float]]]) -> Figure:
    """Test images, one row for each kind, each with its score below it.

    Args:
        kinds: by name, images ``(c, h, w)`` uint8 with their scores.
    """
    columns = max(map(len, kinds.values()))
    figure = Figure(figsize=(WIDTH, 0.2 + 0.85 * len(kinds)), layout="constrained")
    axes = figure.subplots()
    for row, (name, shown) in enumerate(kinds.items()):
        axes.text(-0.15, row + 0.4, name, ha="right", va="center", fontsize=8)
        for column, (image, score) in enumerate(shown):
            # an axes for each image would take seconds to draw
            place = (column, column + 0.76, row + 0.76, row)
            axes.imshow(_colours(image), extent=place, interpolation="nearest")
            axes.text(column + 0.38, row + 0.79, f"{score:.3g}", ha="center", va="top", fontsize=7)
    axes.set_xlim(-0.1, columns)
    axes.set_ylim(len(kinds), 0)
    axes.set_aspect("equal")
    axes.set_axis_off()
    return figure


def _colours(image: NDArray[Any]) -> NDArray[Any]:
    """An image ``(1 or 3, h, w)`` as ``(h, w, 3)``."""
    return np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0)


def training(curves: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]]) -> Figure:
    """Losses and health figures by epoch, one panel for each, one line for each run.

    Args:
        curves: by loss and run, epochs and values.
    """
    columns = min(len(curves), COLUMNS)
    count = math.ceil(len(curves) / columns)
    figure = Figure(figsize=(WIDTH, 0.7 + 1.7 * count), layout="constrained")
    grid = figure.subplots(count, columns, squeeze=False)
    for axes in grid.flat[len(curves) :]:
        axes.set_visible(False)
    runs = list(dict.fromkeys(run for of_loss in curves.values() for run in of_loss))
    for axes, (loss, of_loss) in zip(grid.flat, curves.items(), strict=False):
        for run, points in of_loss.items():
            (line,) = axes.plot(
                *zip(*points, strict=True),
                color=LINES[runs.index(run) % len(LINES)],
                linestyle=("-", "--", ":")[runs.index(run) // len(LINES) % 3],
                linewidth=1.2,
                label=run,
            )
            mark(line, series=run, tips=[f"{loss}, {run}"])
        axes.set_title(loss, fontsize=9)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.25)
    handles, names = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    figure.supxlabel("epoch", fontsize=9)
    return figure


def histogram(panels: Mapping[str, Scored], title: str = "") -> Figure:
    """Score histograms of normal and anomalous test samples, one row for each of ``panels``.

    Each row has its own scale: the scores of two trainings have no common unit.

    Args:
        panels: by name, for instance a fold or a stage, one scoring.
        title: of the figure.
    """
    figure = Figure(figsize=(WIDTH, 1.3 + 0.55 * len(panels)), layout="constrained")
    axes = figure.subplots()
    for row, (labels, scores) in enumerate(panels.values()):
        _histogram_row(axes, np.asarray(labels), np.asarray(scores), -row)
    axes.set_yticks(
        [-row for row in range(len(panels))],
        [
            f"{name}: AUROC {_curve(labels, scores)[1]:.3f}\n"
            f"n = {np.sum(labels == 0)} + {np.sum(labels == 1)}"
            for name, (labels, scores) in panels.items()
        ],
        fontsize=8,
        va="bottom",
    )
    axes.tick_params(left=False)
    axes.set_xticks([])
    axes.margins(x=0.01)
    axes.set_ylim(-len(panels) + 0.9, 1.05)
    axes.spines[:].set_visible(False)
    handles, names = axes.get_legend_handles_labels()
    figure.legend(
        handles[:2], names[:2], loc="outside upper right", ncols=2, frameon=False, fontsize=9
    )
    set_title(figure, title)
    figure.supxlabel("score (higher = more anomalous; each row scaled by itself)", fontsize=9)
    figure.supylabel("density", fontsize=9)
    return figure


def samples(pictures: Mapping[str, NDArray[np.float32]], title: str = "") -> Figure:
    """Rows of images by name, as a detector's ``pictures`` returns them.

    Args:
        pictures: arrays ``(n, c, h, w)`` in [-1, 1] with 1 or 3 channels; others are left out.
        title: of the figure.
    """
    rows = {name: images for name, images in pictures.items() if is_images(images)}
    figure = Figure(figsize=(WIDTH, 0.4 + 0.75 * len(rows)), layout="constrained")
    if not rows:
        return figure
    for axes, (name, images) in zip(
        figure.subplots(len(rows), squeeze=False).flat, rows.items(), strict=True
    ):
        strip = _strip(images)
        axes.imshow(strip, interpolation="nearest")
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_frame_on(False)
    set_title(figure, title)
    return figure


def is_images(array: NDArray[Any]) -> bool:
    """Whether ``array`` is a row of grey or colour images, ``(n, 1 or 3, h, w)`` with n > 0."""
    return array.ndim == 4 and len(array) > 0 and array.shape[1] in (1, 3)


def _strip(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images ``(n, 1 or 3, h, w)`` in [-1, 1] side by side as one RGBA picture
    ``(h, n * (w + 1) - 1, 4)`` in [0, 1], with transparent gaps.
    """
    n, _, height, width = images.shape
    strip = np.zeros((height, n, width + 1, 4), dtype=np.float32)
    strip[:, :, :-1, :3] = np.clip((images + 1.0) / 2.0, 0.0, 1.0).transpose(2, 0, 3, 1)
    strip[:, :, :-1, 3] = 1.0
    return strip.reshape(height, -1, 4)[:, :-1]


def _histogram_row(axes: Axes, labels: NDArray[Any], scores: NDArray[Any], bottom: float) -> None:
    """Densities of both kinds, the higher one 0.85 high; the row's scores are scaled to [0, 1]."""
    # a few extreme scores would squeeze all others into one bar
    low, high = np.quantile(scores, [0.002, 0.998])
    count = int(np.clip(1.5 * np.sqrt(len(scores)), 10, 50))
    bins = np.linspace(0.0, 1.0, count + 1)
    shown = np.clip((scores - low) / (high - low if high > low else 1.0), 0.0, 1.0)
    density = [np.histogram(shown[labels == k], bins, density=True)[0] for k in (0, 1)]
    for heights, name, colour in zip(
        density, ("normal", "anomalous"), (NORMAL, ANOMALOUS), strict=True
    ):
        axes.stairs(
            bottom + 0.85 * heights / np.max(density),
            bins,
            baseline=bottom,
            fill=True,
            alpha=0.6,
            color=colour,
            label=name,
        )
    axes.axhline(bottom, color=GREY, linewidth=0.5)


def _precision(labels: NDArray[Any], scores: NDArray[Any]) -> NDArray[np.float64]:
    """The best precision that reaches at least each recall of ``RATES``."""
    precision, recall = metrics.precision_recall_curve(labels, scores)
    reachable = np.maximum.accumulate(precision[::-1])[::-1]
    best: NDArray[np.float64] = reachable[np.searchsorted(recall, RATES)]
    return best


def _curve(labels: NDArray[Any], scores: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    """True positive rates at ``RATES``, and the area under the curve itself."""
    rates: NDArray[np.float64] = np.interp(RATES, *metrics.roc_curve(labels, scores))
    return rates, metrics.auroc(labels, scores)
