"""The plots of a pool; each function returns a new matplotlib figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from omasgan.report.page.drawing import mark
from omasgan.report.page.palette import GREY, LINES, WIDTH
from omasgan.report.page.plots import panels
from omasgan.report.paper.regret import Floats


def objectives(by_rule: Mapping[str, Floats], test: Floats, folds: Sequence[str]) -> Figure:
    """One panel for each rule: the objective of each configuration against its test AUROC, one
    colour for each of ``folds``.

    Args:
        by_rule: objectives, ``(folds, configurations)``.
        test: the test AUROCs of the same.
        folds: their names.
    """
    figure, grid = panels(len(by_rule))
    for axes, (rule, objective) in zip(grid, by_rule.items(), strict=True):
        for i, name in enumerate(folds):
            colour = LINES[i % len(LINES)]
            points = axes.scatter(objective[i], test[i], s=12, color=colour, alpha=0.7, lw=0)
            pairs = zip(objective[i], test[i], strict=True)
            tips = [f"{name}: {o:.3f}, test {t:.3f}" for o, t in pairs]
            mark(points, series=name, tips=tips)
        axes.axline((1.0, 1.0), slope=1.0, color=GREY, linestyle="--", linewidth=1)
        axes.set_title(rule, fontsize=9)
        axes.set_xlabel("objective", fontsize=9)
        axes.grid(alpha=0.25)
    grid[0].set_ylabel("test AUROC")
    return figure


def by_size(sizes: Sequence[int], curves: Mapping[str, Sequence[float]]) -> Figure:
    """Regret by the number of configurations, one line for each rule."""
    figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    axes = figure.subplots()
    for i, (rule, values) in enumerate(curves.items()):
        dashes = "--" if ", top " in rule else "-"
        (line,) = axes.plot(
            sizes,
            values,
            dashes,
            marker="o",
            markersize=3,
            color=LINES[i % len(LINES)],
            label=rule,
        )
        mark(line, series=rule)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("configurations to choose from")
    axes.set_ylabel("regret (AUROC)")
    axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return figure
