"""The trainings of a study: each is a run on a backend, and what is done stays done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from omasgan.backends.contract import Backend
from omasgan.config import BenchmarkSpec, difference
from omasgan.data.datasets import Dataset
from omasgan.data.selection import SENSITIVITY
from omasgan.detectors import folder_name
from omasgan.errors import StoreError
from omasgan.experiments.sensitivity.design import SensitivityPlan
from omasgan.experiments.sharing import waves
from omasgan.progress import EpochEnded, Event, OnEvent, RunEnded
from omasgan.store.files import AnyPath, exists
from omasgan.store.journal import Row, read_json, write_json
from omasgan.store.results import Store
from omasgan.training.jobs import RunJob


@dataclass(frozen=True)
class SensitivitySpec:
    """What is trained, with which detector, on which benchmark.

    ``place`` is the name or file that the benchmark was given by, ``ranges`` the file of the space
    if one was given. Without ``resume`` a study that was interrupted is refused.
    """

    place: str
    benchmark: BenchmarkSpec
    detector: str
    plan: SensitivityPlan
    ranges: str | None = None
    device: str = "auto"
    resume: bool = False


def folder(store: Store, benchmark: str, detector: str) -> AnyPath:
    """Where the page of a study lies."""
    return store.root / "sensitivity" / f"{benchmark}-{folder_name(detector)}"


def train(
    spec: SensitivitySpec,
    store: Store,
    backend: Backend,
    dataset: Dataset,
    *,
    on_event: OnEvent = lambda event: None,
) -> list[Row]:
    """Train and test all settings of the plan; the rows, in no particular order.

    What they have in common is trained once, see ``omasgan.experiments.sharing``.

    Raises:
        StoreError: an interrupted study lies in ``store`` and is not to be resumed.
    """
    backend.check_out(store.root)
    store.claim_benchmark(spec.benchmark, dataset.sha256)
    book = folder(store, spec.benchmark.id, spec.detector) / "study.json"
    about = _identity(spec)
    _refuse_interrupted(book, about, spec.resume)
    write_json(book, {**about, "status": "running"})
    rows: list[Row] = []

    def tell(event: Event) -> None:
        if isinstance(event, EpochEnded | RunEnded):
            event = replace(event, done=len(rows) + event.done, total=spec.plan.trainings)
        on_event(event)

    plan = spec.plan
    jobs = [
        RunJob(fold, spec.detector, dict(params), seed, SENSITIVITY, store, spec.device)
        for params in plan.settings
        for fold in plan.folds
        for seed in plan.seeds
    ]
    for wave in waves(jobs, store.root):
        rows += backend.runs(wave, spec.benchmark, dataset, tell)
    write_json(book, {**about, "status": "complete"})
    return rows


def _identity(spec: SensitivitySpec) -> Row:
    plan = asdict(spec.plan)
    del plan["settings"]
    return {"benchmark": spec.benchmark.identity(), "detector": spec.detector, **plan}


def _refuse_interrupted(book: AnyPath, about: Mapping[str, Any], resume: bool) -> None:
    if resume or not exists(book):
        return
    before = read_json(book)
    if before.pop("status") != "complete":
        changed = difference(before, about)
        raise StoreError(
            f"the study in '{book.parent}' has not ended{': ' + changed if changed else ''}; "
            "go on with --resume, or give another --out"
        )
