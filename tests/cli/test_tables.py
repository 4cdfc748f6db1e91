"""Tables on the command line, from the command to the scores, and the TOML of one's own data."""

from __future__ import annotations

import csv
import io
import json
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from omasgan.checks.scoring import p_values
from omasgan.data.metrics import auroc
from omasgan.store.results import Store
from tests.cli.calls import omasgan

SMALL = ["--seeds", "0", "--tracking-uri", "none"]


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``cells.csv`` and, of the same table, ``normals.csv`` and ``new.csv``."""
    from sklearn.datasets import load_breast_cancer

    frame = load_breast_cancer(as_frame=True).frame
    frame["Class"] = frame.pop("target").map({0: "malignant", 1: "benign"})
    root = tmp_path_factory.mktemp("tables")
    frame.to_csv(root / "cells.csv", index=False)
    benign = frame[frame["Class"] == "benign"]
    benign[:300].drop(columns="Class").to_csv(root / "normals.csv", index=False)
    new = pd.concat([benign[300:], frame[frame["Class"] == "malignant"][:60]])
    new[new.columns[::-1]].to_csv(root / "new.csv", index=False)
    return root


def scored(capsys: pytest.CaptureFixture[str]) -> tuple[np.ndarray, np.ndarray]:
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [int(line["index"]) for line in lines] == list(range(len(lines)))
    return tuple(np.array([float(line[key]) for line in lines]) for key in ("score", "p_value"))


def test_a_table_with_one_normal_class_is_a_benchmark_of_one_fold(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    own = [cells / "cells.csv", "knn", "--normal", "benign", *SMALL, "--out", out, "--save"]
    assert omasgan("run", *own) == 0
    assert "folds by normal class: 0 benign" in capsys.readouterr().out
    (row,) = Store(out).results("cells-normal-benign-v1")
    assert row["n_anomalous"] == 212 and row["auroc"] > 0.9 and row["average_precision"] > 0.9
    # The same table as a benchmark with a name has the same numbers.
    assert omasgan("run", "breast-cancer", "knn", *SMALL, "--out", out) == 0
    (shipped,) = Store(out).results("breast-cancer-v1")
    assert shipped["data_sha256"] == row["data_sha256"] and shipped["auroc"] == row["auroc"]
    # What was saved scores raw rows as the run has scored them: the anomalies come last in both.
    capsys.readouterr()
    assert omasgan("score", out / "cells-normal-benign-v1", cells / "cells.csv") == 0
    scores, _ = scored(capsys)
    malignant = pd.read_csv(cells / "cells.csv")["Class"] == "malignant"
    (parquet,) = (out / "cells-normal-benign-v1").rglob("scores.parquet")
    tested = pd.read_parquet(parquet).query("label == 1")["score"]
    np.testing.assert_allclose(scores[malignant], tested, rtol=1e-6)


def test_normal_rows_alone_train_what_judges_others(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert omasgan("fit", cells / "normals.csv", "--detector", "knn", "--save", out) == 0
    told = capsys.readouterr().out
    assert "270 samples of shape (30,) to train on, 30 held out" in told
    assert f"omasgan score {shlex.quote(str(out))} TABLE" in told
    # Columns come in another order here, with one more.
    assert omasgan("score", out, cells / "new.csv") == 0
    scores, p = scored(capsys)
    labels = (pd.read_csv(cells / "new.csv")["Class"] == "malignant").to_numpy().astype(int)
    assert auroc(labels, scores.astype(np.float32)) > 0.9
    calibration = np.array(json.loads((out / "model.json").read_text())["calibration"])
    np.testing.assert_allclose(p, p_values(scores.astype(np.float32), calibration), atol=1e-5)
    assert omasgan("score", out, cells) == 2
    assert "is no .csv or .parquet file, and the detector knows tables" in capsys.readouterr().err


def test_a_column_that_never_varies_among_normals_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.DataFrame({"size": np.linspace(5, 9, 30), "errors": 0})
    table.to_csv(tmp_path / "x.csv", index=False)
    fit = ["fit", tmp_path / "x.csv", "--detector", "knn", "--save", tmp_path / "out"]
    assert omasgan(*fit) == 0
    assert "other values count in their own unit: 'errors'" in capsys.readouterr().out


def test_init_prints_a_benchmark_that_notices_changes(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / 'my "cells".csv'
    table.write_bytes((cells / "cells.csv").read_bytes())
    assert omasgan("benchmark", "init", table, "--label", "Class", "--normal", "benign") == 0
    text = capsys.readouterr().out
    content = tomllib.loads(text)
    assert content["dataset"] == str(table) and content["label"] == "Class"
    assert (content["protocol"], content["normal"]) == ("one-vs-rest", "benign")
    assert "'benign' 286 + 71, 'malignant' 0 + 212" in text
    toml = tmp_path / "mine.toml"
    toml.write_text(text)
    run = ["run", toml, "knn", *SMALL, "--out", tmp_path / "out"]
    assert omasgan(*run) == 0
    with table.open("a") as file:
        file.write(",".join(["1"] * 30 + ["malignant"]) + "\n")
    capsys.readouterr()
    assert omasgan(*run) == 2
    assert "the data of 'my-cells-normal-benign' have changed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "no data at 'nowhere'"),
        (["digits-loo"], "no data at 'digits-loo'"),
        (["one.csv"], "has too few classes"),
    ],
)
def test_init_refuses_what_is_no_benchmark(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"a": range(9), "class": "x"}).to_csv("one.csv", index=False)
    assert omasgan("benchmark", "init", *arguments) == 2
    output = capsys.readouterr()
    assert message in output.err and len(output.err.splitlines()) == 1 and not output.out
