"""A sweep: search under a rule, freeze the winners, and only then train and test them anew."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omasgan import detectors
from omasgan.backends.contract import Backend
from omasgan.config import BenchmarkSpec, difference
from omasgan.data import selection
from omasgan.data.datasets import Dataset
from omasgan.data.selection import Study
from omasgan.errors import ConfigError, DamagedError, StoreError, without_secrets
from omasgan.progress import Event, OnEvent
from omasgan.store import files
from omasgan.store.files import AnyPath
from omasgan.store.journal import Row, find_json, read_json, read_rows, write_json
from omasgan.store.results import Store, params_id, store_id
from omasgan.study.checkpoints import Checkpoints
from omasgan.study.guide import Guide, Trial, make_pruner, make_sampler, read_replay
from omasgan.study.search import Search, TrialJob
from omasgan.study.space import Space
from omasgan.training.evaluate import CHECKPOINT_SECONDS
from omasgan.training.jobs import RunJob

logger = logging.getLogger(__name__)

PROGRESS = ("n_trials", "status")
"""The fields of ``study.json`` that may change; all others are what makes it the same study."""

RECORDED = ("number", "params", "outcome", "objective", "error")
"""What a trial's record has from the guide."""


@dataclass(frozen=True)
class SweepSpec:
    """What is searched, how, and for which folds of which benchmark.

    ``rule`` is one of ``selection.RULES``; ``folds`` None means all; ``inner`` is the most tasks
    that a trial is judged by; ``storage`` is an Optuna URL, by default a file in each study's
    folder; ``replay`` is the ``log.jsonl`` of a study or a folder of studies; ``source`` is the
    benchmark that the rule ``transfer`` chooses on; ``seeds`` are the winners', by default the
    benchmark's. Without ``resume`` a sweep that was interrupted is refused. ``checkpoint_budget``
    is in bytes, for all studies together; with ``keep_checkpoints`` trials that have ended keep
    their last state within it. ``checkpoint_seconds`` lie between two of a training's.
    """

    benchmark: BenchmarkSpec
    detector: str
    space: Space
    rule: str
    n_trials: int
    folds: tuple[int, ...] | None = None
    sampler: str = "TPESampler"
    pruner: str = "NopPruner"
    seed: int = 0
    inner: int = 2
    storage: str | None = None
    device: str = "auto"
    prune_collapsed: bool = False
    resume: bool = False
    replay: Path | None = None
    source: BenchmarkSpec | None = None
    save: bool = False
    seeds: tuple[int, ...] | None = None
    checkpoint_budget: int | None = None
    keep_checkpoints: bool = False
    checkpoint_seconds: float = CHECKPOINT_SECONDS


@dataclass(frozen=True)
class Winner:
    """The best trial of a study, with all params of the detector."""

    study: str
    number: int
    params: dict[str, Any]
    objective: float
    folds: tuple[int, ...]


@dataclass(frozen=True)
class SweepResult:
    """The winners by study, and the rows of their final runs."""

    winners: list[Winner] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


def check(spec: SweepSpec) -> None:
    """Check all that can be checked without data, before any work starts.

    Raises:
        ConfigError: a number out of its range, an unknown sampler or pruner, a space that does
            not fit the detector, or a replay that cannot be read.
    """
    if spec.n_trials < 1:
        raise ConfigError(f"trials must be at least 1, got {spec.n_trials}")
    if spec.seed < 0:
        raise ConfigError(f"seed must be at least 0, got {spec.seed}")
    make_sampler(spec.sampler, spec.seed, conditional=spec.space.is_conditional)
    make_pruner(spec.pruner)
    spec.space.check(detectors.load(spec.detector))
    if spec.replay is not None and not spec.replay.exists():
        raise ConfigError(f"--replay '{spec.replay}' does not exist; give a study's log.jsonl")


def studies(spec: SweepSpec, dataset: Dataset, source: Dataset | None) -> list[Study]:
    """The studies that ``spec`` asks for, with the samples that their workers receive.

    Raises:
        ConfigError: ``spec`` cannot be carried out.
    """
    check(spec)
    other = None if spec.source is None or source is None else (spec.source, source)
    return selection.studies(
        spec.rule,
        spec.benchmark,
        dataset,
        spec.folds,
        inner=spec.inner,
        seed=spec.seed,
        source=other,
    )


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

    Workers receive the samples of ``selection.studies`` while they search; ``dataset`` with its
    test samples goes to the backend once every winner of all ``specs`` is written down.

    Args:
        specs: what to do, all on the same benchmark; several are searched side by side.
        store: where studies and runs lie. A study that is there is gone on with if it is the same
            and either complete or to be resumed.
        backend: where trials and runs are executed.
        dataset: of the benchmark.
        source: of the specs' ``source``.
        on_event: told of every trial and run.

    Raises:
        ConfigError: a spec cannot be carried out, or no trial of a study ended well.
        StoreError: another study lies where this one would, or one that was interrupted.
    """
    desks = [desk for spec in specs for desk in _desks(spec, store, dataset, source)]
    replays = [desk.replay(alone=len(desks) == 1) for desk in desks]
    for desk in desks:
        desk.refuse_another()
    backend.check_out(store.root)
    benchmark = specs[0].benchmark
    store.claim_benchmark(benchmark, dataset.sha256)
    checkpoints = Checkpoints(specs[0].checkpoint_budget, keep=specs[0].keep_checkpoints)
    searches = [
        desk.open(replay, checkpoints) for desk, replay in zip(desks, replays, strict=True)
    ]
    for desk, search in zip(desks, searches, strict=True):
        desk.mark("running", search, on_event)
    backend.search(searches, on_event)
    won: list[tuple[SweepSpec, Winner]] = []
    for desk, search in zip(desks, searches, strict=True):
        won += [(desk.spec, winner) for winner in desk.freeze(search.guide.best())]
        desk.mark("complete", search, on_event)
    jobs = [job for spec, winner in won for job in _final_jobs(spec, winner, store)]
    rows = backend.runs(jobs, benchmark, dataset, on_event)
    for desk, search in zip(desks, searches, strict=True):
        desk.refuse_lost(search)
    return SweepResult([winner for _, winner in won], rows)


def _desks(spec: SweepSpec, store: Store, dataset: Dataset, source: Dataset | None) -> list[_Desk]:
    return [
        _Desk(spec, store, study, _identity(spec, study, dataset, source))
        for study in studies(spec, dataset, source)
    ]


class _Desk:
    """One study of a sweep: its folder, and what makes it the same study."""

    def __init__(self, spec: SweepSpec, store: Store, study: Study, identity: Row) -> None:
        self.spec, self._study, self._identity = spec, study, identity
        self._root = store.root
        self._dir = store.study_dir(spec.benchmark.id, spec.detector, spec.rule, study.name)
        self._file = self._dir / "study.json"
        self._before = read_json(self._file) if files.exists(self._file) else None

    def replay(self, *, alone: bool) -> Path | None:
        """The log to replay, checked against the space."""
        path = self.spec.replay
        if path is not None and path.is_dir():
            path = path / self._study.name / "log.jsonl"
        elif path is not None and not alone:
            raise ConfigError(
                f"--replay '{path}' is one log, but the sweep has several studies; "
                "give the folder that holds their folders, or one fold"
            )
        if path is not None:
            read_replay(path, self.spec.space)
        return path

    def refuse_another(self) -> None:
        """Refuse what lies in the folder, unless it is this study and may go on."""
        if self._before is None:
            return
        old = {key: value for key, value in self._before.items() if key not in PROGRESS}
        if old != self._identity:
            raise StoreError(
                f"study '{self._study.name}' in '{self._dir}' is another one: "
                f"{difference(old, self._identity)}; give another --out"
            )
        if self._before["status"] != "complete" and not self.spec.resume:
            raise StoreError(
                f"study '{self._study.name}' in '{self._dir}' has not ended; "
                "go on with --resume, or give another --out"
            )

    def open(self, replay: Path | None, checkpoints: Checkpoints) -> Search:
        """The study, made or found."""
        spec = self.spec
        checkpoints.watch(self._dir)
        guide = Guide(
            spec.space,
            storage=spec.storage or self._own_storage(),
            study_name=self._name(),
            sampler=spec.sampler,
            pruner=spec.pruner,
            seed=spec.seed,
            log_path=self._dir / "log.jsonl",
            replay=replay,
        )
        self._mend_records(guide)
        self._refuse_foreign(guide)
        job = TrialJob(
            spec.detector,
            spec.device,
            spec.prune_collapsed,
            self._dir,
            checkpoints,
            spec.checkpoint_seconds,
        )
        return Search(guide, job, self._study.data, spec.n_trials)

    def _name(self) -> str:
        """What the study is called in its storage, where other folders' may be called alike."""
        spec = self.spec
        name = "/".join((spec.benchmark.id, spec.detector, spec.rule, self._study.name))
        return name if spec.storage is None else f"{name}/{store_id(self._root)}"

    def _own_storage(self) -> str | None:
        """A database in the study's folder; no database can lie on an object store, where the
        study is made anew from its log.
        """
        if not isinstance(self._dir, Path):
            return None
        self._dir.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{self._dir / 'optuna.db'}"

    def _mend_records(self, guide: Guide) -> None:
        """Write anew the records that are gone of trials whose end stands in this folder's log."""
        log = read_rows(self._dir / "log.jsonl")
        told = {row["number"] for row in log if row["event"] == "tell"}
        names = [task.name for task in self._study.data.tasks]
        for trial in guide.finished():
            path = self._dir / "trials" / f"{trial.number:04d}" / "trial.json"
            if trial.number in told and not _is_sound(path):
                row = {key: getattr(trial, key) for key in RECORDED}
                values = {names[step]: value for step, value in trial.values.items()}
                lost = {"attempts": None, "seconds": 0.0, "peak_memory_mb": None}
                write_json(path, {**row, "values": values, **lost})

    def _refuse_foreign(self, guide: Guide) -> None:
        """Refuse a storage that holds another history than the folder."""
        told = len(guide.finished())
        recorded = len(files.find(self._dir, "trials/*/trial.json"))
        # A driver that dies may have recorded trials that it did not come to tell.
        if not told <= recorded <= guide.asked:
            storage = without_secrets(self.spec.storage or str(self._dir))
            raise StoreError(
                f"storage '{storage}' holds {told} trials "
                f"of study '{self._study.name}', but {recorded} are recorded in '{self._dir}'; "
                "give another --storage or --out"
            )

    def mark(self, status: str, search: Search, on_event: OnEvent) -> None:
        """Write down how far the study is."""
        done = len(search.guide.finished())
        row = {"n_trials": max(self.spec.n_trials, done), "status": status}
        write_json(self._file, self._identity | row)
        on_event(Event("study", done, search.n_trials, text=status, study_dir=self._dir))

    def freeze(self, best: Trial | None) -> list[Winner]:
        """Write down the winner, if there is one."""
        if best is None or best.objective is None:
            return []
        cls = detectors.load(self.spec.detector)
        params = detectors.check_params(cls, best.params)
        winner = Winner(self._study.name, best.number, params, best.objective, self._study.folds)
        row = {"number": winner.number, "params": params, "params_id": params_id(params)}
        write_json(self._dir / "winner.json", row | {"objective": winner.objective})
        return [winner]

    def refuse_lost(self, search: Search) -> None:
        """Refuse a study in which no trial ended well, once all others have been carried out."""
        if search.guide.best() is None:
            trials = search.guide.finished()
            counts = ", ".join(f"{n} {o}" for o, n in Counter(t.outcome for t in trials).items())
            error = next((t.error for t in reversed(trials) if t.error), "none")
            raise ConfigError(
                f"no trial of study '{self._study.name}' of {self.spec.detector} ended ok "
                f"({counts}; last error: {error}); change the space or give more --trials"
            )


def _is_sound(record: AnyPath) -> bool:
    try:
        return find_json(record) is not None
    except DamagedError as error:
        logger.warning("%s", error)
        return False


def _identity(spec: SweepSpec, study: Study, dataset: Dataset, source: Dataset | None) -> Row:
    """All that the trials of a study depend on, as JSON gives it back."""
    row = {
        "detector": spec.detector,
        "selection": spec.rule,
        "benchmark": spec.benchmark.identity(),
        "data_sha256": dataset.sha256,
        "folds": study.folds,
        "space": spec.space.to_dict(),
        "sampler": spec.sampler,
        "pruner": spec.pruner,
        "seed": spec.seed,
        "inner": spec.inner,
        "prune_collapsed": spec.prune_collapsed,
        "replay": spec.replay and _digest(spec.replay),
        "source": spec.source and spec.source.identity(),
        "source_sha256": source and source.sha256,
    }
    plain: Row = json.loads(json.dumps(row))
    return plain


def _digest(replay: Path) -> str:
    logs = sorted(replay.glob("*/log.jsonl")) if replay.is_dir() else [replay]
    return hashlib.sha256(b"".join(log.read_bytes() for log in logs)).hexdigest()


def _final_jobs(spec: SweepSpec, winner: Winner, store: Store) -> list[RunJob]:
    """The winner on its folds, on the benchmark's seeds, which no trial has used."""
    return [
        RunJob(
            fold,
            spec.detector,
            winner.params,
            seed,
            spec.rule,
            store,
            spec.device,
            spec.save,
            checkpoint_seconds=spec.checkpoint_seconds,
        )
        for fold in winner.folds
        for seed in spec.seeds or spec.benchmark.seeds
    ]
