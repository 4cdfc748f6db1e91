"""Trainings that share their beginnings, in an order in which each beginning is trained once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from omasgan import detectors
from omasgan.config import digest
from omasgan.store.files import AnyPath
from omasgan.store.results import params_id
from omasgan.training.jobs import RunJob
from omasgan.training.stages import StageCache

STAGES = "stages"
"""The folder under the output's root in which trainings share their beginnings."""

End: TypeAlias = tuple[str, str]
"""A phase at whose end a training can be shared, and what its state depends on."""


def waves(jobs: Sequence[RunJob], root: AnyPath) -> Iterator[list[RunJob]]:
    """Yield the jobs of one benchmark in waves: first those that leave what all others start from,
    then those that go on from there and leave what some start from, and so on.

    A job that shares has a stage cache. One training of each beginning comes before all others
    that share it: on any number of workers it is paid for once.
    """
    ends = _ends(jobs)
    keys = [[(_context(job), end) for end in ends[_params(job)]] for job in jobs]
    counts = Counter(key for of_job in keys for key in of_job)
    by_level: dict[float, list[RunJob]] = {}
    seen = set()
    for job, of_job in zip(jobs, keys, strict=True):
        shared = [key for key in of_job if counts[key] > 1]
        first = min((i for i, key in enumerate(shared) if key not in seen), default=math.inf)
        seen.update(shared)
        cache = StageCache(root / STAGES, tuple(phase for _, (phase, _) in shared))
        by_level.setdefault(first, []).append(replace(job, cache=cache if shared else None))
    for level in sorted(by_level):
        yield by_level[level]


def _context(job: RunJob) -> tuple[str, int, int]:
    """Return what trainings have to agree in besides the params of their beginnings."""
    return job.detector, job.fold, job.seed


def _params(job: RunJob) -> tuple[str, str]:
    return job.detector, params_id(job.params)


def _ends(jobs: Sequence[RunJob]) -> dict[tuple[str, str], Sequence[End]]:
    unlike = {_params(job): job for job in jobs}
    return {key: _beginnings(job.detector, job.params) for key, job in unlike.items()}


def _beginnings(name: str, params: Mapping[str, Any]) -> Sequence[End]:
    detector = detectors.load(name)(**params)
    return [(each.phase, digest(dict(each.params))) for each in detector.beginnings()]
