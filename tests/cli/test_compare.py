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
    (tmp_path / "params" / "gmm.toml").write_text("mixture = 3\nfloor = 0.1\n")
    (tmp_path / "params" / "isolation-forest.toml").write_text("trees = 5\n")
    options = ["--detectors", f"vae,{CURVE}", "--params", tmp_path / "params", "--seeds", "0"]
    (tmp_path / "params" / "vae.toml").write_text("[params]\ntrain_steps = 2\n")
    assert compare(tmp_path / "out", *options) == 0
    rows = Store(tmp_path / "out").results()
    assert {row["detector"] for row in rows} == {
        "knn", "lof", "pca", "gmm", "isolation-forest", "vae", CURVE
    }  # fmt: skip
    (pca,) = {row["params"]["components"] for row in rows if row["detector"] == "pca"}
    assert pca == 3
    text = capsys.readouterr().out
    assert "7 detectors were compared on all 2 folds" in text and " is the best: " in text
    assert text.index("AUROC by fold") > text.index("runs: ")
    assert compare(tmp_path / "out", *options) == 0
    again = capsys.readouterr().out
    assert "were done before" in again and again.count("runs: ") < text.count("runs: ")
    assert len(Store(tmp_path / "out").results()) == len(rows)
