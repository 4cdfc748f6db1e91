"""A Ray cluster as the driver needs it: joining it, its room, what its nodes can see."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from omasgan.backends import gpu
from omasgan.errors import BackendError, StoreError
from omasgan.store import files
from omasgan.store.files import open_root, write_atomic
from omasgan.training.environment import code_version

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath

logger = logging.getLogger(__name__)

ROOM_SECONDS = 5.0
"""How long the count of a cluster's nodes is taken as current."""

CHECK_SECONDS = 60.0


class Place(NamedTuple):
    """Where a process runs."""

    node: str
    ip: str
    pid: int


def place() -> Place:
    """This process, on a worker or on the driver."""
    context = ray.get_runtime_context()
    return Place(context.get_node_id(), ray.util.get_node_ip_address(), os.getpid())


def connect(address: str | None, num_cpus: int | None, num_gpus: int | None) -> None:
    """Join the cluster at ``address``, or start one that claims to have so many CPUs and GPUs.

    Raises:
        BackendError: there is none, or it does not let us in.
    """
    _quieten()
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        # "local", since no address at all would join any cluster that happens to run here.
        with _loopback():
            ray.init(
                "local", num_cpus=num_cpus, num_gpus=num_gpus, include_dashboard=False, **quiet
            )
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


def resources(address: str) -> list[Mapping[str, float]]:
    """What each living node of the cluster at ``address`` has, by Ray's names of it.

    Raises:
        BackendError: the cluster cannot be reached.
    """
    if not ray.is_initialized():
        connect(address, None, None)
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def call(cpus: float, gpus: float, function: Any, *arguments: Any, **named: Any) -> Any:
    """What ``function`` gives on a worker with so many CPUs and GPUs."""
    remote = ray.remote(num_cpus=cpus, num_gpus=gpus)(function)
    return ray.get(remote.remote(*arguments, **named))


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


def _quieten() -> None:
    """Ray prints pages of a raylet's state where a process dies; the ledger says what it means."""
    from ray._private import worker

    def keep(data: Mapping[str, Any], ignore_prefix: bool) -> None:
        logger.debug("%s", "\n".join(data["lines"]))

    worker.print_to_stdstream = keep


@contextlib.contextmanager
def _loopback() -> Iterator[None]:
    """What Ray starts meanwhile listens on 127.0.0.1 alone, where it would on all interfaces.

    Its setting for systems without clusters does that; processes that it starts inherit it.
    """
    from ray._private import ray_constants

    name = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    before, enabled = os.environ.get(name), ray_constants.ENABLE_RAY_CLUSTER
    os.environ[name], ray_constants.ENABLE_RAY_CLUSTER = "0", False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = enabled
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


class Room:
    """How many trials of ``cpus`` CPUs and ``share`` of a GPU run at once on a cluster, whose
    nodes come and go.
    """

    def __init__(self, cpus: float, share: float, at_once: int | None) -> None:
        self.cpus, self.share = cpus, share
        self._at_once = at_once
        self._counted, self._trials = float("-inf"), 0

    def check(self) -> None:
        """Refuse a cluster on which no trial fits, unless it is to grow.

        Raises:
            BackendError: no node has so many CPUs or GPUs.
        """
        if self._at_once is None:
            gpu.capacity(_resources(), self.cpus, self.share)

    def trials(self) -> int:
        """How many fit now; what was asked for at once, where that was said."""
        if self._at_once is not None:
            return self._at_once
        if time.monotonic() - self._counted > ROOM_SECONDS:
            self._counted = time.monotonic()
            try:
                self._trials = gpu.capacity(_resources(), self.cpus, self.share)
            except BackendError:
                self._trials = 0
        return self._trials

    def whole_node(self) -> float:
        """The CPUs of the smallest node that holds a trial: so many leave it room for no other."""
        fitting = [node["CPU"] for node in _resources() if node.get("CPU", 0) >= self.cpus]
        return min(fitting, default=self.cpus)


def _resources() -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def check_shared(root: AnyPath) -> None:
    """See that every node writes to ``root`` what the driver reads, and runs the same code.

    Raises:
        BackendError: a node does not see the folder, cannot write there or runs other code.
    """
    here = ray.get_runtime_context().get_node_id()
    others = [n for n in ray.nodes() if n["Alive"] and n["NodeID"] != here]
    if not others:
        return
    version = code_version()
    mark = root / f".shared-{uuid.uuid4().hex}"
    write_atomic(mark, b"")
    try:
        asked = [
            (node, _on(node["NodeID"], answer).options(max_retries=3).remote(str(mark), version))
            for node in others
        ]
        for node, reference in asked:
            reason = _answer(reference)
            if reason:
                ip = node["NodeManagerAddress"]
                raise BackendError(f"node {ip} of the cluster cannot work here: {reason}")
    finally:
        for left in files.find(root, f"{mark.name}*"):
            files.delete(left)


def _answer(reference: ray.ObjectRef) -> str | None:
    try:
        found: str | None = ray.get(reference, timeout=CHECK_SECONDS)
    except ray.exceptions.RayError as error:
        lines = str(error).strip().splitlines()
        return f"it does not answer: {lines[-1] if lines else type(error).__name__}"
    return found


def answer(mark: str, version: str) -> str | None:
    """Run on a worker: why this node cannot work in the folder of ``mark``; None if it can."""
    if code_version() != version:
        return f"it has omasgan {code_version()}, the driver {version}; install the same"
    path = open_root(mark)
    if not files.exists(path):
        return (
            f"it does not see '{path.parent}'; give an --out on a folder that all nodes share, "
            "or an object store (s3://bucket/folder)"
        )
    try:
        write_atomic(path.with_name(f"{path.name}.{place().node}"), b"")
    except StoreError as error:
        return str(error)
    return None


def end_process(where: Place) -> None:
    """End a worker process that does not answer, on whatever node."""
    _on(where.node, kill).remote(where.pid)


def kill(pid: int) -> None:
    """Run on a worker's node: end that worker, if the process is still one of Ray's."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        if b"ray::" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)


def _on(node: str, function: object) -> ray.remote_function.RemoteFunction:
    """``function`` on that node, whatever runs there."""
    there = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    return ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(function)
