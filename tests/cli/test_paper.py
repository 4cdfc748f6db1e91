from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.calls import omasgan
from tests.experiments.paper import tiny

LOCAL = ["--backend", "local", "--device", "cpu", "--tracking-uri", "none"]


def test_without_names_the_suites_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert omasgan("paper", "--budget", "small") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 18
    assert lines[1].startswith("figure-4 ") and lines[1].endswith("42 trainings at budget small")


def test_a_suite_from_the_command_to_its_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    suite = tiny.write(tmp_path, tiny.QUICK)
    assert omasgan("paper", suite, *LOCAL, "--figures", "pdf", "--out", out) == 0
    folder = out / "paper" / "figure-99-smoke"
    assert str(folder / "index.html") in capsys.readouterr().out
    assert "Capped: smoke, no result" in (folder / "summary.md").read_text()
    assert (folder / "figures" / "figure-99-folds.pdf").exists()
    assert "Capped: smoke" in (folder / "tables" / "figure-99-auroc.tex").read_text()
    rows = {path: path.stat().st_mtime_ns for path in out.rglob("result.json")}
    assert omasgan("paper", suite, *LOCAL, "--out", out) == 0
    assert rows == {path: path.stat().st_mtime_ns for path in out.rglob("result.json")}


def test_table_1_needs_no_training_and_no_data(tmp_path: Path) -> None:
    assert omasgan("paper", "table-1", *LOCAL, "--out", tmp_path) == 0
    text = (tmp_path / "paper" / "table-1-smoke" / "summary.md").read_text()
    assert "| omasgan | yes |" in text
    table, others = text.split("### Properties of what the paper's table doesn't have")
    listed = [line.split("|")[1].strip() for line in table.splitlines() if line[:2] == "| "]
    assert len(listed) == 14 + 2 and listed[2] == "omasgan"
    assert {"minlgan", "tailgan", "deep-sad"} < set(listed)
    assert "| nae |" in others and "| knn |" in others
