from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from omasgan import __version__, cli
from omasgan.store import Store

CURVE = "tests.toy:CurveDetector"
SCRIPTED = "tests.test_evaluate:Scripted"
SMALL = ["--max-folds", "2", "--max-train", "100", "--max-test", "60", "--tracking-uri", "none"]


def omasgan(*arguments: str | Path) -> int:
    return cli.main([str(argument) for argument in arguments])


def run(out: Path, *arguments: str | Path, detector: str = CURVE) -> int:
    return omasgan("run", "digits-loo", detector, *SMALL, "--out", out, *arguments)


def in_a_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from omasgan.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert omasgan("list") == 0
    text = capsys.readouterr().out
    for name in ("digits-loo", "mnist-vs-kmnist", "omasgan", "fashion-mnist", "nested-shared"):
        assert name in text


@pytest.mark.parametrize("verb", [[], ["list"], ["run"], ["sweep"], ["report"], ["ui"]])
def test_help_exits_with_0(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert omasgan(*verb, "--help") == 0
    assert "Usage: omasgan" in capsys.readouterr().out


def test_help_answers_in_under_a_second() -> None:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        assert in_a_process("run", "--help").returncode == 0
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.0


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert omasgan("--version") == 0
    assert capsys.readouterr().out == f"omasgan {__version__}\n"


def test_run_trains_folds_times_seeds_and_shows_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--seeds", "0,5", "--set", "lr=0.02") == 0
    rows = Store(tmp_path).results()
    assert {(row["fold"], row["seed"]) for row in rows} == {(0, 0), (0, 5), (1, 0), (1, 5)}
    assert {row["benchmark"] for row in rows} == {"digits-loo-v1-f2-train100-test60"}
    assert rows[0]["params"] == {"lr": 0.02, "epochs": 3, "collapse": False}
    assert {row["outcome"] for row in rows} == {"ok"}
    text = capsys.readouterr().out
    assert "runs: 4 of 4, ok" in text
    assert CURVE in text and f"omasgan report {tmp_path}" in text


def test_a_run_that_is_there_is_not_trained_again(tmp_path: Path) -> None:
    assert run(tmp_path, "--folds", "1", "--seeds", "0") == 0
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert run(tmp_path, "--folds", "1", "--seeds", "0", "--set", "lr=0.01") == 0
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert len(Store(tmp_path).results()) == 1


def test_set_wins_over_the_params_file(tmp_path: Path) -> None:
    file = tmp_path / "params.toml"
    file.write_text("[params]\nlr = 0.03\nepochs = 2\n")
    one = ["--folds", "0", "--seeds", "0", "--params", file, "--set", "epochs=1"]
    assert run(tmp_path / "out", *one) == 0
    (row,) = Store(tmp_path / "out").results()
    assert row["params"] == {"lr": 0.03, "epochs": 1, "collapse": False}


def test_a_failed_run_is_told_and_exits_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fate = ["--folds", "1", "--seeds", "0", "--set", "fate=failed"]
    assert run(tmp_path, *fate, detector=SCRIPTED) == 1
    assert "omasgan: fold 1, seed 0: failed: ValueError: a bug" in capsys.readouterr().err


def test_an_interruption_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fate = ["--folds", "1", "--set", "fate=interrupted"]
    assert run(tmp_path, *fate, detector=SCRIPTED) == cli.INTERRUPTED
    error = capsys.readouterr().err
    assert "interrupted; to go on: omasgan run digits-loo" in error
    assert error.strip().endswith("fate=interrupted")


BAD_TOML = "bad.toml"
REFUSED = {
    "unknown benchmark": (["run", "digit-loo", CURVE], "did you mean 'digits-loo'"),
    "unknown detector": (["run", "digits-loo", "omasgn"], "did you mean 'omasgan'"),
    "no such class": (["run", "digits-loo", "tests.toy:Nothing"], "cannot be imported"),
    "unknown param": (["run", "digits-loo", CURVE, "--set", "lrr=1"], "did you mean 'lr'"),
    "value out of range": (["run", "digits-loo", CURVE, "--set", "lr=-1"], "greater than 0"),
    "no value": (["run", "digits-loo", CURVE, "--set", "lr"], "--set needs name=value"),
    "set twice": (["run", "digits-loo", CURVE, "--set", "lr=1", "--set", "lr=2"], "twice"),
    "bad toml": (["run", "digits-loo", CURVE, "--params", BAD_TOML], "line 1"),
    "no such fold": (["run", "digits-loo", CURVE, "--folds", "77"], "no fold 77"),
    "folds in words": (["run", "digits-loo", CURVE, "--folds", "a"], "--folds must be whole"),
    "negative seed": (["run", "digits-loo", CURVE, "--seeds", "-1"], "--seeds must be whole"),
    "trial seed": (["run", "digits-loo", CURVE, "--seeds", "1000000"], "must be below 1000000"),
    "no such device": (["run", "digits-loo", CURVE, "--device", "x"], "device 'x' cannot be"),
    "out is a file": (["run", "digits-loo", CURVE, "--out", BAD_TOML], "is a file"),
    "out is an address": (["run", "digits-loo", CURVE, "--out", "s3://b/x"], "must be a folder"),
    "no data": (["run", "mnist-loo", CURVE, "--data-root", "empty"], "--download"),
    "cap of none": (["run", "digits-loo", CURVE, "--max-train", "0"], "--max-train"),
    "bad tracking uri": (["run", "digits-loo", CURVE, "--tracking-uri", "ftp://x"], "ftp"),
    "unknown flag": (["run", "digits-loo", CURVE, "--nonsense"], "No such option: --nonsense"),
    "missing argument": (["run", "digits-loo"], "DETECTOR"),
    "unknown verb": (["runn"], "runn"),
    "report of nothing": (["report", "missing"], "no folder 'missing'"),
    "sync nowhere": (["report", ".", "--sync-mlflow", "--tracking-uri", "none"], "contradict"),
    "ui of nothing": (["ui", "missing"], "no folder 'missing'"),
    "ui of an empty folder": (["ui", "."], "holds no results"),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_input_is_refused_in_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / BAD_TOML).write_text("lr = = 1\n")
    assert omasgan(*arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("omasgan: ") and output.err.count("\n") == 1
    assert message in output.err
    assert [path.name for path in tmp_path.iterdir()] == [BAD_TOML]


def test_another_benchmark_under_the_same_id_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = tmp_path / "mine.toml"
    text = 'name="mine"\nversion=1\nprotocol="leave-one-out"\ndataset="digits"\nmax_folds=1\n'
    toml.write_text(text)
    arguments = ["run", toml, CURVE, "--seeds", "0", "--out", tmp_path / "out"]
    arguments += ["--tracking-uri", "none"]
    assert omasgan(*arguments) == 0
    toml.write_text(text + "split_seed=1\n")
    assert omasgan(*arguments) == 2
    assert "split_seed: 0 -> 1" in capsys.readouterr().err


def test_report_writes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--seeds", "0") == 0
    assert omasgan("report", tmp_path) == 0
    assert "report/index.html" in capsys.readouterr().out
    assert (tmp_path / "report" / "index.html").stat().st_size > 0


def test_exit_codes_reach_the_shell() -> None:
    done = in_a_process("run", "digit-loo", "knn")
    assert done.returncode == 2
    assert done.stderr.startswith("omasgan: unknown benchmark 'digit-loo'")
    assert "Traceback" not in done.stderr
