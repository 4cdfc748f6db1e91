"""``omasgan sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omasgan.cli.options import values
from omasgan.cli.options.checkpoints import CheckpointOptions
from omasgan.cli.options.data import FoldedData
from omasgan.cli.options.execution import Execution
from omasgan.cli.options.groups import (
    MAX_SEED,
    BenchmarkArgument,
    DetectorArgument,
    DeviceOption,
    HoursOption,
    SaveOption,
    SeedsOption,
)
from omasgan.cli.options.output import Output, at_work, conclude
from omasgan.cli.options.searching import Searching, load_source
from omasgan.errors import ConfigError

if TYPE_CHECKING:
    from omasgan.data.datasets import Dataset


def sweep(  # noqa: PLR0913 - typer reads an option from each
    benchmark: BenchmarkArgument,
    detector: DetectorArgument,
    *,
    trials: Annotated[
        int, typer.Option(min=1, help="Trials for each study, earlier ones included.")
    ],
    hours: HoursOption = None,
    searching: Searching,
    sampler: Annotated[
        str | None, typer.Option(help="Any Optuna sampler.  [default: TPESampler]")
    ] = None,
    pruner: Annotated[
        str | None,
        typer.Option(help="Any Optuna pruner, or TaskPercentilePruner.  [default: NopPruner]"),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="OMASGAN_STORAGE",
            help="Optuna storage that gets a copy of each study.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the search.")] = 0,
    prune_collapsed: Annotated[
        bool, typer.Option("--prune-collapsed", help="Stop trials whose boundary collapses.")
    ] = False,
    replay: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Repeat the params of a study's record in order."),
    ] = None,
    enqueue: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="First trial of each study: 'defaults'."),
    ] = None,
    winner: Annotated[
        str,
        typer.Option(
            metavar="best|top-K",
            help="What is tested: a study's best trial, or the ensemble of its K best.",
        ),
    ] = "best",
    data: FoldedData,
    seeds: SeedsOption = None,
    execution: Execution,
    output: Output,
    checkpoints: CheckpointOptions,
    save: SaveOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Search a detector's parameters, then test the winners.

    The winners are trained anew on fresh seeds, and only these trainings are tested.
    The same command goes on where an interrupted sweep has stopped; more --trials lengthen it.
    """
    from omasgan.experiments import sweep as sweeping

    if sampler is not None and replay is not None:
        raise ConfigError("--sampler and --replay exclude each other; leave one out")
    searching.check()
    checkpoints.check()
    wanted, run_seeds = data.wanted(), values.seeds(seeds)
    spec = searching.spec(
        data.benchmark(benchmark),
        detector,
        trials,
        wanted,
        sampler=sampler,
        pruner=pruner,
        hours=hours,
        seed=seed,
        seeds=run_seeds,
        storage=storage,
        device=device,
        prune_collapsed=prune_collapsed,
        replay=replay,
        enqueue=enqueue,
        save=save,
        top=values.top(winner),
        checkpoint_budget=checkpoints.budget,
        checkpoints=checkpoints.policy,
    )
    sweeping.check(spec)
    data.check(spec.benchmark, spec.source)
    store, tracker = output.open()
    execution.check(device)

    def load() -> tuple[Dataset, Dataset | None]:
        return data.load(spec.benchmark, wanted)[0], load_source(spec, data)

    with (
        execution.opened(device, load) as (backend, (dataset, source)),
        at_work(store, tracker) as watch,
    ):
        result = sweeping.sweep([spec], store, backend, dataset, source=source, on_event=watch)
    conclude(store, result.rows, tracker)
