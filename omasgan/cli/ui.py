"""``omasgan ui``."""

from __future__ import annotations

import contextlib
import webbrowser
from collections.abc import Mapping
from typing import Annotated

import typer

from omasgan.cli.options.groups import StoreArgument


def ui(
    folder: StoreArgument,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 5000,
    open_: Annotated[
        bool, typer.Option("--open", help="Also open the first of the pages in a browser.")
    ] = False,
) -> None:
    """Open the MLflow UI over DIR on this machine, until Ctrl-C.

    For each benchmark it prints the page that shows the best results first, fold by fold.
    """
    from omasgan.store.files import open_root
    from omasgan.store.results import Store
    from omasgan.tracking.ui import serve

    def ready(address: str, pages: Mapping[str, str]) -> None:
        print(f"MLflow shows '{folder}' at {address} (Ctrl-C ends it)", flush=True)
        for title, page in pages.items():
            print(f"{title}: {page}", flush=True)
        if open_:
            webbrowser.open(next(iter(pages.values())))

    with contextlib.suppress(KeyboardInterrupt):
        serve(Store(open_root(folder), create=False), port, ready)
