"""The figures of a study; each function returns a new matplotlib figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from omasgan.experiments.sensitivity.axes import Axis
from omasgan.report.page import formats
from omasgan.report.page.drawing import mark
from omasgan.report.page.palette import ANOMALOUS, GREY, LINES, NORMAL, WIDTH
from omasgan.report.page.plots import panels
from omasgan.report.sensitivity.effects import Cube, Effect, differences

MEAN = "mean AUROC"


def effects(by_param: Mapping[str, Effect]) -> Figure:
    """One row for each param, largest effect on top: its size with its interval, and chance."""
    order = sorted(by_param, key=lambda name: by_param[name].size)
    figure = Figure(figsize=(WIDTH, 1.3 + 0.42 * len(order)), layout="constrained")
    axes = figure.subplots()
    for row, name in enumerate(order):
        one = by_param[name]
        ends = (one.size, one.size) if math.isnan(one.interval.low) else one.interval
        axes.plot(list(ends), [row, row], color=NORMAL, linewidth=1.6)
        axes.plot([one.chance] * 2, [row - 0.3, row + 0.3], color=ANOMALOUS, linewidth=2)
    sizes = [by_param[name].size for name in order]
    points = axes.scatter(sizes, range(len(order)), color=NORMAL, zorder=3)
    if len(order) > 3:
        mark(points, tips=[f"{n}: {by_param[n].size:.3f}, p {by_param[n].p:.3f}" for n in order])
    axes.set_yticks(range(len(order)), order)
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.set_xlim(left=0.0)
    axes.set_xlabel("effect on AUROC: best value less worst value (red: what chance reaches)")
    axes.grid(axis="x", alpha=0.25)
    return figure


def curves(cubes: Sequence[tuple[Axis, Cube]]) -> Figure:
    """One panel for each param: the mean along its values, with the intervals of the difference
    to the base; thin lines are the folds, moved to the base's mean.
    """
    figure, grid = panels(len(cubes))
    for axes, (axis, cube) in zip(grid, cubes, strict=True):
        change = cube.metric - cube.metric[cube.base]
        x = _positions(axis, cube)
        for fold in range(change.shape[1]):
            by_fold = change[:, fold].mean(axis=1)
            axes.plot(x, _level(cube) + by_fold, color=GREY, linewidth=0.8, alpha=0.7)
        _band(axes, x, cube, NORMAL)
        axes.axhline(_level(cube), color=GREY, linewidth=0.8)
        _set_value_axis(axes, axis, cube)
    figure.supylabel(MEAN, fontsize=10)
    return figure


def stages(cubes: Sequence[tuple[Axis, Mapping[str, Cube]]]) -> Figure:
    """As ``curves``, with one line for each stage's score instead of one for each fold."""
    figure, grid = panels(len(cubes))
    names = list(dict.fromkeys(stage for _, of_axis in cubes for stage in of_axis))
    for axes, (axis, of_axis) in zip(grid, cubes, strict=True):
        for stage, cube in of_axis.items():
            colour = LINES[names.index(stage) % len(LINES)]
            _band(axes, _positions(axis, cube), cube, colour, series=stage)
        _set_value_axis(axes, axis, next(iter(of_axis.values())))
    handles = [
        grid[0].plot([], [], color=LINES[i % len(LINES)], marker="o", markersize=4)[0]
        for i in range(len(names))
    ]
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    figure.supylabel(MEAN, fontsize=10)
    return figure


def _level(cube: Cube) -> float:
    """The mean at the base."""
    return float(cube.metric[cube.base].mean())


def _positions(axis: Axis, cube: Cube) -> list[float]:
    """The values themselves if they are numbers, else their ranks."""
    if axis.ordered:
        return [float(value) for value in cube.values]
    return [float(axis.values.index(value)) for value in cube.values]


def _set_value_axis(axes: Axes, axis: Axis, cube: Cube) -> None:
    base = _positions(axis, cube)[cube.base]
    axes.axvline(base, color=GREY, linestyle="--", linewidth=1)
    if axis.log:
        axes.set_xscale("log")
    if not axis.ordered or len(axis.values) <= 5:
        ticks = axis.values if axis.ordered else range(len(axis.values))
        axes.set_xticks(list(ticks), [formats.param(value) for value in axis.values])
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=8)
    if not axis.ordered:
        axes.tick_params(axis="x", labelrotation=25)
    axes.set_xlabel(axis.name, fontsize=10)
    axes.grid(alpha=0.25)


def _band(
    axes: Axes,
    x: Sequence[float],
    cube: Cube,
    colour: str,
    series: str = "",
) -> None:
    """Means joined by a line, and the intervals of their differences as a band behind it."""
    change, intervals = differences(cube)
    level = _level(cube)
    (line,) = axes.plot(x, level + change, color=colour, marker="o", markersize=4, linewidth=1.6)
    low, high = ([level + end for end in ends] for ends in zip(*intervals, strict=True))
    artists: list[Artist] = [line]
    if not np.isnan(low).any():
        artists.append(axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0))
    for artist in artists if series else []:
        mark(artist, series=series)
