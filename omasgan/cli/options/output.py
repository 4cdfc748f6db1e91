"""Where a verb's results go, and what is said of them at the end."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omasgan.cli.options.groups import NO_TRACKING, TrackingOption

if TYPE_CHECKING:
    from omasgan.cli.progress import Watch
    from omasgan.store.journal import Row
    from omasgan.store.results import Store
    from omasgan.tracking.tracker import Tracker


@dataclass(frozen=True, kw_only=True)
class Output:
    """The store, and the MLflow server that mirrors it."""

    out: Annotated[
        str,
        typer.Option(
            metavar="DIR", help="Where the results go: a folder, or a URI like s3://bucket/folder."
        ),
    ] = "out"
    tracking_uri: TrackingOption = None

    def open(self) -> tuple[Store, Tracker | None]:
        from omasgan.store.files import open_root
        from omasgan.store.results import Store
        from omasgan.tracking.tracker import Tracker

        store = Store(open_root(self.out))
        tracked = self.tracking_uri != NO_TRACKING
        return store, Tracker(self.tracking_uri, store) if tracked else None


@contextlib.contextmanager
def at_work(store: Store, tracker: Tracker | None) -> Iterator[Watch]:
    """Be the store's only driver; what happens is printed and mirrored."""
    from omasgan.cli.progress import Watch
    from omasgan.store.lock import driver_lock

    with driver_lock(store.root), Watch(tracker) as watch:
        yield watch


def conclude(store: Store, rows: Sequence[Row]) -> None:
    """Say where things stand; exit with 1 if a run has not come to a score."""
    from omasgan.report.results.write import terminal_tables

    print_tables(terminal_tables(store))
    place = shlex.quote(str(store.root))
    print(f"Results: {store.root}  (tables and figures: omasgan report {place})")
    lost = [row for row in rows if row["outcome"] != "ok"]
    for row in lost:
        where = f"fold {row['fold']}, seed {row['seed']}"
        print(f"omasgan: {where}: {row['outcome']}: {row['error']}", file=sys.stderr)
    if lost:
        raise typer.Exit(1)


def print_tables(tables: Iterable[Any]) -> None:
    """Print rich tables."""
    from rich.console import Console

    # Without a terminal there is no width to fit, and a folded table cannot be read.
    console = Console(width=None if sys.stdout.isatty() else 160)
    for table in tables:
        console.print(table)
