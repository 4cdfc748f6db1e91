"""``omasgan.save`` and ``omasgan.load``: the same detector again, and p-values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

import omasgan
from omasgan.cli import main
from omasgan.data.scaling import Scaling
from omasgan.detectors.calibration import p_values
from omasgan.errors import ConfigError, DataError, StoreError
from omasgan.store import saved
from tests.contracts.test_detector import images, quick, vectors
from tests.toy import CurveDetector


@pytest.mark.parametrize("name", ["vae", "knn", "isolation-forest"])
def test_what_was_saved_is_the_same_detector(name: str, tmp_path: Path) -> None:
    X = images()
    detector = quick(name, **({"k": np.int64(2)} if name == "knn" else {}))
    detector.set_params(contamination=0.2).fit(X).calibrate(images(30, seed=1))
    omasgan.save(detector, tmp_path / "saved")
    again = omasgan.load(tmp_path, device="cpu")
    check_is_fitted(again)
    assert again.get_params() == detector.get_params()
    X = images(20, seed=2)
    for method in ("decision_function", "predict", "predict_proba", "p_values"):
        expected = getattr(detector, method)(X)
        assert np.array_equal(getattr(again, method)(X), expected), method
    assert np.array_equal(again.labels_, detector.labels_)
    with pytest.raises(DataError, match=r"\(1, 8, 4\), but .* was fitted to \(1, 8, 8\)"):
        again.decision_function(X[..., :4])
    X = images(seed=3)
    assert np.array_equal(again.fit(X).decision_scores_, detector.fit(X).decision_scores_)


def test_the_columns_of_a_table_are_saved_with_it(tmp_path: Path) -> None:
    table = pd.DataFrame(vectors(), columns=["a", "b"])
    omasgan.save(omasgan.KNN().fit(table), str(tmp_path))
    again = omasgan.load(str(tmp_path))
    assert again.n_features_in_ == 2
    again.decision_function(table)
    with pytest.raises(ValueError, match="feature names"):
        again.decision_function(table[["b", "a"]])
    with pytest.raises(NotFittedError, match=r"call calibrate\(X\)"):
        again.p_values(table)


def test_the_command_line_scores_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    detector = omasgan.KNN().fit(images()).calibrate(images(30, seed=1))
    omasgan.save(detector, tmp_path / "saved")
    new = images(1, seed=2)
    Image.fromarray(new[0, 0]).save(tmp_path / "new.png")
    assert main(["score", str(tmp_path / "saved"), str(tmp_path / "new.png")]) == 0
    line = capsys.readouterr().out.splitlines()[1].split(",")
    assert float(line[2]) == pytest.approx(float(detector.decision_function(new)[0]), rel=1e-6)
    assert float(line[3]) == pytest.approx(detector.p_values(new)[0], rel=1e-5)


def test_p_values_are_those_of_held_out_samples() -> None:
    detector = omasgan.KNN().fit(vectors())
    with pytest.raises(NotFittedError, match=r"knows no held-out samples; call calibrate\(X\)"):
        detector.p_values(vectors())
    held_out, X = vectors(99, seed=1), vectors(50, seed=2)
    p = detector.calibrate(held_out).p_values(X)
    score = detector.decision_function
    assert np.array_equal(p, p_values(score(X), score(held_out)))
    assert detector.p_values(np.full((1, 2), 9.0)).tolist() == [1 / 100]
    with pytest.raises(NotFittedError):
        detector.fit(vectors()).p_values(X)


def local() -> Any:
    class Local(CurveDetector):
        pass

    return Local().fit(images())


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "not fitted": (omasgan.KNN, NotFittedError, "KNN is not fitted yet; call fit first"),
    "an adapter": (
        lambda: omasgan.OutlierAdapter(omasgan.KNN()),
        ConfigError,
        "got OutlierAdapter; of a pipeline or an adapter, save the detector in it",
    ),
    "of a function": (local, ConfigError, "Local cannot be found again; define it at the top"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_saved_is_refused(what: str, tmp_path: Path) -> None:
    make, error, message = REFUSED[what]
    with pytest.raises(error, match=message):
        omasgan.save(make(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_class_of_ones_own_is_loaded_where_it_is_trusted(tmp_path: Path) -> None:
    detector = CurveDetector(lr=0.02).fit(images())
    omasgan.save(detector, tmp_path)
    with pytest.raises(ConfigError, match=r"use omasgan.load\(..., foreign=True\) in Python"):
        omasgan.load(tmp_path)
    again = omasgan.load(tmp_path, foreign=True)
    assert isinstance(again, CurveDetector)
    assert np.array_equal(again.predict(images(9)), detector.predict(images(9)))


def test_a_folder_without_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no saved detector"):
        omasgan.load(tmp_path)


def test_a_detector_of_a_table_is_refused(tmp_path: Path) -> None:
    """It would take the rows of the table for scaled ones, and score them wrongly."""
    X = vectors()
    detector = quick("knn").fit(X)
    row = {"detector": "knn", "params": {}, "seed": 0, "benchmark": "table", "fold": 0}
    row |= {"data_sha256": "0" * 64, "code_version": "1"}
    saved.save(tmp_path / "saved", detector, row, X, Scaling(X.min(0), X.max(0), ("a", "b")))
    with pytest.raises(ConfigError, match=r"scaled columns of a table.* omasgan score"):
        omasgan.load(tmp_path)
