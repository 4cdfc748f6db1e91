"""A sweep: search under a rule, freeze the winners, and only then train and test them anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from omasgan.backends.contract import Backend
from omasgan.config import BenchmarkSpec
from omasgan.data.datasets import Dataset
from omasgan.experiments import ensemble, versions
from omasgan.experiments.search import prepare, search
from omasgan.experiments.study_folder import Winner
from omasgan.experiments.sweep_spec import SweepSpec, check
from omasgan.progress import OnEvent
from omasgan.store.journal import Row
from omasgan.store.results import Store
from omasgan.study.storage_copy import StorageCopies
from omasgan.training.jobs import RunJob

__all__ = ["SweepResult", "SweepSpec", "check", "sweep"]


@dataclass(frozen=True)
class SweepResult:
    """The winners by study, and the rows of their final runs."""

    winners: list[Winner] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


def sweep(
    specs: Sequence[SweepSpec],
    store: Store,
    backend: Backend,
    dataset: Dataset,
    *,
    source: Dataset | None = None,
    on_event: OnEvent = lambda event: None,
) -> SweepResult:
    """Search, freeze the winners, train them anew on the benchmark's seeds, test them.

    A study that is there already is gone on with.

    Args:
        specs: what to do, all on the same benchmark; several are searched side by side.
        store: where studies and runs lie.
        backend: where trials and runs are executed.
        dataset: of the benchmark.
        source: of the specs' ``source``.
        on_event: told of every trial and run.

    Raises:
        ConfigError: a spec cannot be carried out, or no trial of a study ended well.
        StoreError: another study lies where this one would.
        BackendError: a storage that gets copies cannot be used, or stays away to the end.
    """
    benchmark = specs[0].benchmark
    studies = prepare(specs, store, dataset, source)
    with StorageCopies() as copies:
        for url in {spec.storage for spec in specs if spec.storage is not None}:
            copies.open(url)
        backend.check_out(store.root)
        store.claim_benchmark(benchmark, dataset.sha256)
        searched = search(studies, store, backend, copies=copies, on_event=on_event)
        versions.note_others(searched.jobs, benchmark, on_event)
        rows = _tested(searched.jobs, specs[0].top, benchmark, dataset, backend, on_event)
        copies.finish()
    searched.refuse_lost()
    return SweepResult(searched.winners, rows)


def _tested(
    jobs: Sequence[RunJob],
    top: int,
    benchmark: BenchmarkSpec,
    dataset: Dataset,
    backend: Backend,
    on_event: OnEvent,
) -> list[Row]:
    """Train and test the winners, each alone, or the ``top`` trials of each study together."""
    if top == 1:
        return backend.runs(jobs, benchmark, dataset, on_event)
    return ensemble.runs(jobs, top, backend, benchmark, dataset, on_event)
