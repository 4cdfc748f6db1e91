"""The numbers of a suite: our means with their intervals, and the printed ones beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from omasgan.data.published import Number
from omasgan.experiments.paper.planning import SuitePlan, Variant
from omasgan.experiments.paper.training import Part
from omasgan.report import statistics
from omasgan.report.statistics import NONE, Interval
from omasgan.store.journal import Row
from omasgan.store.results import RunKey

PAPERS_STAGE = {"omasgan": "j"}
"""The stage of a printed number that names none: the paper's score."""


class Cell(NamedTuple):
    """A mean over seeds, and then over folds; NaN if a fold has no run that ended ok."""

    value: float
    interval: Interval
    printed: tuple[Number, ...] = ()


@dataclass(frozen=True)
class Results:
    """The numbers of a plan on one benchmark."""

    plan: SuitePlan
    part: Part

    @property
    def fold_names(self) -> dict[int, str]:
        """The class of a fold, or the anomalous data set under out-of-dataset."""
        if self.part.benchmark.anomalies is not None:
            return {0: self.part.benchmark.anomalies}
        return {f: self.part.dataset.class_names[f] for f in self.plan.settings.folds}

    def fold_title(self, fold: int) -> str:
        """The fold with its name, if that says more than the number."""
        name = self.fold_names[fold]
        return f"fold {fold}" if name == str(fold) else f"fold {fold} ({name})"

    def rows(self, variant: Variant) -> list[Row]:
        """A variant's rows, fold by fold."""
        rows = {k: r for k, r in self.part.rows.items() if _is_of(k, variant)}
        return [rows[key] for key in sorted(rows, key=lambda key: (key.fold, key.seed))]

    def keys(self, variant: Variant, fold: int) -> list[RunKey]:
        """A variant's runs on a fold that ended ok, seed by seed."""
        return [
            RunKey.of(row)
            for row in self.rows(variant)
            if row["fold"] == fold and row["outcome"] == "ok"
        ]

    def first(self, variant: Variant) -> RunKey | None:
        """The run of the first seed on the first fold, if it ended ok."""
        fold, seed = self.plan.settings.folds[0], self.plan.settings.seeds[0]
        return next((key for key in self.keys(variant, fold) if key.seed == seed), None)

    def by_fold(self, variant: Variant, metric: str = "auroc") -> dict[int, list[float]]:
        """By fold, a metric of the variant's runs that ended ok, seed by seed."""
        values: dict[int, list[float]] = {fold: [] for fold in self.plan.settings.folds}
        for row in self.rows(variant):
            if row["outcome"] == "ok" and row.get(metric) is not None:
                values[row["fold"]].append(float(row[metric]))
        return values

    def cell(self, variant: Variant, metric: str = "auroc", fold: int | None = None) -> Cell:
        """The mean of one fold, or over all of them, and the printed numbers of the same."""
        values = self.by_fold(variant, metric)
        if fold is not None:
            values = {fold: values[fold]}
        printed = tuple(n for n in self.printed(variant, metric) if n.fold == fold)
        if not all(values.values()):
            return Cell(float("nan"), NONE, printed)
        mean = float(np.mean([np.mean(of_fold) for of_fold in values.values()]))
        return Cell(mean, statistics.interval(values), printed)

    def printed(self, variant: Variant, metric: str) -> list[Number]:
        """The printed numbers of the same metric of the same stage."""
        return [
            number
            for number in self.plan.numbers(self.part.benchmark, variant)
            if self.metric_of(variant, number) == metric
        ]

    def metric_of(self, variant: Variant, number: Number) -> str:
        """The column of our rows that a printed number is compared with."""
        stage = PAPERS_STAGE.get(variant.detector)
        if "." in number.metric or stage is None or stage == variant.params.get("stage"):
            return number.metric
        return f"{number.metric}.{stage}"


def _is_of(key: RunKey, variant: Variant) -> bool:
    of_variant = (variant.detector, variant.rule, variant.params_id)
    return (key.detector, key.selection, key.params_id) == of_variant


def sd(values: Sequence[float]) -> float:
    """Sample standard deviation; NaN for fewer than two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
