"""A sweep: search under a rule, freeze the winners, and only then train and test them anew."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from omasgan import detectors
from omasgan.backends.contract import Backend
from omasgan.config import BenchmarkSpec
from omasgan.data import selection
from omasgan.data.datasets import Dataset
from omasgan.data.selection import Study
from omasgan.errors import ConfigError
from omasgan.experiments.study_folder import StudyFolder, Winner
from omasgan.progress import OnEvent, StudyChanged, TrialEnded
from omasgan.store.journal import Row
from omasgan.store.results import Store
from omasgan.study import samplers
from omasgan.study.checkpoints import Checkpoints
from omasgan.study.guide import Guide
from omasgan.study.replay import digest_of, has_record, read_replay
from omasgan.study.search import Search
from omasgan.study.space import Params, Space
from omasgan.study.storage_copy import StorageCopy, check_storage
from omasgan.training.jobs import CheckpointPolicy, RunJob

DEFAULTS = "defaults"
"""What ``SweepSpec.enqueue`` may name: the detector's default params."""


@dataclass(frozen=True)
class SweepSpec:
    """What is searched, how, and for which folds of which benchmark.

    ``rule`` is one of ``selection.RULES``; ``folds`` None means all; ``inner`` is the most tasks
    that a trial is judged by; ``storage`` is the URL of an Optuna storage that gets a copy of each
    study; ``replay`` is the record of a study or a folder of studies; ``enqueue`` names the params
    of each study's first trial, ``defaults`` or nothing; ``source`` is the benchmark that the rule
    ``transfer`` chooses on; ``seeds`` are the winners', by default the benchmark's.
    ``checkpoint_budget`` is in bytes, for all studies together; with ``checkpoints.keep`` trials
    that have ended keep their last state within it.
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
    replay: Path | None = None
    enqueue: str | None = None
    source: BenchmarkSpec | None = None
    save: bool = False
    seeds: tuple[int, ...] | None = None
    checkpoint_budget: int | None = None
    checkpoints: CheckpointPolicy = CheckpointPolicy()


@dataclass(frozen=True)
class SweepResult:
    """The winners by study, and the rows of their final runs."""

    winners: list[Winner] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


def check(spec: SweepSpec) -> None:
    """Check all that can be checked without data, before any work starts.

    Raises:
        ConfigError: a number out of its range, a sampler or pruner that there is not or that
            cannot work on the space, a space that does not fit the detector or the rule, params
            to enqueue that the space does not hold, or a replay that cannot be read.
        BackendError: the storage cannot be used.
    """
    if spec.n_trials < 1:
        raise ConfigError(f"trials must be at least 1, got {spec.n_trials}")
    if spec.seed < 0:
        raise ConfigError(f"seed must be at least 0, got {spec.seed}")
    spec.space.check(detectors.load(spec.detector))
    selection.check_negatives(spec.rule, spec.space.to_dict())
    samplers.rehearse(spec.space, spec.sampler, spec.pruner, spec.seed)
    if spec.enqueue is not None:
        spec.space.within(_enqueued(spec))
    if spec.replay is not None and not has_record(spec.replay):
        raise ConfigError(f"'{spec.replay}' holds no trials to replay; give a study's folder")
    if spec.storage is not None:
        check_storage(spec.storage)


def studies(spec: SweepSpec, dataset: Dataset, source: Dataset | None) -> list[Study]:
    """Return the studies that ``spec`` asks for, with the samples that their workers receive.

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
    test samples goes to the backend once every winner of all ``specs`` is written down. A study
    that is there already is gone on with.

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
    """
    pairs = [(spec, study) for spec in specs for study in studies(spec, dataset, source)]
    folders = [
        StudyFolder.of(store, spec.benchmark.id, spec.detector, spec.rule, study)
        for spec, study in pairs
    ]
    replays = [_replay(spec, study, alone=len(pairs) == 1) for spec, study in pairs]
    for folder, (spec, study) in zip(folders, pairs, strict=True):
        folder.refuse_another(identity(spec, study, dataset, source))
    backend.check_out(store.root)
    benchmark = specs[0].benchmark
    store.claim_benchmark(benchmark, dataset.sha256)
    disk = Checkpoints(specs[0].checkpoint_budget, keep=specs[0].checkpoints.keep)
    searches, copies = [], []
    for folder, (spec, study), replay in zip(folders, pairs, replays, strict=True):
        search = _search(spec, study, folder, replay, disk)
        if spec.storage is not None:
            name = folder.name_in_storage(store)
            copies.append(StorageCopy(spec.storage, name, search.guide))
        searches.append(search)
        folder.begin(identity(spec, study, dataset, source), spec.n_trials)
        on_event(_changed(search, "running"))
    backend.search(searches, _copying(copies, on_event))
    for copy in copies:
        copy.finish()
    winners: list[Winner] = []
    jobs: list[RunJob] = []
    for folder, (spec, study), search in zip(folders, pairs, searches, strict=True):
        winner = folder.freeze(search.guide, spec.detector)
        on_event(_changed(search, "complete"))
        if winner is not None:
            winners.append(winner)
            jobs += _final_jobs(spec, study, winner, store)
    rows = backend.runs(jobs, benchmark, dataset, on_event)
    for (spec, study), search in zip(pairs, searches, strict=True):
        _refuse_lost(spec, study, search)
    return SweepResult(winners, rows)


def identity(spec: SweepSpec, study: Study, dataset: Dataset, source: Dataset | None) -> Row:
    """Return all that the trials of a study depend on."""
    return {
        "detector": spec.detector,
        "selection": spec.rule,
        "benchmark": spec.benchmark.identity(),
        "data_sha256": dataset.sha256,
        "folds": study.folds,
        "tasks": [task.name for task in study.data.tasks],
        "space": spec.space.to_dict(),
        "sampler": spec.sampler,
        "pruner": spec.pruner,
        "seed": spec.seed,
        "inner": spec.inner,
        "prune_collapsed": spec.prune_collapsed,
        "enqueue": spec.enqueue,
        "replay": spec.replay and digest_of(spec.replay),
        "source": spec.source and spec.source.identity(),
        "source_sha256": source and source.sha256,
    }


def study_seed(seed: int, study: str) -> int:
    """Return the seed of one study's suggestions: studies with a seed in common would all ask for
    the same first configurations.
    """
    sequence = np.random.SeedSequence([seed, zlib.crc32(study.encode())])
    return int(sequence.generate_state(1)[0])


def _search(
    spec: SweepSpec, study: Study, folder: StudyFolder, replay: Sequence[Any], disk: Checkpoints
) -> Search:
    """Open the study, or begin it."""
    guide = Guide(
        spec.space,
        folder.path,
        name=folder.name,
        sampler=spec.sampler,
        pruner=spec.pruner,
        seed=study_seed(spec.seed, study.name),
        replay=replay,
    )
    if spec.enqueue is not None:
        guide.enqueue(_enqueued(spec), spec.enqueue)
    search = Search(
        guide,
        study.data,
        spec.n_trials,
        spec.detector,
        folder.path,
        spec.device,
        spec.prune_collapsed,
        spec.checkpoints,
        disk,
    )
    disk.watch(
        folder.path,
        {search.workdir(trial.number): trial.objective for trial in guide.finished()},
    )
    return search


def _replay(spec: SweepSpec, study: Study, *, alone: bool) -> Sequence[Params]:
    if spec.replay is None:
        return ()
    return read_replay(spec.replay, study.name, spec.space, alone=alone)


def _enqueued(spec: SweepSpec) -> dict[str, Any]:
    """Return the params of a study's first trial.

    Raises:
        ConfigError: ``enqueue`` names none.
    """
    if spec.enqueue != DEFAULTS:
        raise ConfigError(f"--enqueue must be '{DEFAULTS}', got '{spec.enqueue}'")
    return detectors.check_params(detectors.load(spec.detector), {})


def _copying(copies: Sequence[StorageCopy], on_event: OnEvent) -> OnEvent:
    """Pass events on; keep copies of the studies up to date."""

    def pass_on(event: Any) -> None:
        on_event(event)
        if isinstance(event, TrialEnded):
            for copy in copies:
                copy.update()

    return pass_on if copies else on_event


def _changed(search: Search, status: str) -> StudyChanged:
    done = len(search.guide.finished())
    return StudyChanged(search.folder, status, done, search.n_trials)


def _final_jobs(spec: SweepSpec, study: Study, winner: Winner, store: Store) -> list[RunJob]:
    """Return the winner on its folds, on the benchmark's seeds, which no trial has used."""
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
            checkpoints=CheckpointPolicy(spec.checkpoints.seconds),
        )
        for fold in study.folds
        for seed in spec.seeds or spec.benchmark.seeds
    ]


def _refuse_lost(spec: SweepSpec, study: Study, search: Search) -> None:
    """Refuse a study in which no trial ended well, once all others have been carried out."""
    if search.guide.best() is not None:
        return
    trials = search.guide.finished()
    counts = ", ".join(f"{n} {o}" for o, n in Counter(t.outcome for t in trials).items())
    error = next((t.error for t in reversed(trials) if t.error), "none")
    raise ConfigError(
        f"no trial of study '{study.name}' of {spec.detector} ended ok "
        f"({counts}; last error: {error}); change the space or give more --trials"
    )
