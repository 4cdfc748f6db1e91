"""Tables, figures and one page of everything that a store holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from omasgan import __version__
from omasgan.errors import StoreError

if TYPE_CHECKING:
    from rich.table import Table

    from omasgan.report.content import Section
    from omasgan.report.content import Table as ContentTable
    from omasgan.store import Store


@dataclass(frozen=True)
class ReportFiles:
    """What ``write_report`` has written, and the tables for a terminal."""

    page: Path
    summary: Path
    runs: Path
    figures: tuple[Path, ...]
    tables: tuple[Table, ...]


def write_report(store: Store) -> ReportFiles:
    """Write ``<root>/report/``: index.html, summary.md, runs.csv, figures/, params/ and
    spaces/.

    Raises:
        StoreError: the store holds no result and no study, a file of it is damaged, or the folder
            cannot be written.
    """
    import pandas as pd

    from omasgan.report import content, page
    from omasgan.store import write_atomic

    sections = _sections(store)
    figures = {s.benchmark.id: list(content.figures(store, s)) for s in sections}
    made = f"Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by omasgan {__version__}."
    runs = pd.concat([section.frame for section in sections], ignore_index=True)
    texts = {
        "runs.csv": runs.to_csv(index=False),
        "summary.md": page.markdown(sections, made),
        "index.html": page.html(sections, figures, made),
        **{f"params/{i}.toml": t for s in sections for i, t in content.params_files(s).items()},
        **{f"spaces/{i}.toml": t for s in sections for i, t in content.space_files(s).items()},
    }
    pictures = {f"figures/{f.name}.png": f.png for found in figures.values() for f in found}
    folder = store.root / "report"
    for name, data in ({name: text.encode() for name, text in texts.items()} | pictures).items():
        write_atomic(folder / name, data)
    return ReportFiles(
        page=folder / "index.html",
        summary=folder / "summary.md",
        runs=folder / "runs.csv",
        figures=tuple(folder / name for name in pictures),
        tables=tuple(page.terminal(table) for table in _terminal_order(sections)),
    )


def terminal_tables(store: Store) -> list[Table]:
    """The result and search tables of a store for a terminal, without writing anything.

    Raises:
        StoreError: the store holds no result and no study, or a file of it is damaged.
    """
    from omasgan.report import page

    return [page.terminal(table) for table in _terminal_order(_sections(store))]


def _sections(store: Store) -> list[Section]:
    from omasgan.report import content

    found = content.sections(store)
    if not found:
        raise StoreError(
            f"'{store.root}' holds no results; give the --out folder of a run or a sweep"
        )
    return found


def _terminal_order(sections: list[Section]) -> list[ContentTable]:
    from dataclasses import replace

    return [
        replace(table, title=f"{section.benchmark.id}: {table.title}" if i == 0 else table.title)
        for section in sections
        for i, table in enumerate((*section.results, *section.searches))
        if not table.page_only
    ]
