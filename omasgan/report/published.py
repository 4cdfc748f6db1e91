"""What the literature prints, beside what a store holds: never across data sets, protocols or
metrics, and with a word on how far each number can be trusted.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from omasgan import config
from omasgan.errors import DataError
from omasgan.report import tables
from omasgan.report.inputs import Benchmark

OURS = "this folder: "
"""What the source of our own number begins with; the entry follows."""


@dataclass(frozen=True)
class Number:
    """One printed number.

    ``anomalies`` is the other data set of out-of-dataset, else empty. ``metric`` is one of
    ``config.Metric``, with a stage's name after a dot where only that stage's score was meant.
    ``fold`` is None for a mean over the folds, and ``sd`` then the standard deviation over them
    where it is told. ``trust`` is a plain word on how the number came about.
    """

    dataset: str
    protocol: str
    anomalies: str
    detector: str
    metric: str
    fold: int | None
    value: float
    sd: float | None
    source: str
    trust: str

    @property
    def name(self) -> str:
        """The detector, with the stage if it is a stage's number."""
        stage = self.metric.partition(".")[2]
        return f"{self.detector} ({stage})" if stage else self.detector


def read(path: Path | None = None) -> list[Number]:
    """The numbers in ``path``, by default those that are shipped.

    Raises:
        DataError: the file cannot be read, or a line of it is not valid; the line is named.
    """
    path = path or config.published_numbers()
    names = [field.name for field in fields(Number)]
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not lines or lines[0] != names:
        raise DataError(f"{path}: the columns must be {','.join(names)}")
    found: dict[tuple[object, ...], Number] = {}
    for at, cells in enumerate(lines[1:], start=2):
        try:
            if len(cells) != len(names):
                raise ValueError(f"must have {len(names)} cells, got {len(cells)}")
            number = _number(dict(zip(names, cells, strict=True)))
        except ValueError as error:
            raise DataError(f"{path}, line {at}: {error}") from error
        key = (*cells[:6], number.source)
        if key in found:
            raise DataError(f"{path}, line {at}: the same number stands there twice")
        found[key] = number
    return list(found.values())


def numbers_of(benchmark: Benchmark, numbers: list[Number], *, folds: bool) -> list[Number]:
    """Those of the benchmark's own data sets, protocol and metrics: of folds, or the means."""
    about = benchmark.about
    if not about:
        return []
    same = (about["dataset"], about["protocol"], about.get("anomalies") or "")
    return [
        n
        for n in numbers
        if (n.dataset, n.protocol, n.anomalies) == same
        and n.metric.split(".")[0] in about["metrics"]
        and (n.fold is not None) == folds
    ]


def means(frame: pd.DataFrame, benchmark: Benchmark, numbers: list[Number]) -> pd.DataFrame:
    """Means over the folds: each published detector's lines, below our own entries of it.

    ``published`` is the printed value and ``ours`` an entry's mean; a line has one of them. Our
    ``source`` names the entry, and ``trust`` says so where it does not hold all folds.
    """
    lines: list[dict[str, Any]] = []
    for printed in _by(lambda n: (n.name, n.metric), numbers_of(benchmark, numbers, folds=False)):
        detector, metric = printed[0].detector, printed[0].metric
        ours = _ours(frame, benchmark, detector, metric)
        theirs = [
            {"published": n.value, "sd": n.sd, "source": n.source, "trust": n.trust}
            for n in printed
        ]
        lines += [{"detector": printed[0].name, **line} for line in (*ours, *theirs)]
    columns = ["detector", "published", "sd", "ours", "source", "trust"]
    return pd.DataFrame(lines, columns=columns).astype(dict.fromkeys(columns[1:4], float))


def by_fold(benchmark: Benchmark, numbers: list[Number]) -> pd.DataFrame:
    """One line a detector and source that tells folds, one column a fold."""
    printed = numbers_of(benchmark, numbers, folds=True)
    columns = [f"fold {fold}" for fold in sorted({n.fold for n in printed if n.fold is not None})]
    lines = [
        {
            "detector": same[0].name,
            "source": same[0].source,
            **dict.fromkeys(columns, float("nan")),
            **{f"fold {n.fold}": n.value for n in same},
            "trust": " / ".join(dict.fromkeys(n.trust for n in same)),
        }
        for same in _by(lambda n: (n.name, n.source), printed)
    ]
    return pd.DataFrame(lines)


def _by(key: Callable[[Number], tuple[str, str]], numbers: list[Number]) -> list[list[Number]]:
    """Groups of one key, sorted by it."""
    return [list(group) for _, group in groupby(sorted(numbers, key=key), key)]


def _ours(
    frame: pd.DataFrame, benchmark: Benchmark, detector: str, metric: str
) -> list[dict[str, Any]]:
    """Our entries of a detector, best first."""
    found: list[dict[str, Any]] = []
    same = frame[frame["current"] & (frame["detector"] == detector)]
    for entry, group in same.groupby("entry", sort=False):
        told = tables.means(
            {str(k): v for k, v in row.items()} for row in group.to_dict("records")
        )
        folds = pd.Series([v for name, v in told.items() if name.startswith(f"{metric}/")])
        if folds.empty:
            continue
        held = "" if len(folds) == benchmark.n_folds else "holds {} of {} folds"
        found.append(
            {
                "ours": folds.mean(),
                "sd": folds.std(),
                "source": f"{OURS}{entry}",
                "trust": held.format(len(folds), benchmark.n_folds or "?"),
            }
        )
    return sorted(found, key=lambda line: -float(line["ours"]))


def _number(cells: dict[str, str]) -> Number:
    """The number that a line of the file tells.

    Raises:
        ValueError: the line breaks a rule.
    """
    for name in ("dataset", "detector", "source", "trust"):
        if not cells[name].strip():
            raise ValueError(f"{name} must not be empty")
    if cells["protocol"] not in get_args(config.Protocol):
        raise ValueError(f"unknown protocol '{cells['protocol']}'")
    if cells["metric"].split(".")[0] not in get_args(config.Metric):
        raise ValueError(f"unknown metric '{cells['metric']}'")
    if bool(cells["anomalies"]) != (cells["protocol"] == "out-of-dataset"):
        raise ValueError("anomalies must be given with protocol out-of-dataset, and only then")
    value, sd = float(cells["value"]), float(cells["sd"]) if cells["sd"] else None
    if not 0 <= value <= 1:
        raise ValueError(f"value must be in [0, 1], got {value:g}")
    if sd is not None and not 0 <= sd <= 1:
        raise ValueError(f"sd must be in [0, 1], got {sd:g}")
    if sd is not None and cells["fold"]:
        raise ValueError("sd goes with a mean over folds, not with a fold")
    fold = int(cells["fold"]) if cells["fold"] else None
    return Number(**cells | {"fold": fold, "value": value, "sd": sd})  # type: ignore[arg-type]
