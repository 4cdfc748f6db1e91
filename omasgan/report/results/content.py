"""The sections of a report, one for each benchmark: which tables and figures it has, and where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from omasgan.checks import geometry
from omasgan.data import published as literature
from omasgan.data.published import Number
from omasgan.data.selection import SENSITIVITY
from omasgan.report import statistics
from omasgan.report.page import formats
from omasgan.report.page.blocks import Block, Command, Figure, Section, Table, slug
from omasgan.report.results import (
    answer,
    averages,
    captions,
    failures,
    optimism,
    provenance,
    published,
    ranking,
    tables,
)
from omasgan.report.results.commands import of_benchmark, producing
from omasgan.report.results.inputs import Benchmark, StoredStudy, read_benchmark, read_study
from omasgan.report.results.ranking import Group
from omasgan.report.results.runs import current, fold_names, runs, short_names
from omasgan.store.journal import Row
from omasgan.store.results import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


SETTINGS = "How these numbers were made"


@dataclass(frozen=True)
class Contents:
    """What a store holds of one benchmark; ``rows`` are as they are stored, ``frame`` is
    ``runs`` of them.
    """

    benchmark: Benchmark
    rows: tuple[Row, ...]
    frame: pd.DataFrame
    studies: tuple[StoredStudy, ...]
    numbers: tuple[Number, ...]

    @property
    def commands(self) -> tuple[Command, ...]:
        return of_benchmark(self.benchmark, self.frame, self.studies)


def read(store: Store) -> list[Contents]:
    """What ``store`` holds, one item for each benchmark, ordered by id.

    Runs of sensitivity studies are left out: they are no results, and have a page of their own.

    Raises:
        StoreError: a file of the store is damaged.
    """
    rows = [row for row in store.results() if row["selection"] != SENSITIVITY]
    studies = [read_study(folder) for folder in store.studies()]
    ids = sorted({str(row["benchmark"]) for row in rows} | {s.benchmark for s in studies})
    rows_of = {i: tuple(row for row in rows if row["benchmark"] == i) for i in ids}
    numbers = tuple(literature.read())
    return [
        Contents(
            read_benchmark(store.root, i, rows_of[i]),
            rows_of[i],
            runs(rows_of[i], studies),
            tuple(study for study in studies if study.benchmark == i),
            numbers,
        )
        for i in ids
    ]


def section(store: Store, contents: Contents, *, with_scores: bool) -> Section:
    """The section of a benchmark; figures of single scores only if asked, since they are read.

    Raises:
        StoreError: the scores of a run cannot be read.
    """
    commands, frame = contents.commands, contents.frame
    prose = [_about(contents.benchmark), *_fold_names(frame)]
    blocks: list[Block] = []
    if not frame.empty:
        prose += provenance.notes(frame)
        blocks += _results(store, contents, commands)
    blocks += _searches(contents, commands)
    bad = failures.table(frame, contents.studies)
    failed = Table("Failures and their causes", captions.FAILURES, bad)
    blocks.append(_produced(failed, commands, ([of] for of in bad.index)))
    if with_scores and not frame.empty:
        from omasgan.report.results import scores

        prose.append(scores.note(frame))
        blocks += scores.details(store, frame)
    if not frame.empty:
        table = tables.settings(frame)
        settings = Table(SETTINGS, captions.SETTINGS, table, anchored="params")
        blocks.append(_by_entry(settings, commands))
    name = contents.benchmark.id
    said = answer.sentences(frame, contents.benchmark, contents.studies)
    return Section(name, name, tuple(prose), tuple(blocks), commands, tuple(said))


def _about(benchmark: Benchmark) -> str:
    about = benchmark.about
    if not about:
        return "The benchmark's own file is missing from this folder."
    meaning = captions.FOLDS[about["protocol"]].format(**about)
    caps = [f"{k} = {about[k]}" for k in ("max_folds", "max_train", "max_test") if about.get(k)]
    smoke = f" Capped ({', '.join(caps)}): for a smoke test, no result." if caps else ""
    return (
        f"Protocol {about['protocol']} on {about['dataset']}; {meaning}. "
        f"Data SHA-256 {about['data_sha256']}.{smoke}"
    )


def _fold_names(frame: pd.DataFrame) -> Iterator[str]:
    """The numbers of the folds, which commands take, where their names do not end with them."""
    names = {} if frame.empty else fold_names(frame)
    if any(name.split()[-1] != str(fold) for fold, name in names.items()):
        yield f"Folds by number: {', '.join(f'{fold} {name}' for fold, name in names.items())}."


def _results(store: Store, contents: Contents, commands: Sequence[Command]) -> Iterator[Block]:
    frame, benchmark = contents.frame, contents.benchmark
    folds = tables.by_fold(frame)
    shaded = tuple(name for name in fold_names(frame).values() if name in folds)
    by_fold = Table("AUROC by fold", captions.BY_FOLD, folds, for_terminal=True, shaded=shaded)
    yield _by_entry(by_fold, commands)
    yield _detectors(contents, folds, commands)
    yield from _pictures(contents, folds)
    groups = ranking.groups(frame)
    for group in groups:
        yield from _ranks(benchmark, group, _where(group, groups), commands)
    ledger = optimism.ledger(frame)
    table = Table("Optimism ledger", captions.OPTIMISM, ledger)
    yield _produced(table, commands, ledger.index)
    stages = tables.stages(frame)
    caption = f"All scores of an entry come from the same trainings. {captions.MEANS}"
    yield _by_entry(Table("AUROC by stage", caption, stages), commands)
    yield from _context(store, contents, commands)


def _pictures(contents: Contents, folds: pd.DataFrame) -> Iterator[Figure]:
    """The table of all entries as pictures: their folds, and what they cost."""
    frame, benchmark = contents.frame, contents.benchmark
    means = averages.by_entry(frame)
    if not means:
        return
    names, best = short_names(frame), folds.iloc[0]
    yield Figure(
        slug(benchmark.id, "boxes"),
        "Spread over folds",
        f"The folds' means over their seeds; rules: {_rules(frame)}.",
        f"{len(means)} entries, best mean on top: {best['entry']} with {best['auroc']:.3f}.",
        partial(_draw_boxes, {names[entry]: values for entry, values in means.items()}),
    )
    costs = [(names[entry], seconds, auroc) for entry, seconds, auroc in tables.costs(frame)]
    if len(costs) > 1:
        yield Figure(
            slug(benchmark.id, "time"),
            "AUROC and time",
            "Mean seconds of a run, and mean AUROC. Orange: no entry is both faster and better.",
            f"{len(costs)} entries by their seconds; {best['entry']} has the best AUROC.",
            partial(_draw_costs, costs),
        )


def _detectors(contents: Contents, folds: pd.DataFrame, commands: Sequence[Command]) -> Table:
    """The table of all entries."""
    comparison = tables.comparison(contents.frame, contents.benchmark)
    notes = [captions.MEANS, captions.INTERVAL, captions.COUNTS, captions.FPR95]
    if "oracle" in set(comparison["selection"]):
        notes.append(captions.ORACLE)
    if folds.isna().to_numpy().any():
        notes.append(captions.DIFFERENT_FOLDS)
    if "device" in comparison:
        notes.append(captions.DIFFERENT_DEVICES)
    table = Table("Detectors", " ".join(notes), comparison, links=_links(contents))
    return _produced(table, commands, ([str(entry)] for entry in comparison.index))


def _links(contents: Contents) -> dict[str, str]:
    """What leads from params in a table to their row in the table of settings."""
    id, shown = contents.benchmark.id, current(contents.frame)
    links = {params_id[:6]: slug(id, params_id) for params_id in shown["params_id"]}
    for _, group in shown.groupby("entry"):
        links[f"{group['params_id'].nunique()} winners"] = slug(id, SETTINGS)
        links[group["variant"].iloc[0]] = slug(id, group["params_id"].iloc[0])
    links.pop("", None)
    return links


def _where(group: Group, groups: Sequence[Group]) -> str:
    """On how many folds a group was compared; and on which, if another one has as many."""
    count = len(group.folds)
    text = f"on {count} fold{'' if count == 1 else 's'}"
    is_alone = [len(other.folds) for other in groups].count(count) == 1
    return text if is_alone else f"{text} ({formats.distinct(group.folds)})"


def _ranks(
    benchmark: Benchmark, group: Group, where: str, commands: Sequence[Command]
) -> Iterator[Block]:
    """How certain the order of the entries is."""
    scope = f"Folds {formats.distinct(group.folds)}; rules: {', '.join(group.rules)}"
    tests = captions.NO_TESTS
    if group.tested:
        least = statistics.least_p(group.n_tests, len(group.folds))
        tests = captions.TESTS.format(n=group.n_tests, least=least)
    ranks = ranking.table(group)
    caption = f"{scope}. {captions.RANKS} {tests}"
    yield _by_entry(Table(f"Average rank and tests {where}", caption, ranks), commands)
    if group.tested and len(group.aurocs) > 2:
        yield Figure(
            slug(benchmark.id, "average ranks", where),
            f"Average ranks {where}",
            f"{scope}; {captions.NOT_SIGNIFICANT}.",
            f"{len(ranks)} entries on one axis; the first is {ranks['entry'].iloc[0]}.",
            partial(_draw_ranks, group.means),
            is_broad=True,
        )


def _context(store: Store, contents: Contents, commands: Sequence[Command]) -> Iterator[Table]:
    """What the results have to be compared with: the folds' geometry and the literature."""
    frame, benchmark, numbers = contents.frame, contents.benchmark, contents.numbers
    cards = geometry.cards(store, benchmark.id, contents.rows)
    is_yardstick = frame["detector"].isin(("knn", "gmm")) & (frame["selection"] == "fixed")
    yardsticks = set(frame[is_yardstick]["entry"])
    card = Table("Geometry card", captions.GEOMETRY, tables.geometry(cards, fold_names(frame)))
    yield _produced(card, commands, [yardsticks] * len(cards))
    means = published.means(frame, benchmark, numbers)
    table = Table("Published numbers", captions.PUBLISHED, means)
    sources = (source.removeprefix(published.OURS) for source in means["source"])
    yield _produced(table, commands, ([source] for source in sources))
    folds = published.by_fold(benchmark, numbers)
    caption = "To be read beside the table AUROC by fold."
    yield Table("Published numbers by fold", caption, folds)


def _searches(contents: Contents, commands: Sequence[Command]) -> Iterator[Block]:
    studies = contents.studies
    if not studies:
        return
    labels = [study.label for study in studies]
    table = tables.studies(studies)
    caption = f"Trials by outcome. {captions.OBJECTIVE} {captions.WINNER}"
    caption += f" {captions.LENGTHENED}" if "note" in table else ""
    yield _produced(Table("Studies", caption, table), commands, ([label] for label in labels))
    winners = tables.winners(studies)
    table_of_winners = Table("Winners", captions.WINNERS, winners)
    yield _produced(table_of_winners, commands, [labels] * len(winners))
    for study in studies:
        if study.trials:
            count = len(study.trials)
            yield Figure(
                slug(contents.benchmark.id, study.label, "search"),
                f"Search: {study.label}",
                f"Rule {study.selection}; {count} trials. {captions.OBJECTIVE}",
                f"Objectives of {count} trials in their order{_best(study)}.",
                partial(_draw_search, study),
            )


def _by_entry(table: Table, commands: Sequence[Command]) -> Table:
    """A table with a column ``entry``, with the commands that produce its rows."""
    entries = () if table.frame.empty else tuple(table.frame["entry"])
    return _produced(table, commands, ([entry] for entry in entries))


def _produced(table: Table, commands: Sequence[Command], shown: Iterable[Iterable[str]]) -> Table:
    """The table with the commands that produce the entries or studies ``shown`` in each row."""
    return replace(table, commands=producing(commands, shown))


def _best(study: StoredStudy) -> str:
    objectives = [trial["objective"] for trial in study.trials if trial["outcome"] == "ok"]
    return f"; the best objective is {max(objectives):.3f}" if objectives else ""


def _rules(frame: pd.DataFrame) -> str:
    return ", ".join(sorted(set(current(frame)["selection"])))


def _draw_boxes(means: Mapping[str, Sequence[float]]) -> Drawing:
    from omasgan.report.results import figures

    return figures.box_plot(means)


def _draw_costs(costs: Sequence[tuple[str, float, float]]) -> Drawing:
    from omasgan.report.results import figures

    return figures.costs(costs)


def _draw_ranks(means: pd.DataFrame) -> Drawing:
    from omasgan.report.results import figures

    return figures.critical_difference(means)


def _draw_search(study: StoredStudy) -> Drawing:
    from omasgan.report.results import figures

    return figures.search(study.trials)
