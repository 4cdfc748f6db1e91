"""Joining a Ray cluster, and calling functions on it."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import ray

from omasgan.errors import BackendError

logger = logging.getLogger(__name__)

SPARED = ("start_api_server", "start_monitor", "start_log_monitor")
"""What starts processes of Ray's that a local cluster does without."""


def connect(
    address: str | None,
    num_cpus: int | None,
    num_gpus: int | None,
    variables: Mapping[str, str] | None = None,
) -> None:
    """Join the cluster at ``address``, or start one that claims to have so many CPUs and GPUs,
    with these environment variables.

    Raises:
        BackendError: the cluster cannot be reached or refuses.
    """
    _quieten()
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        # Without "local", Ray would join any cluster that happens to run here.
        with _loopback(), _alone(), environment(variables or {}):
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
    """Return the resources of each living node of the cluster at ``address``, by Ray's names.

    Raises:
        BackendError: the cluster cannot be reached.
    """
    if not ray.is_initialized():
        connect(address, None, None)
    return living_nodes()


def living_nodes() -> list[Mapping[str, float]]:
    """Return the resources of each living node of the cluster that was joined."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def call(cpus: float, gpus: float, function: Any, *arguments: Any, **named: Any) -> Any:
    """Return what ``function`` returns on a worker with so many CPUs and GPUs."""
    remote = ray.remote(num_cpus=cpus, num_gpus=gpus)(function)
    return ray.get(remote.remote(*arguments, **named))


def check_address(address: str) -> None:
    """Check that somebody listens at a cluster's address; Ray itself would wait for minutes.

    Raises:
        BackendError: it is no address, or nobody listens there.
    """
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
    """Log what Ray prints for the user: pages about each process that died, which we explain."""
    from ray._private import worker

    def keep(data: Mapping[str, Any], ignore_prefix: bool) -> None:
        logger.debug("%s", "\n".join(data["lines"]))

    worker.print_to_stdstream = keep


@contextlib.contextmanager
def _loopback() -> Iterator[None]:
    """Let what Ray starts in this context listen on 127.0.0.1 alone, not on all interfaces.

    Ray's setting for systems without clusters does that; processes that it starts inherit it.
    """
    from ray._private import ray_constants

    with (
        replaced(ray_constants, ENABLE_RAY_CLUSTER=False),
        environment({ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0"}),
    ):
        yield


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Let Ray start only what a machine by itself needs: no dashboard, no autoscaler and nobody
    who sends on what processes print. Each of these imports for a second or two, while the first
    training waits for a core.
    """
    from ray._private import node, utils

    spared = dict.fromkeys(SPARED, lambda *args, **named: None)
    missing = ImportError("no dashboard is wanted")
    with (
        replaced(node.Node, **spared),
        replaced(utils, get_dashboard_dependency_error=lambda: missing),
    ):
        yield


@contextlib.contextmanager
def replaced(owner: Any, **attributes: Any) -> Iterator[None]:
    """Give a module or a class other attributes in this context."""
    before = {name: getattr(owner, name) for name in attributes}
    for name, value in attributes.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


@contextlib.contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables in this context."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
