"""What is done on one particular node of a Ray cluster."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from omasgan.errors import BackendError, StoreError
from omasgan.store import files
from omasgan.training.environment import code_version

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath

CHECK_SECONDS = 60.0
"""How long a node may take to say whether it can work on the output folder."""


class WorkerLocation(NamedTuple):
    """Where a process of the cluster runs: the node's id and address, and the process id."""

    node: str
    ip: str
    pid: int


def this_process() -> WorkerLocation:
    """Return the location of this process, a worker or the driver."""
    context = ray.get_runtime_context()
    return WorkerLocation(context.get_node_id(), ray.util.get_node_ip_address(), os.getpid())


def check_shared(root: AnyPath) -> None:
    """Check that every node writes to ``root`` what the driver reads, and runs the same code.

    Raises:
        BackendError: a node does not see the folder, cannot write there or runs other code.
    """
    here = ray.get_runtime_context().get_node_id()
    others = [n for n in ray.nodes() if n["Alive"] and n["NodeID"] != here]
    if not others:
        return
    mark = root / f".shared-{uuid.uuid4().hex}"
    files.write_atomic(mark, b"")
    try:
        objections = [
            (
                node["NodeManagerAddress"],
                _on(node["NodeID"], objection)
                .options(max_retries=3)
                .remote(str(mark), code_version()),
            )
            for node in others
        ]
        for ip, reference in objections:
            reason = _answer(reference)
            if reason:
                raise BackendError(f"node {ip} of the cluster cannot work here: {reason}")
    finally:
        for path in files.find(root, f"{mark.name}*"):
            files.delete(path)


def _answer(reference: ray.ObjectRef) -> str | None:
    try:
        answer: str | None = ray.get(reference, timeout=CHECK_SECONDS)
    except ray.exceptions.RayError as error:
        lines = str(error).strip().splitlines()
        return f"it does not answer: {lines[-1] if lines else type(error).__name__}"
    return answer


def objection(mark: str, version: str) -> str | None:
    """Run on a worker: return why this node cannot work in the folder of ``mark``; None if it
    can.
    """
    if code_version() != version:
        return f"it has omasgan {code_version()}, the driver {version}; install the same"
    path = files.open_root(mark)
    if not files.exists(path):
        return (
            f"it does not see '{path.parent}'; give an --out on a folder that all nodes share, "
            "or an object store (s3://bucket/folder)"
        )
    try:
        files.write_atomic(path.with_name(f"{path.name}.{this_process().node}"), b"")
    except StoreError as error:
        return str(error)
    return None


def end_process(location: WorkerLocation) -> None:
    """End a worker process that does not answer, on whatever node."""
    _on(location.node, kill).remote(location.pid)


def kill(pid: int) -> None:
    """Run on a worker's node: end that worker, if the process is still one of Ray's."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        if b"ray::" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)


def _on(node: str, function: object) -> ray.remote_function.RemoteFunction:
    """Return ``function`` as a task for that node, whatever runs there."""
    there = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    return ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(function)
