"""The backend that runs trials and runs on Ray, several at once, on shares of GPUs.

Ray only places and executes: every decision is the guide's, made on the driver. Nothing but this
file knows of Ray, and it is imported only when Ray is asked for.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import socket
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import tune

from omasgan import evaluate
from omasgan.config import BenchmarkSpec
from omasgan.datasets import Dataset
from omasgan.errors import BackendError
from omasgan.search import OnEvent, RunJob, Search, gpu, local
from omasgan.search.ledger import COLLAPSED, Ledger, death
from omasgan.selection import TrialData
from omasgan.store import Row

REPORT_SECONDS = 5.0
"""Rows of a trial travel together for this long: each report costs a round trip."""

_DEATHS = (
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.OutOfMemoryError,
    ray.exceptions.NodeDiedError,
)

_TUNE_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Ctrl-C is to stop the driver, not to end all trials as if they were finished.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    # Tune's own state is never read again: the store and the guide are what a sweep resumes from.
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "TUNE_WARN_THRESHOLD_S": "10",
    # The newer output prints a header however quiet it is told to be.
    "RAY_AIR_NEW_OUTPUT": "0",
}


class RayBackend:
    """Trials in reused worker processes, each on ``cpus`` CPUs and a share ``gpus`` of a GPU."""

    def __init__(
        self,
        *,
        address: str | None = None,
        cpus_per_trial: float = 1.0,
        gpus_per_trial: float = 0.0,
        num_cpus: int | None = None,
        num_gpus: int | None = None,
    ) -> None:
        """Connect to the cluster at ``address`` (``auto`` or ``host:port``), or start a local one.

        Args:
            address: of a cluster; None starts one in this machine, unless this process has one.
            cpus_per_trial: above 0; a trial computes with as many threads.
            gpus_per_trial: in [0, 1] or whole.
            num_cpus: what a local cluster claims to have; None counts the machine's.
            num_gpus: likewise.

        Raises:
            ConfigError: shares out of their range.
            BackendError: the cluster cannot be reached, or no trial fits on it.
        """
        gpu.check_share(cpus_per_trial, gpus_per_trial)
        self._cpus, self._gpus = cpus_per_trial, gpus_per_trial
        self._owns_cluster = not ray.is_initialized()
        if self._owns_cluster:
            _connect(address, num_cpus, num_gpus)
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        try:
            self.capacity = gpu.capacity(nodes, cpus_per_trial, gpus_per_trial)
        except BackendError:
            self.close()
            raise

    def search(self, searches: Sequence[Search], on_event: OnEvent) -> None:
        """Carry on all searches at once, so that no share waits for the last trial of a study."""
        ledgers = [Ledger(search, on_event) for search in searches]
        n_trials = sum(ledger.remaining for ledger in ledgers)
        if not n_trials:
            return
        driver = _Driver(ledgers, self.capacity)
        ready = _stand_by()
        parts = [ray.put(part) for part in self.sent(searches)]
        with tempfile.TemporaryDirectory() as folder, _quiet_tune():
            tune.Tuner(
                tune.with_resources(
                    tune.with_parameters(train_trial, parts=parts),
                    {"cpu": self._cpus, "gpu": self._gpus},
                ),
                tune_config=tune.TuneConfig(
                    search_alg=_Searcher(driver), num_samples=n_trials, reuse_actors=True
                ),
                run_config=tune.RunConfig(
                    name="search",
                    storage_path=folder,
                    stop=_Stopper(driver),
                    callbacks=[_Callback(driver)],
                    verbose=0,
                ),
            ).fit()
        next(ready)
        if driver.error is not None:
            raise driver.error

    def sent(self, searches: Sequence[Search]) -> list[Sent]:
        """All that workers receive of each search, besides the params of its trials."""
        return [
            Sent(
                detector=search.job.detector,
                device=gpu.device_for(search.job.device, self._gpus),
                gpus=self._gpus,
                prune_collapsed=search.job.prune_collapsed,
                data=search.data,
            )
            for search in searches
        ]

    def runs(
        self, jobs: Sequence[RunJob], spec: BenchmarkSpec, dataset: Dataset, on_event: OnEvent
    ) -> list[dict[str, Any]]:
        remote = ray.remote(num_cpus=self._cpus, num_gpus=self._gpus, max_retries=0)(train_run)
        shared = ray.put(dataset)
        waiting = {}
        for i, job in enumerate(jobs):
            placed = replace(job, device=gpu.device_for(job.device, self._gpus))
            waiting[remote.remote(placed, spec, shared, self._gpus)] = i
        rows: dict[int, Row] = {}
        while waiting:
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            i = waiting.pop(done)
            rows[i] = _row_of(done, jobs[i], spec, dataset)
            on_event(local.run_event(rows[i], len(rows), len(jobs)))
        return [rows[i] for i in range(len(jobs))]

    def close(self) -> None:
        """Leave the cluster; a local one that was started here ends."""
        if self._owns_cluster:
            ray.shutdown()


@dataclass(frozen=True)
class Sent:
    """What a worker receives of a search, once."""

    detector: str
    device: str
    gpus: float
    prune_collapsed: bool
    data: TrialData


def train_trial(config: dict[str, Any], *, parts: list[Any]) -> None:
    """Run on a worker: a trial whose rows travel to the driver in numbered batches."""
    sent: Sent = ray.get(parts[config["search"]])
    gpu.keep_to_share(sent.gpus)
    rows = evaluate.run_trial(
        sent.detector,
        config["params"],
        sent.data,
        device=sent.device,
        workdir=Path(config["workdir"]),
    )
    with _ahead(rows) as made:
        for number, batch in enumerate(_batches(made, sent.prune_collapsed)):
            ending = batch[-1]
            if "outcome" in ending:
                gpu.release()
            tune.report({"batch": number, "rows": batch})
            if ending.get("outcome") == "failed" and sent.gpus:
                # A CUDA error can leave the process unusable; Tune does not reuse one that raises.
                raise BackendError(ending["error"])


@contextlib.contextmanager
def _ahead(rows: Iterator[Row]) -> Iterator[Iterator[Row]]:
    """The same rows, made by a thread of its own: a report waits for the driver's round trip, the
    training goes on. It ends after its current epoch when the context is left.
    """
    made: queue.SimpleQueue[Row | None] = queue.SimpleQueue()
    left = threading.Event()

    def make() -> None:
        try:
            for row in rows:
                made.put(row)
                if left.is_set():
                    break
        finally:
            made.put(None)

    # run_trial tells its errors as rows; a trial without an ending is told as failed.
    thread = threading.Thread(target=make, name="training", daemon=True)
    thread.start()
    try:
        yield iter(made.get, None)
    finally:
        left.set()
        thread.join()


def _batches(rows: Iterable[Row], prune_collapsed: bool) -> Iterator[list[Row]]:
    """Rows in batches that end with those on which the driver decides something."""
    batch: list[Row] = []
    begun = time.monotonic()
    for row in rows:
        batch.append(row)
        is_decided_on = "epoch" not in row or (prune_collapsed and row.get(COLLAPSED) == 1.0)
        if is_decided_on or time.monotonic() - begun > REPORT_SECONDS:
            yield batch
            batch, begun = [], time.monotonic()


def train_run(job: RunJob, spec: BenchmarkSpec, dataset: Dataset, gpus: float) -> Row:
    """Run on a worker: one final training."""
    gpu.keep_to_share(gpus)
    row = local.run(job, spec, dataset)
    gpu.release()
    return row


def import_libraries() -> Iterator[None]:
    """Run on a worker: what takes seconds in a new process; no device is touched."""
    import pandas  # noqa: F401
    import sklearn.base  # noqa: F401
    import torch  # noqa: F401

    yield


def _stand_by() -> Iterator[Any]:
    """A process that gets ready and waits, until what is given back here is asked for.

    The final runs cannot use the trials' processes, and Ray ends one that idles while all CPUs
    are taken; a generator that nobody reads from is busy without needing any.
    """
    options = {"num_returns": "streaming", "_generator_backpressure_num_objects": 1}
    found: Iterator[Any] = ray.remote(num_cpus=0, **options)(import_libraries).remote()
    return found


def _row_of(done: ray.ObjectRef, job: RunJob, spec: BenchmarkSpec, dataset: Dataset) -> Row:
    """The row of a run that has ended, also if its worker died."""
    try:
        row: Row = ray.get(done)
    except _DEATHS as error:
        text = f"{type(error).__name__}: {_reason(error)}"
        return local.lost(job, spec, dataset, death(text))
    return row


class _Driver:
    """What Tune's searcher, stopper and callback share; it stays on the driver."""

    def __init__(self, ledgers: Sequence[Ledger], capacity: int) -> None:
        self._ledgers = ledgers
        self._capacity = capacity
        self._trials: dict[str, tuple[Ledger, int]] = {}
        self._batches: dict[str, int] = {}
        self.error: Exception | None = None

    def __reduce__(self) -> Any:
        # Tune saves and copies what it is given; a study's database cannot be, and need not.
        return (object, ())

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Params for a new trial, of the search with the fewest running ones.

        That spreads the trials over the studies, whose suggestions are the better the fewer
        trials of the same study are still running.
        """
        waiting = [ledger for ledger in self._ledgers if ledger.remaining]
        if self.error is not None or not waiting:
            return str(tune.search.Searcher.FINISHED)
        if len(self._trials) >= self._capacity:
            # Tune would ask ahead of what can run, before the running trials have told anything.
            return None
        ledger = min(waiting, key=lambda ledger: ledger.running)
        trial = ledger.begin()
        self._trials[trial_id] = (ledger, trial.number)
        return {
            "search": self._ledgers.index(ledger),
            "params": trial.params,
            "workdir": str(ledger.workdir(trial.number)),
        }

    def enter(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Take down a batch of rows; True if the trial is to be stopped."""
        # Tune gives the last result of a trial once more when it ends.
        if self.error is not None or result["batch"] < self._batches.get(trial_id, 0):
            return self.error is not None
        self._batches[trial_id] = result["batch"] + 1
        ledger, number = self._trials[trial_id]
        with self._kept():
            return any(ledger.enter(number, row) for row in result["rows"])
        return True

    def end(self, trial_id: str, error: str | None = None) -> None:
        """Close a trial, unless the whole search is being given up."""
        if self.error is None and trial_id in self._trials:
            ledger, number = self._trials.pop(trial_id)
            with self._kept():
                ledger.end(number, error)

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        """Keep an error for the end: Tune would take it for one of the trial's."""
        try:
            yield
        except Exception as error:
            self.error = error


class _Searcher(tune.search.Searcher):  # type: ignore[misc]
    """Tune asks, the guide answers."""

    def __init__(self, driver: _Driver) -> None:
        super().__init__()
        self._driver = driver

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        return self._driver.suggest(trial_id)

    def set_search_properties(self, *args: Any, **spec: Any) -> bool:
        return True

    def on_trial_complete(self, trial_id: str, *args: Any, **kwargs: Any) -> None:
        """The callback tells it, since that one also learns of the error."""

    def save_to_dir(self, *args: Any, **kwargs: Any) -> None:
        """The guide keeps its own state."""


class _Stopper(tune.Stopper):  # type: ignore[misc]
    """Tune tells every result, the ledger says whether the trial goes on."""

    def __init__(self, driver: _Driver) -> None:
        self._driver = driver

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return self._driver.enter(trial_id, result)

    def stop_all(self) -> bool:
        return self._driver.error is not None


class _Callback(tune.Callback):  # type: ignore[misc]
    """Tune tells that a trial has ended, and of what."""

    def __init__(self, driver: _Driver) -> None:
        self._driver = driver

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._driver.end(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._driver.end(trial.trial_id, _reason(trial.get_error()))


def _reason(text: Any) -> str:
    """The line of a Ray error that says what happened."""
    lines = [line.strip() for line in str(text or "").splitlines() if line.strip()]
    kept = [line for line in lines if not line.startswith(("Failure #", "class_name", "actor_id"))]
    return " ".join(kept[:2]) or "worker died"


def _connect(address: str | None, num_cpus: int | None, num_gpus: int | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        # "local", since no address at all would join any cluster that happens to run here.
        ray.init("local", num_cpus=num_cpus, num_gpus=num_gpus, include_dashboard=False, **quiet)
        return
    check_address(address)
    try:
        ray.init(address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        if "InvalidAuthToken" in f"{error}{error.__cause__}":
            # Ray looks for a token by itself only with the address "auto".
            reason = (
                "it asks for a token; set RAY_AUTH_MODE=token and have the cluster's token in "
                "~/.ray/auth_token, or use the address auto on one of its nodes"
            )
        raise BackendError(f"cannot reach a Ray cluster at '{address}': {reason}") from error


def check_address(address: str) -> None:
    """Knock at the door: Ray itself waits long for a cluster that is not there."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if "/" in address or not host or not port.isdigit():
        raise BackendError(
            f"address must be 'auto' or host:port of a Ray head, got '{address}'; on a machine "
            "outside the cluster use `ray job submit`"
        )
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise BackendError(
            f"cannot reach a Ray cluster at '{address}': {error}; is it running?"
        ) from error


@contextlib.contextmanager
def _quiet_tune() -> Iterator[None]:
    """Tune takes its settings from the environment, and logs what the ledger tells anyway."""
    logger = logging.getLogger("ray.tune")
    level, before = logger.level, {name: os.environ.get(name) for name in _TUNE_SETTINGS}
    logger.setLevel(logging.CRITICAL)
    os.environ.update(_TUNE_SETTINGS)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
