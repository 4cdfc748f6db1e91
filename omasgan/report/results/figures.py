"""Figures of comparisons and searches; each function returns a new figure.

Points and lines are marked (``drawing.mark``), so that they respond to a pointer in a page.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from omasgan.report import statistics
from omasgan.report.page import formats
from omasgan.report.page.drawing import mark
from omasgan.report.page.palette import ANOMALOUS, GREY, LINES, NORMAL, OUTCOMES, WIDTH

MIN_BOX = 5
"""Folds without which a box would show quartiles that are no more than the folds themselves."""


def box_plot(folds: Mapping[str, Sequence[float]]) -> Figure:
    """AUROC by fold, one box for each entry, best mean on top; points alone for a few folds.

    Args:
        folds: by entry, one AUROC for each fold (mean over its seeds), in [0, 1].
    """
    order = sorted(folds, key=lambda name: float(np.mean(folds[name])))
    figure = Figure(figsize=(WIDTH, 1.2 + 0.4 * len(order)), layout="constrained")
    axes = figure.subplots()
    has_boxes = max(map(len, folds.values())) >= MIN_BOX
    if has_boxes:
        _draw_boxes(axes, [folds[name] for name in order])
    for row, name in enumerate(order, start=1):
        mean = float(np.mean(folds[name]))
        axes.plot([mean], [row], "D", color=ANOMALOUS, markersize=6, zorder=2)
        # fixed offsets keep equal values apart and the picture the same every time
        offsets = 0.12 * np.sin(2.4 * np.arange(len(folds[name])))
        dots = axes.scatter(folds[name], row + offsets, s=18, color=NORMAL, alpha=0.75, zorder=3)
        mark(dots, tips=[f"{name}: {value:.3f}" for value in folds[name]])
    axes.set_yticks(
        range(1, len(order) + 1), [f"{name}\n{_count(len(folds[name]), 'fold')}" for name in order]
    )
    _mark_chance(axes)
    low = min([0.45, *(min(values) - 0.03 for values in folds.values())])
    axes.set_xlim(max(low, 0.0), 1.01)
    bar = ", bar: median" if has_boxes else ""
    figure.supxlabel(
        f"AUROC of a fold, mean over its seeds (dots: folds, diamond: mean{bar})", fontsize=9
    )
    axes.grid(axis="x", alpha=0.25)
    return figure


def costs(entries: Sequence[tuple[str, float, float]]) -> Figure:
    """What an AUROC costs: one point for each entry, red if none is both faster and better.

    Args:
        entries: name, mean seconds of a run, and mean AUROC.
    """
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axes = figure.subplots()
    names, seconds, aurocs = zip(*sorted(entries, key=lambda e: (e[1], -e[2])), strict=True)
    is_best = [value > max((0.0, *aurocs[:i])) for i, value in enumerate(aurocs)]
    for name, at, value, leads in zip(names, seconds, aurocs, is_best, strict=True):
        point = axes.scatter([at], [value], color=ANOMALOUS if leads else NORMAL, s=28, zorder=3)
        mark(point, tips=[f"{name}: AUROC {value:.3f}, {at:.1f} s"])
    _name_points(axes, names, seconds, aurocs)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.margins(x=0.2, y=0.1)
    axes.set_xlabel("seconds of a run (training and test)")
    axes.set_ylabel("mean AUROC")
    axes.grid(alpha=0.25)
    return figure


def _name_points(axes: Axes, names: Sequence[str], x: Sequence[float], y: Sequence[float]) -> None:
    """Write names beside points, from the top down and never closer than a line of text."""
    lines, span = 26, max(max(y) - min(y), 0.01)
    taken: list[tuple[float, float]] = []
    for at in sorted(range(len(names)), key=lambda i: -y[i]):
        where = y[at]
        # names of other columns of the picture do not meet this one
        near = [b for a, b in taken if abs(math.log10(x[at] / a)) < 0.8]
        while any(abs(where - other) < span / lines for other in near):
            where -= span / lines
        taken.append((x[at], where))
        axes.annotate(names[at], (x[at], where), (6, -3), textcoords="offset points", fontsize=8)


def critical_difference(means: pd.DataFrame) -> Figure:
    """Average ranks on one axis, best on the left; a bar joins entries without a significant
    difference.

    Args:
        means: one row for each fold, one column for each entry (``statistics.fold_means``).
    """
    from scikit_posthocs import critical_difference_diagram

    n_folds, n_entries = means.shape
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
    for (bar,) in drawn["crossbars"]:
        # the library draws a bar from entry to entry of a set, in an order that differs by process
        bar.set_xdata(np.sort(bar.get_xdata()))
    test = "signed-rank tests, Holm's correction over all pairs"
    if not statistics.pairs_can_differ(n_entries, n_folds):
        test = "Nemenyi's test; too few folds for signed-rank tests of all pairs"
    figure.supxlabel(
        f"average rank over {n_folds} folds (1 is best); bars join entries without a significant "
        f"difference at {statistics.LEVEL} by {test}",
        fontsize=9,
    )
    return figure


def search(trials: Sequence[Mapping[str, Any]]) -> Figure:
    """The course of a study: each trial's objective and the best so far, in order of the trials.

    Trials without an objective are crosses on the lower edge, coloured by outcome.

    Args:
        trials: dicts with ``number``, ``outcome`` and ``objective`` (AUROC in [0, 1] or None).
    """
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    axes = figure.subplots()
    trials = sorted(trials, key=lambda trial: int(trial["number"]))
    scored = [t for t in trials if t["outcome"] == "ok" and t.get("objective") is not None]
    floor = min([0.5, *(float(t["objective"]) for t in scored)]) - 0.05
    for outcome, colour in OUTCOMES.items():
        chosen = [t for t in trials if t["outcome"] == outcome]
        if not chosen:
            continue
        points = axes.scatter(
            [int(t["number"]) for t in chosen],
            [float(t["objective"]) if t in scored else floor for t in chosen],
            color=colour,
            marker="o" if outcome == "ok" else "x",
            label=f"{outcome} (n = {len(chosen)})",
            clip_on=False,
            zorder=3,
        )
        mark(points, series=outcome, tips=[_trial_tip(t) for t in chosen])
    if scored:
        best = np.maximum.accumulate([float(t["objective"]) for t in scored])
        numbers = [int(t["number"]) for t in scored]
        # the last best value holds until the last trial, whatever its outcome
        axes.step(
            [*numbers, int(trials[-1]["number"])], [*best, best[-1]],
            where="post", color=NORMAL, alpha=0.6,
        )  # fmt: skip
    axes.axhline(0.5, color=GREY, linestyle="--", linewidth=1, label="chance")
    axes.set_ylim(floor, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial number (line: best so far)")
    axes.set_ylabel("objective (AUROC)")
    axes.grid(alpha=0.25)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    return figure


def _draw_boxes(axes: Axes, folds: Sequence[Sequence[float]]) -> None:
    axes.boxplot(
        [list(values) for values in folds],
        orientation="horizontal",
        widths=0.55,
        showfliers=False,
        medianprops={"color": "black"},
        boxprops={"color": GREY},
        whiskerprops={"color": GREY},
        capprops={"color": GREY},
    )


def _trial_tip(trial: Mapping[str, Any]) -> str:
    """A trial's outcome and params."""
    value = trial.get("objective")
    outcome = trial["outcome"] if value is None else f"objective {float(value):.3f}"
    params = (f"{name} {formats.param(v)}" for name, v in trial.get("params", {}).items())
    return "\n".join([f"trial {trial['number']}: {outcome}", *params])


def _mark_chance(axes: Axes) -> None:
    axes.axvline(0.5, color=GREY, linestyle="--", linewidth=1)
    axes.annotate(
        "chance", (0.5, 1.0), (3, -3), xycoords=("data", "axes fraction"),
        textcoords="offset points", fontsize=8, color=GREY, va="top",
    )  # fmt: skip


def _count(n: int, noun: str) -> str:
    return f"n = {n} {noun}{'' if n == 1 else 's'}"
