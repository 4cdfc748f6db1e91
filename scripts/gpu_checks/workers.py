"""Processes that a check starts and asks to do something: each has a CUDA context of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gpu_checks.running import described

ANSWER_SECONDS = 120.0


class WorkerError(Exception):
    """What a worker has raised, or that it gives no answer."""


class Worker:
    """A process with an object made by ``cls(*arguments)``, whose methods it calls on request."""

    def __init__(self, cls: Callable[..., Any], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, cls, arguments), daemon=True)
        self._process.start()
        theirs.close()

    def begin(self, method: str, **arguments: Any) -> None:
        self._ours.send((method, arguments))

    def answer(self, seconds: float = ANSWER_SECONDS) -> Any:
        """Return what the method begun last returned.

        Raises:
            WorkerError: it raised an error, the process is dead, or the time is over.
        """
        if not self._ours.poll(seconds):
            raise WorkerError(f"no answer within {seconds:.0f} s")
        try:
            ok, content = self._ours.recv()
        except EOFError as error:
            self._process.join(5)
            raise WorkerError(f"ended with {self._process.exitcode}") from error
        if not ok:
            raise WorkerError(content)
        return content

    def call(self, method: str, **arguments: Any) -> Any:
        self.begin(method, **arguments)
        return self.answer()

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._ours.close()


def _serve(connection: Any, cls: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    served = cls(*arguments)
    while True:
        try:
            method, keywords = connection.recv()
        except EOFError:
            return
        try:
            connection.send((True, getattr(served, method)(**keywords)))
        except Exception as error:
            connection.send((False, described(error)))


@contextmanager
def workers(n: int, cls: Callable[..., Any], *arguments: Any) -> Iterator[list[Worker]]:
    """Return a context with ``n`` workers alike, which are ended when it is left."""
    started: list[Worker] = []
    try:
        for _ in range(n):
            started.append(Worker(cls, *arguments))
        yield started
    finally:
        for worker in started:
            worker.end()


def all_call(crew: list[Worker], method: str, **arguments: Any) -> list[Any]:
    """Let all workers do the same at once; return their answers."""
    for worker in crew:
        worker.begin(method, **arguments)
    return [worker.answer() for worker in crew]
