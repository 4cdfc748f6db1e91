"""``omasgan report``."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Annotated

import typer

from omasgan.cli.options import values
from omasgan.cli.options.groups import (
    NO_TRACKING,
    FiguresOption,
    StoreArgument,
    TrackingOption,
)
from omasgan.cli.options.output import print_tables
from omasgan.errors import ConfigError, without_secrets


def report(
    folder: StoreArgument,
    html: Annotated[
        bool, typer.Option("--html", help="Only the page, without any other file.")
    ] = False,
    figures: FiguresOption = None,
    sync_mlflow: Annotated[
        bool, typer.Option("--sync-mlflow", help="Send everything in DIR to MLflow as well.")
    ] = False,
    tracking_uri: TrackingOption = None,
) -> None:
    """Write DIR/report: the answer, tables and figures on one page.

    Beside the page, which needs no other file, lie its tables as Markdown and LaTeX, and all
    runs as CSV.
    """
    if sync_mlflow and tracking_uri == NO_TRACKING:
        raise ConfigError(f"--sync-mlflow and --tracking-uri {NO_TRACKING} contradict each other")
    endings = values.figures(figures)
    if html and endings:
        raise ConfigError("--html and --figures contradict each other; leave one out")
    with _without_collections():
        from omasgan.report.results.write import write_report
        from omasgan.store.files import open_root
        from omasgan.store.results import Store

        store = Store(open_root(folder), create=False)
        files = write_report(store, page_only=html, figures=endings)
    print_tables(files.said)
    print(f"The report is {files.page}")
    if sync_mlflow:
        from omasgan.tracking.tracker import Tracker

        tracker = Tracker(tracking_uri, store)
        shown = tracker.sync()
        tracker.attach(files.folder, files.of)
        print(f"MLflow at {without_secrets(tracker.uri)} shows all {shown} of its runs")


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Look for no cycles of garbage: there is little, and a report would spend an eighth of its
    time on going through all runs, drawings and modules again and again.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
