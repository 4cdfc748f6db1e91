"""What of a store becomes which MLflow run, metric, param, tag and artifact."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from omasgan.report.results.inputs import StoredStudy, read_study
from omasgan.store.files import AnyPath, exists, relative
from omasgan.store.journal import Row, read_results, read_rows
from omasgan.store.results import DONE, RunKey, Store
from omasgan.tracking.client import Mlflow, Point, as_text

if TYPE_CHECKING:
    import pandas as pd

    from omasgan.report.results.figures import Scored

NOT_LOSSES = frozenset({"task", "step", "epoch", "phase", "value", "seconds"})
METRICS = frozenset({"auroc", "average_precision", "fpr95"})
NOT_STAGES = ("sample_id", "class", "label")
MAX_POINTS = 1000
"""Of a longer curve only this many points are sent, evenly spaced; the store keeps them all."""


def study(mlflow: Mlflow, store: Store, folder: AnyPath, status: str) -> None:
    """The study with its trials and its winner; ``status`` is what its MLflow run shows."""
    found = read_study(folder)
    run = study_run(mlflow, store, found)
    if status == "RUNNING":
        mlflow.set_status(run, status)
    about = {k: v for k, v in found.about.items() if not isinstance(v, dict | list)}
    mlflow.send(run, tags=about)
    for ended in found.trials:
        _send_trial(mlflow, store, found, run, ended)
    _send_winner(mlflow, store, found, run)
    if status != "RUNNING":
        mlflow.send(run, _study_points(run, found))
        for name in ("study.json", "winner.json", "log.jsonl"):
            mlflow.send_file(run, folder / name)
        mlflow.set_status(
            run, status, max((_written(found, t) for t in found.trials), default=None)
        )


def trial(mlflow: Mlflow, store: Store, folder: AnyPath, number: int) -> None:
    """One ended trial, as a child of its study."""
    found = read_study(folder, only=number)
    run = study_run(mlflow, store, found)
    for ended in found.trials:
        _send_trial(mlflow, store, found, run, ended)


def group(mlflow: Mlflow, store: Store, key: RunKey) -> None:
    """Runs of the same params: as the winner of each study that chose them, or else alone."""
    siblings = store.study_dir(key.benchmark, key.detector, key.selection, "any").parent
    studies = [read_study(path) for path in store.studies() if path.parent == siblings]
    for found in studies:
        if found.winner is not None and found.winner["params_id"] == key.params_id:
            _send_winner(mlflow, store, found, study_run(mlflow, store, found))
    rows = group_rows(store, key)
    if rows and not studies:
        name = f"{key.detector} {key.selection} {key.params_id[:6]}"
        place = f"{key.benchmark}/{key.detector}/{key.selection}/{key.params_id}"
        _send_rows(mlflow, store, mlflow.run(place, name, started(rows[0])), rows)


def study_run(mlflow: Mlflow, store: Store, study: StoredStudy) -> Any:
    """The MLflow run that shows a study, made if there is none."""
    times = [_written(study, trial) - round(1000 * trial["seconds"]) for trial in study.trials]
    return mlflow.run(_place(store, study), study.label, min(times, default=now()))


def _send_trial(mlflow: Mlflow, store: Store, study: StoredStudy, parent: Any, trial: Row) -> None:
    """One trial as a child of its study, unless MLflow has it already."""
    key = f"{_place(store, study)}/trials/{trial['number']:04d}"
    end = _written(study, trial)
    duration = round(1000 * trial["seconds"])
    run = mlflow.run(key, f"trial {trial['number']}", end - duration, parent)
    if run.data.tags.get("omasgan.sent") == "all":
        return
    rows = read_rows(study.folder / "trials" / f"{trial['number']:04d}" / "epochs.jsonl")
    # times follow from the stored start, so that a second try sends the very same points
    start = run.info.start_time
    points = [
        (f"{row.get('task', 'trial')}/{name}", value, start + i * duration // len(rows), epoch)
        for i, row in enumerate(rows)
        for epoch in [int(row.get("epoch", 0))]
        for name, value in _numbers(row, keep=("value",)).items()
    ]
    final = {k: trial.get(k) for k in ("objective", "seconds", "peak_memory_mb")}
    points = [*_thinned(points), *_final(final, start + duration)]
    tags = {k: trial.get(k) for k in ("outcome", "error") if trial.get(k)}
    tags |= {"detector": study.detector, "selection": study.selection, "sent": "all"}
    mlflow.send(run, points, trial["params"])
    status = {"ok": "FINISHED", "pruned": "KILLED"}.get(trial["outcome"], "FAILED")
    mlflow.set_status(run, status, start + duration)
    # Last: it says that nothing is missing, the status neither.
    mlflow.send(run, tags=tags)


def _send_winner(mlflow: Mlflow, store: Store, study: StoredStudy, parent: Any) -> None:
    """The winner's own trainings, as far as there are any, as a child of its study."""
    if study.winner is None:
        return
    winner = study.winner["params_id"]
    key = RunKey(study.benchmark, study.detector, study.selection, winner, 0, 0)
    folds = study.about.get("folds")
    rows = [row for row in group_rows(store, key) if folds is None or row["fold"] in folds]
    if rows:
        place = f"{_place(store, study)}/winner/{winner}"
        run = mlflow.run(place, f"winner of {study.name}", started(rows[0]), parent)
        _send_rows(mlflow, store, run, rows)


def _send_rows(mlflow: Mlflow, store: Store, run: Any, rows: Sequence[Row]) -> None:
    """Finished runs: curves, metrics and artifacts of each that is new, then the means."""
    from omasgan.config import digest
    from omasgan.report.results.tables import means

    sent = _marks(run)
    for row in rows:
        place = f"seed-{row['seed']}/fold-{row['fold']}"
        name, mark = f"{row['seed']}/{row['fold']}", digest(row)[:6]
        # a run that failed will be trained again: its curves would stand there twice
        if row["outcome"] not in DONE or sent.get(name) == mark:
            continue
        mlflow.send(run, _run_points(store, row, place))
        _send_artifacts(mlflow, store, run, row, place)
        sent[name] = mark
        mlflow.send(run, tags={"sent": " ".join(f"{n}:{m}" for n, m in sent.items())})
    counts = {o: sum(row["outcome"] == o for row in rows) for o in {r["outcome"] for r in rows}}
    last = max(map(finished, rows))
    points = [(name, value, last, counts.get("ok", 0)) for name, value in means(rows).items()]
    shared = ("detector", "selection", "params_id", "data_sha256", "code_version", "protocol")
    tags = {name: rows[-1][name] for name in shared} | {"outcome": as_text(counts)}
    mlflow.send(run, points, rows[0]["params"], tags)
    mlflow.set_status(run, "FINISHED" if counts.get("ok") == len(rows) else "FAILED", last)


def _marks(run: Any) -> dict[str, str]:
    """What the MLflow run holds already: "seed/fold" and a digest of that run's row."""
    marks = run.data.tags.get("omasgan.sent", "").split()
    return {name: mark for name, _, mark in (mark.partition(":") for mark in marks)}


def _run_points(store: Store, row: Row, place: str) -> list[Point]:
    start, end = started(row), finished(row)
    curves = [
        (f"{place}/{name}", value, start + round(1000 * epoch.get("seconds", 0)), epoch["epoch"])
        for epoch in store.read_epochs(RunKey.of(row))
        for name, value in _numbers(epoch).items()
    ]
    metrics = {k: v for k, v in row.items() if k.split(".")[0] in METRICS}
    metrics |= {name: row.get(name) for name in ("seconds", "peak_memory_mb")}
    return [*_thinned(curves), *_final({f"{place}/{k}": v for k, v in metrics.items()}, end)]


def _send_artifacts(mlflow: Mlflow, store: Store, run: Any, row: Row, place: str) -> None:
    """The scores as they are, with the pictures of them."""
    from omasgan.report.results import figures

    key = RunKey.of(row)
    folder = store.run_dir(key)
    drawn = {}
    title = f"{row['benchmark']}: {row['detector']} · {row['selection']}, {place}"
    if exists(folder / "scores.parquet"):
        mlflow.send_file(run, folder / "scores.parquet", place)
        scores = _by_stage(store.scores(key))
        drawn["roc.png"] = figures.roc({name: [scored] for name, scored in scores.items()}, title)
        drawn["histogram.png"] = figures.histogram(scores, title)
    pictures = store.pictures(key)
    if pictures:
        drawn["samples.png"] = figures.samples(pictures, title)
    with tempfile.TemporaryDirectory() as made:
        for name, figure in drawn.items():
            (Path(made) / name).write_bytes(figures.png(figure))
        mlflow.client.log_artifacts(run.info.run_id, made, place)


def _by_stage(scores: pd.DataFrame) -> dict[str, Scored]:
    """Labels and scores by stage; the stage that is the detector's score says so."""
    labels, score = scores["label"].to_numpy(), scores["score"].to_numpy()
    stages = {c: scores[c].to_numpy() for c in scores.columns.drop([*NOT_STAGES, "score"])}
    found = {
        f"{name} (score)" if np.array_equal(values, score) else name: (labels, values)
        for name, values in stages.items()
    }
    return (
        found
        if any(name.endswith(" (score)") for name in found)
        else {"score": (labels, score), **found}
    )


def _study_points(run: Any, study: StoredStudy) -> list[Point]:
    """Every objective by trial number, the best one, and the count of each outcome."""
    start, n = run.info.start_time, len(study.trials)
    scored = [t for t in study.trials if t.get("objective") is not None]
    points: list[Point] = [
        ("objective", float(t["objective"]), start + t["number"], t["number"]) for t in scored
    ]
    if study.winner is not None:
        points.append(("best_objective", float(study.winner["objective"]), start + n, n))
    for outcome in sorted({t["outcome"] for t in study.trials}):
        count = sum(t["outcome"] == outcome for t in study.trials)
        points.append((f"trials/{outcome}", float(count), start + n, n))
    return points


def group_key(key: RunKey) -> RunKey:
    return replace(key, seed=0, fold=0)


def group_rows(store: Store, key: RunKey) -> list[Row]:
    """The rows of all finished runs with the params of ``key``."""
    group = store.run_dir(key).parent.parent
    return read_results(group, "seed-*/fold-*/result.json")


def _place(store: Store, study: StoredStudy) -> str:
    return relative(study.folder, store.root)


def _written(study: StoredStudy, trial: Row) -> int:
    path = study.folder / "trials" / f"{trial['number']:04d}" / "trial.json"
    return round(1000 * path.stat().st_mtime)


def finished(row: Row) -> int:
    """When a run ended, in ms since 1970."""
    return round(1000 * datetime.fromisoformat(str(row["finished_at"])).timestamp())


def started(row: Row) -> int:
    """When a run began, in ms; of one whose process died only its end is known."""
    return finished(row) - round(1000 * float(row["seconds"] or 0))


def now() -> int:
    """This moment, in ms since 1970."""
    return round(1000 * datetime.now(UTC).timestamp())


def _numbers(row: Row, keep: Iterable[str] = ()) -> dict[str, float]:
    left_out = NOT_LOSSES.difference(keep)
    return {
        name: float(value)
        for name, value in row.items()
        if name not in left_out and isinstance(value, int | float)
    }


def _final(values: Mapping[str, Any], time: int) -> list[Point]:
    return [(name, float(value), time, 0) for name, value in values.items() if value is not None]


def _thinned(points: Sequence[Point]) -> list[Point]:
    """At most ``MAX_POINTS`` of each metric, evenly spaced, the first and the last among them."""
    curves: dict[str, list[Point]] = {}
    for point in points:
        curves.setdefault(point[0], []).append(point)
    return [
        curve[i * (len(curve) - 1) // max(n - 1, 1)]
        for curve in curves.values()
        for n in [min(len(curve), MAX_POINTS)]
        for i in range(n)
    ]
