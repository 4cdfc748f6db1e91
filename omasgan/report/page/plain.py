"""Tables as plain text: Markdown, LaTeX (with booktabs) and for a terminal."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table as TerminalTable

from omasgan.report.page.blocks import Page, Section, Table
from omasgan.report.results.tables import shown

SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "·": r"\textperiodcentered{}",
}  # fmt: skip


def summary(page: Page) -> str:
    """The whole page without its figures, as Markdown."""
    parts = [f"# {page.title}", *page.notes]
    for section in page.sections:
        parts += [f"## {section.title}", *section.prose]
        for table in section.tables:
            lines = _markdown_lines(table, numbered=bool(table.made_by))
            parts += [f"### {table.title}", table.caption, lines]
        if section.commands:
            parts += ["### Commands", *_numbered([c.text for c in section.commands])]
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown(table: Table, section: Section) -> str:
    """A table by itself, with the commands that made it."""
    made = [section.commands[i].text for i in _commands(table)]
    parts = [f"### {section.title}: {table.title}", table.caption, _markdown_lines(table)]
    parts += ["```\n" + "\n".join(made) + "\n```"] if made else []
    return "\n\n".join(part for part in parts if part) + "\n"


def latex(table: Table, section: Section) -> str:
    """A table for LaTeX with the package booktabs; the commands that made it as comments."""
    frame = table.frame
    form = "".join("r" if is_number(frame[column]) else "l" for column in frame.columns)
    lines = [[str(column) for column in frame.columns], *cells(frame)]
    head, *body = (" & ".join(map(_escaped, line)) + r" \\" for line in lines)
    made = [f"% {section.commands[i].text}" for i in _commands(table)]
    caption = _escaped(f"{section.title}: {table.title}. {table.caption}")
    return "\n".join(
        [
            *made,
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:{section.name(table)}}}",
            rf"\begin{{tabular}}{{{form}}}",
            r"\toprule",
            head,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def terminal(table: Table) -> TerminalTable:
    """The table for a terminal."""
    made = TerminalTable(
        title=table.title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    frame = table.frame.drop(columns=list(table.aside))
    for column in frame.columns:
        # headings of several words over several lines keep ten folds within a terminal
        heading = re.sub("[ _]", "\\n", column)
        made.add_column(heading, justify="right" if is_number(frame[column]) else "left")
    for line in cells(frame):
        made.add_row(*line)
    return made


def cells(frame: pd.DataFrame) -> list[list[str]]:
    """A frame's cells as they read."""
    columns = [str(column) for column in frame.columns]
    return [
        [shown(column, value) for column, value in zip(columns, line, strict=True)]
        for line in frame.itertuples(index=False, name=None)
    ]


def is_number(values: pd.Series[Any]) -> bool:
    """Whether a column holds numbers, which stand flush right."""
    return pd.api.types.is_numeric_dtype(values)


def _markdown_lines(table: Table, numbered: bool = False) -> str:
    frame = table.frame
    rules = ["---:" if is_number(frame[column]) else "---" for column in frame.columns]
    head, body = [str(column) for column in frame.columns], cells(frame)
    if numbered:
        head, rules = [*head, "made by"], [*rules, "---"]
        made = (" ".join(str(i + 1) for i in numbers) for numbers in table.made_by)
        body = [[*line, numbers] for line, numbers in zip(body, made, strict=True)]
    return "\n".join(
        f"| {' | '.join(' '.join(cell.replace('|', '/').split()) for cell in line)} |"
        for line in (head, rules, *body)
    )


def _commands(table: Table) -> list[int]:
    return sorted({number for numbers in table.made_by for number in numbers})


def _numbered(texts: list[str]) -> list[str]:
    return ["\n".join(f"{i}. `{text}`" for i, text in enumerate(texts, start=1))]


def _escaped(text: str) -> str:
    return "".join(SPECIAL.get(character, character) for character in text)
