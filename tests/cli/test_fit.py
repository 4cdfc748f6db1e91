"""Data of the user's own on the command line: ``omasgan fit``, and a folder as a benchmark."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from omasgan.data import datasets
from omasgan.data.metrics import auroc
from tests.cli.calls import omasgan


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``zeros``, ``more`` (other zeros) and ``sevens``."""
    root = tmp_path_factory.mktemp("digits")
    split = datasets.load("digits")
    parts = {
        "zeros": split.train.X[split.train.classes == 0],
        "more": split.test.X[split.test.classes == 0],
        "sevens": split.test.X[split.test.classes == 7],
    }
    for name, X in parts.items():
        (root / name).mkdir()
        for i, image in enumerate(X):
            Image.fromarray(image[0]).save(root / name / f"{i}.png")
    return root


def test_what_was_trained_on_normals_finds_others(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["fit", digits / "zeros", "--detector", "pca", "--save", tmp_path / "out"]
    assert omasgan(*arguments) == 0
    told = capsys.readouterr().out
    assert "128 samples of shape (1, 8, 8) to train on, 14 held out" in told
    assert f"omasgan score {tmp_path / 'out'} IMAGES --resize" in told
    assert omasgan("score", tmp_path / "out", digits / "more", digits / "sevens") == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    labels = np.array([Path(line["file"]).parent.name == "sevens" for line in lines], int)
    assert auroc(labels, np.array([float(line["score"]) for line in lines], np.float32)) > 0.95


def test_wrong_input_is_refused_before_anything_is_trained(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*arguments: object) -> str:
        assert omasgan("fit", *arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    out = tmp_path / "out"
    assert "no data at" in refused(tmp_path / "none", "--save", out)
    assert "did you mean 'knn'" in refused(digits, "--detector", "kn", "--save", out)
    assert "k" in refused(digits, "--detector", "knn", "--set", "k=0", "--save", out)
    assert not out.exists()
    assert omasgan("fit", digits / "zeros", "--detector", "knn", "--save", out) == 0
    capsys.readouterr()
    told = refused(digits / "zeros", "--detector", "knn", "--save", out)
    assert "has a saved detector already; choose another --save folder" in told


def test_a_folder_is_a_benchmark_and_its_folds_are_named(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", digits, "knn", "--seeds", "0", "--folds", "1,2", "--tracking-uri", "none"]
    assert omasgan(*arguments, "--out", tmp_path / "out") == 0
    told = capsys.readouterr().out
    assert "folds by anomalous class: 1 sevens, 2 zeros" in told
    assert list((tmp_path / "out").glob("*-loo-v1/knn/fixed/*/seed-0/fold-[12]/result.json"))
