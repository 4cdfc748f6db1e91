"""The backend that runs trials and runs on Ray, several at once, on shares of GPUs.

Nothing but the files ``ray_*`` knows of Ray, and they are imported only when it is asked for:
``ray_cluster`` joins it, ``ray_driver`` carries a search, ``ray_worker`` is what workers execute.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import ray
from ray import tune

from omasgan.backends import gpu, shares
from omasgan.backends.ray import cluster, worker
from omasgan.backends.ray.driver import (
    LOOKS,
    STALLED,
    WATCH_SECONDS,
    Callback,
    Driver,
    Searcher,
    Stopper,
    quiet_tune,
    reason,
)
from omasgan.backends.ray.worker import PREDICTED, TrialPayload
from omasgan.config import BenchmarkSpec
from omasgan.data.datasets import Dataset
from omasgan.errors import BackendError, OmasganError
from omasgan.progress import OnEvent, RunEnded
from omasgan.store import files
from omasgan.store.journal import Row
from omasgan.store.results import params_id
from omasgan.study.retries import RetryPolicy, death
from omasgan.study.search import Search
from omasgan.study.trial_log import TrialLog
from omasgan.training import evaluate
from omasgan.training.jobs import RunJob

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath

AUTO = "auto"
"""The share of a GPU that a training is measured to need."""

_DEATHS = (
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.OutOfMemoryError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.TaskCancelledError,
)


class RayBackend:
    """Trials in reused worker processes, each on ``cpus`` CPUs and a share of a GPU.

    What dies with its worker or its node is repeated from its checkpoint. Nodes may come and go.
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
        gpu.check_share(cpus_per_trial, share)
        self._cpus, self._is_auto = cpus_per_trial, gpus_per_trial == AUTO
        self._stall_seconds = stall_seconds
        self._owns_cluster = not ray.is_initialized()
        if self._owns_cluster:
            cluster.connect(address, num_cpus, num_gpus)
        self._room = cluster.Room(cpus_per_trial, share, at_once)
        try:
            self._room.check()
        except BackendError:
            self.close()
            raise

    @property
    def capacity(self) -> int:
        """How many trials run at once on the cluster as it is now."""
        return self._room.trials()

    def check_out(self, root: AnyPath) -> None:
        cluster.check_shared(root)

    def search(self, searches: Sequence[Search], on_event: OnEvent) -> None:
        """Carry on all searches at once, so that no share waits for the last trial of a study."""
        logs = [TrialLog(search, on_event) for search in searches]
        if not any(log.remaining for log in logs):
            return
        needed = self._measure_searches(searches)
        driver = Driver(logs, self._room, self._stall_seconds, on_event, needed)
        ready = _stand_by()
        parts = [ray.put(part) for part in self.payloads(searches)]
        trainable = tune.with_parameters(worker.train_trial, parts=parts)
        while True:
            try:
                self._fit(trainable, driver)
                break
            except RuntimeError as error:
                if not isinstance(error.__cause__, ray.exceptions.OutOfMemoryError):
                    raise
                # Tune gives up as a whole where a node's memory ran out.
                first, *_ = str(error.__cause__).strip().splitlines()
                driver.lose_all(f"OutOfMemoryError: {first}")
        with contextlib.suppress(ray.exceptions.RayError):
            next(ready)
        if driver.error is not None:
            raise driver.error

    def _fit(self, trainable: Any, driver: Driver) -> None:
        """Let Tune carry out what the driver suggests, until that is all."""
        with tempfile.TemporaryDirectory() as folder, quiet_tune():
            tune.Tuner(
                tune.with_resources(trainable, self._resources),
                tune_config=tune.TuneConfig(
                    search_alg=Searcher(driver), num_samples=-1, reuse_actors=True
                ),
                run_config=tune.RunConfig(
                    name="search",
                    storage_path=folder,
                    stop=Stopper(driver),
                    callbacks=[Callback(driver)],
                    verbose=0,
                ),
            ).fit()

    def _resources(self, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        return tune.PlacementGroupFactory([{"CPU": config["cpus"], "GPU": config["gpus"]}])

    def _measure_searches(self, searches: Sequence[Search]) -> float | None:
        """Give trials the share that the space with the hungriest trials needs; the megabytes."""
        if not self._is_auto:
            return None
        detectors = {search.detector: search for search in searches}
        remote = ray.remote(num_cpus=self._cpus, num_gpus=1)(worker.measure_search)
        asked = [
            remote.remote(name, search.guide.space, search.data, search.device)
            for name, search in detectors.items()
        ]
        found = [_got(reference) for reference in asked]
        needed = float(max(megabytes for megabytes, _ in found))
        self._room.share = shares.share_for(needed, min(has for _, has in found))
        return needed

    def _measure_runs(
        self, jobs: Sequence[RunJob], spec: BenchmarkSpec, shared: ray.ObjectRef
    ) -> list[RunJob]:
        """The jobs, saying which share of a GPU they get and what for."""
        if not self._is_auto:
            about = {"gpus": self._room.share} if self._room.share else {}
            return [replace(job, about=about) for job in jobs]
        remote = ray.remote(num_cpus=self._cpus, num_gpus=1)(worker.measure_run)
        alike = {(job.detector, params_id(job.params)): job for job in jobs}
        asked = {key: remote.remote(job, spec, shared) for key, job in alike.items()}
        found = {key: _got(reference) for key, reference in asked.items()}
        placed = []
        for job in jobs:
            needed, has = found[job.detector, params_id(job.params)]
            about = {"gpus": shares.share_for(needed, has), PREDICTED: needed}
            placed.append(replace(job, about=about))
        self._room.share = min(job.about["gpus"] for job in placed)
        return placed

    def payloads(self, searches: Sequence[Search]) -> list[TrialPayload]:
        """Return all that workers receive of each search, besides the jobs of its trials."""
        threads = max(1, int(self._cpus))
        return [TrialPayload(search.prune_collapsed, threads, search.data) for search in searches]

    def runs(
        self, jobs: Sequence[RunJob], spec: BenchmarkSpec, dataset: Dataset, on_event: OnEvent
    ) -> list[dict[str, Any]]:
        remote = ray.remote(max_retries=0)(worker.train_run)
        shared = ray.put(dataset)
        tries = [
            _Try(job, spec, dataset, self._is_auto)
            for job in self._measure_runs(jobs, spec, shared)
        ]
        waiting, running = deque(range(len(jobs))), dict[Any, int]()
        rows: dict[int, Row] = {}
        while waiting or running:
            while waiting and len(running) < max(1, self._room.trials()):
                i = waiting.popleft()
                job, token = tries[i].begin()
                share = job.about.get("gpus", 0.0)
                cpus = self._room.whole_node() if tries[i].is_alone else self._cpus
                task = remote.options(num_cpus=cpus, num_gpus=share)
                running[task.remote(job, spec, shared, share, token)] = i
            done, _ = ray.wait(list(running), num_returns=1, timeout=WATCH_SECONDS)
            for ref in done:
                i = running.pop(ref)
                row = tries[i].row(ref)
                if row is None:
                    waiting.appendleft(i)
                    continue
                rows[i] = row
                on_event(RunEnded(row, len(rows), len(jobs)))
            for ref, i in running.items():
                if tries[i].is_stalled(self._stall_seconds):
                    ray.cancel(ref, force=True)
        return [rows[i] for i in range(len(jobs))]

    def close(self) -> None:
        """Leave the cluster; a local one that was started here ends."""
        if self._owns_cluster:
            ray.shutdown()


def _got(reference: ray.ObjectRef) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, OmasganError):
            raise error.cause from None
        raise


def _stand_by() -> Iterator[Any]:
    """A process that gets ready and waits, until what is given back here is asked for.

    The final runs cannot use the trials' processes, and Ray ends one that idles while all CPUs
    are taken; a generator that nobody reads from is busy without needing any.
    """
    options = {"num_returns": "streaming", "_generator_backpressure_num_objects": 1}
    found: Iterator[Any] = ray.remote(num_cpus=0, **options)(worker.import_libraries).remote()
    return found


class _Try:
    """One final training on the cluster: repeated when its process dies, ended when it stalls."""

    def __init__(self, job: RunJob, spec: BenchmarkSpec, dataset: Dataset, may_grow: bool) -> None:
        self._job, self._spec, self._dataset = job, spec, dataset
        self._may_grow = may_grow
        self.is_alone = False
        self._retries = RetryPolicy()
        self._token = ""
        self._seen, self._since, self._looked, self._is_stalled = -1, 0.0, 0.0, False

    def begin(self) -> tuple[RunJob, str]:
        """What is handed to the cluster, and what its process says once it has begun."""
        self._token, self._is_stalled = uuid.uuid4().hex, False
        self._since = self._looked = time.monotonic()
        share = self._job.about.get("gpus", 0.0)
        return replace(self._job, device=gpu.device_for(self._job.device, share)), self._token

    def row(self, done: ray.ObjectRef) -> Row | None:
        """The row of a try that has ended; None if its process died and it is to be repeated.

        Raises:
            OmasganError: what no other try would mend, such as a full disk.
        """
        try:
            row: Row = _got(done)
        except _DEATHS as error:
            # Ray ends whatever trains on a node whose memory ran out.
            self.is_alone |= isinstance(error, ray.exceptions.OutOfMemoryError)
            if self._retries.allows(self._epochs()):
                return None
            files.delete(worker.begun(self._job, self._spec))
            text = STALLED if self._is_stalled else f"{type(error).__name__}: {reason(error)}"
            return evaluate.lost_run(self._job, self._spec, self._dataset, death(text))
        if row["outcome"] == "out-of-memory" and self._may_grow:
            self._may_grow, larger = False, shares.larger(self._job.about["gpus"])
            if larger is not None:
                self._job = replace(self._job, about={**self._job.about, "gpus": larger})
                return None
        return row

    def is_stalled(self, seconds: float) -> bool:
        """Whether it has begun and logged no epoch for so long; looked at now and then only."""
        now = time.monotonic()
        if now - self._looked > seconds / LOOKS:
            self._looked, reached = now, self._epochs()
            # It may wait for its place on the cluster for as long as it takes.
            if reached != self._seen or not self._has_begun():
                self._seen, self._since = reached, now
            self._is_stalled = now - self._since > seconds
        return self._is_stalled

    def _has_begun(self) -> bool:
        mark = worker.begun(self._job, self._spec)
        return files.read(mark) == self._token.encode()

    def _epochs(self) -> int:
        return len(self._job.store.read_epochs(evaluate.run_key(self._job, self._spec)))
