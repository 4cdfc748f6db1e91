"""``omasgan compare``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from omasgan.cli.options import values
from omasgan.cli.options.checkpoints import CheckpointOptions
from omasgan.cli.options.data import FoldedData
from omasgan.cli.options.execution import Execution
from omasgan.cli.options.groups import (
    BenchmarkArgument,
    DeviceOption,
    EnsembleOption,
    HoursOption,
    InnerOption,
    SeedsOption,
    ShareStagesOption,
)
from omasgan.cli.options.output import Output, at_work, conclude
from omasgan.errors import ConfigError

PUBLISHED = "published"


def compare(  # noqa: PLR0913 - typer reads an option from each
    benchmark: BenchmarkArgument,
    *,
    detectors: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Detectors beside the yardsticks.  [default: all]"),
    ] = None,
    params: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help=f"Folder of <detector>.toml, or '{PUBLISHED}': the papers' settings for "
            "BENCHMARK.  [default: the detectors' defaults]",
        ),
    ] = None,
    controls: Annotated[
        bool, typer.Option("--controls", help="Also OMASGAN with other negatives instead of B's.")
    ] = False,
    ensemble: EnsembleOption = None,
    tune: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Also sweep each detector: N trials a study."),
    ] = None,
    selection: Annotated[
        str | None,
        typer.Option(
            metavar="RULES", help="With --tune: rules, 'nested,oracle'.  [default: nested]"
        ),
    ] = None,
    inner: InnerOption = None,
    hours: HoursOption = None,
    share_stages: ShareStagesOption = None,
    data: FoldedData,
    seeds: SeedsOption = None,
    execution: Execution,
    output: Output,
    checkpoints: CheckpointOptions,
    device: DeviceOption = "auto",
) -> None:
    """Train and test detectors side by side, with the yardsticks.

    All have the same folds and seeds. What is done is not trained again: the same command goes on
    where an interrupted comparison has stopped, and a detector that is added is the only one to be
    trained.
    """
    from omasgan import detectors as shipped
    from omasgan.experiments import compare as comparing

    checkpoints.check()
    if tune is None and (selection, inner, hours, share_stages) != (None, None, None, None):
        raise ConfigError(
            "--selection, --inner, --hours and --share-stages go with --tune; give --tune N as "
            "well"
        )
    names = (
        shipped.names() if detectors is None else values.detector_names("--detectors", detectors)
    )
    wanted, run_seeds = data.wanted(), values.seeds(seeds)
    spec = comparing.CompareSpec(
        data.benchmark(benchmark),
        tuple(names),
        _params(params, benchmark, [*comparing.YARDSTICKS, *names]),
        folds=None if wanted is None else tuple(wanted),
        seeds=None if run_seeds is None else tuple(run_seeds),
        controls=controls,
        ensemble=ensemble,
        n_trials=tune,
        share_stages=share_stages,
        device=device,
        checkpoint_budget=checkpoints.budget,
        checkpoints=checkpoints.policy,
        hours=hours,
        **values.present(rules=_rules(selection), inner=inner),
    )
    comparing.check(spec)
    data.check(spec.benchmark)
    store, tracker = output.open()
    execution.check(device)
    with (
        execution.opened(device, lambda: data.load(spec.benchmark, wanted)) as (backend, loaded),
        at_work(store, tracker) as watch,
    ):
        dataset, _ = loaded
        rows = comparing.compare(spec, store, backend, dataset, on_event=watch)
    conclude(store, rows, tracker)


def _params(source: str | None, benchmark: str, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return by detector the params of a folder, or of the papers' settings for a benchmark.

    Raises:
        ConfigError: the folder has a file for none of ``names``.
    """
    from omasgan import config

    if source is None:
        return {}
    folder = config.published_params(benchmark) if source == PUBLISHED else Path(source)
    files = {name: folder / f"{name}.toml" for name in names}
    params = {name: config.load_params(file) for name, file in files.items() if file.exists()}
    if not params:
        raise ConfigError(f"--params '{source}' has no <detector>.toml for any of these detectors")
    return params


def _rules(selection: str | None) -> tuple[str, ...] | None:
    """Return the selection rules of a comparison's sweeps, None for the default."""
    if selection is None:
        return None
    rules = tuple(values.rule(name) for name in values.names("--selection", selection))
    if "transfer" in rules:
        raise ConfigError("a comparison cannot use --selection transfer; use omasgan sweep for it")
    return rules
