"""Where trials and runs are executed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

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

STALL_MINUTES = 60.0


class BackendName(StrEnum):
    """The backends there are."""

    local = "local"
    ray = "ray"


BackendOption = Annotated[BackendName, typer.Option(help="Where trials and runs are executed.")]


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
            help="Ray: a trial that is silent for so long is ended and repeated.  [default: 60]",
        ),
    ] = None

    def check(self) -> None:
        """Check that the options are right and belong to the backend.

        Raises:
            ConfigError: one that is Ray's comes with another backend, or a share is no share.
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
        values.share(self.gpus_per_trial)

    def open(self, device: str) -> Backend:
        """The backend, started or connected to; to be closed."""
        if self.backend == BackendName.local:
            from omasgan.backends.local import LocalBackend
            from omasgan.training.environment import resolve_device

            resolve_device(device)
            return LocalBackend()
        from omasgan.backends.ray.backend import RayBackend

        return RayBackend(
            address=self.address,
            cpus_per_trial=1.0 if self.cpus_per_trial is None else self.cpus_per_trial,
            gpus_per_trial=values.share(self.gpus_per_trial),
            at_once=self.at_once,
            stall_seconds=60 * (self.stall_timeout or STALL_MINUTES),
        )
