"""A comparison: detectors on the same folds and seeds, with the yardsticks always beside them.

Every (detector, fold, seed) is a run of its own; runs that are done are not trained again, so that
a comparison grows by what is new in it. ``<benchmark>/comparison.json`` says what belongs to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from omasgan import detectors
from omasgan.backends.contract import Backend
from omasgan.checks import geometry
from omasgan.config import BenchmarkSpec
from omasgan.data import protocols
from omasgan.data.datasets import Dataset
from omasgan.experiments import sweep as searching
from omasgan.experiments.sweep import SweepSpec
from omasgan.progress import ComparisonChanged, Event, Note, OnEvent, RunEnded
from omasgan.store import files
from omasgan.store.journal import Row, read_json, write_json
from omasgan.store.results import Store, params_id
from omasgan.study.space import load_space
from omasgan.training.jobs import CheckpointPolicy, RunJob

YARDSTICKS = ("knn", "pca", "gmm", "isolation-forest")
"""What no table goes without."""

CONTROLS = ("noise", "patch-shuffle", "early-generator", "deformation")
"""OMASGAN's ``negatives`` that are not its method."""


@dataclass(frozen=True)
class CompareSpec:
    """What is compared, on which folds and seeds of which benchmark.

    ``params`` are given ones by detector; a detector without any runs at its defaults.
    ``controls`` adds OMASGAN with other negatives in B's place. With ``n_trials`` each detector
    is also swept, with as many trials a study, under each of ``rules``. ``folds`` and ``seeds``
    None are all of the benchmark's. ``checkpoint_budget`` is that of the sweeps.
    """

    benchmark: BenchmarkSpec
    detectors: tuple[str, ...]
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    folds: tuple[int, ...] | None = None
    seeds: tuple[int, ...] | None = None
    controls: bool = False
    n_trials: int | None = None
    rules: tuple[str, ...] = ("nested",)
    inner: int = 2
    device: str = "auto"
    checkpoint_budget: int | None = None
    checkpoints: CheckpointPolicy = CheckpointPolicy()

    @property
    def names(self) -> list[str]:
        """The yardsticks, then the other detectors, each once."""
        return list(dict.fromkeys((*YARDSTICKS, *self.detectors)))


@dataclass(frozen=True)
class Entry:
    """One line of the comparison; ``params`` are None where each fold may have its own."""

    detector: str
    selection: str
    params: dict[str, Any] | None

    def to_row(self) -> Row:
        chosen = None if self.params is None else params_id(self.params)
        return {"detector": self.detector, "selection": self.selection, "params_id": chosen}


def check(spec: CompareSpec) -> None:
    """Check all that can be checked without data, before any work starts.

    Raises:
        ConfigError: an unknown detector, params that it does not take, or no space to search.
    """
    fixed_entries(spec)
    for sweep in sweep_specs(spec):
        searching.check(sweep)


def fixed_entries(spec: CompareSpec) -> list[Entry]:
    """The detectors at given or default params: yardsticks first, the asked ones, controls."""
    entries = [_fixed(name, spec.params.get(name, {})) for name in spec.names]
    if spec.controls:
        given = spec.params.get("omasgan", {})
        entries += [_fixed("omasgan", {**given, "negatives": kind}) for kind in CONTROLS]
    return entries


def sweep_specs(spec: CompareSpec) -> list[SweepSpec]:
    """The sweeps that give every detector the same number of trials under every rule."""
    if spec.n_trials is None:
        return []
    return [
        SweepSpec(
            spec.benchmark,
            name,
            load_space(name, detectors.load(name)),
            rule,
            spec.n_trials,
            folds=spec.folds,
            seeds=spec.seeds,
            inner=spec.inner,
            device=spec.device,
            checkpoint_budget=spec.checkpoint_budget,
            checkpoints=spec.checkpoints,
        )
        for name in spec.names
        for rule in spec.rules
    ]


def compare(
    spec: CompareSpec,
    store: Store,
    backend: Backend,
    dataset: Dataset,
    *,
    on_event: OnEvent = lambda event: None,
) -> list[Row]:
    """Run everything that ``spec`` asks for; the rows of all its runs.

    The yardsticks come first: what they say of the folds' geometry is told before anything else
    is trained.

    Raises:
        ConfigError: ``spec`` cannot be carried out.
        StoreError: the store cannot be written, or holds another version of the benchmark.
    """
    check(spec)
    entries, sweeps = fixed_entries(spec), sweep_specs(spec)
    folds = protocols.choose(protocols.folds(spec.benchmark, dataset), spec.folds)
    backend.check_out(store.root)
    store.claim_benchmark(spec.benchmark, dataset.sha256)
    swept = [Entry(sweep.detector, sweep.rule, None) for sweep in sweeps]
    book = _Book(spec, store, on_event)
    book.begin([*entries, *swept])
    jobs = [
        RunJob(
            fold.index,
            e.detector,
            e.params or {},
            seed,
            e.selection,
            store,
            spec.device,
            checkpoints=CheckpointPolicy(spec.checkpoints.seconds),
        )
        for e in entries
        for fold in folds
        for seed in spec.seeds or spec.benchmark.seeds
    ]
    first = [job for job in jobs if job.detector in YARDSTICKS]
    rest = [job for job in jobs if job.detector not in YARDSTICKS]
    rows = backend.runs(first, spec.benchmark, dataset, book.following(first))
    for card in geometry.cards(store, spec.benchmark.id):
        if card.inverted:
            on_event(Note(str(card)))
    rows += backend.runs(rest, spec.benchmark, dataset, book.following(rest))
    if sweeps:
        rows += searching.sweep(sweeps, store, backend, dataset, on_event=on_event).rows
    book.end()
    return rows


def _fixed(name: str, given: Mapping[str, Any]) -> Entry:
    return Entry(name, "fixed", detectors.check_params(detectors.load(name), given))


class _Book:
    """``comparison.json``: what belongs to the comparison, and whether it has ended."""

    def __init__(self, spec: CompareSpec, store: Store, on_event: OnEvent) -> None:
        self._spec, self._on_event = spec, on_event
        self._file = store.root / spec.benchmark.id / "comparison.json"
        self._row: Row = {"status": "complete", "entries": []}

    def begin(self, entries: Iterable[Entry]) -> None:
        """Add ``entries`` to what is there already."""
        if files.exists(self._file):
            self._row = read_json(self._file)
        known = self._row["entries"]
        new = [row for row in (entry.to_row() for entry in entries) if row not in known]
        self._write("running", [*known, *new])

    def end(self) -> None:
        self._write("complete", self._row["entries"])

    def following(self, jobs: Sequence[RunJob]) -> OnEvent:
        """Passes events on; says so whenever the last run of an entry has ended."""
        left = Counter(_key(job.detector, job.params) for job in jobs)

        def follow(event: Event) -> None:
            if not isinstance(event, RunEnded):
                self._on_event(event)
            else:
                self._on_event(replace(event, comparison=self._spec.benchmark.id))
                key = _key(event.row["detector"], event.row["params"])
                left[key] -= 1
                if not left[key]:
                    self._tell()

        return follow

    def _write(self, status: str, entries: list[Row]) -> None:
        self._row = {"status": status, "entries": entries}
        write_json(self._file, self._row)
        self._tell()

    def _tell(self) -> None:
        self._on_event(ComparisonChanged(self._spec.benchmark.id, self._row["status"]))


def _key(detector: str, params: Mapping[str, Any]) -> tuple[str, str]:
    return detector, params_id(params)
