"""boundary-curve: what its trainings see, and what is left of them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from omasgan.data import datasets
from omasgan.detectors import parameters
from omasgan.detectors.omasgan import OMASGAN
from tests.scripts.shell import imported

STEPS = [name for name in parameters(OMASGAN) if name.endswith("_steps")]
TINY = (*((name, 2) for name in STEPS), ("width", 4), ("detector_width", 4), ("neighbours", 50))


@pytest.fixture
def curve(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return imported("boundary-curve", monkeypatch)


def test_every_variant_is_of_params(curve: ModuleType) -> None:
    for params in curve.VARIANTS.values():
        for name, value in params.items():
            parameters(OMASGAN)[name].check(value)


def test_samples_are_of_the_training_split_and_of_one_kind_each(curve: ModuleType) -> None:
    train = datasets.load("digits").train
    X, held_out, anomalies = curve.samples("digits", 3)
    rows = [[image.tobytes() for image in part] for part in (X, held_out, anomalies)]
    classes = dict(zip((image.tobytes() for image in train.X), train.classes, strict=True))
    assert {classes[row] for row in rows[2]} == {3}
    assert all(classes[row] != 3 for part in rows[:2] for row in part)
    assert sum(map(len, rows)) == len(train.X)


def test_a_training_leaves_a_row_and_is_not_repeated(
    curve: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = curve.Job("digits", 3, "latent-j-2", 0, tmp_path, "cpu", TINY[:2])
    tiny = curve.Job("digits", 3, "latent-j-2", 0, tmp_path, "cpu", TINY)
    assert job.path != tiny.path
    assert "failed" not in curve.train(tiny)
    row = curve.row(tiny)
    assert {"j", "local", "unlike", "hardness", "false", "spread", "seconds"} <= row.keys()
    assert 0 <= row["false"] <= 1 and 0 <= row["j"] <= 1
    monkeypatch.setattr(curve, "train", lambda job: pytest.fail("trained again"))
    texts = [f"--set={name}={value}" for name, value in TINY]
    options = ["--data=digits", "--classes=3", "--only=latent-j-2", "--device=cpu"]
    monkeypatch.setattr(sys, "argv", ["curve", *options, f"--out={tmp_path}", *texts])
    assert curve.main() == 0
    table = pd.read_csv(tmp_path / "curve.csv")
    assert len(table) == 1
    np.testing.assert_allclose(table["j"][0], row["j"], atol=1e-4)


def test_a_training_that_fails_is_a_line(curve: ModuleType, tmp_path: Path) -> None:
    job = curve.Job("digits", 3, "latent-0", 0, tmp_path, "cpu", (("width", -1),))
    assert "failed" in curve.train(job)
    assert not job.path.exists()
