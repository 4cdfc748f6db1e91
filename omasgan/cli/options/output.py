"""Where a verb's results go, and what it prints at the end."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omasgan.cli.options import values
from omasgan.cli.options.groups import NO_TRACKING, FiguresOption, TrackingOption

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


@dataclass(frozen=True, kw_only=True)
class PageOutput(Output):
    """The same for a verb that ends with a page."""

    figures: FiguresOption = None

    @property
    def endings(self) -> list[str]:
        """The endings of the files that each figure becomes.

        Raises:
            ConfigError: there is no such kind of file.
        """
        return values.figures(self.figures)


@contextlib.contextmanager
def at_work(store: Store, tracker: Tracker | None) -> Iterator[Watch]:
    """Lock the store for this driver; yield what prints and mirrors its events."""
    from omasgan.cli.watch import Watch
    from omasgan.store.lock import driver_lock

    with driver_lock(store.root), Watch(tracker) as watch:
        yield watch


def conclude(store: Store, rows: Sequence[Row], tracker: Tracker | None = None) -> None:
    """Print what the store's results say, and what shows them; exit with 1 if a run has no score.

    The answer and the table of AUROCs come last, where a terminal stays.
    """
    from omasgan.report.results.write import for_terminal

    failed = [row for row in rows if row["outcome"] != "ok"]
    for row in failed:
        run = f"{row['detector']}, fold {row['fold']}, seed {row['seed']}"
        print(f"omasgan: {run}: {row['outcome']}: {row['error']}", file=sys.stderr, flush=True)
    print_tables(for_terminal(store))
    print(f"Report: omasgan report {_quoted(store)}")
    print_pages(store, tracker)
    if failed:
        raise typer.Exit(1)


def print_pages(store: Store, tracker: Tracker | None) -> None:
    """Print what opens MLflow's pages of a store; nothing where nothing is tracked."""
    from omasgan.errors import BackendError, without_secrets

    if tracker is None:
        return
    if tracker.is_own:
        print(f"MLflow: omasgan ui {_quoted(store)} --open")
    elif tracker.uri.startswith("http"):
        # A server that is away has been warned of.
        with contextlib.suppress(BackendError):
            for title, address in tracker.pages(without_secrets(tracker.uri)).items():
                print(f"MLflow: {title}: {address}")
    else:
        print(f"MLflow: mlflow server --backend-store-uri {without_secrets(tracker.uri)}")


def _quoted(store: Store) -> str:
    """The store's folder for a shell, from here if it is below."""
    root, here = store.root, Path.cwd()
    if isinstance(root, Path) and root.is_relative_to(here) and root != here:
        return shlex.quote(str(root.relative_to(here)))
    return shlex.quote(str(root))


def print_tables(tables: Iterable[Any]) -> None:
    """Print rich tables and texts."""
    from rich.console import Console

    # Without a terminal there is no width to fit, and a folded table cannot be read.
    console = Console(width=None if sys.stdout.isatty() else 160)
    for table in tables:
        console.print(table, markup=False, highlight=False)
