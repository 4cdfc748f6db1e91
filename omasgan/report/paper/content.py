"""The page of a suite: tables and figures of its rows, beside the literature's numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from omasgan import detectors
from omasgan.experiments.paper.planning import SuitePlan, Variant
from omasgan.experiments.paper.training import Part
from omasgan.report.page import formats
from omasgan.report.page.blocks import Block, Command, Details, Page, Section, Table
from omasgan.report.paper import captions, drawings
from omasgan.report.paper.auroc_blocks import printed_text
from omasgan.report.paper.numbers import Results, sd
from omasgan.report.paper.request import Request
from omasgan.store.results import Store

MAX_FAILED = 5
"""Failed trainings that are listed."""


def page(plan: SuitePlan, parts: Sequence[Part], store: Store, missing: Sequence[str]) -> Page:
    """The page of ``plan`` with the rows of ``parts``; ``missing`` are the benchmarks that are
    left out because their data are missing.

    Raises:
        StoreError: scores or a saved detector of a run cannot be read.
    """
    results = [Results(plan, part) for part in parts]
    left_out = [f"Left out, since its data are missing: {name}." for name in missing]
    section = Section(
        id=plan.suite.name,
        title="Results" if plan.variants else "Properties",
        prose=(plan.suite.about, *left_out, *_failed(results)),
        blocks=tuple(_blocks(plan, results, store)),
        commands=(Command(f"omasgan paper {plan.suite.name} --budget {plan.budget}"),),
    )
    notes = (captions.scope(plan, parts, plan.variants),) if plan.variants else ()
    return Page(plan.suite.title, notes, (section,))


def _blocks(plan: SuitePlan, results: Sequence[Results], store: Store) -> Iterator[Block]:
    for drawing in plan.suite.drawings:
        yield from drawings.KINDS[drawing.kind](Request(drawing, plan, results, store))
    if plan.variants:
        yield from _tables(plan, results)
    quotes = pd.DataFrame(quote.model_dump() for quote in plan.suite.quotes)
    yield Table("What else the paper says", "In the paper's terms, not in ours.", quotes)
    yield Details("Settings", (Table("Params", captions.PARAMS, params(plan)),))


def _tables(plan: SuitePlan, results: Sequence[Results]) -> Iterator[Block]:
    scope = captions.scope(plan, [one.part for one in results], plan.variants)
    about = f"{captions.AUROC} {scope} {captions.INTERVAL}"
    plain = [variant for variant in plan.variants if not variant.varied]
    yield Table("AUROC", about, auroc(plan, results, plain))
    yield Table("Printed beside ours", f"{captions.PRINTED} {scope}", printed(plan, results))
    if len(plain) < len(plan.variants):
        every = Table("AUROC of every arm", about, auroc(plan, results, plan.variants))
        yield Details("Every arm", (every,))


def auroc(
    plan: SuitePlan, results: Sequence[Results], variants: Sequence[Variant]
) -> pd.DataFrame:
    """One row for each benchmark and variant, in the suite's order, with its folds; columns that
    are empty or the same in all rows are left out.
    """
    rows = [_auroc_row(one, variant) for one in results for variant in variants]
    idle = [] if len(results) > 1 else ["benchmark"]
    idle += [] if len(plan.settings.folds) > 1 else ["sd", "worst"]
    idle += [] if any(row["printed"] != formats.NONE for row in rows) else ["printed"]
    return pd.DataFrame(rows).drop(columns=idle, errors="ignore")


def printed(plan: SuitePlan, results: Sequence[Results]) -> pd.DataFrame:
    """One row for each printed number, with ours of the same fold and stage."""
    rows = []
    for one in results:
        for variant in plan.variants:
            for number in plan.numbers(one.part.benchmark, variant):
                if number.fold is not None and number.fold not in plan.settings.folds:
                    continue
                metric = one.metric_of(variant, number)
                rows.append(
                    {
                        "arm": variant.label,
                        "metric": metric,
                        "of": "mean" if number.fold is None else one.fold_title(number.fold),
                        "printed": number.value,
                        "sd": float("nan") if number.sd is None else number.sd,
                        "ours": one.cell(variant, metric, number.fold).value,
                        "source": number.source,
                        "trust": number.trust,
                    }
                )
    return pd.DataFrame(rows)


def params(plan: SuitePlan) -> pd.DataFrame:
    """One row for each variant: its detector, its settings, and all that is not at its default."""
    return pd.DataFrame(
        {
            "arm": variant.label,
            "detector": variant.detector,
            "settings": variant.settings,
            "params": ", ".join(_own_params(variant)) or formats.NONE,
        }
        for variant in plan.variants
    )


def _auroc_row(one: Results, variant: Variant) -> dict[str, object]:
    folds = {fold: one.cell(variant, fold=fold).value for fold in one.plan.settings.folds}
    mean = one.cell(variant)
    return {
        "benchmark": one.part.benchmark.name,
        "arm": variant.label,
        "auroc": mean.value,
        "interval": formats.interval(mean.interval),
        "sd": sd(list(folds.values())),
        "worst": float(np.min(list(folds.values()))),
        "printed": printed_text(mean),
        **{one.fold_title(f): value for f, value in folds.items() if len(folds) > 1},
    }


def _own_params(variant: Variant) -> Iterator[str]:
    defaults = detectors.check_params(detectors.declared(variant.detector), {})
    for name, value in variant.params.items():
        if value != defaults[name]:
            yield f"{name} {value if isinstance(value, str) else json.dumps(value)}"


def _failed(results: Sequence[Results]) -> Iterator[str]:
    rows = [row for one in results for row in one.part.rows.values()]
    failed = [row for row in rows if row["outcome"] != "ok"]
    if failed:
        texts = "; ".join(
            f"{row['detector']}, fold {row['fold']}, seed {row['seed']}: {row['outcome']}"
            for row in failed[:MAX_FAILED]
        )
        more = f" and {len(failed) - MAX_FAILED} more" if len(failed) > MAX_FAILED else ""
        yield f"{len(failed)} of {len(rows)} trainings gave no score: {texts}{more}."
