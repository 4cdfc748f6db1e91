"""Figures of scores and results; each function gives a new ``Figure``, no pyplot state.

An empty title leaves no room for one: a page or a paper has its own. Points and lines are marked
(``drawing.mark``), so that they answer to a pointer in a page.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from omasgan.report import statistics
from omasgan.report.page.drawing import mark
from omasgan.report.page.palette import ANOMALOUS, GREY, LINES, NORMAL, OUTCOMES, WIDTH

Scored: TypeAlias = tuple[NDArray[Any], NDArray[Any]]
"""Labels (0 normal, 1 anomalous) and scores of the same samples, each ``(n,)``."""

FALSE_POSITIVE_RATES = np.linspace(0.0, 1.0, 201)


def box_plot(folds: Mapping[str, Sequence[float]], title: str) -> Figure:
    """AUROC by fold, one box an entry (a detector under a selection rule), best mean on top.

    Args:
        folds: by entry, one AUROC a fold (mean over its seeds), in [0, 1].
        title: what stands above the plot.
    """
    order = sorted(folds, key=lambda name: float(np.mean(folds[name])))
    figure = Figure(figsize=(WIDTH, 1.2 + 0.4 * len(order)), layout="constrained")
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
        dots = axes.scatter(folds[name], row + offsets, s=18, color=NORMAL, alpha=0.75, zorder=3)
        mark(dots, tips=[f"{name}: {value:.3f}" for value in folds[name]])
    axes.set_yticks(
        range(1, len(order) + 1), [f"{name}\n{_count(len(folds[name]), 'fold')}" for name in order]
    )
    _chance(axes)
    low = min([0.45, *(min(values) - 0.03 for values in folds.values())])
    axes.set_xlim(max(low, 0.0), 1.01)
    figure.supxlabel(
        "AUROC of a fold, mean over its seeds (dots: folds, diamond: mean, bar: median)",
        fontsize=9,
    )
    _title(figure, title)
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
    _title(figure, title)
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
    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    axes = figure.subplots()
    for index, (name, scorings) in enumerate(curves.items()):
        found = [_curve(*scored) for scored in scorings]
        value = float(np.mean([area for _, area in found]))
        (line,) = axes.plot(
            FALSE_POSITIVE_RATES,
            np.mean([rates for rates, _ in found], axis=0),
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
    _title(figure, title)
    axes.grid(alpha=0.25)
    axes.legend(
        title="AUROC (n test samples)", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False
    )
    return figure


def histogram(panels: Mapping[str, Scored], title: str) -> Figure:
    """Score histograms of normal and anomalous test samples, one row an entry (a fold).

    Each row has its own scale: the scores of two trainings have no common unit.
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
    _title(figure, title)
    figure.supxlabel("score (higher = more anomalous; each row scaled by itself)", fontsize=9)
    figure.supylabel("density", fontsize=9)
    return figure


def samples(pictures: Mapping[str, NDArray[np.float32]], title: str) -> Figure:
    """Rows of images by name, as a detector's ``pictures`` gives them.

    Args:
        pictures: arrays ``(n, c, h, w)`` in [-1, 1] with 1 or 3 channels; others are left out.
        title: what stands above the rows.
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
    _title(figure, title)
    return figure


def search(trials: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """A study's course: each trial's objective and the best so far, in the trials' order.

    Trials without an objective stand as crosses on the lower edge, coloured by outcome.

    Args:
        trials: dicts with ``number``, ``outcome`` and ``objective`` (AUROC in [0, 1] or None).
        title: what stands above the plot.
    """
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    axes = figure.subplots()
    trials = sorted(trials, key=lambda trial: int(trial["number"]))
    found = [t for t in trials if t["outcome"] == "ok" and t.get("objective") is not None]
    floor = min([0.5, *(float(t["objective"]) for t in found)]) - 0.05
    for outcome, colour in OUTCOMES.items():
        chosen = [t for t in trials if t["outcome"] == outcome]
        if not chosen:
            continue
        good = outcome == "ok"
        heights = [float(t["objective"]) if t in found else floor for t in chosen]
        points = axes.scatter(
            [int(t["number"]) for t in chosen],
            heights,
            color=colour,
            marker="o" if good else "x",
            label=f"{outcome} (n = {len(chosen)})",
            clip_on=False,
            zorder=3,
        )
        mark(points, series=outcome, tips=[_trial_tip(t) for t in chosen])
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
    _title(figure, title)
    axes.grid(alpha=0.25)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    return figure


def is_images(array: NDArray[Any]) -> bool:
    """Whether ``array`` is a row of grey or colour images, ``(n, 1 or 3, h, w)`` with n > 0."""
    return array.ndim == 4 and len(array) > 0 and array.shape[1] in (1, 3)


def _strip(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(n, 1 or 3, h, w)`` in [-1, 1] to one picture ``(h, n * (w + 1) - 1, 4)`` in [0, 1] with
    clear gaps.
    """
    n, _, height, width = images.shape
    strip = np.zeros((height, n, width + 1, 4), dtype=np.float32)
    strip[:, :, :-1, :3] = np.clip((images + 1.0) / 2.0, 0.0, 1.0).transpose(2, 0, 3, 1)
    strip[:, :, :-1, 3] = 1.0
    return strip.reshape(height, -1, 4)[:, :-1]


def _histogram_row(axes: Axes, labels: NDArray[Any], scores: NDArray[Any], bottom: float) -> None:
    """Densities of both kinds, the higher one 0.85 high, over the row's scores from 0 to 1."""
    # a few far scores would squeeze all others into one bar
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


def _curve(labels: NDArray[Any], scores: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    """True positive rates at ``FALSE_POSITIVE_RATES``, and the area under the curve itself."""
    from sklearn.metrics import auc, roc_curve

    false_positives, true_positives, _ = roc_curve(labels, scores)
    rates: NDArray[np.float64] = np.interp(FALSE_POSITIVE_RATES, false_positives, true_positives)
    return rates, float(auc(false_positives, true_positives))


def _trial_tip(trial: Mapping[str, Any]) -> str:
    """What a trial was and what became of it."""
    value = trial.get("objective")
    became = trial["outcome"] if value is None else f"objective {float(value):.3f}"
    params = (
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in trial.get("params", {}).items()
    )
    return "\n".join([f"trial {trial['number']}: {became}", *params])


def _title(figure: Figure, title: str) -> None:
    if title:
        figure.suptitle(title, fontsize=11)


def _chance(axes: Axes) -> None:
    axes.axvline(0.5, color=GREY, linestyle="--", linewidth=1)
    axes.annotate(
        "chance", (0.5, 1.0), (3, -3), xycoords=("data", "axes fraction"),
        textcoords="offset points", fontsize=8, color=GREY, va="top",
    )  # fmt: skip


def _count(n: int, noun: str) -> str:
    return f"n = {n} {noun}{'' if n == 1 else 's'}"
