"""What a report says, benchmark by benchmark: notes, tables and figures, not yet laid out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from omasgan.checks import geometry
from omasgan.data import published as literature
from omasgan.data.published import Number
from omasgan.data.selection import SENSITIVITY
from omasgan.report import statistics
from omasgan.report.page.blocks import Block, Command, Figure, Section, Table, slug
from omasgan.report.results import causes, commands, published, ranking, tables
from omasgan.report.results.inputs import Benchmark, StoredStudy, read_benchmark, read_study
from omasgan.store.journal import Row
from omasgan.store.results import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

FOLD_MEANING = {
    "leave-one-out": "fold k: class k is the anomaly, all other classes are normal",
    "one-vs-rest": "fold k: class k is normal, all other classes are anomalies",
    "out-of-dataset": "one fold: {dataset} is normal, the test split of {anomalies} anomalous",
}
MEANS = (
    "Means are taken over a fold's seeds, then over folds; sd is the sample standard deviation "
    "over folds and worst the fold with the least AUROC."
)
INTERVAL = (
    "interval: 95 % bootstrap interval of the mean AUROC. It covers other seeds on the same folds "
    "and test samples, not other folds, data or params; it has no width without randomness, and "
    "- stands where a fold has one seed only."
)
HELD = (
    "folds, seeds and runs read: held/in the benchmark; failed: runs that gave no score; seconds: "
    "mean of a run; peak MB: the most that a run took."
)
FPR95 = "fpr95: false positive rate at 95 % true positive rate, less is better."
ORACLE = "The rule oracle looks at the test anomalies: it measures optimism and is no result."
DIFFERENT = "Not all lines hold the same folds: compare them fold by fold, not by their means."
RANKS = (
    "Rank 1 is the best AUROC of a fold, ties averaged. against: omasgan under the line's own "
    "rule, or else the best mean; difference: between the mean AUROCs. P(better): how often the "
    "line beats the other with one seed each on the same fold, ties half; interval: 95 %, over "
    "other seeds on the same folds."
)
TESTS = (
    "p Holm: two-sided signed-rank test of the folds' means, corrected for the {n} tests of this "
    "table, so that it can't be below {least:.3f}; folds share training samples, so it is a "
    "little too small."
)
NO_TESTS = (
    f"No p: with fewer than {statistics.MIN_FOLDS} folds no test can reach {statistics.LEVEL}."
)
OPTIMISM = (
    "default: rule fixed, at the detector's defaults where it has several params; selected: by "
    "the rule that is named, without test anomalies; oracle: chosen on the test anomalies. gap: "
    "oracle - selected, what a look at the test is worth. Means over the folds that all of a line "
    "hold."
)
GEOMETRY = (
    "nearer: share of a fold's anomalies that lie nearer to the training normals than the median "
    "normal test sample does, by 1-NN on pixels; knn and gmm: AUROC. Distance points the wrong "
    "way, and a fold is ill-posed, where nearer is above 0.5 or knn below 0.5."
)
PUBLISHED = (
    "The same data, protocol and metric only, printed with the trust that each number deserves; "
    "sd over folds. Ours are means over the folds held."
)
FAILURES = (
    "Runs and trials without a number, by outcome and cause; first: where it happened first. "
    "Errors that differ in numbers alone count as one cause."
)
SETTINGS = (
    "seeds of the trainings; code: package version and commit; hours: all runs together; made by: "
    "the commands below."
)


@dataclass(frozen=True)
class Contents:
    """One benchmark: its runs, and what is said of them; ``rows`` are as they are stored."""

    benchmark: Benchmark
    rows: tuple[Row, ...]
    frame: pd.DataFrame
    studies: tuple[StoredStudy, ...]
    numbers: tuple[Number, ...]

    @property
    def commands(self) -> tuple[Command, ...]:
        return commands.of_benchmark(self.benchmark, self.frame, self.studies)


def read(store: Store) -> list[Contents]:
    """What ``store`` holds, one a benchmark, ordered by id.

    Runs of sensitivity studies are left out: they are no results, and have a page of their own.

    Raises:
        StoreError: a file of the store is damaged.
    """
    rows = [row for row in store.results() if row["selection"] != SENSITIVITY]
    found = [read_study(folder) for folder in store.studies()]
    ids = sorted({str(row["benchmark"]) for row in rows} | {study.benchmark for study in found})
    numbers = tuple(literature.read())
    of = {i: tuple(row for row in rows if row["benchmark"] == i) for i in ids}
    return [
        Contents(
            read_benchmark(store.root, i, of[i]),
            of[i],
            tables.runs(of[i], found),
            tuple(study for study in found if study.benchmark == i),
            numbers,
        )
        for i in ids
    ]


def section(store: Store, contents: Contents, *, with_scores: bool) -> Section:
    """Everything about a benchmark; figures of single scores only if asked, since they are read.

    Raises:
        StoreError: the scores of a run cannot be read.
    """
    made, frame = contents.commands, contents.frame
    blocks: list[Block] = []
    prose = [_note(contents.benchmark)]
    if not frame.empty:
        blocks += _results(store, contents, made)
    blocks += _searches(contents, made)
    bad = causes.table(frame, contents.studies)
    by = commands.made_by(made, ([of] for of in bad.index))
    blocks.append(Table("Failures and their causes", FAILURES, bad, page_only=True, commands=by))
    if with_scores and not frame.empty:
        from omasgan.report.results import scores

        prose.append(scores.note(frame))
        blocks += scores.details(store, frame)
    if not frame.empty:
        settings = tables.settings(frame)
        by = commands.made_by(made, ([entry] for entry in settings["entry"]))
        title = "How these numbers were made"
        blocks.append(Table(title, SETTINGS, settings, page_only=True, commands=by))
    name = contents.benchmark.id
    return Section(name, name, tuple(prose), tuple(blocks), made)


def _note(benchmark: Benchmark) -> str:
    about = benchmark.about
    if not about:
        return "The benchmark's own file is missing from this folder."
    meaning = FOLD_MEANING[about["protocol"]].format(**about)
    caps = [f"{k} = {about[k]}" for k in ("max_folds", "max_train", "max_test") if about.get(k)]
    smoke = f" Capped ({', '.join(caps)}): for smoke use, no result." if caps else ""
    return (
        f"Protocol {about['protocol']} on {about['dataset']}; {meaning}. "
        f"Data SHA-256 {about['data_sha256']}.{smoke}"
    )


def _results(store: Store, contents: Contents, made: tuple[Command, ...]) -> Iterator[Block]:
    frame, benchmark = contents.frame, contents.benchmark
    comparison = tables.comparison(frame, benchmark)
    notes = [MEANS, INTERVAL, HELD, FPR95]
    if "oracle" in set(comparison["selection"]):
        notes.append(ORACLE)
    folds = tables.by_fold(frame)
    if folds.isna().to_numpy().any():
        notes.append(DIFFERENT)
    yield Table(
        "Detectors",
        " ".join(notes),
        comparison,
        ("average_precision", "folds", "seeds"),
        commands=commands.made_by(made, ([str(entry)] for entry in comparison.index)),
    )
    means = tables.fold_means(frame)
    if means:
        best = folds.iloc[0]
        yield Figure(
            slug(benchmark.id, "boxes"),
            "Spread over folds",
            f"The folds' means over their seeds; rules: {_rules(frame)}.",
            f"{len(means)} entries, best mean on top: {best['entry']} with {best['auroc']:.3f}.",
            partial(_boxes, means),
        )
    yield _by_entry(Table("AUROC by fold", "Mean over the seeds of the fold.", folds), made)
    yield from _ranks(contents, made)
    stages = tables.stages(frame)
    if not stages.empty:
        caption = f"All scores of an entry come from the same trainings. {MEANS}"
        yield _by_entry(Table("AUROC by stage", caption, stages), made)
    yield from _beside(store, contents, made)


def _ranks(contents: Contents, made: tuple[Command, ...]) -> Iterator[Block]:
    """How sure the order of the entries is, and what choosing on the test would have bought."""
    for group in ranking.groups(contents.frame):
        count = len(group.folds)
        folds, rules = ",".join(map(str, group.folds)), ", ".join(group.rules)
        tests = NO_TESTS
        if group.tested:
            least = statistics.least_p(group.n_tests, count)
            tests = TESTS.format(n=group.n_tests, least=least)
        where = f"on {count} fold{'' if count == 1 else 's'}"
        caption = f"Folds {folds}; rules: {rules}. {RANKS} {tests}"
        ranks = ranking.table(group)
        yield _by_entry(Table(f"Average rank and tests {where}", caption, ranks, ("auroc",)), made)
        if group.tested and len(group.aurocs) > 2:
            yield Figure(
                slug(contents.benchmark.id, "average ranks", where),
                f"Average ranks {where}",
                f"Folds {folds}; rules: {rules}; entries that a bar joins are not told apart.",
                f"{len(ranks)} entries on one axis; the first is {ranks['entry'].iloc[0]}.",
                partial(_diagram, group.means),
            )
    ledger = ranking.optimism(contents.frame)
    if not ledger.empty:
        by = commands.made_by(made, ledger.index)
        yield Table("Optimism ledger", OPTIMISM, ledger, commands=by)


def _beside(store: Store, contents: Contents, made: tuple[Command, ...]) -> Iterator[Table]:
    """What the results have to be read against: the folds' geometry and the literature."""
    frame, benchmark, numbers = contents.frame, contents.benchmark, list(contents.numbers)
    cards = geometry.cards(store, benchmark.id, contents.rows)
    if cards:
        yardsticks = frame[
            frame["detector"].isin(("knn", "gmm")) & (frame["selection"] == "fixed")
        ]
        by = commands.made_by(made, [set(yardsticks["entry"])] * len(cards))
        yield Table("Geometry card", GEOMETRY, tables.geometry(cards), commands=by)
    means = published.means(frame, benchmark, numbers)
    if not means.empty:
        ours = ([source.removeprefix(published.OURS)] for source in means["source"])
        by = commands.made_by(made, ours)
        yield Table("Published numbers", PUBLISHED, means, page_only=True, commands=by)
    folds = published.by_fold(benchmark, numbers)
    if not folds.empty:
        caption = "Beside the table AUROC by fold."
        yield Table("Published numbers by fold", caption, folds, page_only=True)


def _searches(contents: Contents, made: tuple[Command, ...]) -> Iterator[Block]:
    studies = contents.studies
    if not studies:
        return
    yield Table(
        "Studies",
        "Trials by outcome. The objective is the mean AUROC over the selection rule's own tasks, "
        "not a test result.",
        tables.studies(studies),
        commands=commands.made_by(made, ([study.label] for study in studies)),
    )
    winners = tables.winners(studies)
    if not winners.empty:
        by = commands.made_by(made, [[study.label for study in studies]] * len(winners))
        yield Table("Winners", "Params of each study's best trial.", winners, commands=by)
    for study in studies:
        if study.trials:
            yield Figure(
                slug(contents.benchmark.id, study.label, "search"),
                f"Search: {study.label}",
                f"Rule {study.selection}; {len(study.trials)} trials; the objective is the mean "
                "AUROC over the rule's own tasks, not a test result.",
                _course(study),
                partial(_search, study),
            )


def _by_entry(table: Table, made: tuple[Command, ...]) -> Table:
    """The table, whose lines tell their entries, with the commands that made them."""
    by = commands.made_by(made, ([entry] for entry in table.frame["entry"]))
    return replace(table, commands=by)


def _course(study: StoredStudy) -> str:
    found = [trial["objective"] for trial in study.trials if trial["outcome"] == "ok"]
    best = f"; the best objective is {max(found):.3f}" if found else ""
    return f"Objectives of {len(study.trials)} trials in their order{best}."


def _rules(frame: pd.DataFrame) -> str:
    return ", ".join(sorted(set(frame[frame["current"]]["selection"])))


def _boxes(means: Mapping[str, Sequence[float]]) -> Drawing:
    from omasgan.report.results import figures

    return figures.box_plot(means, "")


def _diagram(means: pd.DataFrame) -> Drawing:
    from omasgan.report.results import figures

    return figures.critical_difference(means, "")


def _search(study: StoredStudy) -> Drawing:
    from omasgan.report.results import figures

    return figures.search(study.trials, "")
