"""The states that trainings save to go on from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from omasgan.cli.options import values
from omasgan.training.jobs import CheckpointPolicy


@dataclass(frozen=True, kw_only=True)
class CheckpointOptions:
    """How often checkpoints are written, and which of them stay."""

    checkpoint_seconds: Annotated[
        float, typer.Option(metavar="S", min=0.0, help="Time between two of a training's.")
    ] = CheckpointPolicy.seconds
    checkpoint_budget: Annotated[
        str | None,
        typer.Option(metavar="2GB", help="Most that checkpoints may take.  [default: no limit]"),
    ] = None
    keep_checkpoints: Annotated[
        bool, typer.Option("--keep-checkpoints", help="Ended trials keep theirs as well.")
    ] = False

    def check(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: a text is no size, or a number is not finite.
        """
        values.finite("--checkpoint-seconds", self.checkpoint_seconds)
        values.size("--checkpoint-budget", self.checkpoint_budget)

    @property
    def policy(self) -> CheckpointPolicy:
        """When trainings save their state."""
        return CheckpointPolicy(self.checkpoint_seconds, self.keep_checkpoints)

    @property
    def budget(self) -> int | None:
        """The most bytes that checkpoints may take, None without a limit."""
        return values.size("--checkpoint-budget", self.checkpoint_budget)
