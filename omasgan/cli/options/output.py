"""Where a verb's results go, and what it prints at the end."""

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
    from omasgan.cli.watch import Watch
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
        """Return the store and what mirrors it; nothing is written yet.

        Raises:
            ConfigError: one of the URIs cannot be used.
            StoreError: nothing can be written to the store.
        """
        from omasgan.store.files import open_root
        from omasgan.store.results import Store
        from omasgan.tracking.tracker import Tracker

        store = Store(open_root(self.out))
        if self.tracking_uri == NO_TRACKING:
            return store, None
        return store, Tracker(self.tracking_uri, store)


@contextlib.contextmanager
def at_work(store: Store, tracker: Tracker | None) -> Iterator[Watch]:
    """Lock the store for this driver; yield what prints and mirrors its events."""
    from omasgan.cli.watch import Watch
    from omasgan.store.lock import driver_lock

    with driver_lock(store.root), Watch(tracker) as watch:
        yield watch


def conclude(store: Store, rows: Sequence[Row]) -> None:
    """Print the results and where they are; exit with 1 if a run has no score."""
    from omasgan.report.results.write import terminal_tables

    print_tables(terminal_tables(store))
    command = f"omasgan report {shlex.quote(str(store.root))}"
    print(f"Results: {store.root}  (tables and figures: {command})")
    failed = [row for row in rows if row["outcome"] != "ok"]
    for row in failed:
        run = f"fold {row['fold']}, seed {row['seed']}"
        print(f"omasgan: {run}: {row['outcome']}: {row['error']}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def print_tables(tables: Iterable[Any]) -> None:
    """Print rich tables."""
    from rich.console import Console

    # Without a terminal there is no width to fit, and a folded table cannot be read.
    console = Console(width=None if sys.stdout.isatty() else 160)
    for table in tables:
        console.print(table)
