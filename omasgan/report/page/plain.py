"""Tables as plain text: Markdown, and tables for a terminal."""

from __future__ import annotations

import re

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table as TerminalTable
from rich.text import Text

from omasgan.report.page import formats
from omasgan.report.page.blocks import Page, Section, Table

NARROW = 6
"""More shaded columns than this are narrow in a terminal."""


def summary(page: Page) -> str:
    """The whole page without its figures, as Markdown."""
    links = ", ".join(f"[{text}]({address})" for text, address in page.links.items())
    parts = [f"# {page.title}", *page.notes, f"See also: {links}" if links else ""]
    for section in page.sections:
        answer = "\n".join(f"- {sentence}" for sentence in section.answer)
        parts += [f"## {section.title}", answer, *section.prose]
        for table in section.tables:
            rows = _markdown_rows(table, numbered=bool(table.commands))
            parts += [f"### {table.title}", table.caption, rows]
        if section.commands:
            numbered = (f"{i}. `{c.text}`" for i, c in enumerate(section.commands, start=1))
            parts += ["### Commands", "\n".join(numbered)]
    return _joined(parts)


def markdown(table: Table, section: Section) -> str:
    """A table by itself, with the commands that produce it."""
    parts = [f"### {section.title}: {table.title}", table.caption, _markdown_rows(table)]
    commands = [section.commands[i].text for i in table.command_numbers]
    parts += ["```\n" + "\n".join(commands) + "\n```"] if commands else []
    return _joined(parts)


def terminal(table: Table) -> Group:
    """The table for a terminal; many shaded columns have two decimals, so that 80 columns do."""
    is_narrow = len(table.shaded) > NARROW
    rendered = TerminalTable(
        box=SIMPLE_HEAD,
        padding=(0, 0) if is_narrow else (0, 1),
        show_edge=not is_narrow,
        collapse_padding=True,
        pad_edge=False,
    )
    frame = table.frame
    for column in frame.columns:
        # headings of several words over several lines keep ten folds within a terminal
        heading = re.sub("[ _]", "\\n", column)
        is_number = formats.is_number(frame[column])
        rendered.add_column(heading, justify="right" if is_number else "left")
    short = [is_narrow and column in table.shaded for column in frame.columns]
    for texts in formats.cells(frame):
        rendered.add_row(*map(_shortened, texts, short))
    # A title of rich's own is broken where the table ends.
    return Group(Text(table.title, style="bold"), rendered)


def _shortened(text: str, is_short: bool) -> str:
    """A number with two decimals, if it has to be short."""
    return f"{float(text):.2f}" if is_short and text != formats.NONE else text


def _markdown_rows(table: Table, numbered: bool = False) -> str:
    """The rows of a table, with the numbers of their commands if they are ``numbered``."""
    frame = table.frame
    rules = ["---:" if formats.is_number(frame[column]) else "---" for column in frame.columns]
    head, body = [str(column) for column in frame.columns], formats.cells(frame)
    if numbered:
        head, rules = [*head, "command"], [*rules, "---"]
        commands = (" ".join(str(i + 1) for i in numbers) for numbers in table.commands)
        body = [[*texts, numbers] for texts, numbers in zip(body, commands, strict=True)]
    return "\n".join(
        f"| {' | '.join(' '.join(text.replace('|', '/').split()) for text in row)} |"
        for row in (head, rules, *body)
    )


def _joined(parts: list[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"
