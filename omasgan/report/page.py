"""A report laid out: one HTML page without any other file, Markdown, and terminal tables."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table as TerminalTable

from omasgan.report.content import Figure, Section, Table
from omasgan.report.tables import shown

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 78rem;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { margin-top: 3rem; border-bottom: 2px solid #888; }
h3 { margin-bottom: .2rem; } .wide { overflow-x: auto; }
p.note { color: #777; max-width: 60rem; margin: .2rem 0 .6rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #8884; text-align: left;
  white-space: nowrap; }
td.number, th.number { text-align: right; }
figure { margin: 1rem 0; } img { max-width: 100%; background: white; }
pre { background: #8882; padding: .6rem; overflow-x: auto; font-size: .85rem; }
"""


def html(sections: Sequence[Section], figures: Mapping[str, Sequence[Figure]], made: str) -> str:
    """The whole page; ``figures`` by benchmark id, ``made`` says when and by which version."""
    contents = "".join(
        f'<li><a href="#{escape(s.benchmark.id)}">{escape(s.benchmark.id)}</a></li>'
        for s in sections
    )
    body = "".join(_section(section, figures[section.benchmark.id]) for section in sections)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>omasgan report</title><style>{STYLE}</style></head><body>"
        f"<h1>omasgan report</h1><p class=note>{escape(made)} All runs: runs.csv.</p>"
        f"<ul>{contents}</ul>{body}</body></html>"
    )


def markdown(sections: Sequence[Section], made: str) -> str:
    """The same without figures, as Markdown."""
    parts = ["# omasgan report", made]
    for section in sections:
        parts += [f"## {section.benchmark.id}", section.note]
        for table in (*section.results, *section.searches, section.settings):
            if not table.frame.empty:
                parts += [f"### {table.title}", table.caption, _markdown_table(table.frame)]
        if section.commands:
            parts.append("```\n" + "\n".join(section.commands) + "\n```")
    return "\n\n".join(parts) + "\n"


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
        made.add_column(heading, justify="right" if _is_number(frame[column]) else "left")
    for cells in _cells(frame):
        made.add_row(*cells)
    return made


def _section(section: Section, figures: Iterable[Figure]) -> str:
    tables = "".join(_table(table) for table in (*section.results, *section.searches))
    pictures = "".join(_figure(figure) for figure in figures)
    commands = escape("\n".join(section.commands))
    return (
        f'<h2 id="{escape(section.benchmark.id)}">{escape(section.benchmark.id)}</h2>'
        f"<p class=note>{escape(section.note)}</p>{tables}{pictures}{_table(section.settings)}"
        + (f"<pre>{commands}</pre>" if commands else "")
    )


def _table(table: Table) -> str:
    if table.frame.empty:
        return ""
    marks = [" class=number" if _is_number(table.frame[c]) else "" for c in table.frame.columns]
    head = "".join(
        f"<th{mark}>{escape(column)}</th>"
        for column, mark in zip(table.frame.columns, marks, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{mark}>{escape(cell)}</td>" for cell, mark in zip(cells, marks, strict=True)
        )
        + "</tr>"
        for cells in _cells(table.frame)
    )
    return (
        f"<h3>{escape(table.title)}</h3><p class=note>{escape(table.caption)}</p>"
        f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _figure(figure: Figure) -> str:
    data = base64.b64encode(figure.png).decode("ascii")
    title = escape(figure.title, quote=True)
    return f'<figure><img alt="{title}" src="data:image/png;base64,{data}"></figure>'


def _markdown_table(frame: pd.DataFrame) -> str:
    rules = ["---:" if _is_number(frame[column]) else "---" for column in frame.columns]
    lines = [[str(column) for column in frame.columns], rules, *_cells(frame)]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines
    )


def _cells(frame: pd.DataFrame) -> list[list[str]]:
    columns = [str(column) for column in frame.columns]
    return [
        [shown(column, value) for column, value in zip(columns, line, strict=True)]
        for line in frame.itertuples(index=False, name=None)
    ]


def _is_number(values: pd.Series[Any]) -> bool:
    return pd.api.types.is_numeric_dtype(values)
