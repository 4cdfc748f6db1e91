"""What the literature prints, with a word on how far each number can be trusted."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

from omasgan import config
from omasgan.errors import DataError


@dataclass(frozen=True)
class Number:
    """One printed number.

    ``anomalies`` is the other data set of out-of-dataset, else empty. ``metric`` is one of
    ``config.Metric``, with a stage's name after a dot where only that stage's score was meant.
    ``fold`` is None for a mean over the folds, and ``sd`` then the standard deviation over them
    where it is printed. ``trust`` is a plain word on how the number came about.
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
    """Read the numbers in ``path``, by default the shipped ones.

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
    numbers: dict[tuple[object, ...], Number] = {}
    for at, cells in enumerate(lines[1:], start=2):
        try:
            if len(cells) != len(names):
                raise ValueError(f"must have {len(names)} cells, got {len(cells)}")
            number = _number(dict(zip(names, cells, strict=True)))
        except ValueError as error:
            raise DataError(f"{path}, line {at}: {error}") from error
        key = (*cells[:6], number.source)
        if key in numbers:
            raise DataError(f"{path}, line {at}: the same number stands there twice")
        numbers[key] = number
    return list(numbers.values())


def numbers_of(
    identity: Mapping[str, Any], numbers: Sequence[Number], *, folds: bool
) -> list[Number]:
    """Return the numbers of a benchmark's data sets, protocol and metrics: those of folds, or the
    means.

    ``identity`` is what ``BenchmarkSpec.identity`` gives; empty for a benchmark that is not known.
    """
    if not identity:
        return []
    same = (identity["dataset"], identity["protocol"], identity.get("anomalies") or "")
    return [
        n
        for n in numbers
        if (n.dataset, n.protocol, n.anomalies) == same
        and n.metric.split(".")[0] in identity["metrics"]
        and (n.fold is not None) == folds
    ]


def _number(cells: dict[str, str]) -> Number:
    """Return the number in a line of the file.

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
