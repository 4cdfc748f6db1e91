"""Tables for LaTeX documents that load the package booktabs."""

from __future__ import annotations

import pandas as pd

from omasgan.report.page import formats
from omasgan.report.page.blocks import Section, Table

SPECIAL = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {
        "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
        "<": r"\textless{}", ">": r"\textgreater{}", "·": r"\textperiodcentered{}",
    }
)  # fmt: skip
"""More than pandas escapes: a caption is not escaped there, nor are < and > anywhere."""


def latex(table: Table, section: Section) -> str:
    """A table environment; comments above it show the commands that produce it."""
    frame = table.frame
    texts = pd.DataFrame(formats.cells(frame), columns=[str(name) for name in frame.columns])
    columns = "".join("r" if formats.is_number(frame[name]) else "l" for name in frame.columns)
    styler = texts.style.format(escaped).format_index(escaped, axis="columns").hide(axis="index")
    commands = [f"% {section.commands[i].text}\n" for i in table.command_numbers]
    return "".join(commands) + styler.to_latex(
        hrules=True,
        position_float="centering",
        column_format=columns,
        caption=escaped(f"{section.title}: {table.title}. {table.caption}"),
        label=f"tab:{section.name(table)}",
    )


def escaped(text: object) -> str:
    r"""The text without characters that LaTeX would interpret.

    >>> escaped("a_b < 5 %")
    'a\\_b \\textless{} 5 \\%'
    """
    return str(text).translate(SPECIAL)
