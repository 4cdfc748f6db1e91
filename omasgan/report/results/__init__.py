"""Tables, figures and one page of everything that a store holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from omasgan import __version__
from omasgan.errors import StoreError

if TYPE_CHECKING:
    from rich.table import Table

    from omasgan.report.page.blocks import Section
    from omasgan.report.results.content import Contents
    from omasgan.store.files import AnyPath
    from omasgan.store.results import Store


PAGE = "index.html"


@dataclass(frozen=True)
class ReportFiles:
    """What ``write_report`` has written, and the tables for a terminal.

    ``of`` tells, by benchmark, the files about it (the page and the summary, which tell all
    benchmarks, among them), by their path in ``folder``: what MLflow is sent.
    """

    folder: AnyPath
    of: Mapping[str, tuple[str, ...]]
    tables: tuple[Table, ...]

    @property
    def page(self) -> AnyPath:
        """One HTML file that needs no other and no network."""
        return self.folder / PAGE


def write_report(store: Store, *, page_only: bool = False) -> ReportFiles:
    """Write ``<root>/report/``: index.html, summary.md, runs.csv, tables/, figures/, params/ and
    spaces/; with ``page_only`` the first of them alone.

    The same results give the same bytes, wherever the store lies.

    Raises:
        StoreError: the store holds no result and no study, a file of it is damaged, or the folder
            cannot be written.
    """
    import pandas as pd

    from omasgan.report.page import files, html
    from omasgan.report.page.blocks import Page
    from omasgan.report.results import content

    read = _read(store)
    sections = tuple(content.section(store, c, with_scores=True) for c in read)
    content_of_page = Page("omasgan report", (_made(read),), sections)
    folder = store.root / "report"
    if page_only:
        files.write(folder, {PAGE: html.render(content_of_page).encode()})
        of = {section.id: (PAGE,) for section in sections}
        return ReportFiles(folder=folder, of=of, tables=_terminal(sections))
    contents_of = files.of_page(content_of_page)
    runs = pd.concat([contents.frame for contents in read], ignore_index=True)
    contents_of["runs.csv"] = runs.to_csv(index=False).encode()
    files.write(folder, contents_of)
    whole = (PAGE, "summary.md", "runs.csv")
    return ReportFiles(
        folder=folder,
        of={section.id: (*whole, *files.of_section(section)) for section in sections},
        tables=_terminal(sections),
    )


def terminal_tables(store: Store) -> tuple[Table, ...]:
    """The result and search tables of a store for a terminal, without writing anything.

    Raises:
        StoreError: the store holds no result and no study, or a file of it is damaged.
    """
    from omasgan.report.results import content

    return _terminal([content.section(store, c, with_scores=False) for c in _read(store)])


def _read(store: Store) -> list[Contents]:
    from omasgan.report.results import content

    found = content.read(store)
    if not found:
        raise StoreError(
            f"'{store.root}' holds no results; give the --out folder of a run or a sweep"
        )
    return found


def _made(read: list[Contents]) -> str:
    """Which version made the page of which results; the only date of a report."""
    ended = [str(row["finished_at"]) for c in read for row in c.rows if row.get("finished_at")]
    last = f" Last result: {max(ended)[:16].replace('T', ' ')} UTC." if ended else ""
    return f"Made by omasgan {__version__}.{last} All runs: runs.csv."


def _terminal(sections: tuple[Section, ...] | list[Section]) -> tuple[Table, ...]:
    from dataclasses import replace

    from omasgan.report.page import plain

    return tuple(
        plain.terminal(
            replace(table, title=f"{section.title}: {table.title}") if i == 0 else table
        )
        for section in sections
        for i, table in enumerate(t for t in section.tables if not t.page_only)
    )
