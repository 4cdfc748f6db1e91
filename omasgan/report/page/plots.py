"""Plots that several reports share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from omasgan.report.page import formats
from omasgan.report.page.palette import FIELD, WIDTH

COLUMNS = 3
"""Panels side by side."""


def panels(n: int) -> tuple[Figure, list[Axes]]:
    """A figure of ``n`` panels with one vertical scale."""
    columns = min(n, COLUMNS)
    rows = math.ceil(n / columns)
    figure = Figure(figsize=(WIDTH, 0.6 + 2.3 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes in grid.flat[n:]:
        axes.set_visible(False)
    return figure, list(grid.flat[:n])


def heat_map(
    x: tuple[str, Sequence[Any]],
    y: tuple[str, Sequence[Any]],
    mean: NDArray[np.float64],
    half: NDArray[np.float64],
) -> Figure:
    """AUROC over the values of two params.

    Args:
        x: the name of the horizontal param and its values.
        y: the same for the vertical one.
        mean: ``(y, x)``, in [0, 1]; NaN leaves a cell empty.
        half: ``(y, x)``, half the width of each interval; NaN for cells without one.
    """
    figure = Figure(figsize=(WIDTH, 1.4 + 0.62 * len(y[1])), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(mean, cmap=FIELD, aspect="auto", origin="lower")
    middle = (np.nanmin(mean) + np.nanmax(mean)) / 2
    for (row, column), value in np.ndenumerate(mean):
        if np.isnan(value):
            continue
        width = half[row, column]
        text = f"{value:.3f}" + ("" if np.isnan(width) else f"\n±{width:.3f}")
        colour = "#ffffff" if value < middle else "#111111"
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(x[1])), [formats.param(v) for v in x[1]])
    axes.set_yticks(range(len(y[1])), [formats.param(v) for v in y[1]])
    axes.set_xlabel(x[0])
    axes.set_ylabel(y[0])
    figure.colorbar(image, ax=axes, label="AUROC")
    return figure
