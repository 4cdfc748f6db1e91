"""A page as files: the HTML, the Markdown, each table by itself, and each figure where asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

from omasgan.report.page import html, latex, plain
from omasgan.report.page.blocks import Page, Section
from omasgan.report.page.names import PAGE, SUMMARY

if TYPE_CHECKING:
    from omasgan.report.page.drawing import Drawn
    from omasgan.store.files import AnyPath

FIGURES: Mapping[str, Callable[[Drawn], bytes]] = {
    "pdf": attrgetter("pdf"),
    "png": attrgetter("png"),
}
"""By the ending of its file, what makes a figure one. The page holds its figures, and such files
take almost as long as all the rest of a report: they are made for who asks for them."""


def of_page(content: Page, figures: Sequence[str] = ()) -> dict[str, bytes]:
    """All files by path in the report's folder: ``of_whole``, and ``of_section`` of each
    section.
    """
    contents = of_whole(content)
    for section in content.sections:
        contents |= of_section(section, figures)
    return contents


def of_whole(content: Page) -> dict[str, bytes]:
    """The files that cover all sections: the page and its summary."""
    return {
        PAGE: html.render(content).encode(),
        SUMMARY: plain.summary(content).encode(),
    }


def of_section(section: Section, figures: Sequence[str] = ()) -> dict[str, bytes]:
    """tables/<name>.md and .tex, what the commands read, and figures/<name>.<ending> for each
    ending in ``figures``, all of which are in ``FIGURES``.
    """
    texts = {name: text for command in section.commands for name, text in command.files.items()}
    for table in section.tables:
        name = f"tables/{section.name(table)}"
        texts[f"{name}.md"] = plain.markdown(table, section)
        texts[f"{name}.tex"] = latex.latex(table, section)
    contents = {name: text.encode() for name, text in texts.items()}
    for figure in section.figures:
        for ending in figures:
            contents[f"figures/{figure.name}.{ending}"] = FIGURES[ending](figure.drawn)
    return contents


def write(folder: AnyPath, contents: Mapping[str, bytes]) -> None:
    """Write the files into ``folder``, the page last: all that it refers to is there by then.
    Figures of an earlier page are deleted, since they show what this one may no longer say.

    Raises:
        StoreError: the folder cannot be written.
    """
    from omasgan.store.files import delete, find, relative, write_atomic

    for old in find(folder, "figures/*"):
        if relative(old, folder) not in contents:
            delete(old)
    for name in sorted(contents, key=lambda name: (name == PAGE, name)):
        write_atomic(folder / name, contents[name])
