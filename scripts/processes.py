"""Processes that outlive their script and are ended by their ids, for local-cluster and services.

A service leads a session of its own and is remembered as (process id, start time): another process
that the kernel gives the same id later is never taken for it. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

HOST = "127.0.0.1"


class ScriptError(Exception):
    """An error that the user can do something about, in one line."""


@dataclass(frozen=True)
class Process:
    """A living process, from /proc/<pid>/stat."""

    pid: int
    name: str
    parent: int
    session: int
    started: int
    """In clock ticks since the machine was booted."""


class Leader(NamedTuple):
    """The first process of a session."""

    pid: int
    started: int

    @property
    def lives(self) -> bool:
        process = _read(self.pid)
        return process is not None and process.started == self.started

    def family(self) -> list[Process]:
        """Return the session's living processes and their descendants, the oldest first.

        A process whose parent has died is still in the session, and one that has opened a session
        of its own still has its parent.
        """
        leader = _read(self.pid)
        if leader is not None and leader.started != self.started:
            return []
        children: dict[int, list[Process]] = {}
        members: dict[int, Process] = {}
        for process in processes():
            children.setdefault(process.parent, []).append(process)
            if process.session == self.pid:
                members[process.pid] = process
        unseen = list(members)
        while unseen:
            for child in children.get(unseen.pop(), []):
                if child.pid not in members:
                    members[child.pid] = child
                    unseen.append(child.pid)
        return sorted(members.values(), key=lambda process: process.started)


def lead(command: list[str], log: Path, environment: Mapping[str, str], **options: Any) -> Leader:
    """Start a process that outlives this one."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, **options,
        )  # fmt: skip
    read = _read(process.pid)
    return Leader(process.pid, -1 if read is None else read.started)


def wait_until(
    ready: Callable[[], bool], leader: Leader, what: str, log: Path, seconds: float = 60
) -> None:
    """Return as soon as ``ready`` is true.

    Raises:
        ScriptError: the leader has ended, with its last words, or it takes longer.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if not leader.lives:
            words = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
            raise ScriptError(f"{what} has ended: {words[-1]} (all of it in {log})")
        if time.monotonic() > deadline:
            raise ScriptError(f"{what} is not ready after {seconds:.0f} s; see {log}")
        time.sleep(0.1)


def end(find: Callable[[], Iterable[Process]], seconds: float = 10) -> None:
    """Send SIGKILL to all processes that ``find`` returns, until there are none.

    They are stopped first, so that none can start another one.

    Raises:
        ScriptError: some are still there.
    """
    deadline = time.monotonic() + seconds
    while remaining := list(find()):
        if time.monotonic() > deadline:
            raise ScriptError(f"processes {[p.pid for p in remaining]} do not end")
        for process in remaining:
            send(process, signal.SIGSTOP)
        for process in find():
            send(process, signal.SIGKILL)
        time.sleep(0.1)


def send(process: Process | Leader, sign: signal.Signals) -> None:
    """Send a signal to a process, which may have ended by now."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, sign)


def processes() -> Iterator[Process]:
    """Yield all living processes, no zombies."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (process := _read(int(entry.name))):
            yield process


def _read(pid: int) -> Process | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    _, name, rest = re.split(r" \((.*)\) ", text, flags=re.DOTALL)
    fields = rest.split()
    if fields[0] in ("Z", "X"):
        return None
    return Process(pid, name, int(fields[1]), int(fields[3]), int(fields[19]))


def listens(port: int) -> bool:
    """Return whether somebody answers at this port of 127.0.0.1."""
    with socket.socket() as knocking:
        return knocking.connect_ex((HOST, port)) == 0


def check_port(name: str, port: int, high: int = 65535) -> None:
    """Refuse a port that is out of range or taken."""
    if not 1024 <= port <= high:
        raise ScriptError(f"{name} must be in [1024, {high}], got {port}")
    if listens(port):
        raise ScriptError(f"port {port} is in use; choose another {name}")


def new_secret() -> str:
    return secrets.token_hex(32)


def write_secret(path: Path, text: str) -> None:
    """Write to a new file that only its owner can read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def replace_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.replace(path)


def print_exports(variables: Mapping[str, str]) -> None:
    """Print variables as lines for a shell to evaluate."""
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")


def command(verb: str, folder: Path) -> str:
    """Return the command of another verb of the running script."""
    return shlex.join([sys.argv[0], verb, str(folder)])


def folder_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", metavar="DIR", type=lambda text: Path(text).resolve())


def main(parser: argparse.ArgumentParser, module: str) -> int:
    """Carry out the parsed verb, in an environment that has ``module``."""
    import importlib.util

    args = parser.parse_args()
    if importlib.util.find_spec(module) is None:
        venv = Path(__file__).resolve().parents[1] / ".venv/bin/python"
        if not venv.exists() or Path(sys.executable) == venv:
            print(f"{parser.prog}: no {module} here; activate its environment", file=sys.stderr)
            return 2
        os.execv(venv, [str(venv), *sys.argv])
    try:
        args.verb(args)
    except ScriptError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    return 0
