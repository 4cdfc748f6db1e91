"""The trainings of a study: each is a run on a backend, and what is done stays done."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from omasgan import detectors
from omasgan.config import BenchmarkSpec, difference, digest
from omasgan.datasets import Dataset
from omasgan.errors import StoreError
from omasgan.files import AnyPath, exists
from omasgan.search import Backend, Event, OnEvent, RunJob
from omasgan.selection import SENSITIVITY
from omasgan.sensitivity.design import Plan
from omasgan.stages import StageCache
from omasgan.store import Row, Store, read_json, write_json

STAGES = "stages"
"""The folder under the output's root in which trainings share their beginnings."""


@dataclass(frozen=True)
class StudySpec:
    """What is trained, with which detector, on which benchmark.

    ``place`` is the name or file that the benchmark was given by, ``ranges`` the file of the space
    if one was given. Without ``resume`` a study that was interrupted is refused.
    """

    place: str
    benchmark: BenchmarkSpec
    detector: str
    plan: Plan
    ranges: str | None = None
    device: str = "auto"
    resume: bool = False


def folder(store: Store, benchmark: str, detector: str) -> AnyPath:
    """Where the page of a study lies."""
    return store.root / "sensitivity" / f"{benchmark}-{detector.replace(':', '.')}"


def train(
    spec: StudySpec,
    store: Store,
    backend: Backend,
    dataset: Dataset,
    *,
    on_event: OnEvent = lambda event: None,
) -> list[Row]:
    """Train and test all settings of the plan; the rows, in no particular order.

    One training of each beginning comes before all others that share it: on any number of
    workers it is paid for once.

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
        on_event(replace(event, done=len(rows) + event.done, total=spec.plan.trainings))

    for wave in _waves(spec, store):
        rows += backend.runs(wave, spec.benchmark, dataset, tell)
    write_json(book, {**about, "status": "complete"})
    return rows


def _identity(spec: StudySpec) -> Row:
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


def _waves(spec: StudySpec, store: Store) -> Iterator[list[RunJob]]:
    """The jobs: those that leave what all others start from, those that go on from there and
    leave what some start from, and so on.
    """
    ends = [_beginnings(spec.detector, params) for params in spec.plan.settings]
    counts = Counter(end for of_setting in ends for end in of_setting)
    waves: dict[float, list[RunJob]] = {}
    seen: set[tuple[str, str]] = set()
    for params, of_setting in zip(spec.plan.settings, ends, strict=True):
        shared = [end for end in of_setting if counts[end] > 1]
        new = [level for level, end in enumerate(shared) if end not in seen]
        seen.update(shared)
        cache = StageCache(store.root / STAGES, tuple(phase for phase, _ in shared))
        waves.setdefault(min(new, default=math.inf), []).extend(
            RunJob(
                fold, spec.detector, dict(params), seed, SENSITIVITY, store, spec.device,
                cache=cache if shared else None,
            )
            for fold in spec.plan.folds
            for seed in spec.plan.seeds
        )  # fmt: skip
    for level in sorted(waves):
        yield waves[level]


def _beginnings(detector: str, params: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """The phases at whose ends a training can be shared, with what the states depend on."""
    made = detectors.load(detector)(**params)
    return [(b.phase, digest(dict(b.params))) for b in made.beginnings()]
