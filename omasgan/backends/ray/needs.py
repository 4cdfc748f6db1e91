"""What trainings need of a GPU, measured on a worker that has a whole one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray

from omasgan.backends import shares
from omasgan.backends.ray import worker
from omasgan.config import BenchmarkSpec
from omasgan.data import selection
from omasgan.errors import OmasganError
from omasgan.store.results import params_id
from omasgan.study import probed
from omasgan.study.search import Search
from omasgan.training.jobs import RunJob


@dataclass(frozen=True)
class Need:
    """The share of a GPU that a training gets, and the megabytes that it was measured to need;
    None if the share is the user's.
    """

    share: float
    memory_mb: float | None = None


def of_searches(searches: Sequence[Search], cpus: float) -> Need:
    """Return what the trials of all searches get: enough for the space that needs most.

    Raises:
        ConfigError: no configuration of a space could be probed, or one does not fit on a GPU.
    """
    remote = ray.remote(num_cpus=cpus, num_gpus=1)(worker.measure_configurations)
    by_detector = {search.detector: search for search in searches}
    asked = []
    for detector, search in by_detector.items():
        configurations = probed.configurations(search.guide.space)
        X = selection.training_samples(search.data.tasks[0], search.data.pool)
        asked.append(remote.remote(detector, configurations, X, search.device))
    measured = [result(reference) for reference in asked]
    needed = float(max(megabytes for megabytes, _ in measured))
    return Need(shares.share_for(needed, min(has for _, has in measured)), needed)


def of_runs(
    jobs: Sequence[RunJob], spec: BenchmarkSpec, dataset: ray.ObjectRef, cpus: float
) -> list[Need]:
    """Return what each run gets; runs with the same params need the same.

    Raises:
        ConfigError: a run does not fit on a GPU.
    """
    remote = ray.remote(num_cpus=cpus, num_gpus=1)(worker.measure_run)
    alike = {(job.detector, params_id(job.params)): job for job in jobs}
    asked = {key: remote.remote(job, spec, dataset) for key, job in alike.items()}
    measured = {key: result(reference) for key, reference in asked.items()}
    needs = []
    for job in jobs:
        needed, has = measured[job.detector, params_id(job.params)]
        needs.append(Need(shares.share_for(needed, has), needed))
    return needs


def result(reference: ray.ObjectRef) -> Any:
    """Return what a task has returned.

    Raises:
        OmasganError: the task raised it.
        ray.exceptions.RayError: the task died, or raised something else.
    """
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, OmasganError):
            raise error.cause from None
        raise
