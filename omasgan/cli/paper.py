"""``omasgan paper``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from omasgan.cli.options.execution import Execution
from omasgan.cli.options.groups import DeviceOption
from omasgan.cli.options.output import PageOutput, at_work, print_pages, print_tables
from omasgan.errors import ConfigError, DataError

if TYPE_CHECKING:
    from omasgan.backends.contract import Backend
    from omasgan.data.datasets import Dataset
    from omasgan.experiments.paper.planning import SuitePlan
    from omasgan.experiments.paper.suites import BudgetName
    from omasgan.progress import OnEvent
    from omasgan.store.journal import Row
    from omasgan.store.results import Store

    Data: TypeAlias = dict[str, Dataset | str]
    """By benchmark, its data, or why there are none."""


def paper(  # noqa: PLR0913 - typer reads an option from each
    suites: Annotated[
        list[str] | None, typer.Argument(metavar="[SUITE]...", help="Names, or TOML files.")
    ] = None,
    *,
    all_: Annotated[
        bool, typer.Option("--all", help="All suites; those whose data are missing are skipped.")
    ] = False,
    budget: Annotated[str, typer.Option(help="smoke, small or full.")] = "smoke",
    trials: Annotated[
        int | None,
        typer.Option(
            min=2, help="Configurations of a suite with a pool.  [default: the budget's]"
        ),
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(metavar="DIR", envvar="OMASGAN_DATA", help="Folder with the image files."),
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch missing image files into the data root.")
    ] = False,
    execution: Execution,
    output: PageOutput,
    device: DeviceOption = "auto",
) -> None:
    """Run the paper's studies, and write a page for each.

    The page has the paper's numbers beside ours. Without SUITE the suites are listed with the
    number of their trainings. Suites share trainings, none is repeated once it is done, and the
    same command goes on where it stopped.
    """
    from omasgan.experiments.paper import planning, training
    from omasgan.experiments.paper import suites as shipped

    if suites and all_:
        raise ConfigError("--all runs all suites; give it or their names, not both")
    chosen, endings = _budget(budget), output.endings
    names = suites or shipped.names()
    plans = [planning.schedule(shipped.load(name), chosen, trials) for name in names]
    if trials is not None and not any(plan.pool for plan in plans):
        raise ConfigError(
            f"--trials is for suites with a pool of configurations, which {', '.join(names)} "
            "don't have; leave it out, or run selection-regret"
        )
    if not suites and not all_:
        _list(plans)
        return
    execution.check(device)
    data = _load(plans, data_root, download)
    for plan in plans:
        _check_data(plan, data, skip=all_)
    store, tracker = output.open()
    with contextlib.closing(execution.open(device)) as backend, at_work(store, tracker) as watch:
        failed = [
            row
            for plan in plans
            if _has_data(plan, data)
            for row in _run(plan, data, store, backend, device, watch, endings)
        ]
    if tracker is not None:
        for plan in plans:
            if _has_data(plan, data):
                tracker.page(training.folder(store, plan))
    print_pages(store, tracker)
    for row in failed:
        run = f"{row['benchmark']}, {row['detector']}, fold {row['fold']}, seed {row['seed']}"
        print(f"omasgan: {run}: {row['outcome']}: {row['error']}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def _budget(name: str) -> BudgetName:
    from omasgan.errors import unknown
    from omasgan.experiments.paper.suites import BUDGETS

    for known in BUDGETS:
        if known == name:
            return known
    raise unknown("budget", name, BUDGETS)


def _list(plans: Sequence[SuitePlan]) -> None:
    name = max(len(plan.suite.name) for plan in plans)
    width = max(len(plan.suite.title) for plan in plans)
    for plan in plans:
        count = f"{plan.trainings + plan.judging} trainings at budget {plan.budget}"
        print(f"{plan.suite.name:{name}} {plan.suite.title:{width}}  {count}")


def _load(plans: Sequence[SuitePlan], root: Path | None, download: bool) -> Data:
    from omasgan.data import protocols

    data: Data = {}
    for spec in dict.fromkeys(spec for plan in plans for spec in plan.benchmarks):
        if spec.name not in data:
            try:
                data[spec.name] = protocols.load_data(spec, root=root, download=download)
            except DataError as error:
                data[spec.name] = str(error)
    return data


def _has_data(plan: SuitePlan, data: Data) -> bool:
    """Whether something of the suite can be run: it needs no data, or some are there."""
    return not plan.benchmarks or len(_missing(plan, data)) < len(plan.benchmarks)


def _missing(plan: SuitePlan, data: Data) -> dict[str, str]:
    """By benchmark without data, why."""
    reasons = {spec.name: data[spec.name] for spec in plan.benchmarks}
    return {name: reason for name, reason in reasons.items() if isinstance(reason, str)}


def _check_data(plan: SuitePlan, data: Data, *, skip: bool) -> None:
    """Print what is missing; refuse a suite without any data, unless it may be skipped."""
    missing = _missing(plan, data)
    if not _has_data(plan, data) and not skip:
        raise DataError(f"{plan.suite.name}: {next(iter(missing.values()))}")
    verb = "runs without" if _has_data(plan, data) else "is skipped for"
    for name, reason in missing.items():
        print(f"omasgan: {plan.suite.name} {verb} {name}: {reason}", file=sys.stderr)


def _run(
    plan: SuitePlan,
    data: Data,
    store: Store,
    backend: Backend,
    device: str,
    watch: OnEvent,
    figures: Sequence[str],
) -> list[Row]:
    """Train a suite and write its page; the rows of trainings that gave no score."""
    from omasgan.experiments.paper import training
    from omasgan.report.page import files, plain
    from omasgan.report.page.names import PAGE
    from omasgan.report.paper import content

    there = {name: one for name, one in data.items() if not isinstance(one, str)}
    parts = training.train(plan, there, store, backend, device=device, on_event=watch)
    page = content.page(plan, parts, store, list(_missing(plan, data)))
    folder = training.folder(store, plan)
    files.write(folder, files.of_page(page, figures))
    print(f"{plan.suite.title} (budget {plan.budget})")
    tables = [table for section in page.sections for table in section.tables]
    by_title = {table.title: table for table in tables}
    shown = [table for table in tables if table.for_terminal]
    shown = shown or [by_title.get("AUROC", tables[0])]
    print_tables(plain.terminal(table) for table in shown)
    print(f"The page is {folder / PAGE}")
    return [row for part in parts for row in part.rows.values() if row["outcome"] != "ok"]
