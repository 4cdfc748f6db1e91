"""``omasgan sensitivity`` from the outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from omasgan.cli import main
from tests.experiments.sensitivity.staged import NAME
from tests.report.sensitivity.sweeps.studies import fill

SMALL = ["--max-train", "100", "--max-test", "60", "--backend", "local"]
SMALL += ["--tracking-uri", "none"]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["sensitivity", *arguments]) == 2
    line: str = capsys.readouterr().err
    assert line.startswith("omasgan: ") and line.count("\n") == 1
    return line


def test_a_study_ends_in_a_page_and_its_own_command_makes_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "base.toml").write_text("tail = 0.9\n")
    base = ["--around", str(tmp_path / "base.toml")]
    command = ["sensitivity", "digits-loo", NAME, "--params", "tail,idle", "--budget", "20"]
    figures = ["--figures", "png"]
    assert main([*command, *base, *SMALL, *figures, "--out", str(tmp_path)]) == 0
    output = capsys.readouterr()
    assert "20 trainings: 5 settings (one-at-a-time) on folds 0,1 with seeds 0,1" in output.err
    (folder,) = (tmp_path / "sensitivity").iterdir()
    assert f"The page is {folder}/index.html" in output.out
    assert (folder / "figures" / "curves.png").exists()
    assert (folder / "base.toml").read_text() == "tail = 0.9\n"
    summary = (folder / "summary.md").read_text()
    (line,) = (line for line in summary.splitlines() if line.startswith("1. `omasgan"))
    again = line.split("`")[1].replace("base.toml", str(folder / "base.toml")).split()[1:]
    assert (
        main([*again, "--backend", "local", "--tracking-uri", "none", "--out", str(tmp_path)]) == 0
    )
    assert (folder / "summary.md").read_text() == summary


def test_sweeps_are_read_without_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path, 8)
    assert main(["sensitivity", "digits-loo", "omasgan", "--from", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert "TOO FEW TRIALS: 8 for 5 params" in output
    assert (tmp_path / "sensitivity" / "sweeps" / "index.html").exists()


def test_a_training_without_a_score_is_told_and_fails_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = tmp_path / "space.toml"
    space.write_text("lr = { low = 0.01, high = 1.0, log = true }\n")
    arguments = ["digits-loo", "tests.toy:DivergingDetector", "--params", "lr", "--points", "3"]
    arguments += ["--space", str(space), "--folds", "0", "--seeds", "0,1", *SMALL]
    assert main(["sensitivity", *arguments, "--out", str(tmp_path)]) == 1
    output = capsys.readouterr()
    assert output.err.count("diverged: loss is not finite") == 2
    assert "2 of 6 trainings gave no score" in output.out


def test_a_base_outside_the_space_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "far.toml").write_text("radius = 0.9\n")
    around = ["--around", str(tmp_path / "far.toml")]
    line = refused(capsys, "digits-loo", "omasgan", "--params", "radius", *around)
    assert "radius = 0.9, which is outside the space: 0.08 to 0.4" in line
