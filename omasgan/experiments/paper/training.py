"""The trainings of a suite: each is a run on a backend, and what is done stays done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from omasgan.backends.contract import Backend
from omasgan.config import BenchmarkSpec, difference
from omasgan.data import protocols
from omasgan.data.datasets import Dataset
from omasgan.data.protocols import Fold
from omasgan.errors import StoreError
from omasgan.experiments.paper.planning import RULE, SuitePlan
from omasgan.experiments.sharing import waves
from omasgan.progress import EpochEnded, Event, OnEvent, RunEnded
from omasgan.store.files import AnyPath, exists
from omasgan.store.journal import Row, read_json, write_json
from omasgan.store.results import RunKey, Store
from omasgan.training.jobs import RunJob


@dataclass(frozen=True)
class Part:
    """What a suite has trained on one benchmark; ``rows`` hold every training of the plan."""

    benchmark: BenchmarkSpec
    dataset: Dataset
    folds: tuple[Fold, ...]
    rows: Mapping[RunKey, Row]

    @property
    def n_folds(self) -> int:
        """Of the benchmark, trained or not."""
        return len(protocols.folds(self.benchmark, self.dataset))


def folder(store: Store, made: SuitePlan) -> AnyPath:
    """Where the page of a suite at a budget lies."""
    return store.root / "paper" / f"{made.suite.name}-{made.budget}"


def train(
    made: SuitePlan,
    data: Mapping[str, Dataset],
    store: Store,
    backend: Backend,
    *,
    device: str = "auto",
    resume: bool = False,
    on_event: OnEvent = lambda event: None,
) -> list[Part]:
    """Train and test what is not done yet, on the benchmarks of which ``data`` holds the data.

    What trainings have in common is trained once, see ``omasgan.experiments.sharing``.

    Raises:
        ConfigError: a benchmark has no such fold.
        StoreError: the same suite was interrupted in ``store`` and is not to be resumed.
    """
    backend.check_out(store.root)
    benchmarks = [benchmark for benchmark in made.benchmarks if benchmark.name in data]
    book = folder(store, made) / "suite.json"
    about = {"trainings": sorted(key.path for b in benchmarks for key in made.keys(b))}
    _refuse_interrupted(book, about, resume)
    write_json(book, {**about, "status": "running"})
    done = 0

    def tell(event: Event) -> None:
        if isinstance(event, EpochEnded | RunEnded):
            event = replace(event, done=done + event.done, total=len(about["trainings"]))
        on_event(event)

    parts = []
    for benchmark in benchmarks:
        dataset, rows = data[benchmark.name], list[Row]()
        folds = protocols.choose(protocols.folds(benchmark, dataset), made.settings.folds)
        store.claim_benchmark(benchmark, dataset.sha256)
        jobs = [
            RunJob(
                key.fold, line.detector, dict(line.params), key.seed, RULE, store, device,
                save=made.suite.saves,
            )
            for key, line in made.keys(benchmark).items()
        ]  # fmt: skip
        for wave in waves(jobs, store.root):
            new = backend.runs(wave, benchmark, dataset, tell)
            done += len(new)
            rows += new
        parts.append(Part(benchmark, dataset, tuple(folds), {RunKey.of(row): row for row in rows}))
    write_json(book, {**about, "status": "complete"})
    return parts


def _refuse_interrupted(book: AnyPath, about: Row, resume: bool) -> None:
    if resume or not exists(book):
        return
    before = read_json(book)
    if before.pop("status", None) != "complete":
        changed = difference(before, about)
        raise StoreError(
            f"the suite in '{book.parent}' has not ended"
            f"{' (and is another one now)' if changed else ''}; go on with --resume, or give "
            "another --out"
        )
