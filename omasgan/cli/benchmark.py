"""``omasgan benchmark``."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omasgan.cli.options.groups import LabelOption, NormalOption
from omasgan.errors import ConfigError

if TYPE_CHECKING:
    from omasgan.config import BenchmarkSpec
    from omasgan.data.datasets import Dataset

PROTOCOLS = {
    "leave-one-out": "each class in turn is anomalous; or one-vs-rest: each in turn is normal",
    "one-vs-rest": "one class is normal, all others are anomalous",
}


class Action(StrEnum):
    """What can be done."""

    init = "init"


def benchmark(
    action: Annotated[Action, typer.Argument(help="init: print the TOML of a benchmark.")],
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A folder of images by class, an .npz, a .csv, a .parquet or a Hugging Face "
            "data set.",
        ),
    ],
    *,
    label: LabelOption = None,
    normal: NormalOption = None,
) -> None:
    """Print a benchmark of your own data as TOML.

    It has the SHA-256 of the samples: whoever runs it finds out if they have changed.
    """
    from omasgan import config
    from omasgan.data import own, protocols

    own.check(data)
    if data.suffix == ".toml":
        raise ConfigError(f"'{data}' is a benchmark already")
    # A folder is data here, whatever its name.
    path = f"{data}/" if data.is_dir() else str(data)
    spec = config.load_benchmark(path, label=label, normal=normal)
    dataset = protocols.load_data(spec)
    protocols.folds(spec, dataset)
    print(_toml(spec, dataset), end="")


def _toml(spec: BenchmarkSpec, dataset: Dataset) -> str:
    sizes = (
        [int((split.classes == c).sum()) for split in (dataset.train, dataset.test)]
        for c in range(len(dataset.class_names))
    )
    counts = (
        f"{name!r} {n} + {m}" for name, (n, m) in zip(dataset.class_names, sizes, strict=True)
    )
    lines = [
        "# Change what you like; changed rules or data need a new version.",
        f"# Samples to train on + to test: {', '.join(counts)}",
        f"name = {_text(spec.name)}",
        f"version = {spec.version}",
        'description = ""',
        f"protocol = {_text(spec.protocol)}  # {PROTOCOLS[spec.protocol]}",
        f"dataset = {_text(spec.dataset)}  # relative to where omasgan is started",
    ]
    if spec.label is not None:
        lines.append(f"label = {_text(spec.label)}")
    if spec.normal is not None:
        lines.append(f"normal = {_text(spec.normal)}")
    lines += [
        f"sha256 = {_text(dataset.sha256)}  # of the samples and their split",
        f"seeds = {list(spec.seeds)}",
        f"metrics = {json.dumps(spec.metrics)}",
        f"validation_fraction = {spec.validation_fraction}",
        f"split_seed = {spec.split_seed}  # of what is held out of the training samples",
    ]
    return "\n".join(lines) + "\n"


def _text(text: str) -> str:
    """Return a text as TOML writes it, which is JSON but for escapes beyond its basic plane."""
    return json.dumps(text, ensure_ascii=False)
