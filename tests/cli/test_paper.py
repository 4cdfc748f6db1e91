from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.calls import omasgan
from tests.experiments.paper import tiny

PLACE = ["--backend", "local", "--device", "cpu"]


def test_without_names_the_suites_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert omasgan("paper", "--budget", "small") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12
    assert lines[1].startswith("figure-4 ") and lines[1].endswith("42 trainings at budget small")


def test_a_suite_from_the_command_to_its_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert omasgan("paper", tiny.write(tmp_path), *PLACE, "--out", out) == 0
    folder = out / "paper" / "figure-99-smoke"
    assert str(folder / "index.html") in capsys.readouterr().out
    assert "Capped: smoke, no result" in (folder / "summary.md").read_text()
    assert (folder / "figures" / "figure-99-folds.pdf").exists()
    assert "--budget smoke" in (folder / "tables" / "figure-99-auroc.tex").read_text() or (
        "Capped: smoke" in (folder / "tables" / "figure-99-auroc.tex").read_text()
    )


def test_table_1_needs_no_training_and_no_data(tmp_path: Path) -> None:
    assert omasgan("paper", "table-1", *PLACE, "--out", tmp_path) == 0
    text = (tmp_path / "paper" / "table-1-smoke" / "summary.md").read_text()
    assert "| omasgan | yes |" in text


def test_missing_data_are_named_and_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = ["--data-root", tmp_path / "empty"]
    assert omasgan("paper", "table-3", *empty, *PLACE, "--out", tmp_path / "out") == 2
    assert "table-3: data set 'cifar10' is missing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["figre-4"], "did you mean 'figure-4'"),
        (["figure-4", "--budget", "smal"], "did you mean 'small'"),
        (["figure-4", "--all"], "not both"),
        (["table-1", "--backend", "local", "--at-once", "2"], "needs --backend ray"),
    ],
)
def test_what_makes_no_sense_is_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert omasgan("paper", *arguments, "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
