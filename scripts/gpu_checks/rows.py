"""A row of the table, and the table as text, Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

Result: TypeAlias = Literal["ok", "failed", "told", "skipped"]
Value: TypeAlias = float | int | str | bool


@dataclass(frozen=True)
class Options:
    """Where the checks compute, and whether with few steps and small samples."""

    device: str
    small: bool

    @property
    def on_gpu(self) -> bool:
        return not self.device.startswith("cpu")


@dataclass(frozen=True)
class Row:
    """What a check found in one case; ``values`` are its figures by name."""

    check: str
    case: str
    result: Result
    values: Mapping[str, Value] = field(default_factory=dict)

    @property
    def figures(self) -> str:
        return ", ".join(f"{name} {_shown(value)}" for name, value in self.values.items())


class SkippedError(Exception):
    """A check that this machine cannot make, and why."""


def judged(check: str, case: str, passed: bool, values: Mapping[str, Value]) -> Row:
    return Row(check, case, "ok" if passed else "failed", values)


def _shown(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return " ".join(str(value).split())


def as_table(rows: Sequence[Row]) -> str:
    widths = [max([len(getattr(row, name)) for row in rows] or [0]) for name in ("check", "case")]
    return "\n".join(
        f"{row.check:{widths[0]}}  {row.case:{widths[1]}}  {row.result:7}  {row.figures}"
        for row in rows
    )


def as_markdown(rows: Sequence[Row]) -> str:
    lines = ["| check | case | result | figures |", "|---|---|---|---|"]
    for row in rows:
        cells = (row.check, row.case, row.result, row.figures.replace("|", "\\|"))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write_json(file: Path, options: Options, rows: Sequence[Row]) -> None:
    content = {"options": asdict(options), "rows": [asdict(row) for row in rows]}
    file.write_text(json.dumps(content, indent=1) + "\n")


def from_line(line: str) -> Row:
    content: dict[str, Any] = json.loads(line)
    return Row(**content)


def as_line(row: Row) -> str:
    return json.dumps(asdict(row))
