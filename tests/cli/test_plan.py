from __future__ import annotations

import re
from pathlib import Path

import pytest

from omasgan.training.measuring import CUDA_MB
from omasgan.training.probe import LIBRARIES_MB
from tests.cli.calls import CURVE, SPACE, omasgan

CAPS = ["--max-folds", "2", "--max-train", "100", "--max-test", "60"]


def cells(text: str, detector: str) -> list[str]:
    """The cells of a detector's line."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"│ {detector}")]
    return [cell.strip() for cell in line.strip("│ ").split("│")]


def test_a_plan_says_what_runs_would_take_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert omasgan("plan", "digits-loo", "knn,vae", *CAPS, "--cpus", "3") == 0
    text = capsys.readouterr().out
    assert "digits-loo-v1-f2-train100-test60, runs:" in text
    assert cells(text, "knn")[1:6] == ["-", "-", "6", "3", "<0.01"]
    assert cells(text, "vae")[3] == "6"
    assert re.search(r"Measured on this machine with 2 configurations in [\d.]+ s", text)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_of_a_sweep_counts_trials_and_runs_and_shows_the_spread(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = tmp_path / "space.toml"
    space.write_text("train_steps = {low = 50, high = 5000, log = true}\n")
    options = ["--trials", "20", "--space", space, "--inner", "1", "--seeds", "0,1"]
    assert omasgan("plan", "digits-loo", "vae", *CAPS, *options, "--probes", "4") == 0
    text = capsys.readouterr().out
    _, trials, trainings, runs, _, hours, *_ = cells(text, "vae")
    assert (trials, trainings, runs) == ("2 x 20", "40", "4")
    mean, low, high = (float(x) for x in re.findall(r"[\d.]+", hours))
    assert low < mean < high
    assert "with 4 configurations" in text


def test_a_plan_of_trials_that_share_stages_says_how_many_train_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = tmp_path / "space.toml"
    phases = ("gan", "boundary", "retrain", "detector")
    space.write_text(
        "".join(f"{phase}_steps = 5\n" for phase in phases)
        + "zeta = {low = 0.1, high = 0.9}\nwidth = 8\n"
    )
    options = ["--trials", "9", "--share-stages", "8", "--space", space, "--probes", "1"]
    one_fold = ["--folds", "0", "--backend", "local"]
    assert omasgan("plan", "digits-loo", "omasgan", *CAPS[2:], *one_fold, *options) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "About 4 of 9 trials of omasgan train their phases up to 'retrain'" in said


def test_a_plan_for_gpus_shares_them(capsys: pytest.CaptureFixture[str]) -> None:
    gpus = ["--cpus", "16", "--gpus", "2", "--gpu-memory", "4GB", "--gpus-per-trial", "auto"]
    short = ["--set", "train_steps=5"]
    assert omasgan("plan", "digits-loo", "vae", *CAPS, *short, *gpus) == 0
    *_, at_once, _, _, memory, share, _, _, _ = cells(capsys.readouterr().out, "vae")
    assert (at_once, share) == ("4", "0.5")
    assert CUDA_MB + LIBRARIES_MB < 1024 * float(memory.removesuffix(" GB")) < 1500
    assert omasgan("plan", "digits-loo", "knn", *CAPS, *gpus) == 0
    assert cells(capsys.readouterr().out, "knn")[4] == "16"


def test_what_could_not_be_measured_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = tmp_path / "space.toml"
    space.write_text(SPACE.replace("0.1,", "1.0,"))
    sweep = ["--trials", "2", "--space", space, "--probes", "8"]
    assert omasgan("plan", "digits-loo", "tests.toy:DivergingDetector", *CAPS, *sweep) == 0
    text = capsys.readouterr().out
    assert "one configuration could not be measured: loss is not finite at lr" in text
    assert "with 8 configurations" not in text
    assert omasgan("plan", "digits-loo", CURVE, *CAPS, *sweep) == 0
    assert "could not be measured" not in capsys.readouterr().out
