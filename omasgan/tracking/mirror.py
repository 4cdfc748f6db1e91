"""How studies and runs become MLflow runs with metrics, params, tags and artifacts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from omasgan.config import digest
from omasgan.data.fold_names import stored_name
from omasgan.data.selection import SENSITIVITY
from omasgan.report.results.inputs import StoredStudy, read_study
from omasgan.store.files import AnyPath, exists, relative
from omasgan.store.journal import Row, read_results, read_rows
from omasgan.store.results import DONE, RunKey, Store
from omasgan.study.record import FILE as RECORD
from omasgan.tracking import names
from omasgan.tracking.client import Mlflow, Point, as_text
from omasgan.tracking.names import readable
from omasgan.training.trials import Ending, Trial

if TYPE_CHECKING:
    import pandas as pd

    from omasgan.report.results.score_figures import Scored

NOT_LOSSES = frozenset({"task", "step", "epoch", "phase", "value", "seconds"})
NOT_STAGES = ("sample_id", "class", "label")
MAX_POINTS = 1000
"""Of a longer curve MLflow gets this many points, evenly spaced; the store has them all."""


def study(mlflow: Mlflow, store: Store, folder: AnyPath, status: str) -> None:
    """Show the study, its trials and its winner, all of them below the sweep; ``status`` is
    MLflow's status of the study.

    MLflow shows one level of children only: what belongs to which study is a tag and in the name.
    """
    stored = read_study(folder)
    parent = sweep_run(mlflow, store, stored)
    times = [_ended(trial) - _duration(trial) for trial in stored.ended]
    key = _study_key(store, stored)
    run = mlflow.run(key, stored.name, min(times, default=now()), parent, kind="study")
    if status == "RUNNING":
        mlflow.set_status(run, status)
    about = {k: v for k, v in stored.about.items() if not isinstance(v, dict | list)}
    outcomes = Counter(str(trial.outcome) for trial in stored.ended)
    mlflow.send(run, tags={**about, "study": stored.name, "outcome": as_text(dict(outcomes))})
    for ended in stored.ended:
        _send_trial(mlflow, store, stored, parent, ended)
    _send_winner(mlflow, store, stored, parent)
    if status != "RUNNING":
        mlflow.send(run, _study_points(run, stored))
        for name in ("study.json", "winner.json", RECORD):
            mlflow.send_file(run, folder / name)
        mlflow.set_status(run, status, max(map(_ended, stored.ended), default=None))


def trial(mlflow: Mlflow, store: Store, folder: AnyPath, ended: Trial) -> None:
    """Show one ended trial of a study below its sweep."""
    stored = replace(read_study(folder, with_trials=False), ended=(ended,))
    _send_trial(mlflow, store, stored, sweep_run(mlflow, store, stored), ended)


def group(mlflow: Mlflow, store: Store, key: RunKey) -> None:
    """Show the runs of one params: as the winner of each study that chose them, or else alone."""
    siblings = store.study_dir(key.benchmark, key.detector, key.selection, "any").parent
    studies = [read_study(path) for path in store.studies() if path.parent == siblings]
    for stored in studies:
        if stored.winner is not None and stored.winner["params_id"] == key.params_id:
            _send_winner(mlflow, store, stored, sweep_run(mlflow, store, stored))
    rows = group_rows(store, key)
    if rows and not studies:
        name = f"{key.detector} {key.selection} {key.params_id[:6]}"
        run_key = f"{key.benchmark}/{key.detector}/{key.selection}/{key.params_id}"
        kind = "sensitivity" if key.selection == SENSITIVITY else "result"
        run = mlflow.run(run_key, name, started(rows[0]), kind=kind)
        _send_rows(mlflow, store, run, rows)


def sweep_run(mlflow: Mlflow, store: Store, study: StoredStudy) -> Any:
    """Return the MLflow run of the sweep that a study belongs to, created if there is none."""
    times = [_ended(trial) - _duration(trial) for trial in study.ended]
    key = f"{relative(study.folder.parent.parent, store.root)}/sweep"
    name = f"{study.detector} {study.selection}"
    return mlflow.run(key, name, min(times, default=now()), kind="result")


def _send_trial(
    mlflow: Mlflow, store: Store, study: StoredStudy, parent: Any, trial: Trial
) -> None:
    """Send one trial as a child of its sweep, unless MLflow has it already."""
    key = f"{_study_key(store, study)}/trials/{trial.number:04d}"
    end, duration = _ended(trial), _duration(trial)
    name = f"{study.name} trial {trial.number}"
    run = mlflow.run(key, name, end - duration, parent, kind="trial")
    if run.data.tags.get("omasgan.sent") == "all":
        return
    rows = _epochs_and_values(study, trial)
    # Times follow from the start that MLflow has, so that a second try sends the same points.
    start = run.info.start_time
    points = [
        (f"{row.get('task', 'trial')}/{name}", value, start + i * duration // len(rows), epoch)
        for i, row in enumerate(rows)
        for epoch in [int(row.get("epoch", 0))]
        for name, value in _numbers(row, keep=("value",)).items()
    ]
    ending = trial.ending or Ending("failed")
    final = {names.OBJECTIVE: ending.objective, names.SECONDS: ending.seconds}
    final |= {names.MEMORY: ending.peak_memory_mb, names.SPARED: ending.cached_seconds}
    points = [*_thinned(points), *_final(final, start + duration)]
    tags = {k: getattr(ending, k) for k in ("outcome", "error", "stage") if getattr(ending, k)}
    tags |= {"enqueued": trial.enqueued} if trial.enqueued else {}
    tags |= {"group": trial.group} if trial.group is not None else {}
    tags |= {"detector": study.detector, "selection": study.selection, "study": study.name}
    tags |= {"sent": "all"}
    mlflow.send(run, points, {"detector": study.detector, **trial.params})
    status = {"ok": "FINISHED", "pruned": "KILLED"}.get(ending.outcome, "FAILED")
    mlflow.set_status(run, status, start + duration)
    # Last, so that the tag says that everything is there, the status too.
    mlflow.send(run, tags=tags)


def _send_winner(mlflow: Mlflow, store: Store, study: StoredStudy, parent: Any) -> None:
    """Send the winner's final runs, if there are any, as a child of its sweep."""
    if study.winner is None:
        return
    winner = study.winner["params_id"]
    key = RunKey(study.benchmark, study.detector, study.selection, winner, 0, 0)
    folds = study.about.get("folds")
    rows = [row for row in group_rows(store, key) if folds is None or row["fold"] in folds]
    if rows:
        run_key = f"{_study_key(store, study)}/winner/{winner}"
        name = f"{study.name} winner"
        run = mlflow.run(run_key, name, started(rows[0]), parent, kind="winner")
        _send_rows(mlflow, store, run, rows)


def _send_rows(mlflow: Mlflow, store: Store, run: Any, rows: Sequence[Row]) -> None:
    """Send finished runs: curves, metrics and artifacts of each new one, then the means."""
    from omasgan.report.results.averages import means

    sent = _marks(run)
    for row in rows:
        prefix = f"seed-{row['seed']}/fold-{row['fold']}"
        name, mark = f"{row['seed']}/{row['fold']}", digest(row)[:6]
        # A failed run is trained again, and its curves would be there twice.
        if row["outcome"] not in DONE or sent.get(name) == mark:
            continue
        # One curve of each loss on each fold: those of other seeds say the same.
        is_first = not any(key.endswith(f"/{row['fold']}") for key in sent)
        mlflow.send(run, _run_points(store, row, with_curves=is_first))
        _send_artifacts(mlflow, store, run, row, prefix)
        sent[name] = mark
        mlflow.send(run, tags={"sent": " ".join(f"{n}:{m}" for n, m in sent.items())})
    counts = {o: sum(row["outcome"] == o for row in rows) for o in {r["outcome"] for r in rows}}
    last = max(map(finished, rows))
    values = readable(means(rows), {row["fold"]: stored_name(row) for row in rows})
    values |= costs(rows)
    points = [(name, value, last, counts.get("ok", 0)) for name, value in values.items()]
    shared = ("detector", "selection", "params_id", "data_sha256", "code_version", "protocol")
    tags = {name: rows[-1][name] for name in shared} | {"outcome": as_text(counts)}
    mlflow.send(run, points, {"detector": rows[0]["detector"], **rows[0]["params"]}, tags)
    mlflow.set_status(run, "FINISHED" if counts.get("ok") == len(rows) else "FAILED", last)


def _marks(run: Any) -> dict[str, str]:
    """Return what the MLflow run has already: by "seed/fold", a digest of that run's row."""
    marks = run.data.tags.get("omasgan.sent", "").split()
    return {name: mark for name, _, mark in (mark.partition(":") for mark in marks)}


def costs(rows: Iterable[Row]) -> dict[str, float]:
    """Return the mean seconds and the most memory of the runs that ended ok."""
    good = [row for row in rows if row["outcome"] == "ok"]
    values = {names.SECONDS: float(np.mean([row["seconds"] for row in good]))} if good else {}
    for name, shown in (("peak_memory_mb", names.MEMORY), ("gpu_peak_memory_mb", names.GPU)):
        peaks = [float(row[name]) for row in good if row.get(name) is not None]
        values |= {shown: max(peaks)} if peaks else {}
    return values


def _run_points(store: Store, row: Row, *, with_curves: bool) -> list[Point]:
    """Return a run's AUROC and, if asked for, its losses; MLflow makes a section of each "/"."""
    start, end, fold = started(row), finished(row), stored_name(row)
    epochs = store.read_epochs(RunKey.of(row)) if with_curves else []
    curves = [
        (f"{fold}/{name}", value, start + round(1000 * epoch.get("seconds", 0)), epoch["epoch"])
        for epoch in epochs
        for name, value in _numbers(epoch).items()
    ]
    auroc = {f"seeds/{names.of_fold(fold)} seed {row['seed']}": row.get("auroc")}
    return [*_thinned(curves), *_final(auroc, end)]


def _send_artifacts(mlflow: Mlflow, store: Store, run: Any, row: Row, folder: str) -> None:
    """Send a run's scores and its pictures into a folder of the MLflow run's artifacts."""
    from omasgan.report.results import score_figures

    key = RunKey.of(row)
    scores_file = store.run_dir(key) / "scores.parquet"
    drawings = {}
    title = f"{row['benchmark']}: {row['detector']} · {row['selection']}, {folder}"
    if exists(scores_file):
        mlflow.send_file(run, scores_file, folder)
        scores = _by_stage(store.scores(key))
        curves = {name: [scored] for name, scored in scores.items()}
        drawings["roc.png"] = score_figures.roc(curves, title)
        drawings["histogram.png"] = score_figures.histogram(scores, title)
    pictures = store.pictures(key)
    if pictures:
        drawings["samples.png"] = score_figures.samples(pictures, title)
    mlflow.send_drawings(run, drawings, folder)


def _by_stage(scores: pd.DataFrame) -> dict[str, Scored]:
    """Return labels and scores by stage; the stage that is the detector's score says so."""
    labels, score = scores["label"].to_numpy(), scores["score"].to_numpy()
    stages = {c: scores[c].to_numpy() for c in scores.columns.drop([*NOT_STAGES, "score"])}
    scored = {
        f"{name} (score)" if np.array_equal(values, score) else name: (labels, values)
        for name, values in stages.items()
    }
    if any(name.endswith(" (score)") for name in scored):
        return scored
    return {"score": (labels, score), **scored}


def _study_points(run: Any, study: StoredStudy) -> list[Point]:
    """Return the best objective, and each trial's objective at its number."""
    start, n = run.info.start_time, len(study.ended)
    objectives = {t.number: t.objective for t in study.ended if t.objective is not None}
    points: list[Point] = [
        ("objective by trial", value, start + number, number)
        for number, value in objectives.items()
    ]
    if objectives:
        points.append((names.BEST_OBJECTIVE, max(objectives.values()), start + n, n))
    return points


def group_key(key: RunKey) -> RunKey:
    return replace(key, seed=0, fold=0)


def group_rows(store: Store, key: RunKey) -> list[Row]:
    """Return the rows of all finished runs with the params of ``key``."""
    group = store.run_dir(key).parent.parent
    return read_results(group, "seed-*/fold-*/result.json")


def _study_key(store: Store, study: StoredStudy) -> str:
    return relative(study.folder, store.root)


def _epochs_and_values(study: StoredStudy, trial: Trial) -> list[Row]:
    """Return the epochs of a trial, and after those of each task the task's value."""
    epochs = read_rows(study.folder / "trials" / f"{trial.number:04d}" / "epochs.jsonl")
    names = dict(enumerate(study.about.get("tasks", ())))
    rows: list[Row] = []
    for step in sorted({row["step"] for row in epochs} | trial.values.keys()):
        rows += [row for row in epochs if row["step"] == step]
        if step in trial.values:
            value = max(trial.values[step].values())
            rows.append({"task": names.get(step, f"task {step}"), "step": step, "value": value})
    return rows


def _ended(trial: Trial) -> int:
    """Return when a trial ended, in ms since 1970."""
    return round(1000 * (trial.ended_at or 0))


def _duration(trial: Trial) -> int:
    seconds = trial.ending.seconds if trial.ending else None
    return round(1000 * (seconds or 0))


def finished(row: Row) -> int:
    """Return when a run ended, in ms since 1970."""
    return round(1000 * datetime.fromisoformat(str(row["finished_at"])).timestamp())


def started(row: Row) -> int:
    """Return when a run began, in ms; of one whose process died only the end is known."""
    return finished(row) - round(1000 * float(row["seconds"] or 0))


def now() -> int:
    """Return the present time in ms since 1970."""
    return round(1000 * datetime.now(UTC).timestamp())


def _numbers(row: Row, keep: Iterable[str] = ()) -> dict[str, float]:
    skipped = NOT_LOSSES.difference(keep)
    return {
        name: float(value)
        for name, value in row.items()
        if name not in skipped and isinstance(value, int | float)
    }


def _final(values: Mapping[str, Any], time: int) -> list[Point]:
    return [(name, float(value), time, 0) for name, value in values.items() if value is not None]


def _thinned(points: Sequence[Point]) -> list[Point]:
    """Return at most ``MAX_POINTS`` of each metric, evenly spaced, with the first and the last."""
    curves: dict[str, list[Point]] = {}
    for point in points:
        curves.setdefault(point[0], []).append(point)
    return [
        curve[i * (len(curve) - 1) // max(n - 1, 1)]
        for curve in curves.values()
        for n in [min(len(curve), MAX_POINTS)]
        for i in range(n)
    ]
