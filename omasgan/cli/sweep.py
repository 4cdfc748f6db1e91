"""``omasgan sweep``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from omasgan.cli.options.checkpoints import CheckpointOptions
from omasgan.cli.options.data import FoldedData
from omasgan.cli.options.execution import Execution
from omasgan.cli.options.groups import (
    BenchmarkArgument,
    DetectorArgument,
    DeviceOption,
    SaveOption,
)
from omasgan.cli.options.output import Output, at_work, conclude
from omasgan.cli.options.searching import Searching, source_of
from omasgan.errors import ConfigError


def sweep(
    benchmark: BenchmarkArgument,
    detector: DetectorArgument,
    *,
    trials: Annotated[int, typer.Option(min=1, help="Trials a study, resumed ones included.")],
    searching: Searching,
    sampler: Annotated[
        str | None, typer.Option(help="Any Optuna sampler.  [default: TPESampler]")
    ] = None,
    pruner: Annotated[str, typer.Option(help="Any Optuna pruner.")] = "NopPruner",
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="OMASGAN_STORAGE",
            help="Optuna storage that gets a copy of each study.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search.")] = 0,
    prune_collapsed: Annotated[
        bool, typer.Option("--prune-collapsed", help="Stop trials whose boundary collapses.")
    ] = False,
    replay: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Repeat the params of a study's record in order."),
    ] = None,
    enqueue: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="'defaults' are then each study's first trial."),
    ] = None,
    data: FoldedData,
    execution: Execution,
    output: Output,
    checkpoints: CheckpointOptions,
    save: SaveOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Search the parameters of a detector, then train and test the winners on fresh seeds."""
    from omasgan.experiments import sweep as sweeping

    execution.check()
    searching.check()
    if sampler is not None and replay is not None:
        raise ConfigError("--sampler and --replay exclude each other; leave one out")
    wanted = data.wanted()
    spec = searching.spec(
        data.benchmark(benchmark),
        detector,
        trials,
        wanted,
        sampler=sampler or "TPESampler",
        pruner=pruner,
        seed=seed,
        storage=storage,
        device=device,
        prune_collapsed=prune_collapsed,
        replay=replay,
        enqueue=enqueue,
        save=save,
        checkpoint_budget=checkpoints.budget,
        checkpoints=checkpoints.policy,
    )
    sweeping.check(spec)
    store, tracker = output.open()
    dataset, _ = data.load(spec.benchmark, wanted)
    source = source_of(spec, data)
    backend = execution.open(device)
    with contextlib.closing(backend), at_work(store, tracker) as watch:
        result = sweeping.sweep([spec], store, backend, dataset, source=source, on_event=watch)
    conclude(store, result.rows)
