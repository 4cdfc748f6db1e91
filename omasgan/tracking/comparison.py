"""A comparison as one MLflow run, with a child for each of its entries: which is best, and where.

``comparison.json`` says which runs belong to it. Those with given params are shown here alone;
winners stand below their studies as well. A child tells what its entry's runs say together: a
comparison has hundreds of them.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from omasgan.config import digest
from omasgan.report.results.inputs import read_study
from omasgan.store.files import exists, find
from omasgan.store.journal import Row, find_json, read_json
from omasgan.store.results import RunKey, Store
from omasgan.tracking.client import Mlflow, Point, as_text
from omasgan.tracking.mirror import finished, group_rows, now, started, study_run

if TYPE_CHECKING:
    from omasgan.report.results.figures import Scored

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
    """The ids of the benchmarks that have a comparison."""
    return [path.parent.name for path in find(store.root, f"*/{FILE}")]


def holds(store: Store, key: RunKey) -> bool:
    """Whether the runs with the params of ``key`` are an entry of a comparison."""
    told = find_json(store.root / key.benchmark / FILE)
    row = {"detector": key.detector, "selection": key.selection, "params_id": key.params_id}
    return told is not None and row in told["entries"]


def ending(store: Store, benchmark: str) -> str:
    """What MLflow shows of a comparison that nobody is working on."""
    complete = read_json(store.root / benchmark / FILE)["status"] == "complete"
    return "FINISHED" if complete else "KILLED"


def comparison(mlflow: Mlflow, store: Store, benchmark: str, status: str) -> None:
    """The comparison with its entries; ``status`` is what its MLflow run shows.

    While it is RUNNING, an entry that holds fewer runs than the fullest one is left for later: a
    child is drawn once its runs have ended, not after each of them.
    """
    entries = _entries(store, benchmark)
    rows = [row for entry in entries for row in entry.rows]
    place = f"{benchmark}/comparison"
    run = mlflow.run(place, "comparison", min(map(started, rows), default=now()))
    if status == "RUNNING":
        mlflow.set_status(run, status)
    mlflow.send(run, tags=_about(entries, rows))
    mlflow.client.set_tag(run.info.run_id, "mlflow.note.content", _summary(entries))
    fullest = max((len(entry.rows) for entry in entries), default=0)
    for entry in entries:
        if entry.rows and (status != "RUNNING" or len(entry.rows) == fullest):
            key = f"{place}/{entry.detector}/{entry.selection}/{entry.params_id or 'winners'}"
            child = mlflow.run(key, entry.name, min(map(started, entry.rows)), run)
            _send_entry(mlflow, store, child, entry)
    if status != "RUNNING":
        mlflow.set_status(run, status, max(map(finished, rows), default=None))


def parents(mlflow: Mlflow, store: Store, benchmark: str) -> list[Any]:
    """The MLflow runs under which the results on a benchmark lie: its comparison, or else its
    studies; none where params were run without either.
    """
    if benchmark in benchmarks(store):
        return [mlflow.run(f"{benchmark}/comparison", "comparison", now())]
    found = [read_study(folder) for folder in store.studies()]
    return [study_run(mlflow, store, s) for s in found if s.benchmark == benchmark]


def _entries(store: Store, benchmark: str) -> list[Entry]:
    from omasgan.report.results import tables

    told = read_json(store.root / benchmark / FILE)["entries"]
    held = [tuple(_rows(store, benchmark, **line)) for line in told]
    variants = {
        (row["detector"], row["selection"], row["params_id"]): row["variant"]
        for row in tables.runs(row for rows in held for row in rows).to_dict("records")
    }
    rules = Counter(name for name, _ in {(line["detector"], line["selection"]) for line in told})
    entries = []
    for line, rows in zip(told, held, strict=True):
        rule = line["selection"] if rules[line["detector"]] > 1 else ""
        parts = (line["detector"], rule, variants.get(tuple(line.values()), ""))
        entries.append(Entry(" ".join(filter(None, parts)), **line, rows=rows))
    return entries


def _rows(
    store: Store, benchmark: str, detector: str, selection: str, params_id: str | None
) -> Iterator[Row]:
    """An entry's rows: of its params, or of every winner on the folds that it has won."""
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


def _summary(entries: Sequence[Entry]) -> str:
    """A Markdown table, best mean first, which MLflow shows as the description."""
    from omasgan.report.results.tables import means

    found = [(means(entry.rows), entry) for entry in entries if entry.rows]
    found.sort(key=lambda line: -line[0].get("auroc", 0.0))
    lines = ["| entry | AUROC | sd | worst fold | runs |", "| --- | ---: | ---: | ---: | ---: |"]
    for told, entry in found:
        names = ("auroc", "auroc_sd", "auroc_worst_fold")
        numbers = " | ".join(f"{told[name]:.3f}" if name in told else "-" for name in names)
        lines.append(f"| {entry.name} | {numbers} | {len(entry.rows)} |")
    return "\n".join(lines)


def _send_entry(mlflow: Mlflow, store: Store, run: Any, entry: Entry) -> None:
    """An entry's metrics, tags and pictures, unless MLflow has them as its runs are now."""
    if run.info.run_name != entry.name:
        mlflow.client.update_run(run.info.run_id, name=entry.name)
    mark = digest(entry.rows)[:12]
    if run.data.tags.get("omasgan.sent") == mark:
        return
    good = [row for row in entry.rows if row["outcome"] == "ok"]
    shared = ("detector", "selection", "protocol", "data_sha256", "code_version")
    tags = {name: entry.rows[-1][name] for name in shared} | {"outcome": _outcomes(entry.rows)}
    params = None if entry.params_id is None else entry.rows[0]["params"]
    mlflow.send(run, _points(good), params, tags)
    _send_pictures(mlflow, store, run, entry.name, good)
    ended = "FINISHED" if len(good) == len(entry.rows) else "FAILED"
    mlflow.set_status(run, ended, max(map(finished, entry.rows)))
    # last: what a crash leaves half sent is sent again
    mlflow.send(run, tags={"sent": mark})


def _points(rows: Sequence[Row]) -> list[Point]:
    """The means at step 0, of which MLflow makes bars, and of the folds the AUROC alone: more
    would bury it. The folds once more as one curve, whose step is the fold.
    """
    from omasgan.report.results.tables import means

    if not rows:
        return []
    told = {k: v for k, v in means(rows).items() if "/" not in k or k.startswith("auroc/")}
    values = told | {"seconds": float(np.mean([row["seconds"] for row in rows]))}
    for name in ("peak_memory_mb", "gpu_peak_memory_mb"):
        peaks = [float(row[name]) for row in rows if row.get(name) is not None]
        values |= {name: max(peaks)} if peaks else {}
    last = max(map(finished, rows))
    points = [(name, value, last, 0) for name, value in values.items()]
    for fold in sorted({row["fold"] for row in rows}):
        if f"auroc/fold-{fold}" in told:
            # its own time: a fold that is as it was stays the same point
            time = max(finished(row) for row in rows if row["fold"] == fold)
            points.append(("auroc_by_fold", told[f"auroc/fold-{fold}"], time, fold))
    return points


def _send_pictures(mlflow: Mlflow, store: Store, run: Any, name: str, rows: Iterable[Row]) -> None:
    """ROC curves by fold, one seed's scores by fold, and what the first run drew."""
    from omasgan.report.results import figures

    curves: dict[str, list[Scored]] = {}
    drawn: dict[str, Any] = {}
    for row in sorted(rows, key=lambda row: (row["fold"], row["seed"])):
        key = RunKey.of(row)
        if exists(store.run_dir(key) / "scores.parquet"):
            scores = store.scores(key)
            scored = scores["label"].to_numpy(), scores["score"].to_numpy()
            curves.setdefault(f"fold {row['fold']}", []).append(scored)
        pictures = {} if "samples.png" in drawn else store.pictures(key)
        if pictures:
            where = f"{name}, fold {row['fold']}, seed {row['seed']}"
            drawn["samples.png"] = figures.samples(pictures, where)
    if curves:
        drawn["roc.png"] = figures.roc(curves, f"{name}: ROC by fold (mean over seeds)")
        first = {fold: scored[0] for fold, scored in curves.items()}
        drawn["histogram.png"] = figures.histogram(first, f"{name}: test scores (one seed)")
    with tempfile.TemporaryDirectory() as made:
        for file, figure in drawn.items():
            (Path(made) / file).write_bytes(figures.png(figure))
        mlflow.client.log_artifacts(run.info.run_id, made)


def _outcomes(rows: Iterable[Row]) -> str:
    return as_text(dict(sorted(Counter(str(row["outcome"]) for row in rows).items())))
