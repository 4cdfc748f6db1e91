from __future__ import annotations

import gc
import uuid
from pathlib import Path

import pytest

from omasgan.store.files import open_root
from omasgan.store.results import Store
from tests.cli.calls import CURVE, SCRIPTED, SMALL, omasgan, run


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
    files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/**/*") if path.is_file()}
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
    assert ", fold 1, seed 0: failed: ValueError: a bug" in capsys.readouterr().err


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
    assert omasgan("report", tmp_path, "--figures", "png") == 0
    assert "report/index.html" in capsys.readouterr().out
    assert (tmp_path / "report" / "index.html").stat().st_size > 0
    assert {path.suffix for path in (tmp_path / "report" / "figures").iterdir()} == {".png"}
    assert gc.isenabled()


def test_results_may_lie_on_an_object_store(capsys: pytest.CaptureFixture[str]) -> None:
    out = f"memory://omasgan-{uuid.uuid4().hex}/out"
    assert omasgan("run", "digits-loo", CURVE, *SMALL, "--seeds", "0", "--out", out) == 0
    assert f"omasgan report {out}" in capsys.readouterr().out
    assert len(Store(open_root(out), create=False).results()) == 2
