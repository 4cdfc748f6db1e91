"""``omasgan paper``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omasgan.cli.options.execution import Execution
from omasgan.cli.options.groups import DeviceOption, ResumeOption
from omasgan.cli.options.output import at_work, print_tables
from omasgan.errors import ConfigError, DataError

if TYPE_CHECKING:
    from omasgan.backends.contract import Backend
    from omasgan.data.datasets import Dataset
    from omasgan.experiments.paper.planning import SuitePlan
    from omasgan.experiments.paper.suites import BudgetName
    from omasgan.progress import OnEvent
    from omasgan.store.journal import Row
    from omasgan.store.results import Store


def paper(
    suites: Annotated[
        list[str] | None, typer.Argument(metavar="[SUITE]...", help="Names, or TOML files.")
    ] = None,
    *,
    all_: Annotated[
        bool, typer.Option("--all", help="All suites; those whose data are missing are skipped.")
    ] = False,
    budget: Annotated[str, typer.Option(help="smoke, small or full.")] = "smoke",
    data_root: Annotated[
        Path | None,
        typer.Option(metavar="DIR", envvar="OMASGAN_DATA", help="Folder with the image files."),
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch missing image files into the data root.")
    ] = False,
    execution: Execution,
    out: Annotated[
        str, typer.Option(metavar="DIR", help="Where runs, pages and stage cache go.")
    ] = "out",
    resume: ResumeOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Run the paper's studies and write a page each, beside the numbers that it prints.

    Without SUITE they are listed with the trainings that each takes. What is done is not trained
    again; suites share their trainings.
    """
    from omasgan.experiments.paper import planning
    from omasgan.experiments.paper import suites as shipped
    from omasgan.store.files import open_root
    from omasgan.store.results import Store

    if suites and all_:
        raise ConfigError("--all takes all suites; give it or their names, not both")
    chosen = _budget(budget)
    names = suites or shipped.names()
    plans = [planning.schedule(shipped.load(name), chosen) for name in names]
    if not suites and not all_:
        _list(plans)
        return
    execution.check(device)
    data = _load(plans, data_root, download)
    for made in plans:
        _check_data(made, data, skip=all_)
    store = Store(open_root(out))
    with contextlib.closing(execution.open(device)) as backend, at_work(store, None) as watch:
        lost = [
            row
            for made in plans
            if _has_data(made, data)
            for row in _carry_out(made, data, store, backend, device, resume, watch)
        ]
    for row in lost:
        where = f"{row['benchmark']}, {row['detector']}, fold {row['fold']}, seed {row['seed']}"
        print(f"omasgan: {where}: {row['outcome']}: {row['error']}", file=sys.stderr)
    if lost:
        raise typer.Exit(1)


def _budget(name: str) -> BudgetName:
    from omasgan.errors import unknown
    from omasgan.experiments.paper.suites import BUDGETS

    for known in BUDGETS:
        if known == name:
            return known
    raise unknown("budget", name, BUDGETS)


def _list(plans: Sequence[SuitePlan]) -> None:
    width = max(len(made.suite.title) for made in plans)
    for made in plans:
        count = f"{made.trainings} trainings at budget {made.budget}"
        print(f"{made.suite.name:10} {made.suite.title:{width}}  {count}")


def _load(
    plans: Sequence[SuitePlan], root: Path | None, download: bool
) -> dict[str, Dataset | str]:
    """By benchmark, its data, or why there are none."""
    from omasgan.data import protocols

    found: dict[str, Dataset | str] = {}
    for spec in dict.fromkeys(spec for made in plans for spec in made.benchmarks):
        if spec.name not in found:
            try:
                found[spec.name] = protocols.load_data(spec, root=root, download=download)
            except DataError as error:
                found[spec.name] = str(error)
    return found


def _has_data(made: SuitePlan, data: dict[str, Dataset | str]) -> bool:
    held = [not isinstance(data[spec.name], str) for spec in made.benchmarks]
    return any(held) or not held


def _missing(made: SuitePlan, data: dict[str, Dataset | str]) -> dict[str, str]:
    """By benchmark without data, why."""
    reasons = {spec.name: data[spec.name] for spec in made.benchmarks}
    return {name: reason for name, reason in reasons.items() if isinstance(reason, str)}


def _check_data(made: SuitePlan, data: dict[str, Dataset | str], *, skip: bool) -> None:
    """Say what is missing; refuse a suite of which there is nothing, unless it may be skipped."""
    missing = _missing(made, data)
    if not _has_data(made, data) and not skip:
        raise DataError(f"{made.suite.name}: {next(iter(missing.values()))}")
    verb = "goes without" if _has_data(made, data) else "is skipped for"
    for name, reason in missing.items():
        print(f"omasgan: {made.suite.name} {verb} {name}: {reason}", file=sys.stderr)


def _carry_out(
    made: SuitePlan,
    data: dict[str, Dataset | str],
    store: Store,
    backend: Backend,
    device: str,
    resume: bool,
    watch: OnEvent,
) -> list[Row]:
    """Train a suite and write its page; the rows of trainings that gave no score."""
    from omasgan.experiments.paper import training
    from omasgan.report.page import files, plain
    from omasgan.report.paper import content

    held = {name: one for name, one in data.items() if not isinstance(one, str)}
    parts = training.train(
        made, held, store, backend, device=device, resume=resume, on_event=watch
    )
    page = content.page(made, parts, store, list(_missing(made, data)))
    folder = training.folder(store, made)
    files.write(folder, files.of_page(page))
    print(f"{made.suite.title} (budget {made.budget})")
    tables = [table for section in page.sections for table in section.tables]
    named = {table.title: table for table in tables}
    print_tables(plain.terminal(table) for table in [named.get("AUROC", tables[0])])
    print(f"The page is {folder / 'index.html'}")
    return [row for part in parts for row in part.rows.values() if row["outcome"] != "ok"]
