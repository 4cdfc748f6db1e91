"""The numbers of a suite: our means with their intervals, and the printed ones beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from omasgan.data.published import Number
from omasgan.experiments.paper.planning import Line, SuitePlan
from omasgan.experiments.paper.training import Part
from omasgan.report import statistics
from omasgan.report.statistics import NONE, Interval
from omasgan.store.journal import Row
from omasgan.store.results import RunKey

PAPERS_STAGE = {"omasgan": "j"}
"""The stage that a printed number is of where it names none: the paper's score."""


class Cell(NamedTuple):
    """A mean over seeds, and then over folds; NaN if a fold has no run that ended ok."""

    value: float
    interval: Interval
    printed: tuple[Number, ...] = ()


@dataclass(frozen=True)
class Results:
    """What a plan has brought on one benchmark."""

    made: SuitePlan
    part: Part

    @property
    def fold_names(self) -> dict[int, str]:
        """The class, or for out-of-dataset the data set, that a fold is about."""
        if self.part.benchmark.anomalies is not None:
            return {0: self.part.benchmark.anomalies}
        return {f: self.part.dataset.class_names[f] for f in self.made.settings.folds}

    def rows(self, line: Line) -> list[Row]:
        """A line's rows, fold by fold."""
        mine = {k: r for k, r in self.part.rows.items() if self._is_of(k, line)}
        return [mine[key] for key in sorted(mine, key=lambda key: (key.fold, key.seed))]

    def key(self, line: Line, fold: int, seed: int) -> RunKey | None:
        """The run of a line, if it has ended ok."""
        for key, row in self.part.rows.items():
            if self._is_of(key, line) and (key.fold, key.seed) == (fold, seed):
                return key if row["outcome"] == "ok" else None
        return None

    def by_fold(self, line: Line, metric: str = "auroc") -> dict[int, list[float]]:
        """By fold, a metric of the line's runs that ended ok, seed by seed."""
        found: dict[int, list[float]] = {fold: [] for fold in self.made.settings.folds}
        for row in self.rows(line):
            if row["outcome"] == "ok" and row.get(metric) is not None:
                found[row["fold"]].append(float(row[metric]))
        return found

    def cell(self, line: Line, metric: str = "auroc", fold: int | None = None) -> Cell:
        """The mean of one fold, or over all of them, and what is printed of it."""
        values = self.by_fold(line, metric)
        if fold is not None:
            values = {fold: values[fold]}
        printed = tuple(n for n in self.printed(line, metric) if n.fold == fold)
        if not all(values.values()):
            return Cell(float("nan"), NONE, printed)
        mean = float(np.mean([np.mean(of_fold) for of_fold in values.values()]))
        return Cell(mean, statistics.interval(values), printed)

    def printed(self, line: Line, metric: str) -> list[Number]:
        """The printed numbers of the same metric of the same stage."""
        return [
            number
            for number in self.made.numbers(self.part.benchmark, line)
            if self.metric_of(line, number) == metric
        ]

    def metric_of(self, line: Line, number: Number) -> str:
        """The column of our rows that a printed number stands beside."""
        stage = PAPERS_STAGE.get(line.detector)
        if "." in number.metric or stage is None or stage == line.params.get("score"):
            return number.metric
        return f"{number.metric}.{stage}"

    def _is_of(self, key: RunKey, line: Line) -> bool:
        return (key.detector, key.params_id) == (line.detector, line.id)


def sd(values: Sequence[float]) -> float:
    """Sample standard deviation; NaN for fewer than two."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
