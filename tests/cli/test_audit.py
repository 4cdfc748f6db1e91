from __future__ import annotations

import pytest

from tests.cli.calls import omasgan


def test_audit_shows_every_check_of_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    quick = [f"--set={phase}_steps=3" for phase in ("gan", "boundary", "retrain", "detector")]
    small = ["--max-train", "60", "--max-test", "40", "--fold", "3", "--set", "width=8"]
    assert omasgan("audit", "omasgan", "digits-loo", *quick, *small) == 0
    output = capsys.readouterr()
    assert "omasgan on digits-loo-v1-train60-test40, fold 3" in output.out
    for stage in ("task1", "task3", "j", "neighbours", "combined"):
        lines = [line for line in output.out.splitlines() if f" {stage} " in line]
        assert len(lines) == 4 and all("stays" in line for line in lines)
    assert output.err == ""


def test_audit_exits_with_1_where_a_score_moves(capsys: pytest.CaptureFixture[str]) -> None:
    assert omasgan("audit", "tests.checks.test_audit:DividesByTheBatch", "digits-loo") == 1
    output = capsys.readouterr()
    assert "digits-loo-v1, fold 0" in output.out and "moves" in output.out
    assert output.err.startswith(
        "omasgan: scores of tests.checks.test_audit:DividesByTheBatch move: score in batches: by "
    )
    assert "score one by one: by " in output.err and output.err.count("\n") == 1
