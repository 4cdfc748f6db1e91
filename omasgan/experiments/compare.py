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
from omasgan.errors import ConfigError
from omasgan.experiments import ensemble, sweep_spec, versions
from omasgan.experiments.search import prepare, search
from omasgan.experiments.sweep_spec import SweepSpec
from omasgan.progress import ComparisonChanged, Event, Note, OnEvent, RunEnded
from omasgan.store.journal import Row, find_json, write_json
from omasgan.store.results import Store, params_id
from omasgan.study.sharing import can_share
from omasgan.study.space import load_space
from omasgan.training import labelled
from omasgan.training.jobs import CheckpointPolicy, RunJob

YARDSTICKS = ("knn", "lof", "pca", "gmm", "isolation-forest")
"""What no table goes without, but for those of detectors that are shown anomalies."""

CONTROLS = ("random", "noise", "patch-shuffle", "early-generator")
"""OMASGAN's ``negatives`` that are not its method."""


@dataclass(frozen=True)
class CompareSpec:
    """What is compared, on which folds and seeds of which benchmark.

    ``params`` are those of each detector; one without any runs at its defaults. ``controls`` adds
    OMASGAN with other negatives in B's place. With ``ensemble`` each of ``detectors`` is also an
    ensemble of so many members. With ``n_trials`` each detector is also swept, with
    as many trials a study, under each of ``rules``. ``folds`` and ``seeds`` None are all of the
    benchmark's. ``hours`` and ``checkpoint_budget`` are those of the sweeps, and so is
    ``share_stages``, of the detectors whose trials can share any.
    """

    benchmark: BenchmarkSpec
    detectors: tuple[str, ...]
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    folds: tuple[int, ...] | None = None
    seeds: tuple[int, ...] | None = None
    controls: bool = False
    ensemble: int | None = None
    n_trials: int | None = None
    rules: tuple[str, ...] = ("nested",)
    inner: int = 2
    hours: float | None = None
    share_stages: int | None = None
    device: str = "auto"
    checkpoint_budget: int | None = None
    checkpoints: CheckpointPolicy = CheckpointPolicy()

    @property
    def names(self) -> list[str]:
        """The yardsticks, unless there are labels, then the other detectors, each once."""
        yardsticks = () if self.benchmark.labelled else YARDSTICKS
        return list(dict.fromkeys((*yardsticks, *self.detectors)))


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
        ConfigError: an unknown detector, params or labelled anomalies that it does not take, no
            space to search, or nothing that its trials can share.
    """
    for entry in fixed_entries(spec):
        labelled.check_detector(entry.detector, spec.benchmark)
    if spec.ensemble is not None:
        ensemble.check(spec.ensemble, spec.seeds or spec.benchmark.seeds)
    sweeps = sweep_specs(spec)
    for sweep in sweeps:
        sweep_spec.check(sweep)
    if spec.share_stages is not None and all(sweep.share_stages is None for sweep in sweeps):
        raise ConfigError(
            f"trials of {', '.join(spec.names)} cannot share stages, for their params state no "
            "phases; leave out --share-stages, or add a detector such as omasgan"
        )


def fixed_entries(spec: CompareSpec) -> list[Entry]:
    """Return the detectors at params of their own: yardsticks, those asked for, controls."""
    entries = [_fixed(name, spec.params.get(name, {})) for name in spec.names]
    if spec.controls:
        params = spec.params.get("omasgan", {})
        entries += [_fixed("omasgan", {**params, "negatives": kind}) for kind in CONTROLS]
    return entries


def ensemble_entries(spec: CompareSpec) -> list[Entry]:
    """Return the ensembles of the detectors that were asked for, if any."""
    if spec.ensemble is None:
        return []
    rule = ensemble.rule(spec.ensemble)
    plain = [entry for entry in fixed_entries(spec) if entry.detector not in YARDSTICKS]
    return [replace(entry, selection=rule) for entry in plain]


def sweep_specs(spec: CompareSpec) -> list[SweepSpec]:
    """Return the sweeps that give every detector the same number of trials under every rule."""
    if spec.n_trials is None:
        return []
    spaces = {name: load_space(name, detectors.declared(name)) for name in spec.names}
    sharing = () if spec.share_stages is None else [n for n in spaces if can_share(n, spaces[n])]
    return [
        SweepSpec(
            benchmark=spec.benchmark,
            detector=name,
            space=space,
            rule=rule,
            n_trials=spec.n_trials,
            folds=spec.folds,
            seeds=spec.seeds,
            inner=spec.inner,
            hours=spec.hours,
            device=spec.device,
            checkpoint_budget=spec.checkpoint_budget,
            checkpoints=spec.checkpoints,
            share_stages=spec.share_stages if name in sharing else None,
        )
        for name, space in spaces.items()
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
    """Run everything that ``spec`` asks for; return the rows of all its runs.

    Sweeps are searched first, and ``dataset`` with its test samples goes to the backend once all
    their winners are written down. Of the runs the yardsticks come first: what they say of the
    folds' geometry is told before anything else is trained and tested.

    Raises:
        ConfigError: ``spec`` cannot be carried out, or no trial of a study ended well.
        StoreError: the store cannot be written, or holds another version of the benchmark.
    """
    entries, ensembles = fixed_entries(spec), ensemble_entries(spec)
    sweeps = sweep_specs(spec)
    studies = prepare(sweeps, store, dataset)
    fixed = _fixed_jobs(spec, entries, store, dataset)
    combined = _fixed_jobs(spec, ensembles, store, dataset)
    backend.check_out(store.root)
    store.claim_benchmark(spec.benchmark, dataset.sha256)
    status = ComparisonStatus(spec.benchmark.id, store, on_event)
    status.begin(
        [*entries, *ensembles, *(Entry(sweep.detector, sweep.rule, None) for sweep in sweeps)]
    )
    versions.note_others([*fixed, *combined], spec.benchmark, on_event)
    searched = search(studies, store, backend, on_event=on_event)
    yardsticks = [job for job in fixed if job.detector in YARDSTICKS]
    others = [job for job in fixed if job.detector not in YARDSTICKS]
    rows = backend.runs(yardsticks, spec.benchmark, dataset, status.following(yardsticks))
    for card in geometry.cards(store, spec.benchmark.id):
        if card.inverted:
            on_event(Note(str(card)))
    rows += backend.runs(others, spec.benchmark, dataset, status.following(others))
    if spec.ensemble is not None:
        following = status.following(combined)
        rows += ensemble.runs(combined, spec.ensemble, backend, spec.benchmark, dataset, following)
    versions.note_others(searched.jobs, spec.benchmark, on_event)
    rows += backend.runs(searched.jobs, spec.benchmark, dataset, on_event)
    searched.refuse_lost()
    status.end()
    return rows


def _fixed_jobs(
    spec: CompareSpec, entries: Sequence[Entry], store: Store, dataset: Dataset
) -> list[RunJob]:
    """Return the runs of entries that have params of their own."""
    folds = protocols.choose(protocols.folds(spec.benchmark, dataset), spec.folds)
    return [
        RunJob(
            fold=fold.index,
            detector=entry.detector,
            params=entry.params or {},
            seed=seed,
            selection=entry.selection,
            store=store,
            device=spec.device,
            checkpoints=CheckpointPolicy(spec.checkpoints.seconds),
        )
        for entry in entries
        for fold in folds
        for seed in spec.seeds or spec.benchmark.seeds
    ]


def _fixed(name: str, params: Mapping[str, Any]) -> Entry:
    cls = detectors.declared(name)
    chosen = detectors.check_params(cls, params)
    detectors.check_usable(cls, chosen)
    return Entry(name, "fixed", chosen)


class ComparisonStatus:
    """``comparison.json``: what belongs to the comparison, and whether it has ended."""

    def __init__(self, benchmark: str, store: Store, on_event: OnEvent) -> None:
        self._benchmark, self._on_event = benchmark, on_event
        self._path = store.root / benchmark / "comparison.json"
        self._row: Row = {"status": "complete", "entries": []}

    def begin(self, entries: Iterable[Entry]) -> None:
        """Add ``entries`` to what is there already."""
        self._row = find_json(self._path) or self._row
        known = self._row["entries"]
        new = [row for row in (entry.to_row() for entry in entries) if row not in known]
        self._write("running", [*known, *new])

    def end(self) -> None:
        """Note that everything has been run."""
        self._write("complete", self._row["entries"])

    def following(self, jobs: Sequence[RunJob]) -> OnEvent:
        """Return a handler that passes events on, and says when the last of ``jobs`` of an entry
        has ended.
        """
        left = Counter(_key(job.detector, job.params) for job in jobs)

        def follow(event: Event) -> None:
            if not isinstance(event, RunEnded):
                self._on_event(event)
                return
            self._on_event(replace(event, comparison=self._benchmark))
            key = _key(event.row["detector"], event.row["params"])
            left[key] -= 1
            if not left[key]:
                self._announce()

        return follow

    def _write(self, status: str, entries: list[Row]) -> None:
        self._row = {"status": status, "entries": entries}
        write_json(self._path, self._row)
        self._announce()

    def _announce(self) -> None:
        self._on_event(ComparisonChanged(self._benchmark, self._row["status"]))


def _key(detector: str, params: Mapping[str, Any]) -> tuple[str, str]:
    return detector, params_id(params)
