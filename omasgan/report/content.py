"""What a report says, benchmark by benchmark: notes, tables and figures, not yet laid out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from omasgan import geometry
from omasgan.config import digest
from omasgan.report import published, ranking, statistics, tables
from omasgan.report.inputs import Benchmark, Study, read_benchmark, read_study
from omasgan.store import RunKey, Store

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
    "folds, seeds and runs read: held/in the benchmark; not ok: runs that gave no score; seconds: "
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
SWEEP_FLAGS = ("selection", "inner", "sampler", "pruner", "seed")
PICTURES = 3
"""Of how many folds an entry shows its pictures; the others lie beside their runs."""


@dataclass(frozen=True)
class Table:
    """A frame with what has to be said about it; a terminal has no room for columns ``aside``,
    nor for a table that is ``page_only``.
    """

    title: str
    caption: str
    frame: pd.DataFrame
    aside: tuple[str, ...] = ()
    page_only: bool = False


@dataclass(frozen=True)
class Figure:
    """A picture as a PNG file's bytes; ``name`` is unique in a report and fit for a file."""

    name: str
    title: str
    png: bytes


@dataclass(frozen=True)
class Section:
    """One benchmark: its results, its searches and how each number was made."""

    benchmark: Benchmark
    note: str
    frame: pd.DataFrame
    studies: tuple[Study, ...]
    results: tuple[Table, ...]
    searches: tuple[Table, ...]
    settings: Table
    commands: tuple[str, ...]


def sections(store: Store) -> list[Section]:
    """The sections of a report on ``store``, one a benchmark, ordered by id."""
    rows = store.results()
    found = [read_study(folder) for folder in store.studies()]
    ids = sorted({str(row["benchmark"]) for row in rows} | {study.benchmark for study in found})
    return [
        _section(
            store,
            read_benchmark(store.root, i, [row for row in rows if row["benchmark"] == i]),
            tables.runs((row for row in rows if row["benchmark"] == i), found),
            tuple(study for study in found if study.benchmark == i),
        )
        for i in ids
    ]


def figures(store: Store, section: Section) -> Iterator[Figure]:
    """The figures of a section, drawn from the scores, the pictures and the trials."""
    from omasgan.report import figures as draw

    name, frame = section.benchmark.id, section.frame
    for study in section.studies:
        if study.trials:
            title = f"{name}: {study.label}, {len(study.trials)} trials"
            picture = draw.png(draw.search(study.trials, title))
            yield Figure(_slug(name, study.label, "search"), title, picture)
    means = {} if frame.empty else tables.fold_means(frame)
    if not means:
        return
    title = f"{name}: AUROC by fold"
    yield Figure(_slug(name, "boxes"), title, draw.png(draw.box_plot(means, title)))
    for group in ranking.groups(frame):
        if group.tested and len(group.aurocs) > 2:
            title = f"{name}: average ranks on {len(group.folds)} folds"
            picture = draw.png(draw.critical_difference(group.means, title))
            yield Figure(_slug(title), title, picture)
    held = frame[frame["current"] & (frame["outcome"] == "ok")]
    for entry, lines in held.groupby("entry", sort=False):
        yield from _score_figures(store, f"{name}: {entry}", lines)


def params_files(section: Section) -> dict[str, str]:
    """By params id, the params of every run as TOML, as ``omasgan run --params`` takes them."""
    if section.frame.empty:
        return {}
    unique = section.frame.drop_duplicates("params_id")
    return {
        str(i): _toml(json.loads(params))
        for i, params in zip(unique["params_id"], unique["params"], strict=True)
    }


def space_files(section: Section) -> dict[str, str]:
    """By its id, the space of every study as TOML, as ``omasgan sweep --space`` takes it."""
    return {
        space_id(study): _toml(study.about["space"])
        for study in section.studies
        if study.about.get("space")
    }


def space_id(study: Study) -> str:
    """A name for a study's space that is the same for the same space."""
    return f"{study.detector.replace(':', '.')}-{digest(study.about['space'])[:12]}"


def _section(
    store: Store, benchmark: Benchmark, frame: pd.DataFrame, studies: tuple[Study, ...]
) -> Section:
    return Section(
        benchmark=benchmark,
        note=_note(benchmark),
        frame=frame,
        studies=studies,
        results=() if frame.empty else tuple(_results(store, benchmark, frame)),
        searches=tuple(_searches(studies)),
        settings=Table(
            "How these numbers were made",
            "seeds of the trainings; code: package version and commit; hours: all runs together.",
            pd.DataFrame() if frame.empty else tables.settings(frame),
        ),
        commands=(*_runs_commands(benchmark, frame), *_sweep_commands(benchmark, studies)),
    )


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


def _results(store: Store, benchmark: Benchmark, frame: pd.DataFrame) -> Iterator[Table]:
    comparison = tables.comparison(frame, benchmark)
    notes = [MEANS, INTERVAL, HELD, FPR95]
    if "oracle" in set(comparison["selection"]):
        notes.append(ORACLE)
    folds = tables.by_fold(frame)
    if folds.isna().to_numpy().any():
        notes.append(DIFFERENT)
    yield Table("Detectors", " ".join(notes), comparison, ("average_precision", "folds", "seeds"))
    yield Table("AUROC by fold", "Mean over the seeds of the fold.", folds)
    yield from _ranks(frame)
    stages = tables.stages(frame)
    if not stages.empty:
        caption = f"All scores of an entry come from the same trainings. {MEANS}"
        yield Table("AUROC by stage", caption, stages)
    yield from _beside(store, benchmark, frame)


def _ranks(frame: pd.DataFrame) -> Iterator[Table]:
    """How sure the order of the entries is, and what choosing on the test would have bought."""
    for group in ranking.groups(frame):
        count = len(group.folds)
        folds, rules = ",".join(map(str, group.folds)), ", ".join(group.rules)
        tests = NO_TESTS
        if group.tested:
            least = statistics.least_p(group.n_tests, count)
            tests = TESTS.format(n=group.n_tests, least=least)
        title = f"Average rank and tests on {count} fold{'' if count == 1 else 's'}"
        caption = f"Folds {folds}; rules: {rules}. {RANKS} {tests}"
        yield Table(title, caption, ranking.table(group), ("auroc",))
    ledger = ranking.optimism(frame)
    if not ledger.empty:
        yield Table("Optimism ledger", OPTIMISM, ledger)


def _beside(store: Store, benchmark: Benchmark, frame: pd.DataFrame) -> Iterator[Table]:
    """What the results have to be read against: the folds' geometry and the literature."""
    cards = geometry.cards(store, benchmark.id)
    if cards:
        yield Table("Geometry card", GEOMETRY, tables.geometry(cards))
    numbers = published.read()
    means = published.means(frame, benchmark, numbers)
    if not means.empty:
        yield Table("Published numbers", PUBLISHED, means, page_only=True)
    folds = published.by_fold(benchmark, numbers)
    if not folds.empty:
        caption = "Beside the table AUROC by fold."
        yield Table("Published numbers by fold", caption, folds, page_only=True)


def _searches(studies: tuple[Study, ...]) -> Iterator[Table]:
    if not studies:
        return
    yield Table(
        "Studies",
        "Trials by outcome. The objective is the mean AUROC over the selection rule's own tasks, "
        "not a test result.",
        tables.studies(studies),
    )
    winners = tables.winners(studies)
    if not winners.empty:
        yield Table("Winners", "Params of each study's best trial.", winners)


def _score_figures(store: Store, title: str, group: pd.DataFrame) -> Iterator[Figure]:
    from omasgan.report import figures as draw

    curves: dict[str, list[draw.Scored]] = {}
    pictures: dict[int, tuple[str, Mapping[str, Any]]] = {}
    for row in group.sort_values(["fold", "seed"]).to_dict("records"):
        key, fold = RunKey.of({str(k): v for k, v in row.items()}), f"fold {row['fold']}"
        scores = store.scores(key)
        curves.setdefault(fold, []).append(
            (scores["label"].to_numpy(), scores["score"].to_numpy())
        )
        path = store.run_dir(key) / "pictures.npz"
        if row["fold"] not in pictures and len(pictures) < PICTURES and path.exists():
            with np.load(path) as arrays:
                pictures[row["fold"]] = (f"{fold}, seed {row['seed']}", dict(arrays))
    seeds = tables.numbers(group["seed"])
    name = f"{title}, ROC by fold (mean over seeds {seeds})"
    yield Figure(_slug(title, "roc"), name, draw.png(draw.roc(curves, name)))
    first = {fold: scored[0] for fold, scored in curves.items()}
    name = f"{title}, test scores by fold (one seed)"
    yield Figure(_slug(title, "histogram"), name, draw.png(draw.histogram(first, name)))
    for place, arrays in pictures.values():
        if any(draw.is_images(array) for array in arrays.values()):
            name = f"{title}, {place}: samples"
            yield Figure(_slug(title, place), name, draw.png(draw.samples(arrays, name)))


def _runs_commands(benchmark: Benchmark, frame: pd.DataFrame) -> Iterator[str]:
    fixed = frame.head(0) if frame.empty else frame[frame["selection"] == "fixed"]
    if fixed.empty:
        return
    for (detector, params_id), group in fixed.groupby(["detector", "params_id"], sort=False):
        yield (
            f"omasgan run {_place(benchmark)} {detector} --folds {tables.numbers(group['fold'])} "
            f"--seeds {tables.numbers(group['seed'])} --params report/params/{params_id}.toml"
        )


def _sweep_commands(benchmark: Benchmark, studies: tuple[Study, ...]) -> Iterator[str]:
    """One command for all studies that differ in their fold alone."""
    sweeps: dict[str, list[Study]] = {}
    for study in studies:
        same = {k: v for k, v in study.about.items() if k not in ("folds", "n_trials", "status")}
        sweeps.setdefault(json.dumps(same, sort_keys=True), []).append(study)
    for members in sweeps.values():
        about = members[0].about
        folds = sorted({fold for study in members for fold in study.about.get("folds", ())})
        told = {"folds": ",".join(map(str, folds)), **{k: about.get(k) for k in SWEEP_FLAGS}}
        if about.get("source"):
            told["transfer-from"] = about["source"]["name"]
        if about.get("space"):
            told["space"] = f"report/spaces/{space_id(members[0])}.toml"
        flags = "".join(f" --{k} {v}" for k, v in told.items() if v not in (None, ""))
        if members[0].selection in ("proxy", "oracle"):
            flags = re.sub(r" --inner \d+", "", flags)
        yield (
            f"omasgan sweep {_place(benchmark)} {members[0].detector} "
            f"--trials {max(len(study.trials) for study in members)}{flags}"
            + (" --prune-collapsed" if about.get("prune_collapsed") else "")
        )


def _place(benchmark: Benchmark) -> str:
    about = benchmark.about
    caps = (
        f" --{k.replace('_', '-')} {about[k]}" for k in about if k.startswith("max_") and about[k]
    )
    return str(about.get("name", benchmark.id)) + "".join(caps)


def _toml(table: Mapping[str, Any]) -> str:
    # TOML has no null: a param without a value keeps its default.
    return "".join(f"{name} = {_value(v)}\n" for name, v in table.items() if v is not None)


def _value(value: Any) -> str:
    """A value as TOML; tables within a line. JSON writes all others as TOML does."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + " }"
    return json.dumps(value)


def _slug(*parts: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", " ".join(parts).lower()).strip("-")
