"""The data that a verb works on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omasgan.cli.options import values
from omasgan.cli.options.groups import LabelOption, NormalOption

if TYPE_CHECKING:
    from omasgan.config import BenchmarkSpec
    from omasgan.data.datasets import Dataset
    from omasgan.data.protocols import Fold


@dataclass(frozen=True, kw_only=True)
class Data:
    """The folder of the image files, and how many samples of a fold are used."""

    data_root: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            envvar="OMASGAN_DATA",
            help="Folder with the image files, laid out as torchvision does it.",
        ),
    ] = None
    download: Annotated[
        bool, typer.Option("--download", help="Fetch missing image files into the data root.")
    ] = False
    max_train: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Use at most so many training samples of a fold; this makes another benchmark.",
        ),
    ] = None
    max_test: Annotated[
        int | None,
        typer.Option(min=1, help="Use at most so many test samples of a fold; as --max-train."),
    ] = None

    labelled: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Show so many anomalies of the train split; for benchmarks with the protocol "
            "semi-supervised, of which this makes another.",
        ),
    ] = None

    label: LabelOption = None
    normal: NormalOption = None

    def benchmark(self, name: str) -> BenchmarkSpec:
        """Return the benchmark of that name, file or data, as it is described here."""
        from omasgan import config

        keys = ("max_folds", "max_train", "max_test", "labelled", "label", "normal")
        return config.load_benchmark(name, **{key: getattr(self, key, None) for key in keys})

    def check(self, *specs: BenchmarkSpec | None) -> None:
        """See that all files of these benchmarks are there, before any of them is read.

        Raises:
            ConfigError: there is no such data set.
            DataError: a file is missing, and is not to be downloaded.
        """
        from omasgan.data import protocols

        if self.download:
            return
        for spec in filter(None, specs):
            protocols.check_files(spec, root=self.data_root)

    def load(
        self, spec: BenchmarkSpec, folds: list[int] | None = None
    ) -> tuple[Dataset, list[Fold]]:
        """Return the data of a benchmark, and these of its folds (all with None)."""
        from omasgan.config import is_data_path
        from omasgan.data import protocols

        self.check(spec)
        dataset = protocols.load_data(spec, root=self.data_root, download=self.download)
        chosen = protocols.choose(protocols.folds(spec, dataset), folds)
        if is_data_path(spec.dataset) and spec.anomalies is None:
            # Results have the folds' numbers, and nobody else knows which class is which.
            names = (f"{fold.index} {dataset.class_names[fold.index]}" for fold in chosen)
            kind = "normal" if spec.protocol == "one-vs-rest" else "anomalous"
            print(f"folds by {kind} class: {', '.join(names)}", flush=True)
        return dataset, chosen


@dataclass(frozen=True, kw_only=True)
class FoldedData(Data):
    """The same, and which of the folds are used."""

    folds: Annotated[
        str | None, typer.Option(metavar="0,3", help="Only these folds.  [default: all]")
    ] = None
    max_folds: Annotated[
        int | None, typer.Option(min=1, help="Use the first so many folds; as --max-train.")
    ] = None

    def wanted(self) -> list[int] | None:
        """Return the indices of the folds that are asked for, None for all.

        Raises:
            ConfigError: they are no numbers.
        """
        return values.integers("--folds", self.folds)
