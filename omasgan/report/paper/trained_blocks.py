"""Drawings of trained detectors and their logs: samples, fields, losses, thresholds.

Each function turns a request into figures, and tables of the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from omasgan.experiments.paper.planning import Variant
from omasgan.experiments.sensitivity.design import SYMBOLS
from omasgan.report import statistics
from omasgan.report.page import formats
from omasgan.report.page.blocks import Block, Figure, Table, slug
from omasgan.report.page.plots import heat_map
from omasgan.report.paper import captions, figures, trained
from omasgan.report.paper.numbers import Results
from omasgan.report.paper.request import Request
from omasgan.store.results import RunKey


def plane(request: Request) -> Iterator[Block]:
    """Samples of G and B and the field of J, or of the score of a detector without J: a row for
    each arm, a figure for each benchmark.
    """
    for one in request.results:
        rows = {
            variant.label: (
                trained.samples(request.store, one.part, key),
                trained.field(request.store, key),
            )
            for variant, key in _first_runs(request, one)
        }
        if rows:
            yield request.figure(
                one,
                "Blue: data; grey: samples of G; orange: samples of B; colours on the right: J's "
                "raw output, or the score where there is no J, higher = more anomalous. First "
                "seed.",
                f"Data, G's and B's samples and the field of the score for {', '.join(rows)}.",
                partial(figures.plane, rows),
            )


def boundaries(request: Request) -> Iterator[Block]:
    """Samples of B around the data, and where the score's border is: a row for each benchmark, a
    column for each arm.
    """
    rows = {
        one.part.benchmark.name: {
            variant.label: (
                trained.samples(request.store, one.part, key),
                trained.field(request.store, key),
                trained.level(request.store, one.part, key),
            )
            for variant, key in _first_runs(request, one)
        }
        for one in request.results
    }
    rows = {benchmark: panels for benchmark, panels in rows.items() if panels}
    if rows:
        yield Figure(
            slug(request.plan.suite.name, request.drawing.kind),
            request.drawing.title,
            request.caption(
                "Blue: data; orange: samples of B; line: where J's raw output, or the score "
                f"where there is no J, is higher than that of {trained.QUANTILE:.0%} of the "
                "fold's held-out normals. First seed.",
                request.scope,
            ),
            f"B's samples and the border of the score on {', '.join(rows)}.",
            partial(figures.boundaries, rows),
        )


def evolution(request: Request) -> Iterator[Block]:
    """B's samples after each length of Task 2: trainings that share all before it."""
    for one in request.results:
        panels = {
            f"{variant.params['boundary_steps']} steps": trained.samples(
                request.store, one.part, key
            )
            for variant, key in _first_runs(request, one)
        }
        if panels:
            yield request.figure(
                one,
                "Blue: data; orange: samples of B after so many steps of its training, from the "
                "same G and with the same seed. First seed.",
                f"B's samples after {', '.join(panels)}.",
                partial(figures.evolution, panels),
            )


def losses(request: Request) -> Iterator[Block]:
    """The losses of each arm, phase by phase."""
    for one in request.results:
        for variant, key in _first_runs(request, one):
            yield request.figure(
                one,
                "g, d, c: losses of the generators and critics; metric, d, s: the terms of "
                "equation 2; j: equation 6 and its terms. First seed.",
                "Loss curves of all four phases.",
                partial(figures.losses, request.store.read_epochs(key)),
                variants=[variant],
            )


def grid(request: Request) -> Iterator[Block]:
    """What two varied params do to a stage's AUROC, or the detector's, and to how B's training
    converges.
    """
    variants = request.variants
    metric = ".".join(("auroc", *request.drawing.stages[:1]))
    x, y = variants[0].varied
    values = {name: sorted({variant.varied[name] for variant in variants}) for name in (x, y)}
    for one in request.results:
        mean, half = (np.full((len(values[y]), len(values[x])), np.nan) for _ in range(2))
        for variant in variants:
            cell = one.cell(variant, metric)
            at = values[y].index(variant.varied[y]), values[x].index(variant.varied[x])
            mean[at], half[at] = cell.value, (cell.interval.high - cell.interval.low) / 2
        curves = _convergence(request, one)
        if not curves:
            continue
        yield request.figure(
            one,
            f"Mean {metric}, ± half the interval. {captions.INTERVAL}",
            f"Heat map of AUROC over {x} and {y}.",
            partial(heat_map, (_symbol(x), values[x]), (_symbol(y), values[y]), mean, half),
        )
        yield request.figure(
            one,
            "B's loss by step of its training; of OMASGAN's metric only the part that depends on "
            "B. First seed.",
            "Curves of B's loss, one for each N and Q.",
            partial(figures.convergence, curves, variants[0].params["epoch_steps"]),
            what="convergence",
        )


def thresholds(request: Request) -> Iterator[Block]:
    """Metrics with and without a threshold, stage by stage."""
    rows = [
        row
        for one in request.results
        for variant in request.variants
        for row in _threshold_rows(request, one, variant)
    ]
    caption = (
        "task1: without retraining; task3: with it; j: equation 6. The threshold is the "
        f"{trained.QUANTILE:.0%} quantile of the stage's scores on the fold's held-out normals; "
        "no test sample takes part in it. In brackets: the interval over seeds. AUPRC and the "
        "rates depend on the share of anomalies among the test samples, half here."
    )
    caption = f"{caption} {request.scope} {captions.INTERVAL}"
    yield Table(request.drawing.title, caption, pd.DataFrame(rows))


def _first_runs(request: Request, one: Results) -> Iterator[tuple[Variant, RunKey]]:
    """The shown variants with their first run, where that ended ok."""
    for variant in request.variants:
        key = one.first(variant)
        if key is not None:
            yield variant, key


def _convergence(request: Request, one: Results) -> dict[tuple[int, int], list[float]]:
    """By the two varied params, equation 2 of each epoch."""
    curves = {}
    for variant, key in _first_runs(request, one):
        first, second = variant.varied.values()
        epochs = request.store.read_epochs(key)
        curves[int(first), int(second)] = trained.boundary_losses(epochs, variant.params)
    return curves


def _threshold_rows(
    request: Request, one: Results, variant: Variant
) -> Iterator[Mapping[str, Any]]:
    keys = [k for fold in request.plan.settings.folds for k in one.keys(variant, fold)]
    rates = [trained.rates(request.store, one.part, key) for key in keys]
    for stage in request.drawing.stages if rates else ():
        by_name = {name: [of_run[stage][name] for of_run in rates] for name in trained.RATES}
        yield {
            "benchmark": one.part.benchmark.name,
            "arm": variant.label,
            "stage": stage,
            "AUROC": _with_interval(one.by_fold(variant, f"auroc.{stage}")[0]),
            "AUPRC": _with_interval(one.by_fold(variant, f"average_precision.{stage}")[0]),
            **{name: _with_interval(values) for name, values in by_name.items()},
        }


def _with_interval(values: Sequence[float]) -> str:
    interval = statistics.interval({0: values})
    brackets = "" if np.isnan(interval.low) else f" ({formats.interval(interval)})"
    return f"{np.mean(values):.3f}{brackets}"


def _symbol(name: str) -> str:
    """A param with the paper's symbol for it, where it has one."""
    symbols = [symbol.upper() for symbol, param in SYMBOLS.items() if param == name]
    return f"{name} ({symbols[0]})" if symbols else name
