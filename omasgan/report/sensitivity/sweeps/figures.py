"""The figures of what finished sweeps say; each function returns a new matplotlib figure."""

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

from omasgan.report.page import formats
from omasgan.report.page.drawing import mark
from omasgan.report.page.palette import ANOMALOUS, FIELD, GREY, NORMAL, WIDTH
from omasgan.report.page.plots import panels
from omasgan.report.sensitivity.sweeps.dependence import Dependence, Surface
from omasgan.report.sensitivity.sweeps.importance import Importance
from omasgan.report.sensitivity.sweeps.pool import Pool, position, value_at
from omasgan.study.space import Choice, Param

LABEL = 0.06
"""The height of a label, in units of an axis of parallel coordinates."""
MAX_LABEL = 16
OBJECTIVE = "objective less its study's mean"


def importance(shares: Sequence[Importance]) -> Figure:
    """One panel for each measure, one row for each param: its share with its interval; red: what
    chance reaches.
    """
    measures = list(dict.fromkeys(one.evaluator for one in shares))
    most = max(sum(one.evaluator == measure for one in shares) for measure in measures)
    figure = Figure(figsize=(WIDTH, 1.1 + 0.24 * most), layout="constrained")
    grid = figure.subplots(1, len(measures), squeeze=False)[0]
    for axes, measure in zip(grid, measures, strict=True):
        rows = [one for one in shares if one.evaluator == measure][::-1]
        for row, one in enumerate(rows):
            axes.plot(list(one.interval), [row, row], color=NORMAL, linewidth=1.6)
        points = axes.scatter([one.share for one in rows], range(len(rows)), s=16, color=NORMAL)
        if len(rows) > 3:
            mark(points, tips=[f"{one.param}: {one.share:.3f}" for one in rows])
        axes.axvline(rows[0].chance, color=ANOMALOUS, linewidth=1.6)
        axes.set_yticks(range(len(rows)), [one.param for one in rows], fontsize=8)
        axes.set_ylim(-0.7, len(rows) - 0.3)
        axes.set_xlim(0.0, 1.1 * max(one.interval.high for one in rows))
        axes.set_title(measure, fontsize=10)
        axes.grid(axis="x", alpha=0.25)
    figure.supxlabel("share of all importance (red: what a random param reaches)", fontsize=10)
    return figure


def dependence(by_param: Sequence[Dependence]) -> Figure:
    """One panel for each param: the mean objective along its values, its interval as a band."""
    figure, grid = panels(len(by_param))
    for axes, one in zip(grid, by_param, strict=True):
        low, high = zip(*one.intervals, strict=True)
        if isinstance(one.param.domain, Choice):
            axes.vlines(one.positions, low, high, color=NORMAL, linewidth=1.6)
            axes.plot(one.positions, one.mean, "o", color=NORMAL, markersize=4)
            axes.margins(x=0.2)
        else:
            axes.fill_between(one.positions, low, high, color=NORMAL, alpha=0.2, linewidth=0)
            axes.plot(one.positions, one.mean, color=NORMAL, linewidth=1.6)
        axes.axhline(0.0, color=GREY, linewidth=0.8)
        _set_value_axis(axes, one.param)
        axes.set_xlabel(one.param.name, fontsize=9)
        axes.grid(alpha=0.25)
    figure.supylabel(OBJECTIVE, fontsize=10)
    return figure


def contour(surface: Surface, pool: Pool) -> Figure:
    """The mean objective over two params, with the trials as dots, beside its uncertainty."""
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    names = [param.name for param in pool.searched]
    dots = pool.positions[:, [names.index(surface.x.name), names.index(surface.y.name)]]
    both = ((left, surface.mean, OBJECTIVE), (right, surface.half, "±"))
    for axes, height, label in both:
        filled = axes.contourf(surface.positions, surface.positions, height, levels=9, cmap=FIELD)
        axes.scatter(*dots.T, s=5, color="#ffffff", edgecolors=GREY, linewidths=0.4)
        bar = figure.colorbar(filled, ax=axes, location="top", ticks=MaxNLocator(4))
        bar.set_label(label, fontsize=9)
        _set_value_axis(axes, surface.x)
        axes.set_xlabel(surface.x.name, fontsize=10)
    ticks = (0.0, 0.5, 1.0)
    left.set_yticks(ticks, [formats.param(value_at(surface.y, at)) for at in ticks])
    left.set_ylabel(surface.y.name, fontsize=10)
    return figure


def parallel_coordinates(pool: Pool, names: Sequence[str]) -> Figure:
    """One line for each trial through its values of ``names``, better ones brighter and on top; a
    line breaks where a trial does not have a param.
    """
    params = [next(p for p in pool.searched if p.name == name) for name in names]
    figure = Figure(figsize=(max(WIDTH, 1.15 * len(params) + 1.2), 3.9), layout="constrained")
    axes = figure.subplots()
    scale = Normalize(float(pool.objective.min()), float(pool.objective.max()))
    x = np.arange(len(params))
    for row in np.argsort(pool.objective):
        trial = pool.params[row]
        y = [position(p, trial[p.name]) if p.name in trial else math.nan for p in params]
        colour = colormaps[FIELD](scale(pool.objective[row]))
        axes.plot(x, y, color=colour, linewidth=0.9, alpha=0.8)
    for at, param in enumerate(params):
        axes.axvline(at, color=GREY, linewidth=0.8)
        for where in _apart(_ticks(param)):
            axes.annotate(
                _short(formats.param(value_at(param, where))), (at, where), (3, 0),
                textcoords="offset points", fontsize=7, va="center",
                bbox={"facecolor": "#ffffff", "alpha": 0.7, "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip
    axes.set_xticks(x, list(names), rotation=25, ha="right", fontsize=9)
    axes.set_yticks([])
    axes.set_xlim(-0.1, len(params) - 0.3)
    axes.set_ylim(-0.06, 1.06)
    figure.colorbar(ScalarMappable(scale, FIELD), ax=axes, label=OBJECTIVE)
    return figure


def _apart(ticks: Sequence[float]) -> list[float]:
    """The ticks without those that a label below would touch."""
    kept: list[float] = []
    for tick in sorted(ticks):
        if not kept or tick - kept[-1] >= LABEL:
            kept.append(tick)
    return kept


def _short(text: str) -> str:
    """A label that ends before the next axis."""
    return text if len(text) <= MAX_LABEL else f"{text[: MAX_LABEL - 1]}…"


def _ticks(param: Param) -> list[float]:
    """The positions whose values are written beside an axis."""
    if isinstance(param.domain, Choice):
        return [position(param, choice) for choice in param.domain.choices]
    return [0.0, 0.5, 1.0]


def _set_value_axis(axes: Axes, param: Param) -> None:
    ticks = _ticks(param)
    axes.set_xticks(ticks, [formats.param(value_at(param, where)) for where in ticks])
    axes.tick_params(labelsize=8)
    if isinstance(param.domain, Choice):
        axes.tick_params(axis="x", labelrotation=20)
