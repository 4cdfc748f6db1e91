"""A sweep as one MLflow run, above its studies, trials and winners: what it found, and how good.

A winner's own run has the folds of its study alone; the sweep has the means over all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from omasgan.report.results.inputs import StoredStudy, read_study
from omasgan.store.files import AnyPath
from omasgan.store.journal import Row
from omasgan.store.results import Store
from omasgan.tracking import comparison, names
from omasgan.tracking.client import Mlflow
from omasgan.tracking.comparison import Entry
from omasgan.tracking.mirror import sweep_run


def sweep(mlflow: Mlflow, store: Store, rule: AnyPath, ending: str | None = None) -> None:
    """Show what the studies of a detector under a rule, whose folder is ``rule``, have come to.

    ``ending`` is MLflow's status of a study that has just begun or ended, if one has. While others
    go on the sweep does so as well; once all are complete it is FINISHED.

    The test results are left out where the sweep is an entry of a comparison: the entry shows
    them.
    """
    studies = [read_study(path) for path in store.studies() if path.parent.parent == rule]
    if not studies:
        return
    first = studies[0]
    run = sweep_run(mlflow, store, first)
    rows = tuple(comparison.rows_of(store, first.benchmark, first.detector, first.selection, None))
    about = {"detector": first.detector, "selection": first.selection, "studies": len(studies)}
    mlflow.send(run, _objective(run, studies), {"detector": first.detector}, about)
    mlflow.describe(run, _description(studies, rows))
    if rows and not comparison.is_entry(store, first.benchmark, first.detector, rule.name, None):
        entry = Entry(run.info.run_name, first.detector, first.selection, None, rows)
        comparison.send_entry(mlflow, store, run, entry)
    status = _status(studies, rows, ending)
    if status is not None:
        mlflow.set_status(mlflow.client.get_run(run.info.run_id), status)


def _objective(run: Any, studies: Sequence[StoredStudy]) -> list[tuple[str, float, int, int]]:
    """Return the best objective, the mean over the studies, at the number of trials so far."""
    best = [max(objectives) for study in studies if (objectives := _objectives(study))]
    n = sum(len(study.ended) for study in studies)
    # A time that follows from the store, so that MLflow keeps the point once.
    time = run.info.start_time + n
    return [(names.BEST_OBJECTIVE, float(np.mean(best)), time, n)] if best else []


def _objectives(study: StoredStudy) -> list[float]:
    return [trial.objective for trial in study.ended if trial.objective is not None]


def _status(studies: Sequence[StoredStudy], rows: Sequence[Row], ending: str | None) -> str | None:
    """Return MLflow's status of a sweep, None where it stays as it is."""
    if all(study.status == "complete" for study in studies):
        return "FINISHED" if all(row["outcome"] == "ok" for row in rows) else "FAILED"
    return None if ending == "FINISHED" else ending


def _description(studies: Sequence[StoredStudy], rows: Sequence[Row]) -> str:
    """Return in Markdown which trial has won each study, and how the winner did on the test."""
    first, n = studies[0], sum(len(study.ended) for study in studies)
    head = (
        f"The params of `{first.detector}` on {first.benchmark}, chosen by the rule "
        f"`{first.selection}`: {n} trials in {len(studies)} studies. An objective is no test "
        "result; AUROC is that of the winner, trained anew and tested."
    )
    return "\n".join([head, "", *_table(studies, rows)])


def _table(studies: Sequence[StoredStudy], rows: Sequence[Row]) -> Iterator[str]:
    from omasgan.report.results.averages import means

    yield "| study | trials | winner | best objective | AUROC |"
    yield "| --- | ---: | --- | ---: | ---: |"
    for study in studies:
        folds = study.about.get("folds")
        of_study = means(row for row in rows if folds is None or row["fold"] in folds)
        auroc = f"{of_study['auroc']:.3f}" if "auroc" in of_study else "-"
        objectives = _objectives(study)
        best = f"{max(objectives):.3f}" if objectives else "-"
        won = study.won or "none yet"
        yield f"| {study.name} | {len(study.ended)} | {won} | {best} | {auroc} |"
