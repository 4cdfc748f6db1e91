"""What trainings leave behind to go on from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from omasgan.cli.options import values

if TYPE_CHECKING:
    from omasgan.training.jobs import CheckpointPolicy


@dataclass(frozen=True, kw_only=True)
class CheckpointOptions:
    """How often checkpoints are made, and what becomes of them."""

    checkpoint_seconds: Annotated[
        float, typer.Option(metavar="S", min=0.0, help="Time between two of a training's.")
    ] = 30.0
    checkpoint_budget: Annotated[
        str | None,
        typer.Option(metavar="2GB", help="Most that checkpoints may take.  [default: no limit]"),
    ] = None
    keep_checkpoints: Annotated[
        bool, typer.Option("--keep-checkpoints", help="Ended trials keep theirs as well.")
    ] = False

    @property
    def policy(self) -> CheckpointPolicy:
        """When trainings save their state."""
        from omasgan.training.jobs import CheckpointPolicy

        return CheckpointPolicy(self.checkpoint_seconds, self.keep_checkpoints)

    @property
    def budget(self) -> int | None:
        """In bytes.

        Raises:
            ConfigError: the text is no size.
        """
        return values.size("--checkpoint-budget", self.checkpoint_budget)
