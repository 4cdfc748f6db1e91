"""A page as files: the HTML, the Markdown, and each table and figure by itself for a paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from omasgan.report.page import html, latex, plain
from omasgan.report.page.blocks import Page, Section

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath

PAGE, SUMMARY = "index.html", "summary.md"


def of_page(content: Page) -> dict[str, bytes]:
    """All files by path in the report's folder: the page, its summary, and ``of_section`` of
    each section.
    """
    contents = {
        PAGE: html.render(content).encode(),
        SUMMARY: plain.summary(content).encode(),
    }
    for section in content.sections:
        contents |= of_section(section)
    return contents


def of_section(section: Section) -> dict[str, bytes]:
    """tables/<name>.md and .tex, figures/<name>.png and .pdf, and what the commands read."""
    texts = {name: text for command in section.commands for name, text in command.files.items()}
    for table in section.tables:
        name = f"tables/{section.name(table)}"
        texts[f"{name}.md"] = plain.markdown(table, section)
        texts[f"{name}.tex"] = latex.latex(table, section)
    contents = {name: text.encode() for name, text in texts.items()}
    for figure in section.figures:
        contents[f"figures/{figure.name}.png"] = figure.drawn.png
        contents[f"figures/{figure.name}.pdf"] = figure.drawn.pdf
    return contents


def write(folder: AnyPath, contents: Mapping[str, bytes]) -> None:
    """Write the files into ``folder``, the page last: all that it refers to is there by then.

    Raises:
        StoreError: the folder cannot be written.
    """
    from omasgan.store.files import write_atomic

    for name in sorted(contents, key=lambda name: (name == PAGE, name)):
        write_atomic(folder / name, contents[name])
