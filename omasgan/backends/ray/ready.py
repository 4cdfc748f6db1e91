"""Worker processes that are ready before they are needed: their imports take seconds.

A cluster that is started here lives on one machine, and is set up for that: the processes that Ray
starts ahead, one for each CPU, import at once what trainings need, while the driver still loads;
and what is idle stays. A cluster that is joined has its own settings.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import ray

from omasgan.backends.ray import worker
from omasgan.training.measuring import MB

WORKER_MB = 400.0
"""The memory of a process that has imported everything, besides what it shares with others."""

IDLE_SECONDS = 600.0
"""Ray itself ends a process that is idle for a second while all CPUs are taken."""

WAIT_SECONDS = 60.0

MODULES = "omasgan.backends.ray.worker,ray.tune"


def affordable() -> int:
    """Return how many idle processes this machine can hold: they may take a quarter of it."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(memory / 4 / (WORKER_MB * MB))


def settings(num_cpus: int | None, threads: int) -> dict[str, str]:
    """Return the environment of a cluster of this machine whose trainings have so many threads;
    ``num_cpus`` as Ray takes it.
    """
    variables = {"RAY_idle_worker_killing_time_threshold_ms": f"{1000 * IDLE_SECONDS:.0f}"}
    cores = os.cpu_count() or 1
    # More processes than cores would keep the driver from its own imports, and few would be used.
    if (num_cpus or cores) <= min(cores, affordable()):
        variables["RAY_preload_python_modules"] = MODULES
        # Libraries read it as they are imported, which is before Ray would set it.
        variables["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", str(threads))
    return variables


def prepare(n: int, detectors: Iterable[str]) -> list[ray.ObjectRef]:
    """Let ``n`` processes import what final runs of these detectors need; return what tells that
    they have.
    """
    load = ray.remote(num_cpus=0, max_retries=0)(worker.load)
    names = sorted(set(detectors))
    return [load.remote(names) for _ in range(min(n, affordable()))]


def wait(prepared: list[ray.ObjectRef], n: int) -> None:
    """Wait until ``n`` of these processes, or all, are ready: Ray would start more beside those
    that it takes for busy.
    """
    if prepared:
        ray.wait(prepared, num_returns=min(n, len(prepared)), timeout=WAIT_SECONDS)
