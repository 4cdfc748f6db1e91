"""The backend that runs trials and runs on Ray, several at once, on shares of GPUs.

Nothing outside this folder knows of Ray, and it is imported only when it is asked for.
"""

from __future__ import annotations

import functools
import importlib
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import ray

from omasgan.backends import devices, shares
from omasgan.backends.ray import cluster, needs, nodes, ready, runs
from omasgan.backends.ray.driver import Driver
from omasgan.backends.ray.needs import Need
from omasgan.backends.ray.room import Room
from omasgan.backends.ray.worker import TrialPayload
from omasgan.config import BenchmarkSpec
from omasgan.data.datasets import Dataset
from omasgan.errors import BackendError
from omasgan.progress import OnEvent
from omasgan.study.search import Search
from omasgan.study.trial_log import TrialLog
from omasgan.training.jobs import RunJob

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath

AUTO = "auto"
"""The share of a GPU that a training is measured to need."""


class RayBackend:
    """Trials in reused worker processes, each on ``cpus`` CPUs and a share of a GPU.

    A training that dies with its worker or its node is repeated from its checkpoint. Nodes may
    come and go.
    """

    def __init__(
        self,
        *,
        address: str | None = None,
        cpus_per_trial: float = 1.0,
        gpus_per_trial: float | Literal["auto"] = 0.0,
        at_once: int | None = None,
        stall_seconds: float = 3600.0,
        num_cpus: int | None = None,
        num_gpus: int | None = None,
    ) -> None:
        """Connect to the cluster at ``address`` (``auto`` or ``host:port``), or start a local one.

        Args:
            address: of a cluster; None starts one in this machine, unless this process has one.
            cpus_per_trial: above 0; a trial computes with as many threads.
            gpus_per_trial: in [0, 1] or whole; ``auto`` measures what a training needs.
            at_once: trials at once, even if the cluster has less room now: an autoscaler then
                starts nodes. None: as many as there is room for.
            stall_seconds: a training that says nothing for so long is ended, and repeated.
            num_cpus: what a local cluster claims to have; None counts the machine's.
            num_gpus: likewise.

        Raises:
            ConfigError: shares out of their range.
            BackendError: the cluster cannot be reached, or no trial fits on it.
        """
        # Until it is measured, a training has a GPU for itself.
        share = 1.0 if gpus_per_trial == AUTO else float(gpus_per_trial)
        shares.check_share(cpus_per_trial, share)
        self._cpus, self._is_auto = cpus_per_trial, gpus_per_trial == AUTO
        self._threads = max(1, int(cpus_per_trial))
        self._stall_seconds = stall_seconds
        self._is_here = address is None
        self._prepared: list[ray.ObjectRef] = []
        self._owns_cluster = not ray.is_initialized()
        if self._owns_cluster:
            # Ray starts other processes and waits for them: time to import what searches need.
            threading.Thread(target=_import_tuning, daemon=True).start()
            cluster.connect(address, num_cpus, num_gpus, ready.settings(num_cpus, self._threads))
        self._room = Room(cpus_per_trial, share, at_once)
        try:
            self._room.check()
        except BackendError:
            self.close()
            raise

    @property
    def capacity(self) -> int:
        """How many trials run at once on the cluster as it is now."""
        return self._room.trials()

    @property
    def gpus(self) -> int:
        """How many GPUs the cluster has now."""
        return int(sum(node.get("GPU", 0) for node in cluster.living_nodes()))

    def check_out(self, root: AnyPath) -> None:
        nodes.check_shared(root)

    def search(self, searches: Sequence[Search], on_event: OnEvent) -> None:
        """Carry on all searches at once, so that no share waits for the last trial of a study."""
        logs = [TrialLog(search, on_event) for search in searches]
        if not any(log.remaining for log in logs):
            return
        need = Need(self._room.share)
        if self._is_auto:
            need = needs.of_searches(searches, self._cpus)
            self._room.share = need.share
        tuning = _import_tuning()
        prepare = functools.cache(lambda: self._prepare_runs(searches))
        driver = Driver(logs, self._room, self._stall_seconds, on_event, need, prepare)
        tuning.carry_out(driver, self.payloads(searches))

    def _prepare_runs(self, searches: Sequence[Search]) -> None:
        """Have processes ready for the final runs that follow, where they would stay until then;
        a run on a GPU has a process of its own.
        """
        if self._owns_cluster and self._is_here and self._room.share == 0:
            names = [search.detector for search in searches]
            self._prepared = ready.prepare(self._room.trials(), names)

    def payloads(self, searches: Sequence[Search]) -> list[TrialPayload]:
        """Return all that workers receive of each search, besides the jobs of its trials."""
        return [
            TrialPayload(search.prune_collapsed, self._threads, search.data) for search in searches
        ]

    def runs(
        self, jobs: Sequence[RunJob], spec: BenchmarkSpec, dataset: Dataset, on_event: OnEvent
    ) -> list[dict[str, Any]]:
        if not jobs:
            return []
        shared = ray.put(dataset)
        run_needs = [Need(self._room.share)] * len(jobs)
        if self._is_auto:
            run_needs = needs.of_runs(jobs, spec, shared, self._cpus)
            self._room.share = min(need.share for need in run_needs)
        expected = [
            shares.expected_device(job.device, need.share)
            for job, need in zip(jobs, run_needs, strict=True)
        ]
        for note in devices.notes(jobs, spec, expected):
            on_event(note)
        ready.wait(self._prepared, len(jobs))
        return runs.carry_out(
            [runs.Run(job, n, spec, dataset) for job, n in zip(jobs, run_needs, strict=True)],
            shared,
            self._room,
            self._stall_seconds,
            on_event,
        )

    def close(self) -> None:
        """Leave the cluster; a local one that was started here ends."""
        if self._owns_cluster:
            ray.shutdown()


def _import_tuning() -> Any:
    """Import what takes a second, and only searches need."""
    return importlib.import_module("omasgan.backends.ray.tuning")
