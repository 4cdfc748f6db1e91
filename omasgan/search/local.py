"""The backend that runs everything in this process, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omasgan import evaluate
from omasgan.config import BenchmarkSpec
from omasgan.datasets import Dataset
from omasgan.detectors.base import Epoch
from omasgan.search import Event, OnEvent, RunJob, TrialJob
from omasgan.search.guide import Guide
from omasgan.search.ledger import Ledger
from omasgan.selection import TrialData


class LocalBackend:
    """One trial or run at a time, without a cluster."""

    def search(
        self, guide: Guide, job: TrialJob, data: TrialData, n_trials: int, on_event: OnEvent
    ) -> None:
        ledger = Ledger(guide, job, data, n_trials, on_event)
        while (trial := ledger.begin()) is not None:
            rows = evaluate.run_trial(
                job.detector,
                trial.params,
                data,
                device=job.device,
                workdir=job.workdir(trial.number),
            )
            for row in rows:
                if ledger.enter(trial.number, row):
                    break
            ledger.end(trial.number)

    def runs(
        self, jobs: Sequence[RunJob], spec: BenchmarkSpec, dataset: Dataset, on_event: OnEvent
    ) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for job in jobs:
            where = f"fold {job.fold.index}, seed {job.seed}"

            def tell(epoch: Epoch, where: str = where) -> None:
                text = f"{where}, {epoch.phase}, epoch {epoch.index}"
                on_event(Event("epoch", len(rows), len(jobs), text=text))

            row = run(job, spec, dataset, on_epoch=tell)
            rows.append(row)
            on_event(run_event(row, len(rows), len(jobs)))
        return rows

    def close(self) -> None:
        """Nothing was started."""


def run(job: RunJob, spec: BenchmarkSpec, dataset: Dataset, **options: Any) -> dict[str, Any]:
    """Execute a job in this process; the row."""
    return evaluate.run_fold(
        spec,
        dataset,
        job.fold,
        job.detector,
        job.params,
        seed=job.seed,
        selection=job.selection,
        store=job.store,
        device=job.device,
        save=job.save,
        **options,
    )


def run_event(row: dict[str, Any], done: int, total: int) -> Event:
    """What is told when a run has ended."""
    text = f"fold {row['fold']}, seed {row['seed']}"
    if row["error"]:
        text += f": {row['error']}"
    auroc = row.get("auroc")
    return Event("run", done, total, row["outcome"], objective=auroc, text=text, row=row)
