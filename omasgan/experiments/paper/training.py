"""The trainings of a suite: each is a run on a backend, and none is repeated once it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from omasgan.backends.contract import Backend
from omasgan.config import BenchmarkSpec
from omasgan.data import protocols
from omasgan.data.datasets import Dataset
from omasgan.data.protocols import Fold
from omasgan.experiments import ensemble
from omasgan.experiments.paper import judging
from omasgan.experiments.paper.planning import SuitePlan
from omasgan.experiments.sharing import waves
from omasgan.experiments.status import recorded
from omasgan.progress import EpochEnded, Event, OnEvent, RunEnded
from omasgan.store.files import AnyPath
from omasgan.store.journal import Row
from omasgan.store.results import RunKey, Store
from omasgan.training.jobs import RunJob


@dataclass(frozen=True)
class Part:
    """What a suite has trained on one benchmark; ``rows`` has every training of the plan."""

    benchmark: BenchmarkSpec
    dataset: Dataset
    folds: tuple[Fold, ...]
    rows: Mapping[RunKey, Row]

    @property
    def n_folds(self) -> int:
        """The folds of the benchmark, whether trained or not."""
        return len(protocols.folds(self.benchmark, self.dataset))


def folder(store: Store, plan: SuitePlan) -> AnyPath:
    """The folder of the page of a suite at a budget."""
    return store.root / "paper" / f"{plan.suite.name}-{plan.budget}"


def train(
    plan: SuitePlan,
    data: Mapping[str, Dataset],
    store: Store,
    backend: Backend,
    *,
    device: str = "auto",
    on_event: OnEvent = lambda event: None,
) -> list[Part]:
    """Train and test what is not done yet, on the benchmarks whose data are in ``data``.

    What trainings have in common is trained once, see ``omasgan.experiments.sharing``. A suite
    that was interrupted goes on.

    Raises:
        ConfigError: a benchmark has no such fold.
        StoreError: other trainings of the suite were interrupted in the same folder.
    """
    backend.check_out(store.root)
    benchmarks = [benchmark for benchmark in plan.benchmarks if benchmark.name in data]
    total = sum(plan.trainings_on(benchmark) for benchmark in benchmarks)
    parts: list[Part] = []
    rows: list[Row] = []

    def count_all(event: Event, members: int = 0) -> None:
        if isinstance(event, EpochEnded | RunEnded):
            ended = [*rows, *(row for part in parts for row in part.rows.values())]
            done = sum(row.get("members") or 1 for row in ended)
            # Ensembles end once all their members have.
            of_all = isinstance(event, RunEnded) and members
            done += event.total * members if of_all else event.done
            event = replace(event, done=done, total=total)
        on_event(event)

    with recorded(folder(store, plan) / "suite.json", _identity(plan), "the suite", _difference):
        for benchmark in benchmarks:
            dataset = data[benchmark.name]
            folds = protocols.choose(protocols.folds(benchmark, dataset), plan.settings.folds)
            store.claim_benchmark(benchmark, dataset.sha256)
            jobs = _jobs(plan, benchmark, store, device)
            for wave in waves(jobs.pop(1, []), store.root):
                rows += backend.runs(wave, benchmark, dataset, count_all)
            for size, of_size in jobs.items():
                count = partial(count_all, members=size)
                rows += ensemble.runs(of_size, size, backend, benchmark, dataset, count)
            if plan.suite.pool is not None:
                judging.judge(
                    plan, benchmark, dataset, store, backend, device=device, on_event=on_event
                )
            by_key = {RunKey.of(row): row for row in rows}
            parts.append(Part(benchmark, dataset, tuple(folds), by_key))
            rows.clear()
    return parts


def _jobs(
    plan: SuitePlan, benchmark: BenchmarkSpec, store: Store, device: str
) -> dict[int, list[RunJob]]:
    """Return the runs by their number of members, which is 1 for single detectors."""
    jobs: dict[int, list[RunJob]] = {}
    for key, variant in plan.keys(benchmark).items():
        job = RunJob(
            key.fold, variant.detector, dict(variant.params), key.seed, variant.rule, store,
            device, save=plan.suite.saves,
        )  # fmt: skip
        jobs.setdefault(variant.members or 1, []).append(job)
    return jobs


def _identity(plan: SuitePlan) -> Row:
    """All trainings of the plan, also those whose data are not there yet."""
    return {"trainings": sorted(key.path for b in plan.benchmarks for key in plan.keys(b))}


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    before, after = set(old["trainings"]), set(new["trainings"])
    if before == after:
        return ""
    return f"{len(after - before)} trainings are new, {len(before - after)} are gone"
