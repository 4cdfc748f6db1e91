"""Processes of this machine, read from /proc: who descends from whom, and what Ray has started."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    session: int
    command: str

    @property
    def is_worker(self) -> bool:
        """Whether it is a Ray worker that has been given something to do."""
        name = self.command.partition("ray::")[2]
        return self.command.startswith("ray::") and name != "IDLE" and not name.endswith("Agent")

    @property
    def trains(self) -> bool:
        """Whether it is a Ray worker with a trial or a final run."""
        return self.command.startswith(("ray::trial ", "ray::run of "))


def running() -> Iterator[Process]:
    """All processes that have not ended."""
    for folder in Path("/proc").glob("[0-9]*"):
        # One that ends meanwhile is not one of them.
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if fields[0] not in "ZX":
                yield Process(int(folder.name), int(fields[1]), int(fields[3]), command)


def descendants(*roots: int) -> list[Process]:
    """The processes that ``roots`` have started, and those that these have started."""
    found = list(running())
    family = set(roots)
    while more := {p.pid for p in found if p.parent in family} - family:
        family |= more
    return [p for p in found if p.pid in family - set(roots)]


def listening(pids: Iterable[int]) -> set[str]:
    """The addresses at which processes accept TCP connections."""
    mine = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                mine.add(link.readlink().name)
    found = set()
    for line in [*_sockets("tcp"), *_sockets("tcp6")]:
        _, local, _, state, *_ = fields = line.split()
        if int(state, 16) == _LISTENS and f"socket:[{fields[9]}]" in mine:
            words = bytes.fromhex(local.partition(":")[0])
            # The kernel prints words of four bytes in the order of its own.
            ordered = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
            address = ipaddress.ip_address(ordered)
            found.add(str(getattr(address, "ipv4_mapped", None) or address))
    return found


_LISTENS = 10


def _sockets(kind: str) -> list[str]:
    return Path(f"/proc/net/{kind}").read_text().splitlines()[1:]


def kill(pids: Iterable[int], number: int = signal.SIGKILL) -> None:
    """Send a signal to processes; one that has ended already is none to end."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def wait_for(what: str, look: Callable[[], T], seconds: float = 60) -> T:
    """The first thing found that is true.

    Raises:
        AssertionError: there is none within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.02)
    return found
