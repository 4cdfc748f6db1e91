"""Faults that need no cluster of several nodes: the fast selection of ``make test``."""

from __future__ import annotations

import os
import re
import shutil
import socket
from pathlib import Path

import pytest

from omasgan import cli
from tests.faults.conftest import Disk, MakeSweep
from tests.faults.harness import ON_RAY, SPACE, Sweep, Table, fill
from tests.faults.processes import descendants, kill, running, wait_for

pytestmark = pytest.mark.timeout(300)

ON_ONE_SLOT = (*ON_RAY, "--at-once", "1")
"""One worker is enough to be left behind, and its start takes seconds."""


def test_a_second_driver_is_refused_and_a_dead_one_blocks_nothing(
    sweep: MakeSweep, capsys: pytest.CaptureFixture[str], table: Table
) -> None:
    one = sweep(n_trials=6)
    one.start()
    one.wait_until(2)
    assert one.driver is not None
    assert one.here() == 2
    error = capsys.readouterr().err
    assert socket.gethostname() in error and f"process {one.driver.pid};" in error
    one.driver.kill()
    one.driver.wait()
    assert one.here() == 0
    table.check("two drivers, then one killed", one)


@pytest.mark.parametrize("options", [ON_ONE_SLOT, Sweep.options], ids=["ray", "local"])
def test_an_interrupt_stops_in_seconds_and_says_how_to_go_on(
    options: tuple[str, ...], sweep: MakeSweep, table: Table
) -> None:
    one = sweep(n_trials=4, options=options)
    one.start()
    one.wait_until(1)
    assert one.driver is not None
    children = {process.pid for process in descendants(one.driver.pid)}
    one.interrupt()
    wait_for("the end of all processes", lambda: not [p for p in running() if p.pid in children])
    assert one.here() == 0
    table.check("interrupt", one)


@pytest.mark.fault
def test_a_worker_that_is_killed_costs_no_trial(sweep: MakeSweep, table: Table) -> None:
    one = sweep(n_trials=6, options=ON_RAY)
    one.start()
    for after in (1, 7):
        one.wait_until(after)
        assert one.driver is not None
        kill(wait_for("a worker", lambda: trainers(one))[:1])
    text = one.finish()
    table.check("worker killed, one machine", one)
    assert "Traceback" not in text


def trainers(one: Sweep) -> list[int]:
    """The processes that train for a sweep on a Ray of its own."""
    assert one.driver is not None
    return [process.pid for process in descendants(one.driver.pid) if process.trains]


@pytest.mark.fault
def test_a_worker_that_hangs_is_ended_and_its_trial_repeated(
    sweep: MakeSweep, tmp_path: Path, table: Table
) -> None:
    marker = tmp_path / "hung"
    one = sweep(
        n_trials=4,
        detector="tests.toy:HangingDetector",
        space=f'{SPACE}place = "{marker}"\n',
        options=(*ON_RAY, "--stall-timeout", "0.1"),
    )
    one.start()
    one.finish()
    assert marker.exists()
    table.check("worker hangs", one)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """A sweep whose driver died in its third trial, between two tasks."""
    one = Sweep(tmp_path_factory.mktemp("interrupted"), n_trials=4)
    one.start()
    one.wait_until(2)
    wait_for("a value", lambda: len(one.trials()) > 2 and one.trials()[2].values)
    one.close()
    return one


@pytest.mark.parametrize(
    "name",
    ["study.json", "journal.jsonl", "trials/0002/task-1.safetensors"],
)
def test_a_damaged_file_of_a_study_is_named_or_made_anew(
    name: str,
    interrupted: Sweep,
    sweep: MakeSweep,
    capsys: pytest.CaptureFixture[str],
    table: Table,
) -> None:
    one = sweep(n_trials=interrupted.n_trials)
    shutil.copytree(interrupted.out, one.out)
    path = one.study / name
    damage(path)
    go_on_as_told(one, path, capsys)
    table.check("damaged file", one)


@pytest.mark.parametrize("name", ["result.json", "scores.parquet"])
def test_a_damaged_file_of_a_run_is_named_or_made_anew(
    name: str, sweep: MakeSweep, capsys: pytest.CaptureFixture[str], table: Table
) -> None:
    one = sweep(n_trials=2)
    assert one.here() == 0
    path = next(iter(one.out.glob(f"*/*/*/*/seed-1/fold-0/{name}")))
    others = {p: p.stat().st_mtime_ns for p in one.out.glob("*/*/*/*/seed-[02]/fold-0/*")}
    damage(path)
    go_on_as_told(one, path, capsys)
    table.check("damaged file", one)
    assert {p: p.stat().st_mtime_ns for p in others} == others


def damage(path: Path) -> None:
    """Half of the file is gone and a byte of the rest has changed."""
    content = bytearray(path.read_bytes() if path.exists() else os.urandom(1000))
    content[len(content) // 4] ^= 0xFF
    path.write_bytes(content[: len(content) // 2])


def go_on_as_told(one: Sweep, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Go on until the report is made; a refusal is one line that names ``path`` and what to
    delete.
    """
    for _ in range(2):
        capsys.readouterr()
        code = one.here() or cli.main(["report", "--html", str(one.out)])
        if code == 0:
            return
        error = capsys.readouterr().err
        assert code == 2 and "Traceback" not in error
        refusal = error.splitlines()[-1]
        assert str(path) in refusal and "delete" in refusal
        named = re.search("delete '(.+?)'", refusal)
        Path(named[1] if named else path).unlink()
    raise AssertionError(error)


def test_a_full_disk_stops_the_sweep_and_loses_nothing(
    sweep: MakeSweep, disk: Disk, table: Table
) -> None:
    one = sweep(folder=disk.path / "work", n_trials=6)
    one.start()
    one.wait_until(2)
    fill(disk.path / "ballast")
    text = one.finish(2)
    assert "No space left on device" in text or "disk is full" in text
    assert "Traceback" not in text
    before = one.ended
    (disk.path / "ballast").unlink()
    assert one.here() == 0
    assert before < one.ended
    table.check("full disk", one)


def test_a_folder_that_becomes_read_only_stops_the_sweep(
    sweep: MakeSweep, disk: Disk, table: Table
) -> None:
    one = sweep(folder=disk.path / "work", n_trials=6)
    one.start()
    one.wait_until(2)
    with disk.read_only():
        text = one.finish(2)
    assert "Read-only file system" in text and "Traceback" not in text
    before = one.ended
    assert one.here() == 0
    assert before < one.ended
    table.check("read-only folder", one)
