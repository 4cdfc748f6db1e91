"""Who executes trials and runs, and what each of them gets."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from omasgan.cli.options import values
from omasgan.cli.options.groups import (
    AddressOption,
    AtOnceOption,
    CpusPerTrialOption,
    GpusPerTrialOption,
)
from omasgan.errors import ConfigError

if TYPE_CHECKING:
    from omasgan.backends.contract import Backend


T = TypeVar("T")


class BackendName(StrEnum):
    """The backends there are."""

    local = "local"
    ray = "ray"


BackendOption = Annotated[BackendName, typer.Option(help="Who executes trials and runs.")]


@dataclass(frozen=True, kw_only=True)
class Execution:
    """The backend, and what it gives a trial."""

    backend: BackendOption = BackendName.ray
    address: AddressOption = None
    cpus_per_trial: CpusPerTrialOption = None
    gpus_per_trial: GpusPerTrialOption = None
    at_once: AtOnceOption = None
    stall_timeout: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES",
            min=0.1,
            help="Ray: end and repeat a trial that is silent for so long.  [default: 60]",
        ),
    ] = None

    def check(self, device: str) -> None:
        """Check the options before any work starts.

        Raises:
            ConfigError: a number is out of its range, an option of Ray comes with another
                backend, or this machine has no such device.
            BackendError: nobody answers at the address.
        """
        flags = {
            "--address": self.address,
            "--cpus-per-trial": self.cpus_per_trial,
            "--gpus-per-trial": self.gpus_per_trial,
            "--at-once": self.at_once,
            "--stall-timeout": self.stall_timeout,
        }
        for flag, value in flags.items():
            if value is not None and self.backend != BackendName.ray:
                raise ConfigError(f"{flag} needs --backend ray, got --backend {self.backend}")
        values.finite("--stall-timeout", self.stall_timeout)
        check_shares(self.cpus_per_trial, self.gpus_per_trial)
        check_device(device, may_be_elsewhere=self.backend == BackendName.ray)
        check_address(self.address)

    @contextlib.contextmanager
    def opened(self, device: str, load: Callable[[], T]) -> Iterator[tuple[Backend, T]]:
        """Open the backend, and ``load`` data meanwhile; yield both, and close the backend."""
        # Ray has to be opened by the main thread, whose signals it handles.
        with ThreadPoolExecutor(1) as pool:
            loading = pool.submit(load)
            backend = self.open(device)
        with contextlib.closing(backend):
            yield backend, loading.result()

    def open(self, device: str) -> Backend:
        """Start the backend or connect to it; the caller closes it."""
        if self.backend == BackendName.local:
            from omasgan.backends.local import LocalBackend

            return LocalBackend()
        start = "starting Ray here" if self.address is None else f"joining Ray at {self.address}"
        print(f"omasgan: {start}", file=sys.stderr, flush=True)
        from omasgan.backends.ray.backend import RayBackend

        options = values.present(
            cpus_per_trial=self.cpus_per_trial,
            stall_seconds=None if self.stall_timeout is None else 60 * self.stall_timeout,
        )
        backend = RayBackend(
            address=self.address,
            gpus_per_trial=values.share(self.gpus_per_trial),
            at_once=self.at_once,
            **options,
        )
        if self.address is None and device == "auto":
            note = unused_gpus(backend.gpus, self.gpus_per_trial)
            if note is not None:
                print(f"omasgan: {note}", file=sys.stderr)
        return backend


@dataclass(frozen=True, kw_only=True)
class HereOrOnRay(Execution):
    """The same for a verb that works in this process unless Ray is asked for."""

    backend: BackendOption = BackendName.local


def unused_gpus(n: int, share: str | None) -> str | None:
    """Return what to say of ``n`` GPUs where nobody has asked for a ``share`` of them.

    >>> unused_gpus(1, None)
    '1 GPU is here and unused; --gpus-per-trial 1 (or a share, or auto) uses it'
    """
    if n == 0 or share is not None:
        return None
    gpus, them = ("1 GPU is", "it") if n == 1 else (f"{n} GPUs are", "them")
    return f"{gpus} here and unused; --gpus-per-trial 1 (or a share, or auto) uses {them}"


def check_shares(cpus: float | None, gpus: str | None) -> None:
    """Check what a trial is to get.

    Raises:
        ConfigError: no such share can be given.
    """
    from omasgan.backends import shares

    share = values.share(gpus)
    shares.check_share(1.0 if cpus is None else cpus, 1.0 if share == "auto" else share)


def check_address(address: str | None) -> None:
    """See that somebody answers at the address of a Ray cluster.

    Raises:
        BackendError: it is no address, or nobody answers.
    """
    if address is not None:
        from omasgan.backends.ray import cluster

        cluster.check_address(address)


def check_device(device: str, *, may_be_elsewhere: bool) -> None:
    """Check a device, which workers may have even where this machine has none.

    Raises:
        ConfigError: there is no such device.
    """
    from omasgan.training import environment

    if may_be_elsewhere:
        environment.check_device_name(device)
    else:
        environment.resolve_device(device)
