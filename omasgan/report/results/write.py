"""Writing a report of everything that a store holds, and its tables for a terminal."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
from rich.console import RenderableType

from omasgan import __version__
from omasgan.errors import StoreError
from omasgan.report.page import files, html, plain
from omasgan.report.page.blocks import Page, Section
from omasgan.report.page.names import PAGE
from omasgan.report.results import content
from omasgan.report.results.content import Contents
from omasgan.store.files import AnyPath, find
from omasgan.store.results import Store

RUNS = "runs.csv"


@dataclass(frozen=True)
class ReportFiles:
    """What ``write_report`` has written, and what it ``said`` to a terminal.

    ``of`` maps a benchmark to the files about it, by their path in ``folder``; the page, the
    summary and the runs, which cover all benchmarks, are among them. MLflow receives these.
    """

    folder: AnyPath
    of: Mapping[str, tuple[str, ...]]
    said: tuple[RenderableType, ...]

    @property
    def page(self) -> AnyPath:
        """One HTML file that needs no other file and no network."""
        return self.folder / PAGE


def write_report(
    store: Store, *, page_only: bool = False, figures: Sequence[str] = ()
) -> ReportFiles:
    """Write ``<root>/report/``: index.html, summary.md, runs.csv, tables/, params/, spaces/, and
    figures/ with a file of each of ``figures`` (endings in ``files.FIGURES``); with ``page_only``
    the first of them alone.

    The same results give the same bytes, wherever the store is.

    Raises:
        StoreError: the store holds no result and no study, a file of it is damaged, or the folder
            cannot be written.
    """
    page, benchmarks = _page(store)
    sections = page.sections
    folder = store.root / "report"
    of: dict[str, tuple[str, ...]]
    if page_only:
        files.write(folder, {PAGE: html.render(page).encode()})
        of = {section.id: (PAGE,) for section in sections}
    else:
        runs = pd.concat([one.frame for one in benchmarks], ignore_index=True)
        whole = files.of_whole(page) | {RUNS: runs.to_csv(index=False).encode()}
        parts = {section.id: files.of_section(section, figures) for section in sections}
        files.write(folder, dict(ChainMap(whole, *parts.values())))
        of = {id: (*whole, *part) for id, part in parts.items()}
    return ReportFiles(folder, of, _for_terminal(sections))


def render_page(store: Store) -> str:
    """The page alone, without writing anything.

    Raises:
        StoreError: the store holds no result and no study, or a file of it is damaged.
    """
    return html.render(_page(store)[0])


def for_terminal(store: Store) -> tuple[RenderableType, ...]:
    """The answer and the AUROCs for a terminal, without writing anything.

    Raises:
        StoreError: the store holds no result and no study, or a file of it is damaged.
    """
    return _for_terminal([content.section(store, one, with_scores=False) for one in _read(store)])


def _page(store: Store) -> tuple[Page, list[Contents]]:
    benchmarks = _read(store)
    sections = [content.section(store, one, with_scores=True) for one in benchmarks]
    page = Page("omasgan report", (_origin(benchmarks),), tuple(sections), _other_pages(store))
    return page, benchmarks


def _other_pages(store: Store) -> dict[str, str]:
    """The pages of sensitivity studies and of the paper's suites, as seen from the report."""
    return {
        f"{verb}: {path.parent.name}": f"../{verb}/{path.parent.name}/{PAGE}"
        for verb in ("sensitivity", "paper")
        for path in find(store.root, f"{verb}/*/{PAGE}")
    }


def _read(store: Store) -> list[Contents]:
    benchmarks = content.read(store)
    if not benchmarks:
        raise StoreError(
            f"'{store.root}' holds no results; give the --out folder of a run or a sweep"
        )
    return benchmarks


def _origin(benchmarks: Sequence[Contents]) -> str:
    """The version that made the page, and the time of its last result: a report's only date."""
    rows = (row for one in benchmarks for row in one.rows)
    times = [str(row["finished_at"]) for row in rows if row.get("finished_at")]
    last = f" Last result: {max(times)[:16].replace('T', ' ')} UTC." if times else ""
    return f"Made by omasgan {__version__}.{last} All runs: {RUNS}."


def _for_terminal(sections: Sequence[Section]) -> tuple[RenderableType, ...]:
    """For each section its answer, and the tables that a terminal has room for."""
    shown: list[RenderableType] = []
    for section in sections:
        shown += section.answer
        shown += [
            plain.terminal(replace(table, title=f"{section.title}: {table.title}"))
            for table in section.tables
            if table.for_terminal
        ]
    return tuple(shown)
