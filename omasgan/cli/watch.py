"""What a verb's events lead to: lines or bars on the screen, and MLflow runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from omasgan.cli.progress import Progress
from omasgan.progress import Event

if TYPE_CHECKING:
    from omasgan.tracking.tracker import Tracker

INTERRUPT_SECONDS = 7.0
"""How long MLflow is waited for after Ctrl-C; what it misses can be sent later."""


class Watch:
    """Shows every event on the screen and in MLflow; what still goes on when the context is left
    is shown as interrupted (Ctrl-C) or failed.
    """

    def __init__(self, tracker: Tracker | None) -> None:
        from omasgan.tracking.feed import Feed

        self._feed = None if tracker is None else Feed(tracker)
        self._progress = Progress()

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __call__(self, event: Event) -> None:
        self._progress(event)
        if self._feed is not None:
            self._feed(event)

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._progress.__exit__(kind, None, None)
        if self._feed is None:
            return
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._feed.finish("interrupted", INTERRUPT_SECONDS)
        else:
            self._feed.finish("failed", with_report=kind is None)
        if kind is None and self._feed.error is not None:
            raise self._feed.error
