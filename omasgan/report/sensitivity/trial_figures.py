"""The figures of what finished sweeps tell; each function gives a new matplotlib figure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from omasgan.report.page.drawing import mark
from omasgan.report.page.formats import param as param_text
from omasgan.report.page.palette import ANOMALOUS, FIELD, GREY, NORMAL, WIDTH
from omasgan.report.sensitivity.figures import panels
from omasgan.report.sensitivity.trials import (
    Dependence,
    Importance,
    Pool,
    Surface,
    place,
    value_at,
)
from omasgan.study.space import Choice, Param


def importance(found: Sequence[Importance]) -> Figure:
    """One panel a measure, one line a param: its share with interval; red: what chance reaches."""
    measures = list(dict.fromkeys(one.evaluator for one in found))
    most = max(sum(one.evaluator == measure for one in found) for measure in measures)
    figure = Figure(figsize=(WIDTH, 1.1 + 0.24 * most), layout="constrained")
    grid = figure.subplots(1, len(measures), squeeze=False)[0]
    for axes, measure in zip(grid, measures, strict=True):
        lines = [one for one in found if one.evaluator == measure][::-1]
        for row, one in enumerate(lines):
            axes.plot(list(one.interval), [row, row], color=NORMAL, linewidth=1.6)
        points = axes.scatter([one.share for one in lines], range(len(lines)), s=16, color=NORMAL)
        if len(lines) > 3:
            mark(points, tips=[f"{one.param}: {one.share:.3f}" for one in lines])
        axes.axvline(lines[0].chance, color=ANOMALOUS, linewidth=1.6)
        axes.set_yticks(range(len(lines)), [one.param for one in lines], fontsize=8)
        axes.set_ylim(-0.7, len(lines) - 0.3)
        axes.set_xlim(0.0, 1.1 * max(one.interval.high for one in lines))
        axes.set_title(measure, fontsize=10)
        axes.grid(axis="x", alpha=0.25)
    figure.supxlabel("share of all importance (red: what a random param reaches)", fontsize=10)
    return figure


def dependence(found: Sequence[Dependence]) -> Figure:
    """One panel a param: the mean objective along its values, with its interval as a band."""
    figure, grid = panels(len(found))
    for axes, one in zip(grid, found, strict=True):
        low, high = zip(*one.intervals, strict=True)
        if isinstance(one.param.domain, Choice):
            axes.vlines(one.at, low, high, color=NORMAL, linewidth=1.6)
            axes.plot(one.at, one.mean, "o", color=NORMAL, markersize=4)
            axes.margins(x=0.2)
        else:
            axes.fill_between(one.at, low, high, color=NORMAL, alpha=0.2, linewidth=0)
            axes.plot(one.at, one.mean, color=NORMAL, linewidth=1.6)
        axes.axhline(0.0, color=GREY, linewidth=0.8)
        _places(axes, one.param)
        axes.set_xlabel(one.param.name, fontsize=9)
        axes.grid(alpha=0.25)
    figure.supylabel("objective less its study's mean", fontsize=10)
    return figure


def contour(found: Surface, pool: Pool) -> Figure:
    """The mean objective over two params, with the trials as dots, beside how unsure it is."""
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    names = [param.name for param in pool.searched]
    dots = pool.positions[:, [names.index(found.x.name), names.index(found.y.name)]]
    both = ((left, found.mean, "objective less its study's mean"), (right, found.half, "±"))
    for axes, height, told in both:
        drawn = axes.contourf(found.at, found.at, height, levels=9, cmap=FIELD)
        axes.scatter(*dots.T, s=5, color="#ffffff", edgecolors="#777777", linewidths=0.4)
        bar = figure.colorbar(drawn, ax=axes, location="top", ticks=MaxNLocator(4))
        bar.set_label(told, fontsize=9)
        _places(axes, found.x)
        axes.set_xlabel(found.x.name, fontsize=10)
    left.set_yticks([0.0, 0.5, 1.0], [param_text(value_at(found.y, at)) for at in (0.0, 0.5, 1.0)])
    left.set_ylabel(found.y.name, fontsize=10)
    return figure


def parallel_coordinates(pool: Pool, names: Sequence[str]) -> Figure:
    """One line a trial through its values of ``names``, the better ones brighter and on top; a
    line breaks off where a trial does not have a param.
    """
    params = [next(p for p in pool.searched if p.name == name) for name in names]
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    axes = figure.subplots()
    scale = Normalize(float(pool.objective.min()), float(pool.objective.max()))
    x = np.arange(len(params))
    for row in np.argsort(pool.objective):
        trial = pool.params[row]
        y = [place(p, trial[p.name]) if p.name in trial else math.nan for p in params]
        colour = colormaps[FIELD](scale(pool.objective[row]))
        axes.plot(x, y, color=colour, linewidth=0.9, alpha=0.8)
    for at, param in enumerate(params):
        axes.axvline(at, color=GREY, linewidth=0.8)
        for where in _marks(param):
            axes.annotate(
                param_text(value_at(param, where)), (at, where), (2, 2),
                textcoords="offset points", fontsize=7,
                bbox={"facecolor": "#ffffff", "alpha": 0.7, "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip
    axes.set_xticks(x, list(names), rotation=25, ha="right", fontsize=9)
    axes.set_yticks([])
    axes.set_xlim(-0.1, len(params) - 0.5)
    axes.set_ylim(-0.04, 1.08)
    figure.colorbar(ScalarMappable(scale, FIELD), ax=axes, label="objective less its study's mean")
    return figure


def _marks(param: Param) -> list[float]:
    """The places of a param that are written beside an axis."""
    if isinstance(param.domain, Choice):
        return [place(param, choice) for choice in param.domain.choices]
    return [0.0, 0.5, 1.0]


def _places(axes: Axes, param: Param) -> None:
    marks = _marks(param)
    axes.set_xticks(marks, [param_text(value_at(param, where)) for where in marks])
    axes.tick_params(labelsize=8)
    if isinstance(param.domain, Choice):
        axes.tick_params(axis="x", labelrotation=20)
