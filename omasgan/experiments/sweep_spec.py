"""What a sweep is: its arguments, checked before any work starts, and the studies of it."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from omasgan import detectors
from omasgan.config import BenchmarkSpec
from omasgan.data import selection
from omasgan.data.datasets import Dataset
from omasgan.data.selection import Study
from omasgan.errors import ConfigError
from omasgan.experiments import ensemble
from omasgan.store.journal import Row
from omasgan.study import samplers
from omasgan.study.groups import Sharing
from omasgan.study.rehearsal import rehearse
from omasgan.study.replay import digest_of, has_record
from omasgan.study.sharing import sharing
from omasgan.study.space import Space
from omasgan.study.storage_copy import check_storage
from omasgan.training import labelled
from omasgan.training.jobs import CheckpointPolicy

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
    that have ended keep their last state within it. ``share_stages`` is how many trials of a study
    at most share what they train until the end of the phase ``share_until``, by default the last
    that can be shared; None shares nothing. After ``hours`` no trial begins but a study's first.
    With a ``top`` above 1 the ensemble of so many of a study's best trials is its result.
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
    share_stages: int | None = None
    share_until: str | None = None
    hours: float | None = None
    checkpoints: CheckpointPolicy = CheckpointPolicy()
    top: int = 1

    @property
    def selection(self) -> str:
        """What stands for the choice in folders and rows: the rule, and how many win together."""
        return selection.label(self.rule, self.top)

    @property
    def sharing(self) -> Sharing | None:
        """How trials share stages, if they do.

        Raises:
            ConfigError: they cannot.
        """
        if self.share_stages is None:
            return None
        return sharing(self.share_stages, self.detector, self.space, self.share_until)


def check(spec: SweepSpec) -> None:
    """Check all that can be checked without data, before any work starts.

    Raises:
        ConfigError: a number out of its range, a sampler or pruner that there is not or that
            cannot work on the space, a space that does not fit the detector or the rule, params
            to enqueue that the space does not hold, a replay that cannot be read, or a
            semi-supervised benchmark.
        BackendError: the storage cannot be used.
    """
    if spec.n_trials < 1:
        raise ConfigError(f"trials must be at least 1, got {spec.n_trials}")
    if spec.hours is not None and not 0 < spec.hours < math.inf:
        raise ConfigError(f"hours must be above 0 and finite, got {spec.hours}")
    if spec.seed < 0:
        raise ConfigError(f"seed must be at least 0, got {spec.seed}")
    _check_top(spec)
    labelled.check_unlabelled(spec.benchmark)
    labelled.check_unlabelled(spec.source)
    spec.space.check(detectors.declared(spec.detector))
    selection.check_negatives(spec.rule, spec.space.to_dict())
    rehearse(spec.space, spec.sampler, spec.pruner, spec.sharing)
    if spec.enqueue is not None:
        _check_enqueued(spec)
    if spec.replay is not None and not has_record(spec.replay):
        raise ConfigError(f"'{spec.replay}' holds no trials to replay; give a study's folder")
    if spec.storage is not None:
        check_storage(spec.storage)


def _check_top(spec: SweepSpec) -> None:
    """Check how many trials of a study win.

    Raises:
        ConfigError: there are fewer trials, or the rule or the seeds allow no ensemble.
    """
    if spec.top == 1:
        return
    if spec.rule == "oracle":
        raise ConfigError(
            "--winner top-K goes with rules that choose, got --selection oracle, which measures "
            "what looking at the test is worth; leave one out"
        )
    if spec.top > spec.n_trials:
        raise ConfigError(
            f"--winner top-{spec.top} needs at least as many --trials, got {spec.n_trials}"
        )
    ensemble.check(spec.top, spec.seeds or spec.benchmark.seeds)


def _check_enqueued(spec: SweepSpec) -> None:
    """Check what a study's first trial is to be.

    Raises:
        ConfigError: ``enqueue`` names nothing, the space does not hold it, or something else
            decides what the first trial is.
    """
    if spec.enqueue != DEFAULTS:
        raise ConfigError(f"--enqueue must be '{DEFAULTS}', got '{spec.enqueue}'")
    if spec.replay is not None:
        raise ConfigError("--enqueue and --replay exclude each other; leave one out")
    if samplers.has_first_trial(spec.sampler):
        raise ConfigError(
            "--enqueue and a GridSampler exclude each other, which tries its grid and nothing "
            "else; put the defaults into the grid"
        )
    spec.space.within(enqueued(spec))


def enqueued(spec: SweepSpec) -> dict[str, Any]:
    """Return the params of a study's first trial."""
    return detectors.check_params(detectors.declared(spec.detector), {})


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


def identity(spec: SweepSpec, study: Study, dataset: Dataset, source: Dataset | None) -> Row:
    """Return all that the trials of a study depend on."""
    how = spec.sharing
    shared = None if how is None else {"trials": how.n_trials, "until": how.phase}
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
        # Studies that share nothing are the same as before there was sharing.
        **({} if shared is None else {"share_stages": shared}),
        **({} if spec.top == 1 else {"winner": f"top-{spec.top}"}),
    }


def study_seed(seed: int, study: str) -> int:
    """Return the seed of one study's suggestions: studies with a seed in common would all ask for
    the same first configurations.
    """
    sequence = np.random.SeedSequence([seed, zlib.crc32(study.encode())])
    return int(sequence.generate_state(1)[0])
