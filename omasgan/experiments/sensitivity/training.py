"""The trainings of a study: each is a run on a backend, and none is repeated once it is done."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from omasgan.backends.contract import Backend
from omasgan.config import BenchmarkSpec
from omasgan.data.datasets import Dataset
from omasgan.data.selection import SENSITIVITY
from omasgan.detectors import folder_name
from omasgan.experiments.sensitivity.design import SensitivityPlan
from omasgan.experiments.sharing import waves
from omasgan.experiments.status import recorded
from omasgan.progress import EpochEnded, Event, OnEvent, RunEnded
from omasgan.store.files import AnyPath
from omasgan.store.journal import Row
from omasgan.store.results import Store
from omasgan.training.jobs import RunJob


@dataclass(frozen=True)
class SensitivitySpec:
    """What is trained, with which detector, on which benchmark.

    ``source`` is the name or file that the user gave for the benchmark, ``space`` the file of
    ranges, if they gave one.
    """

    source: str
    benchmark: BenchmarkSpec
    detector: str
    plan: SensitivityPlan
    space: str | None = None
    device: str = "auto"


def folder(store: Store, benchmark: str, detector: str) -> AnyPath:
    """The folder of a study's page."""
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

    What they have in common is trained once, see ``omasgan.experiments.sharing``. A study that was
    interrupted goes on.

    Raises:
        StoreError: another study was interrupted in the same folder.
    """
    backend.check_out(store.root)
    store.claim_benchmark(spec.benchmark, dataset.sha256)
    rows: list[Row] = []

    def count_all(event: Event) -> None:
        if isinstance(event, EpochEnded | RunEnded):
            event = replace(event, done=len(rows) + event.done, total=spec.plan.trainings)
        on_event(event)

    file = folder(store, spec.benchmark.id, spec.detector) / "study.json"
    with recorded(file, _identity(spec), "the study"):
        for wave in waves(_jobs(spec, store), store.root):
            rows += backend.runs(wave, spec.benchmark, dataset, count_all)
    return rows


def _jobs(spec: SensitivitySpec, store: Store) -> list[RunJob]:
    return [
        RunJob(fold, spec.detector, dict(params), seed, SENSITIVITY, store, spec.device)
        for params in spec.plan.settings
        for fold in spec.plan.folds
        for seed in spec.plan.seeds
    ]


def _identity(spec: SensitivitySpec) -> Row:
    """What the trainings depend on; the settings follow from the rest."""
    plan = asdict(spec.plan)
    del plan["settings"]
    for axis in plan["axes"]:
        del axis["source"]
    return {"benchmark": spec.benchmark.identity(), "detector": spec.detector, **plan}
