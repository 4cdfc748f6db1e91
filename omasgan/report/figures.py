"""Figures of scores and results; each function gives a new ``Figure``, no pyplot state."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from omasgan.metrics import auroc
from omasgan.report import statistics

Scored: TypeAlias = tuple[NDArray[Any], NDArray[Any]]
"""Labels (0 normal, 1 anomalous) and scores of the same samples, each ``(n,)``."""

NORMAL, ANOMALOUS, GREY = "#0072B2", "#D55E00", "#777777"
OUTCOME_COLOURS = {
    "ok": NORMAL,
    "pruned": "#E69F00",
    "diverged": ANOMALOUS,
    "out-of-memory": "#CC79A7",
    "failed": "#000000",
}
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#882255")
FALSE_POSITIVE_RATES = np.linspace(0.0, 1.0, 201)


def png(figure: Figure, dpi: int = 100) -> bytes:
    """The figure as a PNG file's bytes."""
    buffer = io.BytesIO()
    # a tight bounding box would draw everything twice; the layout leaves no room to cut off
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def box_plot(folds: Mapping[str, Sequence[float]], title: str) -> Figure:
    """AUROC by fold, one box an entry (a detector under a selection rule), best mean on top.

    Args:
        folds: by entry, one AUROC a fold (mean over its seeds), in [0, 1].
        title: what stands above the plot.
    """
    order = sorted(folds, key=lambda name: float(np.mean(folds[name])))
    figure = Figure(figsize=(8.5, 1.5 + 0.45 * len(order)), layout="constrained")
    axes = figure.subplots()
    axes.boxplot(
        [list(folds[name]) for name in order],
        orientation="horizontal",
        widths=0.55,
        showfliers=False,
        showmeans=True,
        meanprops={"marker": "D", "markerfacecolor": ANOMALOUS, "markeredgecolor": ANOMALOUS},
        medianprops={"color": "black"},
        boxprops={"color": GREY},
        whiskerprops={"color": GREY},
        capprops={"color": GREY},
    )
    for row, name in enumerate(order, start=1):
        # a fixed spread keeps equal values apart and the picture the same every time
        offsets = 0.12 * np.sin(2.4 * np.arange(len(folds[name])))
        axes.scatter(folds[name], row + offsets, s=18, color=NORMAL, alpha=0.75, zorder=3)
    axes.set_yticks(
        range(1, len(order) + 1), [f"{name}\n{_count(len(folds[name]), 'fold')}" for name in order]
    )
    _chance(axes)
    low = min([0.45, *(min(values) - 0.03 for values in folds.values())])
    axes.set_xlim(max(low, 0.0), 1.01)
    figure.supxlabel(
        "AUROC of a fold, mean over its seeds (dots: folds, diamond: mean, bar: median)",
        fontsize=10,
    )
    figure.suptitle(title, fontsize=11)
    axes.grid(axis="x", alpha=0.25)
    return figure


def critical_difference(means: pd.DataFrame, title: str) -> Figure:
    """Average ranks on one axis, best on the left; bars join entries that are not told apart.

    Args:
        means: one line a fold, one column an entry, as ``statistics.fold_means`` gives them.
        title: what stands above the diagram.
    """
    from scikit_posthocs import critical_difference_diagram

    n_folds, n_entries = means.shape
    if statistics.pairs_can_differ(n_entries, n_folds):
        test = "signed-rank tests, Holm's correction over all pairs"
    else:
        test = "Nemenyi's test; too few folds for signed-rank tests of all pairs"
    colours = itertools.islice(itertools.cycle(LINES), n_entries)
    figure = Figure(figsize=(11.0, 1.6 + 0.22 * n_entries), layout="constrained")
    axes = figure.subplots()
    drawn = critical_difference_diagram(
        statistics.average_ranks(means),
        statistics.all_pairs(means),
        alpha=statistics.LEVEL,
        ax=axes,
        label_fmt_left="{label}  {rank:.2f}",
        label_fmt_right="{rank:.2f}  {label}",
        label_props={"fontsize": 9},
        color_palette=list(colours),
        elbow_props={"linewidth": 1.2},
        marker_props={"s": 18},
        text_h_margin=0.015 * n_entries,
    )
    for label in drawn["labels"]:
        label.set_color("black")
    figure.suptitle(title, fontsize=11)
    figure.supxlabel(
        f"average rank over {n_folds} folds (1 is best); bars join what is not told apart at "
        f"{statistics.LEVEL} by {test}",
        fontsize=9,
    )
    return figure


def roc(curves: Mapping[str, Sequence[Scored]], title: str) -> Figure:
    """ROC curves, one an entry: a fold with one scoring a seed, or a stage with one scoring.

    Several scorings of an entry are averaged vertically (the mean true positive rate at each
    false positive rate); the legend gives their mean AUROC.
    """
    figure = Figure(figsize=(8.6, 5.2), layout="constrained")
    axes = figure.subplots()
    for index, (name, scorings) in enumerate(curves.items()):
        rates = np.mean([_true_positive_rates(*scored) for scored in scorings], axis=0)
        value = float(np.mean([auroc(*scored) for scored in scorings]))
        axes.plot(
            FALSE_POSITIVE_RATES,
            rates,
            color=LINES[index % len(LINES)],
            linestyle=("-", "--", ":")[index // len(LINES) % 3],
            label=f"{name}: {value:.3f} (n = {len(scorings[0][0])})",
            linewidth=1.5,
        )
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="chance: 0.500")
    axes.set_xlabel("false positive rate (normal samples called anomalous)")
    axes.set_ylabel("true positive rate (anomalies found)")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_box_aspect(1)
    figure.suptitle(title, fontsize=11)
    axes.grid(alpha=0.25)
    axes.legend(
        title="AUROC (n test samples)", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False
    )
    return figure


def histogram(panels: Mapping[str, Scored], title: str, columns: int = 5) -> Figure:
    """Score histograms of normal and anomalous test samples, one panel an entry (a fold)."""
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    size = (6.2, 4.0) if len(panels) == 1 else (2.9 * columns, 2.6 * rows + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (name, (labels, scores)) in zip(grid.flat, panels.items(), strict=False):
        _histogram_panel(axes, np.asarray(labels), np.asarray(scores))
        axes.set_title(f"{name}: AUROC {auroc(labels, scores):.3f}", fontsize=9)
    figure.suptitle(title, fontsize=11)
    figure.supxlabel("score (higher = more anomalous)", fontsize=9)
    figure.supylabel("density", fontsize=9)
    return figure


def samples(pictures: Mapping[str, NDArray[np.float32]], title: str) -> Figure:
    """Rows of images by name, as a detector's ``pictures`` gives them.

    Args:
        pictures: arrays ``(n, c, h, w)`` in [-1, 1] with 1 or 3 channels; others are left out.
        title: what stands above the rows.
    """
    rows = {name: images for name, images in pictures.items() if is_images(images)}
    figure = Figure(figsize=(8.5, 0.5 + 0.95 * len(rows)), layout="constrained")
    if not rows:
        return figure
    for axes, (name, images) in zip(
        figure.subplots(len(rows), squeeze=False).flat, rows.items(), strict=True
    ):
        strip = _strip(images)
        axes.imshow(strip, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_frame_on(False)
    figure.suptitle(title, fontsize=10)
    return figure


def search(trials: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """A study's course: each trial's objective and the best so far, in the trials' order.

    Trials without an objective stand as crosses on the lower edge, coloured by outcome.

    Args:
        trials: dicts with ``number``, ``outcome`` and ``objective`` (AUROC in [0, 1] or None).
        title: what stands above the plot.
    """
    figure = Figure(figsize=(7.5, 3.4), layout="constrained")
    axes = figure.subplots()
    trials = sorted(trials, key=lambda trial: int(trial["number"]))
    found = [t for t in trials if t["outcome"] == "ok" and t.get("objective") is not None]
    floor = min([0.5, *(float(t["objective"]) for t in found)]) - 0.05
    for outcome, colour in OUTCOME_COLOURS.items():
        chosen = [t for t in trials if t["outcome"] == outcome]
        if not chosen:
            continue
        good = outcome == "ok"
        heights = [float(t["objective"]) if t in found else floor for t in chosen]
        axes.scatter(
            [int(t["number"]) for t in chosen],
            heights,
            color=colour,
            marker="o" if good else "x",
            label=f"{outcome} (n = {len(chosen)})",
            clip_on=False,
            zorder=3,
        )
    if found:
        best = np.maximum.accumulate([float(t["objective"]) for t in found])
        numbers = [int(t["number"]) for t in found]
        # the last best stands until the last trial, whatever became of that
        axes.step(
            [*numbers, int(trials[-1]["number"])], [*best, best[-1]],
            where="post", color=NORMAL, alpha=0.6,
        )  # fmt: skip
    axes.axhline(0.5, color=GREY, linestyle="--", linewidth=1, label="chance")
    axes.set_ylim(floor, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial number (line: best so far)")
    axes.set_ylabel("objective (AUROC)")
    axes.set_title(title)
    axes.grid(alpha=0.25)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    return figure


def is_images(array: NDArray[Any]) -> bool:
    """Whether ``array`` is a row of grey or colour images, ``(n, 1 or 3, h, w)`` with n > 0."""
    return array.ndim == 4 and len(array) > 0 and array.shape[1] in (1, 3)


def _strip(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(n, c, h, w)`` in [-1, 1] to one picture ``(h, n * (w + 1) - 1[, 3])`` in [0, 1]."""
    shown = np.clip((images + 1.0) / 2.0, 0.0, 1.0).transpose(0, 2, 3, 1)
    gap = np.ones((shown.shape[1], 1, shown.shape[3]), dtype=shown.dtype)
    parts = [part for image in shown for part in (image, gap)][:-1]
    strip: NDArray[np.float32] = np.concatenate(parts, axis=1)
    return strip[:, :, 0] if strip.shape[2] == 1 else strip


def _histogram_panel(axes: Axes, labels: NDArray[Any], scores: NDArray[Any]) -> None:
    # a few far scores would squeeze all others into one bar
    low, high = np.quantile(scores, [0.002, 0.998])
    count = int(np.clip(1.5 * np.sqrt(len(scores)), 10, 50))
    bins = np.linspace(low, high if high > low else low + 1.0, count + 1)
    shown = np.clip(scores, bins[0], bins[-1])
    for label, name, colour in ((0, "normal", NORMAL), (1, "anomalous", ANOMALOUS)):
        chosen = shown[labels == label]
        density = np.histogram(chosen, bins, density=True)[0]
        told = f"{name}, n = {len(chosen)}"
        axes.stairs(density, bins, fill=True, alpha=0.6, color=colour, label=told)
    axes.tick_params(labelsize=7)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.margins(y=0.35)
    axes.set_ylim(bottom=0.0)
    axes.legend(fontsize=7, frameon=False, loc="upper right", borderaxespad=0.1)


def _true_positive_rates(labels: NDArray[Any], scores: NDArray[Any]) -> NDArray[np.float64]:
    from sklearn.metrics import roc_curve

    false_positives, true_positives, _ = roc_curve(labels, scores)
    rates: NDArray[np.float64] = np.interp(FALSE_POSITIVE_RATES, false_positives, true_positives)
    return rates


def _chance(axes: Axes) -> None:
    axes.axvline(0.5, color=GREY, linestyle="--", linewidth=1)
    axes.annotate(
        "chance", (0.5, 1.0), (3, -3), xycoords=("data", "axes fraction"),
        textcoords="offset points", fontsize=8, color=GREY, va="top",
    )  # fmt: skip


def _count(n: int, noun: str) -> str:
    return f"n = {n} {noun}{'' if n == 1 else 's'}"
