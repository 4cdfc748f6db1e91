"""The plots of the suites; each function returns a new matplotlib figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from omasgan.report.page.drawing import mark
from omasgan.report.page.palette import ANOMALOUS, FIELD, GREY, INK, LINES, NORMAL, WIDTH
from omasgan.report.paper.numbers import Cell, sd

COLOURS = (*(colour for colour in LINES if colour != INK), GREY)
"""Of bars; ink is for printed numbers."""
NO_LOSS = frozenset(
    {"epoch", "phase", "seconds", "cached_seconds", "spread", "alike", "distance", "collapsed"}
)
"""Columns of an epoch's row that are no losses."""

Points: TypeAlias = NDArray[np.float32]
"""Samples in the plane, ``(n, 2)``."""


def bars(groups: Sequence[str], series: Mapping[str, Sequence[Cell]], axis: str) -> Figure:
    """Groups of bars, one bar for each series; whiskers are intervals, diamonds printed numbers
    with their standard deviations.

    Args:
        groups: the label of each group.
        series: by name, a cell for each group; NaN leaves a gap.
        axis: what the groups are.
    """
    figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    axes = figure.subplots()
    width = 0.84 / len(series)
    for i, (name, cells) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        xs = np.arange(len(groups)) + (i - (len(series) - 1) / 2) * width
        drawn = axes.bar(xs, [c.value for c in cells], 0.9 * width, color=colour, label=name)
        for bar, group, cell in zip(drawn, groups, cells, strict=True):
            mark(bar, series=name, tips=[f"{name}, {group}: {cell.value:.3f}"])
        for x, cell in zip(xs, cells, strict=True):
            _add_interval(axes, x, cell, name)
            _add_printed(axes, x, cell)
    chance = axes.axhline(0.5, color=GREY, linestyle="--", linewidth=1, label="chance")
    handles, names = axes.get_legend_handles_labels()
    handles, names = [*handles[1:], chance], [*names[1:], "chance"]
    if any(cell.printed for cells in series.values() for cell in cells):
        handles.append(axes.plot([], [], marker="D", markersize=4, color=INK, linestyle="")[0])
        names.append("printed (bar: sd)")
    axes.set_xticks(range(len(groups)), groups, fontsize=8)
    if max(map(len, groups)) * len(groups) > 80:
        axes.tick_params(axis="x", labelrotation=30)
    axes.set_ylim(0.0, 1.02)
    axes.set_xlim(-0.6, len(groups) - 0.4)
    axes.set_xlabel(axis)
    axes.set_ylabel("AUROC")
    axes.grid(axis="y", alpha=0.25)
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure


def seeds(groups: Sequence[str], values: Sequence[Mapping[int, float]]) -> Figure:
    """For each group a box from the mean over the seeds to the highest seed's AUROC, a whisker of
    one standard deviation around the mean, and the AUROC of each seed.

    Args:
        groups: the label of each box.
        values: for each group the AUROC by seed.
    """
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    axes = figure.subplots()
    all_seeds = sorted({seed for of_group in values for seed in of_group})
    for x, of_group in enumerate(values):
        if not of_group:
            continue
        mean = float(np.mean(list(of_group.values())))
        last = of_group.get(all_seeds[-1], mean)
        axes.bar(x, last - mean, 0.5, bottom=mean, color=NORMAL if last <= mean else ANOMALOUS,
                 alpha=0.45)  # fmt: skip
        axes.errorbar(x, mean, sd(list(of_group.values())), color=GREY, capsize=3)
        axes.plot([x - 0.25, x + 0.25], [mean, mean], color=INK, linewidth=1.4)
    for i, seed in enumerate(all_seeds):
        at = [(x, of[seed]) for x, of in enumerate(values) if seed in of]
        (line,) = axes.plot(
            [x + 0.12 * (i - (len(all_seeds) - 1) / 2) for x, _ in at], [y for _, y in at],
            linestyle="", marker="osD^v"[i % 5], markersize=4, color=LINES[i % len(LINES)],
            label=f"seed {seed}",
        )  # fmt: skip
        mark(line, series=f"seed {seed}")
    axes.axhline(0.5, color=GREY, linestyle="--", linewidth=1)
    axes.set_xticks(range(len(groups)), groups, fontsize=8)
    axes.set_xlim(-0.6, len(groups) - 0.4)
    axes.set_ylabel("AUROC")
    axes.grid(axis="y", alpha=0.25)
    figure.legend(loc="outside lower center", ncols=len(all_seeds), frameon=False, fontsize=8)
    return figure


def plane(rows: Mapping[str, tuple[Mapping[str, Points], NDArray[np.float32]]]) -> Figure:
    """Three panels in each row: data and G's samples; data and B's; J's raw output over the
    square, with B's samples.

    Args:
        rows: by label, samples by name (``real``, ``G``, ``B``), and J on an even grid over
            [-1, 1]^2, ``(n, n)``.
    """
    figure = Figure(figsize=(WIDTH, 0.5 + 1.9 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), 3, squeeze=False, sharex=True, sharey=True)
    for row, (label, (samples, field)) in zip(grid, rows.items(), strict=True):
        for axes, name, colour in zip(row, ("G", "B"), (GREY, ANOMALOUS), strict=False):
            _scatter(axes, samples["real"], NORMAL)
            _scatter(axes, samples[name], colour)
        _fill(figure, row[2], field)
        _scatter(row[2], samples["B"], ANOMALOUS)
        row[0].set_ylabel(label, fontsize=9)
    for axes, name in zip(grid[0], ("data, G", "data, B", "score, B"), strict=True):
        axes.set_title(name, fontsize=9)
    return figure


def boundaries(
    rows: Mapping[str, Mapping[str, tuple[Mapping[str, Points], NDArray[np.float32], float]]],
) -> Figure:
    """Data, B's samples and the score's border: a row for each data set, a column for each arm.

    Args:
        rows: by data set and arm, samples by name (``real``, ``B``), the score on an even grid
            over [-1, 1]^2, ``(n, n)``, and its value on the border.
    """
    arms = list(dict.fromkeys(arm for panels in rows.values() for arm in panels))
    height = 0.4 + len(rows) * min(1.9, WIDTH / len(arms))
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    grid = figure.subplots(len(rows), len(arms), squeeze=False, sharex=True, sharey=True)
    for row, (name, panels) in zip(grid, rows.items(), strict=True):
        row[0].set_ylabel(name, fontsize=8)
        for axes, arm in zip(row, arms, strict=True):
            if arm not in panels:
                axes.set_visible(False)
                continue
            samples, field, border = panels[arm]
            _scatter(axes, samples["real"], NORMAL)
            _scatter(axes, samples["B"], ANOMALOUS)
            at = np.linspace(-1.0, 1.0, len(field))
            axes.contour(at, at, field, [border], colors=INK, linewidths=1.0, linestyles="-")
    for axes, arm in zip(grid[0], arms, strict=True):
        axes.set_title(arm, fontsize=8)
    return figure


def evolution(panels: Mapping[str, Mapping[str, Points]]) -> Figure:
    """Data and B's samples, one panel for each length of Task 2, with the share of B's samples
    outside the square.
    """
    figure = Figure(figsize=(WIDTH, 2.5), layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)
    for axes, (label, samples) in zip(grid[0], panels.items(), strict=True):
        _scatter(axes, samples["real"], NORMAL)
        _scatter(axes, samples["B"], ANOMALOUS)
        outside = float((np.abs(samples["B"]) > 1).any(axis=1).mean())
        axes.set_title(f"{label}\n{outside:.0%} outside", fontsize=9)
    return figure


def losses(epochs: Sequence[Mapping[str, Any]]) -> Figure:
    """The losses of a training, one panel for each phase; ``epochs`` are the rows of its log."""
    phases = list(dict.fromkeys(str(row["phase"]) for row in epochs))
    columns = min(2, len(phases))
    rows = math.ceil(len(phases) / columns)
    figure = Figure(figsize=(WIDTH, 0.4 + 2.2 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, phase in zip(grid.flat, phases, strict=False):
        of_phase = [row for row in epochs if row["phase"] == phase]
        names = [name for name in of_phase[0] if name not in NO_LOSS]
        for i, name in enumerate(names):
            x, y = range(1, len(of_phase) + 1), [row[name] for row in of_phase]
            axes.plot(x, y, color=LINES[i % len(LINES)], label=name)
        axes.set_title(f"phase {phase}", fontsize=9)
        axes.set_xlabel("epoch of the phase", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=7, frameon=False, ncols=2)
    for axes in grid.flat[len(phases) :]:
        axes.set_visible(False)
    return figure


def convergence(curves: Mapping[tuple[int, int], Sequence[float]], steps: int) -> Figure:
    """Equation 2 during Task 2, one line for each pair of N (colour) and Q (dashes).

    Args:
        curves: by (N, Q), the loss of each epoch.
        steps: the number of steps in an epoch.
    """
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axes = figure.subplots()
    ns, qs = (sorted({pair[i] for pair in curves}) for i in (0, 1))
    for (n, q), values in curves.items():
        (line,) = axes.plot(
            steps * np.arange(1, len(values) + 1), values,
            color=LINES[ns.index(n) % len(LINES)], linestyle=("-", "--", ":")[qs.index(q) % 3],
            label=f"N {n}, Q {q}", linewidth=1.4,
        )  # fmt: skip
        mark(line, series=f"N {n}, Q {q}")
    axes.set_xlabel("steps of Task 2")
    axes.set_ylabel("equation 2")
    axes.grid(alpha=0.25)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    return figure


def _add_interval(axes: Axes, x: float, cell: Cell, series: str) -> None:
    if math.isnan(cell.interval.low):
        return
    below, above = cell.value - cell.interval.low, cell.interval.high - cell.value
    reach = np.array([[below], [above]])
    drawn = axes.errorbar([x], [cell.value], reach, fmt="none", ecolor=INK, capsize=2, lw=1)
    for part in (*drawn.lines[1], *drawn.lines[2]):
        mark(part, series=series)


def _add_printed(axes: Axes, x: float, cell: Cell) -> None:
    for number in cell.printed:
        if number.sd is not None:
            ends = [number.value - number.sd, number.value + number.sd]
            axes.plot([x, x], ends, color=INK, linewidth=0.8)
        (point,) = axes.plot([x], [number.value], marker="D", markersize=4, color=INK)
        mark(point, tips=[f"printed: {number.value:g} ({number.source}; {number.trust})"])


def _scatter(axes: Axes, points: Points, colour: str) -> None:
    axes.scatter(points[:, 0], points[:, 1], s=3, color=colour, alpha=0.6, linewidths=0)
    axes.set_xlim(-1, 1)
    axes.set_ylim(-1, 1)
    axes.set_box_aspect(1)
    axes.tick_params(labelsize=7)


def _fill(figure: Figure, axes: Axes, field: NDArray[np.float32]) -> None:
    """The field as filled contours, with a colour bar."""
    at = np.linspace(-1.0, 1.0, len(field))
    filled = axes.contourf(at, at, field, 12, cmap=FIELD)
    bar = figure.colorbar(filled, ax=axes, shrink=0.8)
    bar.ax.tick_params(labelsize=7)
