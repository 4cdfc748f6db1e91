from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from omasgan import __version__, cli
from omasgan.store.lock import driver_lock
from omasgan.store.results import Store
from tests.cli.calls import SCRIPTED, in_a_process, omasgan, run


def test_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert omasgan("list") == 0
    text = capsys.readouterr().out
    for name in ("digits-loo", "mnist-vs-kmnist", "omasgan", "fashion-mnist", "nested-shared"):
        assert name in text


@pytest.mark.parametrize(
    "verb", [[], *([verb] for verb in cli.VERBS)], ids=lambda verb: " ".join(verb) or "omasgan"
)
def test_help_exits_with_0(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert omasgan(*verb, "--help") == 0
    assert "Usage: omasgan" in capsys.readouterr().out


def test_who_looks_on_is_told_at_once_that_something_loads(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = ["run", "digits-loo", "knnn"]
    assert omasgan(*refused) == 2
    assert "loading" not in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert omasgan(*refused) == 2
    assert capsys.readouterr().err.startswith("omasgan: loading\n")


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert omasgan("--version") == 0
    assert capsys.readouterr().out == f"omasgan {__version__}\n"


def test_an_interruption_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fate = ["--folds", "1", "--set", "fate=interrupted"]
    assert run(tmp_path, *fate, detector=SCRIPTED) == cli.INTERRUPTED
    error = capsys.readouterr().err
    assert "interrupted; to go on: omasgan run digits-loo" in error
    assert error.strip().endswith("fate=interrupted")


def test_secrets_are_not_repeated_to_who_interrupts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db?password=sesame"
    fate = ["--folds", "1", "--set", "fate=interrupted", "--tracking-uri", uri]
    assert run(tmp_path, *fate, detector=SCRIPTED) == cli.INTERRUPTED
    error = capsys.readouterr().err
    assert "password=***" in error and "sesame" not in error


def test_a_second_driver_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with driver_lock(tmp_path):
        assert run(tmp_path) == 2
    assert f"in use by a driver on host {socket.gethostname()}" in capsys.readouterr().err
    assert Store(tmp_path).results() == []
    assert run(tmp_path, "--folds", "0", "--seeds", "0") == 0


def test_exit_codes_reach_the_shell() -> None:
    done = in_a_process("run", "digit-loo", "knn")
    assert done.returncode == 2
    assert done.stderr.startswith("omasgan: unknown benchmark 'digit-loo'")
    assert "Traceback" not in done.stderr
