"""The figures of a study and of what sweeps tell; each function gives a new matplotlib figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from omasgan.experiments.sensitivity.design import Axis
from omasgan.report.page.drawing import mark
from omasgan.report.page.formats import param
from omasgan.report.page.palette import ANOMALOUS, FIELD, GREY, LINES, NORMAL, WIDTH
from omasgan.report.sensitivity.effects import Cube, Effect, differences
from omasgan.report.statistics import Interval

COLUMNS = 3


def effects(found: Mapping[str, Effect]) -> Figure:
    """One line a param, largest effect on top: its size with interval, and what chance reaches."""
    order = sorted(found, key=lambda name: found[name].size)
    figure = Figure(figsize=(WIDTH, 1.3 + 0.42 * len(order)), layout="constrained")
    axes = figure.subplots()
    for row, name in enumerate(order):
        one = found[name]
        _interval(axes, row, one.size, one.interval)
        axes.plot([one.chance] * 2, [row - 0.3, row + 0.3], color=ANOMALOUS, linewidth=2)
    points = axes.scatter(
        [found[n].size for n in order], range(len(order)), color=NORMAL, zorder=3
    )
    if len(order) > 3:
        mark(points, tips=[f"{n}: {found[n].size:.3f}, p {found[n].p:.3f}" for n in order])
    axes.set_yticks(range(len(order)), order)
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.set_xlim(left=0.0)
    axes.set_xlabel("effect on AUROC: best value less worst value (red: what chance reaches)")
    axes.grid(axis="x", alpha=0.25)
    return figure


def curves(cubes: Sequence[tuple[Axis, Cube]]) -> Figure:
    """One panel a param: the difference to the base along its values, with intervals; thin lines
    are the folds.
    """
    figure, grid = panels(len(cubes))
    for axes, (axis, cube) in zip(grid, cubes, strict=True):
        change = cube.metric - cube.metric[cube.base]
        x = _positions(axis, cube)
        for fold in range(change.shape[1]):
            by_fold = change[:, fold].mean(axis=1)
            axes.plot(x, by_fold, color=GREY, linewidth=0.8, alpha=0.7)
        _band(axes, x, *differences(cube), NORMAL)
        _value_axis(axes, axis, cube)
    figure.supylabel("AUROC less that of the base", fontsize=10)
    return figure


def stages(cubes: Sequence[tuple[Axis, Mapping[str, Cube]]]) -> Figure:
    """As ``curves``, one line a stage's score instead of one a fold."""
    figure, grid = panels(len(cubes))
    names = list(dict.fromkeys(stage for _, of_axis in cubes for stage in of_axis))
    for axes, (axis, of_axis) in zip(grid, cubes, strict=True):
        for stage, cube in of_axis.items():
            colour = LINES[names.index(stage) % len(LINES)]
            mean, intervals = differences(cube)
            _band(axes, _positions(axis, cube), mean, intervals, colour, series=stage)
        _value_axis(axes, axis, next(iter(of_axis.values())))
    handles = [
        grid[0].plot([], [], color=LINES[i % len(LINES)], marker="o", markersize=4)[0]
        for i in range(len(names))
    ]
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    figure.supylabel("AUROC less that of the base", fontsize=10)
    return figure


def heat_map(
    x: tuple[str, Sequence[Any]],
    y: tuple[str, Sequence[Any]],
    mean: NDArray[np.float64],
    half: NDArray[np.float64],
) -> Figure:
    """A metric ``mean`` over the values of two params, ``(y, x)``, written into its cells with
    half the width of the interval; NaN for cells without one.
    """
    size = (WIDTH, 1.4 + 0.62 * len(y[1]))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    drawn = axes.imshow(mean, cmap=FIELD, aspect="auto", origin="lower")
    middle = (np.nanmin(mean) + np.nanmax(mean)) / 2
    for (row, column), value in np.ndenumerate(mean):
        if np.isnan(value):
            continue
        width = half[row, column]
        told = f"{value:.3f}" + ("" if np.isnan(width) else f"\n±{width:.3f}")
        colour = "#ffffff" if value < middle else "#111111"
        axes.text(column, row, told, ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(x[1])), [param(v) for v in x[1]])
    axes.set_yticks(range(len(y[1])), [param(v) for v in y[1]])
    axes.set_xlabel(x[0])
    axes.set_ylabel(y[0])
    figure.colorbar(drawn, ax=axes, label="AUROC")
    return figure


def panels(n: int) -> tuple[Figure, list[Axes]]:
    """A figure of ``n`` panels with one vertical scale."""
    columns = min(n, COLUMNS)
    rows = math.ceil(n / columns)
    figure = Figure(figsize=(WIDTH, 0.6 + 2.3 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes in grid.flat[n:]:
        axes.set_visible(False)
    return figure, list(grid.flat[:n])


def _positions(axis: Axis, cube: Cube) -> list[float]:
    """Where the values stand: at themselves if they are numbers, else one after the other."""
    if axis.ordered:
        return [float(value) for value in cube.values]
    return [float(axis.values.index(value)) for value in cube.values]


def _value_axis(axes: Axes, axis: Axis, cube: Cube) -> None:
    base = _positions(axis, cube)[cube.base]
    axes.axhline(0.0, color=GREY, linewidth=0.8)
    axes.axvline(base, color=GREY, linestyle="--", linewidth=1)
    if axis.log:
        axes.set_xscale("log")
    if not axis.ordered or len(axis.values) <= 5:
        where = axis.values if axis.ordered else range(len(axis.values))
        axes.set_xticks(list(where), [param(value) for value in axis.values])
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=8)
    if not axis.ordered:
        axes.tick_params(axis="x", labelrotation=25)
    axes.set_xlabel(axis.name, fontsize=10)
    axes.grid(alpha=0.25)


def _band(
    axes: Axes,
    x: Sequence[float],
    mean: NDArray[np.float64],
    intervals: Sequence[Interval],
    colour: str,
    series: str = "",
) -> None:
    """Points joined by a line, and their intervals as a band behind it."""
    (line,) = axes.plot(x, mean, color=colour, marker="o", markersize=4, linewidth=1.6)
    low, high = [i.low for i in intervals], [i.high for i in intervals]
    drawn: list[Artist] = [line]
    if not np.isnan(low).any():
        drawn.append(axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0))
    for artist in drawn if series else []:
        mark(artist, series=series)


def _interval(axes: Axes, row: float, value: float, interval: Interval) -> None:
    low, high = (value, value) if math.isnan(interval.low) else interval
    axes.plot([low, high], [row, row], color=NORMAL, linewidth=1.6)
