"""Drawings of AUROCs: by fold, by stage, by divergence, by benchmark and by seed.

Each function turns a request into figures, and tables of the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from omasgan.experiments.paper.planning import Variant
from omasgan.report.page import formats
from omasgan.report.page.blocks import Block, Figure, Table, slug
from omasgan.report.paper import captions, figures
from omasgan.report.paper.numbers import Cell, Results, sd
from omasgan.report.paper.request import Request

BARS = "Whiskers: intervals. Diamonds: printed numbers."
FOLDS = "anomalous class"


def folds(request: Request) -> Iterator[Block]:
    """Arms side by side, fold by fold and on average."""
    for one in request.results:
        series = {variant.label: _cells(one, variant) for variant in request.variants}
        yield _bars(request, one, _groups(one), series, FOLDS)


def stages(request: Request) -> Iterator[Block]:
    """For each arm its stages side by side, fold by fold and on average."""
    for one in request.results:
        for variant in request.variants:
            series = {s: _cells(one, variant, f"auroc.{s}") for s in request.drawing.stages}
            yield _bars(request, one, _groups(one), series, FOLDS, variant)
    yield _stage_table(request)


def divergences(request: Request) -> Iterator[Block]:
    """The arms' stages side by side, averaged over the folds."""
    variants = request.variants
    labels = [variant.label for variant in variants]
    for one in request.results:
        series = {
            stage: [one.cell(variant, f"auroc.{stage}") for variant in variants]
            for stage in request.drawing.stages
        }
        yield _bars(request, one, labels, series, "divergence, mean over folds")
    yield _stage_table(request)


def benchmarks(request: Request) -> Iterator[Block]:
    """Arms side by side, or those stages that each has, one group for each benchmark."""
    if not request.results:
        return
    named = [one.part.benchmark for one in request.results]
    groups = [benchmark.anomalies or benchmark.name for benchmark in named]
    series = dict(_of_benchmarks(request))
    yield Figure(
        slug(request.plan.suite.name, request.drawing.kind),
        request.drawing.title,
        request.caption(BARS, request.scope, captions.INTERVAL),
        _alt(series, groups),
        partial(figures.bars, groups, series, "anomalous data set"),
    )
    if request.drawing.stages:
        rows = [
            {"score": name} | {of: c.value for of, c in zip(groups, cells, strict=True)}
            for name, cells in series.items()
        ]
        caption = f"AUROC by anomalous data set. {request.scope}"
        yield Table(f"{request.drawing.title}, in numbers", caption, pd.DataFrame(rows))


def _of_benchmarks(request: Request) -> Iterator[tuple[str, list[Cell]]]:
    """By name, a cell for each benchmark: of an arm's stages among those that are wanted, or of
    its score where it has none of them.
    """
    for variant in request.variants:
        stages = [
            stage
            for stage in request.drawing.stages
            if any(any(one.by_fold(variant, f"auroc.{stage}").values()) for one in request.results)
        ]
        for stage in stages:
            cells = [one.cell(variant, f"auroc.{stage}") for one in request.results]
            yield f"{variant.label}: {stage}", cells
        if not stages:
            yield variant.label, [one.cell(variant) for one in request.results]


def seeds(request: Request) -> Iterator[Block]:
    """For each arm the differences between its seeds, fold by fold."""
    all_seeds = request.plan.settings.seeds
    caption = (
        f"Box: from the mean over the seeds to seed {max(all_seeds)} (blue: below the mean); "
        "whisker: mean ± standard deviation over seeds."
    )
    rows = []
    for one in request.results:
        names = list(one.fold_names.values())
        for variant in request.variants:
            values = [_by_seed(one, variant, fold) for fold in request.plan.settings.folds]
            scope = captions.scope(request.plan, [one.part], [variant])
            yield Figure(
                slug(request.plan.suite.name, request.drawing.kind, variant.label),
                f"{request.drawing.title}: {variant.label}",
                request.caption(caption, scope),
                f"AUROC of each seed on {', '.join(names)}.",
                partial(figures.seeds, names, values),
            )
            rows += [
                {"arm": variant.label, "fold": name, **_spread(of_fold, all_seeds)}
                for name, of_fold in zip(names, values, strict=True)
            ]
    yield Table(f"{request.drawing.title}, in numbers", request.scope, pd.DataFrame(rows))


def _bars(
    request: Request,
    one: Results,
    groups: Sequence[str],
    series: Mapping[str, Sequence[Cell]],
    axis: str,
    variant: Variant | None = None,
) -> Figure:
    """Bars of one benchmark; with ``variant`` of that one alone."""
    return request.figure(
        one,
        f"{BARS} {captions.INTERVAL}",
        _alt(series, groups),
        partial(figures.bars, groups, series, axis),
        variants=[variant] if variant else (),
        what=variant.label if variant else "",
    )


def _stage_table(request: Request) -> Table:
    rows = [
        {
            "arm": variant.label,
            "stage": stage,
            "auroc": (cell := one.cell(variant, f"auroc.{stage}")).value,
            "interval": formats.interval(cell.interval),
            "printed": printed_text(cell),
        }
        for one in request.results
        for variant in request.variants
        for stage in request.drawing.stages
    ]
    caption = f"Mean over folds. {request.scope} {captions.INTERVAL}"
    return Table(f"{request.drawing.title}, in numbers", caption, pd.DataFrame(rows))


def printed_text(cell: Cell) -> str:
    """The printed numbers of a cell."""
    return "; ".join(f"{n.value:.3f}" for n in cell.printed) or formats.NONE


def _groups(one: Results) -> list[str]:
    names = list(one.fold_names.values())
    return [*names, f"mean of {len(names)}"] if len(names) > 1 else names


def _cells(one: Results, variant: Variant, metric: str = "auroc") -> list[Cell]:
    """A cell for each of ``_groups``."""
    by_fold = [one.cell(variant, metric, fold) for fold in one.fold_names]
    return [*by_fold, one.cell(variant, metric)] if len(by_fold) > 1 else by_fold


def _by_seed(one: Results, variant: Variant, fold: int) -> dict[int, float]:
    return {key.seed: one.part.rows[key]["auroc"] for key in one.keys(variant, fold)}


def _spread(by_seed: Mapping[int, float], all_seeds: Sequence[int]) -> dict[str, float]:
    values = list(by_seed.values())
    return {
        "mean": float(np.mean(values)) if values else np.nan,
        "sd": sd(values),
        "largest difference": float(np.ptp(values)) if values else np.nan,
        **{f"seed {seed}": by_seed.get(seed, np.nan) for seed in all_seeds},
    }


def _alt(series: Mapping[str, Sequence[Cell]], groups: Sequence[str]) -> str:
    """The last group's values in words."""
    values = (f"{name} {cells[-1].value:.3f}" for name, cells in series.items())
    return f"AUROC, {groups[-1]}: {'; '.join(values)}."
