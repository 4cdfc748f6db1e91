"""A bar that shows the progress of ``fit`` where a terminal looks on."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TypeVar


class InPhase(Protocol):
    """An epoch, as far as a bar shows it."""

    @property
    def phase(self) -> str: ...


E = TypeVar("E", bound=InPhase)


def shown(detector: Any, epochs: Iterable[E], total: int | None = None) -> Iterator[E]:
    """Yield ``epochs``, of which there are ``total`` if that is known, and show each one that has
    ended, on stderr; the bar vanishes at the end.

    Nothing is shown elsewhere than in a terminal, nor by a process that another one has started.
    """
    if not sys.stderr.isatty() or multiprocessing.parent_process() is not None:
        yield from epochs
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(type(detector).__name__, total=total)
        for epoch in epochs:
            progress.update(
                task, advance=1, description=f"{type(detector).__name__} {epoch.phase}"
            )
            yield epoch
