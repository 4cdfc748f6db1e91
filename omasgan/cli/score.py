"""``omasgan score``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from omasgan.cli.options.groups import DeviceOption


def score(
    folder: Annotated[
        str,
        typer.Argument(metavar="DIR", help="A run's folder with a saved detector, or its URI."),
    ],
    samples: Annotated[
        list[Path],
        typer.Argument(
            metavar="SAMPLES",
            help="PNG and JPEG files, folders of them, and .npy: uint8 (n,c,h,w), (n,h,w) or "
            "(n,h,w,c), or floats in [-1,1]. For a detector of tables, .csv and .parquet. "
            "Hugging Face data sets on disk.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File for the CSV.  [default: stdout]")
    ] = None,
    resize: Annotated[
        bool,
        typer.Option(
            "--resize", help="Resample images of another size, which itself can look anomalous."
        ),
    ] = False,
    device: DeviceOption = "auto",
) -> None:
    """Score images or rows of tables with a saved detector.

    A p-value is the share of the benchmark's held-out normal samples that score at least as high:
    a small one means that the sample is unlike those normals. It is valid for a single sample on
    average, and only where normal means what it meant in that benchmark.
    """
    from omasgan.checks import scoring
    from omasgan.data import sample_files, tables
    from omasgan.store import saved
    from omasgan.store.files import open_root, write_atomic
    from omasgan.training import environment

    device = environment.resolve_device(device)
    loaded = saved.load(saved.find(open_root(folder)), device=device)
    if loaded.scaling is not None:
        read = tables.samples(samples, loaded.scaling.columns)
    else:
        read = sample_files.read(samples, loaded.description.shape, resize=resize)
    text = scoring.to_csv(loaded, read)
    if out is None:
        print(text, end="")
    else:
        write_atomic(out, text.encode())
    training, n = loaded.description, len(loaded.calibration)
    print(
        f"omasgan: p-values are against {n} held-out normals of {training.benchmark}, fold "
        f"{training.fold}; none can be below {1 / (n + 1):.2g}",
        file=sys.stderr,
    )
