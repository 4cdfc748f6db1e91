"""Which processes a script ends: its own, all of them, and no other."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.scripts.shell import SCRIPTS


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    import processes

    return processes


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        yield process
        process.kill()


def names(members: list[object]) -> list[str]:
    return sorted(process.name for process in members)  # type: ignore[attr-defined]


def test_a_family_has_orphans_and_children_in_sessions_of_their_own(
    processes: ModuleType, tmp_path: Path
) -> None:
    family = "(sleep 61 & ) ; setsid tail -f /dev/null & cat /dev/zero >/dev/null & wait"
    leader = processes.lead(["bash", "-c", family], tmp_path / "log", os.environ)
    deadline = time.monotonic() + 10
    while names(leader.family()) != ["bash", "cat", "sleep", "tail"]:
        assert time.monotonic() < deadline, names(leader.family())
        time.sleep(0.05)
    members = leader.family()
    processes.end(leader.family)
    assert leader.family() == []
    assert {member.pid for member in members}.isdisjoint(p.pid for p in processes.processes())


def test_an_id_that_was_given_away_is_left_alone(
    processes: ModuleType, stranger: subprocess.Popen[bytes]
) -> None:
    started = next(p.started for p in processes.processes() if p.pid == stranger.pid)
    earlier = processes.Leader(stranger.pid, started - 1)
    assert not earlier.lives
    assert earlier.family() == []
    assert names(processes.Leader(stranger.pid, started).family()) == ["sleep"]


def test_what_has_ended_is_told_with_its_last_words(processes: ModuleType, tmp_path: Path) -> None:
    leader = processes.lead(["bash", "-c", "echo no space; exit 1"], tmp_path / "log", os.environ)
    with pytest.raises(processes.ScriptError, match="the disk has ended: no space"):
        processes.wait_until(lambda: False, leader, "the disk", tmp_path / "log")


def test_one_that_ignores_signals_ends_as_well(processes: ModuleType, tmp_path: Path) -> None:
    deaf = "trap '' TERM INT HUP; while true; do sleep 0.1; done"
    leader = processes.lead(["bash", "-c", deaf], tmp_path / "log", os.environ)
    processes.send(leader, signal.SIGTERM)
    processes.end(leader.family)
    assert not leader.lives


def test_a_secret_is_its_owners_alone(processes: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    processes.write_secret(path, "new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o600)
