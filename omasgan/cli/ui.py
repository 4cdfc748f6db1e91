"""``omasgan ui``."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from omasgan.cli.options.groups import StoreArgument


def ui(
    folder: StoreArgument,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 5000,
) -> None:
    """Open the MLflow UI over DIR on this machine, until Ctrl-C."""
    from omasgan.store.files import open_root
    from omasgan.store.results import Store
    from omasgan.tracking.ui import serve

    def ready(address: str) -> None:
        print(f"MLflow shows '{folder}' at {address} (Ctrl-C ends it)", flush=True)

    with contextlib.suppress(KeyboardInterrupt):
        serve(Store(open_root(folder), create=False), port, ready)
