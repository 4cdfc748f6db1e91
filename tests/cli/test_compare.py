from __future__ import annotations

from pathlib import Path

import pytest

from omasgan.store.results import Store
from tests.cli.calls import CURVE, compare


def test_compare_sets_detectors_beside_the_yardsticks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "pca.toml").write_text("components = 3\n")
    given = ["--detectors", f"vae,{CURVE}", "--params", tmp_path / "params", "--seeds", "0"]
    (tmp_path / "params" / "vae.toml").write_text("[params]\ntrain_steps = 2\n")
    assert compare(tmp_path / "out", *given) == 0
    rows = Store(tmp_path / "out").results()
    assert {row["detector"] for row in rows} == {
        "knn", "pca", "gmm", "isolation-forest", "vae", CURVE
    }  # fmt: skip
    (pca,) = {row["params"]["components"] for row in rows if row["detector"] == "pca"}
    assert pca == 3
    text = capsys.readouterr().out
    assert "Average rank and tests" in text and "Geometry card" in text
    assert compare(tmp_path / "out", *given) == 0
    assert len(Store(tmp_path / "out").results()) == len(rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--detectors", "vea"], "did you mean 'vae'"),
        (["--selection", "nested"], "give --tune N as well"),
        (["--tune", "2", "--selection", "nestd"], "did you mean 'nested'"),
        (["--tune", "2", "--selection", "transfer"], "use omasgan sweep"),
        (["--params", "published"], "unknown benchmark with published params 'digits-loo'"),
        (["--params", "nowhere"], "has no <detector>.toml"),
    ],
)
def test_comparisons_that_make_no_sense_are_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(tmp_path / "out", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
