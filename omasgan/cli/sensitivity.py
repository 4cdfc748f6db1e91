"""``omasgan sensitivity``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omasgan.cli.options import values
from omasgan.cli.options.data import Data
from omasgan.cli.options.execution import Execution
from omasgan.cli.options.groups import DeviceOption
from omasgan.cli.options.output import PageOutput, at_work, print_pages, print_tables
from omasgan.detectors import full_name
from omasgan.errors import ConfigError

if TYPE_CHECKING:
    from omasgan.config import BenchmarkSpec
    from omasgan.experiments.sensitivity.design import SensitivityPlan
    from omasgan.report.page.blocks import Page
    from omasgan.store.files import AnyPath

FOLDS = 2
SEEDS = 2
POINTS = 5


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Which settings are trained."""

    params: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="What to vary.  [default: all that the space varies]"),
    ] = None
    around: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The base point as TOML.  [default: the defaults]"),
    ] = None
    space: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Ranges as TOML.  [default: the detector's space]"),
    ] = None
    design: Annotated[
        str | None, typer.Option(help="one-at-a-time or grid.  [default: one-at-a-time]")
    ] = None
    points: Annotated[
        int | None,
        typer.Option(metavar="N", help=f"Values of a parameter.  [default: {POINTS}]"),
    ] = None
    folds: Annotated[
        str | None, typer.Option(metavar="0,3", help=f"[default: the first {FOLDS}]")
    ] = None
    seeds: Annotated[
        str | None,
        typer.Option(metavar="0,1", help=f"[default: the first {SEEDS} of the benchmark]"),
    ] = None
    budget: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Trainings at most: with fewer points if need be."),
    ] = None

    @property
    def are_given(self) -> bool:
        return any(value is not None for value in astuple(self))

    def plan(self, spec: BenchmarkSpec, detector: str, folds: list[int]) -> SensitivityPlan:
        """What is to be trained.

        Raises:
            ConfigError: it cannot be, see ``omasgan.experiments.sensitivity.design.design``.
        """
        from omasgan import config, detectors
        from omasgan.experiments.sensitivity import design
        from omasgan.study.space import load_space

        cls = detectors.declared(detector)
        spaces = {} if self.space is None else {"--space": load_space(self.space, cls)}
        if detector in config.resource_names("search_spaces"):
            spaces["the detector's space"] = load_space(detector, cls)
        base = values.params(detector, self.around, None)
        first = next(iter(spaces.values()), None)
        return design.design(
            cls,
            design.varied(first, base)
            if self.params is None
            else values.names("--params", self.params),
            base,
            spaces,
            design=self.design or design.DESIGNS[0],
            points=POINTS if self.points is None else self.points,
            folds=folds,
            seeds=values.seeds(self.seeds) or spec.seeds[:SEEDS],
            budget=self.budget,
        )


def sensitivity(  # noqa: PLR0913 - typer reads an option from each
    benchmark: Annotated[
        str | None, typer.Argument(metavar="BENCHMARK", help="As for 'omasgan run'.")
    ] = None,
    detector: Annotated[
        str | None, typer.Argument(metavar="DETECTOR", help="As for 'omasgan run'.")
    ] = None,
    *,
    settings: Settings,
    data: Data,
    execution: Execution,
    output: PageOutput,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="DIR", help="Train nothing: analyse the sweeps in DIR."),
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Measure how much each parameter matters, and how surely.

    Trains settings around a base point; trainings share what they have in common, and the same
    command goes on where it stopped. The test set is looked at: this describes, and selects
    nothing. With --from, BENCHMARK and DETECTOR only pick some of the sweeps.
    """
    if from_ is not None:
        if settings.are_given:
            raise ConfigError(
                "--from trains nothing and takes no option of a training; leave these out"
            )
        name = full_name(detector) if detector else None
        _from_sweeps(from_, benchmark, name, output.endings)
    elif benchmark is None or detector is None:
        raise ConfigError("give BENCHMARK and DETECTOR to train, or --from DIR of a sweep")
    else:
        execution.check(device)
        names = benchmark, full_name(detector)
        _from_trainings(*names, settings, data, execution, output, device)


def _from_trainings(
    benchmark: str,
    detector: str,
    settings: Settings,
    data: Data,
    execution: Execution,
    output: PageOutput,
    device: str,
) -> None:
    from omasgan.experiments.sensitivity import training
    from omasgan.report.sensitivity import content
    from omasgan.training import labelled

    endings = output.endings
    spec = data.benchmark(benchmark)
    labelled.check_detector(detector, spec)
    chosen = values.integers("--folds", settings.folds)
    # first without the data, since reading them may take long, then with the folds they have
    settings.plan(spec, detector, chosen or list(range(FOLDS)))
    dataset, folds = data.load(spec, chosen)
    indices = [fold.index for fold in (folds if chosen else folds[:FOLDS])]
    plan = settings.plan(spec, detector, indices)
    space = None if settings.space is None else str(settings.space)
    study = training.SensitivitySpec(benchmark, spec, detector, plan, space, device)
    store, tracker = output.open()
    print(f"omasgan: {plan}", file=sys.stderr)
    with contextlib.closing(execution.open(device)) as backend, at_work(store, tracker) as watch:
        rows = training.train(study, store, backend, dataset, on_event=watch)
    folder = training.folder(store, spec.id, detector)
    _write(folder, content.page(study, rows), endings)
    if tracker is not None:
        tracker.page(folder)
    print_pages(store, tracker)
    failed = [row for row in rows if row["outcome"] != "ok"]
    for row in failed:
        run = f"{row['params_id']}, fold {row['fold']}, seed {row['seed']}"
        print(f"omasgan: {run}: {row['outcome']}: {row['error']}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def _from_sweeps(
    folder: str, benchmark: str | None, detector: str | None, endings: Sequence[str]
) -> None:
    import shlex

    from omasgan.report.sensitivity.sweeps import content
    from omasgan.report.sensitivity.sweeps.pool import pools
    from omasgan.store.files import open_root
    from omasgan.store.results import Store

    store = Store(open_root(folder), create=False)
    names = [name for name in (benchmark, detector) if name is not None]
    command = shlex.join(["omasgan", "sensitivity", *names, "--from", "DIR"])
    page = content.page(pools(store, benchmark, detector), command)
    _write(store.root / "sensitivity" / "sweeps", page, endings)


def _write(folder: AnyPath, page: Page, endings: Sequence[str]) -> None:
    """Write the page, and print the beginning of each section."""
    from omasgan.report.page import files, plain
    from omasgan.report.page.names import PAGE

    files.write(folder, files.of_page(page, endings))
    for section in page.sections:
        for paragraph in section.prose:
            print(paragraph)
        print_tables(plain.terminal(table) for table in list(section.tables)[:1])
    print(f"The page is {folder / PAGE}")
