"""A comparison as one MLflow run, with a child for each of its entries: which is best, and where.

``comparison.json`` says which runs belong to it. Runs with fixed params are shown here alone;
winners are shown below their studies as well. A child shows the means over its entry's runs, for
a comparison has hundreds of runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omasgan.config import digest
from omasgan.data.fold_names import stored_name
from omasgan.report.results.inputs import read_benchmark, read_study
from omasgan.store.files import exists, find
from omasgan.store.journal import Row, find_json, read_json
from omasgan.store.results import RunKey, Store
from omasgan.tracking.client import Mlflow, Point, as_text
from omasgan.tracking.mirror import costs, finished, group_rows, now, started, sweep_run
from omasgan.tracking.names import FOLD, readable

if TYPE_CHECKING:
    from omasgan.report.results.score_figures import Scored

FILE = "comparison.json"


@dataclass(frozen=True)
class Entry:
    """A line of a comparison; ``params_id`` is None where each fold may have its own winner.

    ``name`` sets it apart from the others: its detector, with the rule and the params only where
    the detector has several.
    """

    name: str
    detector: str
    selection: str
    params_id: str | None
    rows: tuple[Row, ...]


def benchmarks(store: Store) -> list[str]:
    """Return the ids of the benchmarks that have a comparison."""
    return [path.parent.name for path in find(store.root, f"*/{FILE}")]


def holds(store: Store, key: RunKey) -> bool:
    """Return whether the runs with the params of ``key`` are an entry of a comparison."""
    return is_entry(store, key.benchmark, key.detector, key.selection, key.params_id)


def ending(store: Store, benchmark: str) -> str:
    """Return MLflow's status for a comparison that no driver is working on."""
    complete = read_json(store.root / benchmark / FILE)["status"] == "complete"
    return "FINISHED" if complete else "KILLED"


def comparison(mlflow: Mlflow, store: Store, benchmark: str, status: str) -> None:
    """Show the comparison with its entries; ``status`` is MLflow's status of it.

    While it is RUNNING, an entry with fewer runs than the fullest one waits: its pictures are
    drawn once all its runs have ended, not after each of them.
    """
    entries = _entries(store, benchmark)
    rows = [row for entry in entries for row in entry.rows]
    run = _comparison_run(mlflow, benchmark, rows)
    if status == "RUNNING":
        mlflow.set_status(run, status)
    mlflow.send(run, tags=_about(entries, rows))
    mlflow.describe(run, _summary(store, benchmark, entries))
    fullest = max((len(entry.rows) for entry in entries), default=0)
    for entry in entries:
        if entry.rows and (status != "RUNNING" or len(entry.rows) == fullest):
            params = entry.params_id or "winners"
            key = f"{benchmark}/comparison/{entry.detector}/{entry.selection}/{params}"
            start = min(map(started, entry.rows))
            child = mlflow.run(key, entry.name, start, run, kind="result")
            send_entry(mlflow, store, child, entry)
    if status != "RUNNING":
        mlflow.set_status(run, status, max(map(finished, rows), default=None))


def parents(mlflow: Mlflow, store: Store, benchmark: str) -> list[Any]:
    """Return the MLflow runs above the results on a benchmark.

    These are its comparison, or else its sweeps; none where params were run without either.
    """
    if benchmark in benchmarks(store):
        return [_comparison_run(mlflow, benchmark, [])]
    studies = [read_study(folder, with_trials=False) for folder in store.studies()]
    one_of_each = {s.folder.parent.parent: s for s in studies if s.benchmark == benchmark}
    return [sweep_run(mlflow, store, study) for study in one_of_each.values()]


def _comparison_run(mlflow: Mlflow, benchmark: str, rows: Sequence[Row]) -> Any:
    """Return the MLflow run of a comparison, created if there is none."""
    start = min(map(started, rows), default=now())
    return mlflow.run(f"{benchmark}/comparison", "comparison", start, kind="comparison")


def is_entry(
    store: Store, benchmark: str, detector: str, selection: str, params_id: str | None
) -> bool:
    compared = find_json(store.root / benchmark / FILE) or {"entries": []}
    entry = {"detector": detector, "selection": selection, "params_id": params_id}
    return entry in compared["entries"]


def _entries(store: Store, benchmark: str) -> list[Entry]:
    from omasgan.report.results.runs import runs

    lines = read_json(store.root / benchmark / FILE)["entries"]
    rows_by_line = [tuple(rows_of(store, benchmark, **line)) for line in lines]
    variants = {
        (row["detector"], row["selection"], row["params_id"]): row["variant"]
        for row in runs(row for rows in rows_by_line for row in rows).to_dict("records")
    }
    rules = Counter(name for name, _ in {(line["detector"], line["selection"]) for line in lines})
    entries = []
    for line, rows in zip(lines, rows_by_line, strict=True):
        rule = line["selection"] if rules[line["detector"]] > 1 else ""
        parts = (line["detector"], rule, variants.get(tuple(line.values()), ""))
        entries.append(Entry(" ".join(filter(None, parts)), **line, rows=rows))
    return entries


def rows_of(
    store: Store, benchmark: str, detector: str, selection: str, params_id: str | None
) -> Iterator[Row]:
    """Yield an entry's rows: of its params, or of each winner on the folds of its study."""
    if params_id is not None:
        yield from group_rows(store, RunKey(benchmark, detector, selection, params_id, 0, 0))
        return
    studies = store.study_dir(benchmark, detector, selection, "any").parent
    for path in find(studies, "*/winner.json"):
        winner = RunKey(benchmark, detector, selection, read_json(path)["params_id"], 0, 0)
        folds = read_json(path.with_name("study.json")).get("folds")
        rows = group_rows(store, winner)
        yield from (row for row in rows if folds is None or row["fold"] in folds)


def _about(entries: Sequence[Entry], rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "detectors": len({entry.detector for entry in entries}),
        "entries": len(entries),
        "folds": len({row["fold"] for row in rows}),
        "seeds": len({row["seed"] for row in rows}),
        "outcome": _outcomes(rows),
    }


def _summary(store: Store, benchmark: str, entries: Sequence[Entry]) -> str:
    """Return the answer and a table, best mean first, in Markdown."""
    from omasgan.report.results.answer import sentences
    from omasgan.report.results.averages import means
    from omasgan.report.results.runs import runs

    rows = [row for entry in entries for row in entry.rows]
    said = sentences(runs(rows), read_benchmark(store.root, benchmark, rows))
    with_means = [(means(entry.rows), entry) for entry in entries if entry.rows]
    with_means.sort(key=lambda line: -line[0].get("auroc", 0.0))
    lines = ["| entry | AUROC | sd | worst fold | runs |", "| --- | ---: | ---: | ---: | ---: |"]
    for values, entry in with_means:
        names = ("auroc", "auroc_sd", "auroc_worst_fold")
        numbers = " | ".join(f"{values[name]:.3f}" if name in values else "-" for name in names)
        lines.append(f"| {entry.name} | {numbers} | {len(entry.rows)} |")
    return "\n".join([*(f"- {sentence}" for sentence in said), "", *lines])


def send_entry(mlflow: Mlflow, store: Store, run: Any, entry: Entry) -> None:
    """Send an entry's metrics, tags and pictures, unless MLflow has those of the same rows."""
    if run.info.run_name != entry.name:
        mlflow.client.update_run(run.info.run_id, name=entry.name)
    mark = digest(entry.rows)[:12]
    if run.data.tags.get("omasgan.sent") == mark:
        return
    ok_rows = [row for row in entry.rows if row["outcome"] == "ok"]
    shared = ("detector", "selection", "protocol", "data_sha256", "code_version")
    tags = {name: entry.rows[-1][name] for name in shared} | {"outcome": _outcomes(entry.rows)}
    params = {} if entry.params_id is None else entry.rows[0]["params"]
    mlflow.send(run, _points(ok_rows), {"detector": entry.detector, **params}, tags)
    _send_pictures(mlflow, store, run, entry.name, ok_rows)
    ended = "FINISHED" if len(ok_rows) == len(entry.rows) else "FAILED"
    mlflow.set_status(run, ended, max(map(finished, entry.rows)))
    # Last, so that a crash before it has everything sent again.
    mlflow.send(run, tags={"sent": mark})


def _points(rows: Sequence[Row]) -> list[Point]:
    """Return the means at step 0, which MLflow draws as bars, and the AUROC of each fold, alone
    and as one curve whose step is the fold.

    Other metrics of single folds would bury the AUROC.
    """
    from omasgan.report.results.averages import means

    if not rows:
        return []
    fold_names = {row["fold"]: stored_name(row) for row in rows}
    by_name = means(rows)
    last = max(map(finished, rows))
    values = readable(by_name, fold_names) | costs(rows)
    points = [(name, value, last, 0) for name, value in values.items()]
    for fold in sorted(fold_names):
        if f"{FOLD}{fold}" in by_name:
            # The fold's own time, so that an unchanged fold stays the same point.
            time = max(finished(row) for row in rows if row["fold"] == fold)
            points.append(("AUROC by fold", by_name[f"{FOLD}{fold}"], time, fold))
    return points


def _send_pictures(mlflow: Mlflow, store: Store, run: Any, name: str, rows: Iterable[Row]) -> None:
    """Send the ROC curves by fold, one seed's scores by fold, and the first run's samples."""
    from omasgan.report.results import score_figures

    curves: dict[str, list[Scored]] = {}
    drawings: dict[str, Any] = {}
    for row in sorted(rows, key=lambda row: (row["fold"], row["seed"])):
        key = RunKey.of(row)
        if exists(store.run_dir(key) / "scores.parquet"):
            scores = store.scores(key)
            scored = scores["label"].to_numpy(), scores["score"].to_numpy()
            curves.setdefault(stored_name(row), []).append(scored)
        pictures = {} if "samples.png" in drawings else store.pictures(key)
        if pictures:
            title = f"{name}, {stored_name(row)}, seed {row['seed']}"
            drawings["samples.png"] = score_figures.samples(pictures, title)
    if curves:
        drawings["roc.png"] = score_figures.roc(curves, f"{name}: ROC by fold (mean over seeds)")
        one_seed = {fold: scored[0] for fold, scored in curves.items()}
        drawings["histogram.png"] = score_figures.histogram(
            one_seed, f"{name}: test scores (one seed)"
        )
    mlflow.send_drawings(run, drawings)


def _outcomes(rows: Iterable[Row]) -> str:
    return as_text(dict(sorted(Counter(str(row["outcome"]) for row in rows).items())))
