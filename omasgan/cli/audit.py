"""``omasgan audit``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from omasgan.cli.options import values
from omasgan.cli.options.data import Data
from omasgan.cli.options.groups import (
    MAX_SEED,
    BenchmarkArgument,
    DetectorArgument,
    DeviceOption,
    ParamsOption,
    SetOption,
)
from omasgan.cli.options.output import print_tables

if TYPE_CHECKING:
    from omasgan.checks.audit import Audit


def audit(  # noqa: PLR0913 - typer reads an option from each
    detector: DetectorArgument,
    benchmark: BenchmarkArgument,
    *,
    fold: Annotated[int | None, typer.Option(help="Which fold.  [default: the first]")] = None,
    set_: SetOption = None,
    params: ParamsOption = None,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the training.")] = 0,
    data: Data,
    device: DeviceOption = "auto",
) -> None:
    """See whether a score depends on anything but its sample.

    The test samples are scored together, twice, shuffled, in batches and one by one. The largest
    deviation is in units of the scores' spread. Exits with 1 if a score moves.
    """
    from omasgan import detectors
    from omasgan.checks import audit as auditing
    from omasgan.data import protocols
    from omasgan.training import environment

    spec = data.benchmark(benchmark)
    constructor_params = values.params(detector, params, set_)
    device = environment.resolve_device(device)
    dataset, (first, *_) = data.load(spec, None if fold is None else [fold])
    trained = detectors.load(detector)(**constructor_params, seed=seed, device=device)
    samples = protocols.FoldSamples(dataset, first)
    trained.fit(samples.train)
    result = auditing.audit(trained, samples.test)
    print(f"{detector} on {spec.id}, fold {first.index}:")
    _print(result)
    if not result.passed:
        print(f"omasgan: scores of {detector} move: {result.moved()}", file=sys.stderr)
        raise typer.Exit(1)


def _print(result: Audit) -> None:
    from rich.table import Table

    table = Table("check", "stage", "largest deviation", "verdict")
    for finding in result.findings:
        verdict = "stays" if finding.passed else "moves"
        table.add_row(finding.check, finding.stage, f"{finding.deviation:.1e}", verdict)
    print_tables([table])
