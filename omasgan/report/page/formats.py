"""How numbers, intervals and params are written in tables, figures and captions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from omasgan.report.statistics import Interval

FORMATS = {
    "seconds": ".1f", "hours": ".2f", "peak MB": ".0f",
    "average rank": ".2f", "difference": "+.3f", "gap": "+.3f",
}  # fmt: skip
"""The format of a number that is no metric, by column."""
NONE = "-"
"""The text of a missing value."""


def cell(column: str, value: object) -> str:
    """The text of a table's cell: three decimals for metrics, others by ``FORMATS``.

    >>> cell("auroc", 0.9129), cell("seconds", 0.9129), cell("p Holm", 1e-4), cell("winner", None)
    ('0.913', '0.9', '<0.001', '-')
    """
    if not isinstance(value, float):
        return NONE if value is None else str(value)
    if pd.isna(value):
        return NONE
    if column.startswith("p ") and value < 0.0005:
        return "<0.001"
    return f"{value:{FORMATS.get(column, '.3f')}}"


def cells(frame: pd.DataFrame) -> list[list[str]]:
    """The texts of all cells, row by row."""
    columns = [str(column) for column in frame.columns]
    return [
        [cell(column, value) for column, value in zip(columns, row, strict=True)]
        for row in frame.itertuples(index=False, name=None)
    ]


def is_number(values: pd.Series[Any]) -> bool:
    """Whether a column holds numbers, which are aligned to the right."""
    return pd.api.types.is_numeric_dtype(values)


def interval(ends: Interval) -> str:
    """An interval of values.

    >>> interval(Interval(0.8124, 0.845))
    '0.812-0.845'
    """
    return NONE if pd.isna(ends.low) else f"{ends.low:.3f}-{ends.high:.3f}"


def signed_interval(ends: Interval) -> str:
    """An interval of differences.

    >>> signed_interval(Interval(-0.01, 0.02))
    '-0.010 to +0.020'
    """
    return NONE if pd.isna(ends.low) else f"{ends.low:+.3f} to {ends.high:+.3f}"


def param(value: object) -> str:
    """The value of a param.

    >>> param(0.30000000000000004), param("pixel"), param(True), param(None)
    ('0.3', 'pixel', 'True', '-')
    """
    if isinstance(value, float):
        return f"{value:.4g}"
    return NONE if value is None else str(value)


def distinct(values: Iterable[Any], separator: str = ",") -> str:
    """Each value once, in order.

    >>> distinct([2, 0, 2])
    '0,2'
    """
    return separator.join(str(value) for value in sorted(set(values)))
