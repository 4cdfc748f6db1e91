"""A page as files: the HTML, Markdown, and each table and figure by itself for use in a paper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from omasgan.report.page import html, plain
from omasgan.report.page.blocks import Page, Section

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath


def of_page(content: Page) -> dict[str, bytes]:
    """Everything, by path in the report's folder: index.html, summary.md and ``of_section`` of
    each section.
    """
    found = {
        "index.html": html.render(content).encode(),
        "summary.md": plain.summary(content).encode(),
    }
    for section in content.sections:
        found |= of_section(section)
    return found


def of_section(section: Section) -> dict[str, bytes]:
    """tables/<name>.md and .tex, figures/<name>.png and .pdf, and what the commands read."""
    texts = {name: text for command in section.commands for name, text in command.files.items()}
    for table in section.tables:
        name = f"tables/{section.name(table)}"
        texts[f"{name}.md"] = plain.markdown(table, section)
        texts[f"{name}.tex"] = plain.latex(table, section)
    found = {name: text.encode() for name, text in texts.items()}
    for figure in section.figures:
        found[f"figures/{figure.name}.png"] = figure.drawn.png
        found[f"figures/{figure.name}.pdf"] = figure.drawn.pdf
    return found


def write(folder: AnyPath, files: Mapping[str, bytes]) -> None:
    """Put ``files`` into ``folder``, the page last: what it names is there.

    Raises:
        StoreError: the folder cannot be written.
    """
    from omasgan.store.files import write_atomic

    for name in _page_last(files):
        write_atomic(folder / name, files[name])


def _page_last(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (name == "index.html", name))
