from __future__ import annotations

import csv
import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from omasgan.checks import scoring
from omasgan.store import saved
from tests.cli.calls import omasgan, run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with an OMASGAN that was saved after few steps on digits but the 1."""
    out = tmp_path_factory.mktemp("trained")
    quick = [f"--set={phase}_steps=30" for phase in ("gan", "boundary", "retrain", "detector")]
    arguments = ["digits-loo", "omasgan", "--folds", "1", "--seeds", "0", "--set", "width=8"]
    more = ["--save", "--tracking-uri", "none", "--out", out]
    assert omasgan("run", *arguments, *quick, *more) == 0
    return out


def draw(folder: Path, size: int = 8) -> list[Path]:
    """A zero, a four and a seven."""
    folder.mkdir()
    k = size // 8
    for name in ("zero", "four", "seven"):
        image = Image.new("RGB", (size, size))
        pen = ImageDraw.Draw(image)
        if name == "zero":
            pen.ellipse((2 * k, k, 5 * k, 6 * k), outline="white", width=k)
        elif name == "four":
            pen.line([(4 * k, 7 * k), (4 * k, k), (2 * k, 4 * k), (6 * k, 4 * k)], "white", k)
        else:
            pen.line([(2 * k, k), (5 * k, k), (3 * k, 6 * k)], "white", k)
        image.save(folder / f"{name}.png")
    return [folder / f"{name}.png" for name in ("four", "seven", "zero")]


def test_score_judges_drawn_digits(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = draw(tmp_path / "drawn")
    assert omasgan("score", trained, tmp_path / "drawn") == 0
    output = capsys.readouterr()
    lines = list(csv.DictReader(io.StringIO(output.out)))
    assert [line["file"] for line in lines] == [str(file) for file in files]
    assert list(lines[0]) == ["file", "index", "score", "p_value"]

    loaded = saved.load(saved.find(trained), device="cpu")
    X = np.stack([np.asarray(Image.open(file).convert("L"))[None] for file in files])
    scores = loaded.detector.decision_function(X)
    np.testing.assert_allclose([float(line["score"]) for line in lines], scores, rtol=1e-6)
    p = scoring.p_values(scores, loaded.calibration)
    np.testing.assert_allclose([float(line["p_value"]) for line in lines], p, rtol=1e-5)
    n = len(loaded.calibration)
    assert n > 100 and f"against {n} held-out normals of digits-loo-v1, fold 1" in output.err

    out = tmp_path / "new" / "scores.csv"
    assert omasgan("score", saved.find(trained), *files, "--out", out) == 0
    again = capsys.readouterr()
    assert again.out == "" and out.read_text() == output.out


def test_score_refuses_what_it_cannot_judge_and_writes_nothing(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, *_ = draw(tmp_path / "small")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "pickled.npy").write_bytes(pickle.dumps({}))
    large, *_ = draw(tmp_path / "large", size=16)
    out = tmp_path / "scores.csv"
    for bad in (tmp_path / "text.png", tmp_path / "pickled.npy", large, tmp_path / "missing.png"):
        assert omasgan("score", trained, good, bad, "--out", out) == 2
        output = capsys.readouterr()
        assert output.out == "" and output.err.count("\n") == 1
        assert output.err.startswith("omasgan: ") and str(bad) in output.err
        assert not out.exists()
    assert omasgan("score", trained, good, large, "--resize", "--out", out) == 0
    assert len(out.read_text().splitlines()) == 3


def test_score_lists_the_detectors_to_choose_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--seeds", "0", "--save") == 0
    capsys.readouterr()
    assert omasgan("score", tmp_path, "x.png") == 2
    error = capsys.readouterr().err
    assert "holds 2 saved detectors, give one: " in error and error.count("\n") == 1
    assert error.count("/seed-0/fold-") == 2
    detector = saved.find(next(tmp_path.rglob("fold-1")))
    assert omasgan("score", detector, "x.png") == 2
    assert "'tests.toy:CurveDetector', which is not of this package" in capsys.readouterr().err
