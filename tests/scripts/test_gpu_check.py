"""gpu-check on this machine's CPU: its checks run, and what fails in one is a row of its own."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.scripts.shell import SCRIPTS, call

FAKE_DAEMON = """#!/bin/sh
pipe=$CUDA_MPS_PIPE_DIRECTORY
case "$1" in
-f)
  echo $$ > "$pipe/pid"; mkfifo "$pipe/quit"; touch "$pipe/control"; read word < "$pipe/quit" ;;
*)
  read command
  if [ "$command" = quit ]; then echo > "$pipe/quit"; else echo 17; fi ;;
esac
"""


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """The modules of gpu_checks that need no detector."""
    monkeypatch.syspath_prepend(SCRIPTS)
    from gpu_checks import mps, rows, running, workers

    yield {"mps": mps, "rows": rows, "running": running, "workers": workers}


class Echo:
    """What a worker serves here."""

    def say(self, word: str) -> str:
        return word

    def fail(self) -> None:
        raise ValueError("as asked")

    def die(self) -> None:
        os._exit(3)


def test_rows_survive_the_way_between_processes(checks: Any) -> None:
    rows = checks["rows"]
    row = rows.Row("speed", "graph", "told", {"gan/s": 812.25, "bit-equal": True, "why": "a|b\nc"})
    assert rows.from_line(rows.as_line(row)) == row
    assert row.figures == "gan/s 812, bit-equal yes, why a|b c"
    assert "why a\\|b c |" in rows.as_markdown([row])
    assert rows.as_table([row]).startswith("speed  graph  told")


@pytest.mark.parametrize(
    ("error", "result", "told"),
    [
        (ValueError("no\nsuch kernel"), "failed", "ValueError: no such kernel"),
        (ModuleNotFoundError("No module named 'ray'", name="ray"), "skipped", "ray is not"),
        (ModuleNotFoundError("no omasgan.nn.x", name="omasgan.nn.x"), "failed", "omasgan.nn.x"),
    ],
    ids=["error", "missing package", "missing part of ours"],
)
def test_an_error_is_a_row_after_those_that_are_there(
    checks: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    error: Any,
    result: str,
    told: str,
) -> None:
    rows, running = checks["rows"], checks["running"]

    def broken(options: Any) -> Iterator[Any]:
        yield rows.Row("broken", "first", "ok")
        raise error

    module = ModuleType("gpu_checks.broken")
    vars(module)["broken"] = broken
    monkeypatch.setitem(sys.modules, "gpu_checks.broken", module)
    monkeypatch.setitem(running.CHECKS, "broken", running.Check("broken", True, 1))
    first, second = running._rows("broken", rows.Options("cpu", True))
    assert (first.result, second.result) == ("ok", result)
    assert told in second.figures


def test_an_unknown_check_is_refused() -> None:
    done = call("gpu-check", "--only", "machine,speeed")
    assert done.returncode == 2
    assert "no check 'speeed'; there are machine, capture" in done.stderr


def test_a_worker_answers_says_what_it_raised_and_that_it_died(checks: Any) -> None:
    workers = checks["workers"]
    with workers.workers(1, Echo) as (worker,):
        assert worker.call("say", word="here") == "here"
        with pytest.raises(workers.WorkerError, match="ValueError: as asked"):
            worker.call("fail")
        assert worker.call("say", word="still here") == "still here"
        with pytest.raises(workers.WorkerError, match="ended with 3"):
            worker.call("die")


def test_the_daemon_of_mps_is_told_to_quit_and_ends(
    checks: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    daemon = tmp_path / checks["mps"].PROGRAM
    daemon.write_text(FAKE_DAEMON)
    daemon.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with checks["mps"].service():
        pid = int((Path(os.environ["CUDA_MPS_PIPE_DIRECTORY"]) / "pid").read_text())
        assert checks["mps"].servers() == 1
        os.kill(pid, 0)
    assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_without_mps_the_reason_is_told(checks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    mps, rows = checks["mps"], checks["rows"]
    with pytest.raises(rows.SkippedError, match="is not on this machine"), mps.service():
        pass


@pytest.mark.slow
def test_a_check_whose_time_is_over_is_ended(checks: Any) -> None:
    begun = time.monotonic()
    options = checks["rows"].Options("cpu", False)
    rows = checks["running"].run_apart("capture", options, time.monotonic() + 4)
    assert rows[-1].result == "failed"
    assert "not done after 4 s" in rows[-1].figures
    assert time.monotonic() - begun < 30


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_all_checks_run_on_a_cpu(tmp_path: Path) -> None:
    out = tmp_path / "check.json"
    done = call("gpu-check", "--device", "cpu", "--small", "--out", out, timeout=300)
    rows = json.loads(out.read_text())["rows"]
    assert done.returncode == 0, [row for row in rows if row["result"] == "failed"]
    assert {row["result"] for row in rows} == {"ok", "told", "skipped"}
    names = {row["check"] for row in rows}
    assert {"capture", "equality", "repeatability", "audit", "speed", "memory", "shares"} < names
    assert len(out.with_suffix(".md").read_text().splitlines()) == len(rows) + 2
