"""``omasgan report``."""

from __future__ import annotations

from typing import Annotated

import typer

from omasgan.cli.options import NO_TRACKING, StoreArgument, TrackingOption
from omasgan.cli.output import print_tables
from omasgan.errors import ConfigError


def report(
    folder: StoreArgument,
    sync_mlflow: Annotated[
        bool, typer.Option("--sync-mlflow", help="Send everything in DIR to MLflow as well.")
    ] = False,
    tracking_uri: TrackingOption = None,
) -> None:
    """Write DIR/report: tables, figures and one page of everything in DIR."""
    from omasgan.files import open_root
    from omasgan.report import write_report
    from omasgan.store import Store

    if sync_mlflow and tracking_uri == NO_TRACKING:
        raise ConfigError(f"--sync-mlflow and --tracking-uri {NO_TRACKING} contradict each other")
    store = Store(open_root(folder), create=False)
    files = write_report(store)
    print_tables(files.tables)
    print(f"The report is {files.page}")
    if sync_mlflow:
        from omasgan.tracking import Tracker

        tracker = Tracker(tracking_uri, store)
        print(f"MLflow at {tracker.uri} shows all {tracker.sync()} of its runs")
