"""The page of a suite: tables and figures of its rows, beside what the literature prints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from omasgan import detectors
from omasgan.experiments.paper.planning import Line, SuitePlan
from omasgan.experiments.paper.training import Part
from omasgan.report.page import formats
from omasgan.report.page.blocks import Block, Command, Details, Page, Section, Table
from omasgan.report.paper import captions, drawings
from omasgan.report.paper.results import Results, sd
from omasgan.store.results import Store

TABLE = "auroc: mean over a fold's seeds, then over folds; sd: over folds; worst: the least fold. "


def page(made: SuitePlan, parts: Sequence[Part], store: Store, missing: Sequence[str]) -> Page:
    """The page of ``made`` with the rows of ``parts``; ``missing`` are benchmarks that
    are left out because their data are not there.

    Raises:
        StoreError: scores or a saved detector of a run cannot be read.
    """
    results = [Results(made, part) for part in parts]
    left_out = [f"Left out, since its data are missing: {name}." for name in missing]
    blocks = tuple(_blocks(made, results, store))
    section = Section(
        id=made.suite.name,
        title="Results" if made.lines else "Properties",
        prose=(made.suite.about, *left_out, *_lost(results)),
        blocks=blocks,
        commands=(Command(f"omasgan paper {made.suite.name} --budget {made.budget}"),),
    )
    notes = (captions.scope(made, parts, made.lines),) if made.lines else ()
    return Page(made.suite.title, notes, (section,))


def _blocks(made: SuitePlan, results: Sequence[Results], store: Store) -> Iterator[Block]:
    for drawing in made.suite.drawings:
        yield from drawings.KINDS[drawing.kind](drawing, made, results, store)
    if made.lines:
        scope = captions.scope(made, [one.part for one in results], made.lines)
        intervals = f"{scope} {captions.INTERVAL}"
        plain = [line for line in made.lines if not line.varied]
        yield Table("AUROC", TABLE + intervals, auroc(made, results, plain))
        yield Table("Printed beside ours", f"{captions.PRINTED} {scope}", printed(made, results))
        if len(plain) < len(made.lines):
            every = Table(
                "AUROC of every arm", TABLE + intervals, auroc(made, results, made.lines)
            )
            yield Details("Every arm", (every,))
    yield Table("What else the paper says", "In its words' sense, not ours.", _quotes(made))
    yield Details("Settings", (Table("Params", PARAMS, params(made)),))


PARAMS = (
    "All that an arm's params differ in from the detector's defaults, whether they come from "
    "printed settings, from the budget or from the suite."
)


def auroc(made: SuitePlan, results: Sequence[Results], shown: Sequence[Line]) -> pd.DataFrame:
    """One line a benchmark and arm, in the suite's order, with its folds; columns in which all
    lines are empty or the same are left out.
    """
    lines = []
    for one in results:
        for line in shown:
            folds = {f: one.cell(line, fold=f).value for f in made.settings.folds}
            whole = one.cell(line)
            lines.append(
                {
                    "benchmark": one.part.benchmark.name,
                    "arm": line.label,
                    "auroc": whole.value,
                    "interval": formats.interval(whole.interval),
                    "sd": sd(list(folds.values())),
                    "worst": float(np.min(list(folds.values()))),
                    "printed": "; ".join(f"{n.value:.3f}" for n in whole.printed) or "-",
                    **{_fold(one, f): value for f, value in folds.items() if len(folds) > 1},
                }
            )
    idle = [] if len(results) > 1 else ["benchmark"]
    idle += [] if len(made.settings.folds) > 1 else ["sd", "worst"]
    idle += [] if any(line["printed"] != "-" for line in lines) else ["printed"]
    return pd.DataFrame(lines).drop(columns=idle, errors="ignore")


def printed(made: SuitePlan, results: Sequence[Results]) -> pd.DataFrame:
    """One line a printed number, with ours of the same fold and stage."""
    lines = []
    for one in results:
        for line in made.lines:
            for number in made.numbers(one.part.benchmark, line):
                if number.fold is not None and number.fold not in made.settings.folds:
                    continue
                metric = one.metric_of(line, number)
                lines.append(
                    {
                        "arm": line.label,
                        "metric": metric,
                        "of": "mean" if number.fold is None else _fold(one, number.fold),
                        "printed": number.value,
                        "sd": float("nan") if number.sd is None else number.sd,
                        "ours": one.cell(line, metric, number.fold).value,
                        "source": number.source,
                        "trust": number.trust,
                    }
                )
    return pd.DataFrame(lines)


def params(made: SuitePlan) -> pd.DataFrame:
    """One line an arm: detector, where its settings come from, and what is not at its default."""
    return pd.DataFrame(
        {
            "arm": line.label,
            "detector": line.detector,
            "settings": line.settings,
            "params": ", ".join(_own(line)) or "-",
        }
        for line in made.lines
    )


def _own(line: Line) -> Iterator[str]:
    defaults = detectors.check_params(detectors.load(line.detector), {})
    for name, value in line.params.items():
        if value != defaults[name]:
            yield f"{name} {value if isinstance(value, str) else json.dumps(value)}"


def _quotes(made: SuitePlan) -> pd.DataFrame:
    return pd.DataFrame(quote.model_dump() for quote in made.suite.quotes)


def _lost(results: Sequence[Results]) -> Iterator[str]:
    rows: list[dict[str, Any]] = [row for one in results for row in one.part.rows.values()]
    bad = [row for row in rows if row["outcome"] != "ok"]
    if bad:
        told = "; ".join(
            f"{row['detector']}, fold {row['fold']}, seed {row['seed']}: {row['outcome']}"
            for row in bad[:5]
        )
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        yield f"{len(bad)} of {len(rows)} trainings gave no score: {told}{more}."


def _fold(one: Results, fold: int) -> str:
    name = one.fold_names[fold]
    return f"fold {fold}" if name == str(fold) else f"fold {fold} ({name})"
