"""The backend that runs everything in this process, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from omasgan.config import BenchmarkSpec
from omasgan.data import protocols
from omasgan.data.datasets import Dataset
from omasgan.data.protocols import Fold
from omasgan.detectors.base import Epoch
from omasgan.progress import Event, OnEvent
from omasgan.store.results import RunKey, params_id
from omasgan.study.ledger import Ledger
from omasgan.study.search import Search
from omasgan.training import evaluate
from omasgan.training.jobs import RunJob

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath


class LocalBackend:
    """One trial or run at a time, without a cluster."""

    def check_out(self, root: AnyPath) -> None:
        """The driver itself works here, and the store has been tried already."""

    def search(self, searches: Sequence[Search], on_event: OnEvent) -> None:
        for search in searches:
            ledger = Ledger(search, on_event)
            while ledger.remaining:
                trial = ledger.begin()
                rows = evaluate.run_trial(
                    search.job.detector,
                    trial.params,
                    search.data,
                    device=search.job.device,
                    workdir=ledger.workdir(trial.number),
                    every_seconds=search.job.checkpoint_seconds,
                    keep=search.job.checkpoints.keep,
                )
                for row in rows:
                    if ledger.enter(trial.number, [row]):
                        break
                ledger.end(trial.number)

    def runs(
        self, jobs: Sequence[RunJob], spec: BenchmarkSpec, dataset: Dataset, on_event: OnEvent
    ) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for job in jobs:
            where = f"{job.detector}, fold {job.fold}, seed {job.seed}"

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
        spec, dataset, _fold(job, spec, dataset), job.detector, job.params, save=job.save,
        cache=job.cache, about=job.about, every_seconds=job.checkpoint_seconds,
        **_place(job), **options,
    )  # fmt: skip


def lost(
    job: RunJob, spec: BenchmarkSpec, dataset: Dataset, ending: dict[str, Any]
) -> dict[str, Any]:
    """The row of a job whose process died."""
    return evaluate.lost_run(
        spec, dataset, _fold(job, spec, dataset), job.detector, job.params, ending=ending,
        **_place(job),
    )  # fmt: skip


def run_key(job: RunJob, spec: BenchmarkSpec) -> RunKey:
    """Where the run of a job lies."""
    chosen = params_id(job.params)
    return RunKey(spec.id, job.detector, job.selection, chosen, job.seed, job.fold)


def training_samples(job: RunJob, spec: BenchmarkSpec, dataset: Dataset) -> NDArray[Any]:
    """What a job trains on."""
    return dataset.train.X[_fold(job, spec, dataset).train]


def _fold(job: RunJob, spec: BenchmarkSpec, dataset: Dataset) -> Fold:
    (fold,) = protocols.choose(protocols.folds(spec, dataset), [job.fold])
    return fold


def _place(job: RunJob) -> dict[str, Any]:
    return {
        "seed": job.seed,
        "selection": job.selection,
        "store": job.store,
        "device": job.device,
    }


def run_event(row: dict[str, Any], done: int, total: int) -> Event:
    """What is told when a run has ended."""
    text = f"{row['detector']}, fold {row['fold']}, seed {row['seed']}"
    if row["error"]:
        text += f": {row['error']}"
    auroc = row.get("auroc")
    return Event("run", done, total, row["outcome"], objective=auroc, text=text, row=row)
