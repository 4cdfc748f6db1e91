"""``omasgan fit``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from omasgan.cli.options import values
from omasgan.cli.options.groups import (
    MAX_SEED,
    DeviceOption,
    ParamsOption,
    SetOption,
)
from omasgan.detectors import full_name


def fit(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A folder of normal images, a .csv or .parquet table of normal rows, an .npz "
            "with normal samples as X, or a Hugging Face data set on disk.",
        ),
    ],
    *,
    detector: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="A name of 'omasgan list', or a class.", callback=full_name
        ),
    ] = "omasgan",
    save: Annotated[str, typer.Option(metavar="DIR", help="Where the trained detector goes.")],
    set_: SetOption = None,
    params: ParamsOption = None,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the training.")] = 0,
    device: DeviceOption = "auto",
) -> None:
    """Train a detector on normal samples alone, and save it.

    'omasgan score' judges images with it. No test follows: without labelled anomalies nothing says
    how good it is. A tenth of the samples is held out, to say how unlikely a score is among normal
    ones.
    """
    from omasgan.data import own
    from omasgan.data.tables import Table
    from omasgan.store.files import check_writable, open_root
    from omasgan.training import environment, own_data

    fit_params = values.params(detector, params, set_)
    folder = open_root(save)
    check_writable(folder)
    own_data.check_free(folder)
    device = environment.resolve_device(device)
    X = own.read_normals(data)
    settings = own_data.Settings(detector, fit_params, seed, device)
    for line in own_data.fit(X, data, settings, folder):
        print(line, flush=True)
    others = "TABLE" if isinstance(X, Table) else "IMAGES --resize"
    print(f"Saved: {save}  (judge others: omasgan score {shlex.quote(save)} {others})")
