"""Scores of samples from files, with their p-values."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from omasgan import detectors
from omasgan.checks import scoring
from omasgan.data import sample_files
from omasgan.errors import DataError
from omasgan.store import saved
from tests.data.test_sample_files import GREY, digit

scores = st.floats(-1e6, 1e6, width=32)


@given(calibration=st.lists(scores, max_size=30), values=st.lists(scores, min_size=2, max_size=30))
def test_p_values_are_what_they_are_defined_as(
    calibration: list[float], values: list[float]
) -> None:
    p = scoring.p_values(np.array(values), np.array(calibration))
    assert ((p > 0) & (p <= 1)).all()
    for value, score in zip(p, values, strict=True):
        at_least = sum(c >= score for c in calibration)
        assert value == (1 + at_least) / (len(calibration) + 1)
    order = np.argsort(values)
    assert (np.diff(p[order]) <= 0).all()


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12), st.floats(0, 1))
def test_p_values_are_super_uniform_on_exchangeable_samples(values: list[int], t: float) -> None:
    """Exactly: each of the samples is as likely as any other to be the one that is judged."""
    everything = np.array(values, dtype=float)
    p = [scoring.p_values(everything[i], np.delete(everything, i)) for i in range(len(values))]
    assert np.mean(np.array(p) <= t) <= t + 1e-12


def test_p_values_without_calibration_say_nothing() -> None:
    assert scoring.p_values(np.array([1.0, 2.0]), np.empty(0)).tolist() == [1.0, 1.0]


class NanOfBlack(detectors.load("knn")):  # type: ignore[misc]
    """Cannot judge a black image."""

    def _score(self, X: Any) -> Any:
        return np.where(X.max(axis=1) == -1, np.nan, super()._score(X))


def saved_and_loaded(folder: Path, cls: type[Any]) -> saved.Saved:
    """A detector that knows 20 noisy sevens, calibrated on 9 more."""
    noise = np.random.default_rng(0).integers(0, 20, (29, *GREY), dtype=np.uint8)
    X = noise + np.asarray(digit())
    row = {"detector": f"{__name__}:{cls.__name__}", "params": {"k": 1}, "seed": 0, "fold": 0}
    row |= {"benchmark": "b-v1", "data_sha256": "0" * 64, "code_version": "0.1.0"}
    saved.save(folder, cls().fit(X[:20]), row, X[20:])
    loaded = saved.load(folder, foreign=True, device="cpu")
    assert isinstance(loaded.detector, cls)
    return loaded


def test_the_csv_has_a_line_for_each_sample(tmp_path: Path) -> None:
    loaded = saved_and_loaded(tmp_path, NanOfBlack)
    digit().point(lambda grey: grey + 10).save(tmp_path / 'a, "b".png')
    noise = np.random.default_rng(1).uniform(-1, 1, (2, 8, 8))
    np.save(tmp_path / "noise.npy", noise)
    samples = sample_files.read([tmp_path / 'a, "b".png', tmp_path / "noise.npy"], GREY)
    lines = list(csv.DictReader(io.StringIO(scoring.to_csv(loaded, samples))))
    assert [Path(line["file"]).name for line in lines] == ['a, "b".png', *["noise.npy"] * 2]
    assert [line["index"] for line in lines] == ["", "0", "1"]
    seven = (np.asarray(digit()) + 10) / np.float32(127.5) - 1
    X = np.concatenate([seven[None], noise])[:, None]
    expected = loaded.detector.decision_function(X.astype(np.float32))
    np.testing.assert_allclose([float(line["score"]) for line in lines], expected, rtol=1e-6)
    # Noise lies farther from every seven than another seven does.
    assert [line["p_value"] for line in lines] == ["1", "0.1", "0.1"]


def test_a_score_that_is_not_finite_names_the_file(tmp_path: Path) -> None:
    loaded = saved_and_loaded(tmp_path, NanOfBlack)
    digit().save(tmp_path / "a.png")
    Image.new("L", (8, 8)).save(tmp_path / "black.png")
    samples = sample_files.read([tmp_path / "a.png", tmp_path / "black.png"], GREY)
    with pytest.raises(DataError, match=r"black.png' has the score nan"):
        scoring.to_csv(loaded, samples)
