"""What ``fit`` and ``decision_function`` take in Python, and what they refuse in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from omasgan import GMM, KNN, LOF, VAE, DeepSAD
from omasgan.errors import ConfigError, DataError
from tests.contracts.test_detector import images, quick, vectors

FORMS = {
    "a list": np.ndarray.tolist,
    "float64": lambda X: X.astype(np.float64),
    "a tensor": torch.from_numpy,
    "a tensor with a gradient": lambda X: torch.from_numpy(X).requires_grad_(),
    "a table": lambda X: pd.DataFrame(X, columns=["a", "b"]),
    "a slice": lambda X: np.repeat(X, 2, axis=0)[::2],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["knn", "vae"])
def test_samples_come_in_many_forms(name: str, form: str) -> None:
    X = vectors()
    expected = quick(name).fit(X).decision_function(X)
    given = FORMS[form](X)
    np.testing.assert_array_equal(quick(name).fit(given).decision_function(given), expected)


@pytest.mark.parametrize("form", ["a list", "a tensor", "a slice"])
def test_images_do_too(form: str) -> None:
    X = images(20).astype(np.float32) / 127.5 - 1
    expected = quick("vae").fit(X).decision_function(X)
    given = FORMS[form](X)
    np.testing.assert_array_equal(quick("vae").fit(given).decision_function(given), expected)


def test_the_columns_of_a_table_are_compared_by_name() -> None:
    table = pd.DataFrame(vectors(), columns=["a", "b"])
    detector = KNN().fit(table)
    assert detector.n_features_in_ == 2 and detector.feature_names_in_.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="feature names"):
        detector.decision_function(table[["b", "a"]])
    detector.fit(images())
    assert detector.n_features_in_ == 64 and not hasattr(detector, "feature_names_in_")


def nan(X: np.ndarray) -> np.ndarray:
    changed = X.astype(np.float32)
    changed[3].flat[0] = np.nan
    return changed


def as_floats(X: np.ndarray) -> np.ndarray:
    return X.astype(np.float32) / 127.5 - 1


REFUSED_IMAGES: dict[str, tuple[Any, str]] = {
    "NaN": (lambda X: nan(as_floats(X)), "NaN or infinity in 1 of 60 samples, first in sample 3"),
    "infinity": (lambda X: as_floats(X) * np.inf, "infinity in 60 of 60"),
    "0 to 255": (lambda X: X.astype(np.float32), r"floats in \[-1, 1\], got values from 0 to 24"),
    "integers": (lambda X: X.astype(int), r"must be uint8, or floats"),
    "another size": (
        lambda X: X[..., :4],
        r"shape \(1, 8, 4\), but VAE was fitted to \(1, 8, 8\)",
    ),
    "other channels": (lambda X: np.repeat(X, 3, 1), r"shape \(3, 8, 8\), but VAE was fitted to"),
    "vectors": (lambda X: X.reshape(60, -1), r"shape \(64,\), but VAE was fitted to \(1, 8, 8\)"),
    "no channel": (lambda X: X[:, 0], r"got shape \(60, 8, 8\); grey images .* X\[:, None\]"),
    "one image": (lambda X: X[0, 0, 0], "Reshape your data"),
    "none": (lambda X: X[:0], r"0 sample\(s\)"),
    "complex numbers": (lambda X: as_floats(X) + 1j, "Complex data not supported"),
    "texts": (lambda X: X.astype(str).astype(object) + "x", "could not convert string"),
}


@pytest.mark.parametrize("what", REFUSED_IMAGES)
def test_other_samples_than_were_fitted_are_refused(what: str) -> None:
    change, message = REFUSED_IMAGES[what]
    detector = quick("vae").fit(images())
    for method in (detector.decision_function, detector.predict, detector.p_values):
        if method == detector.p_values:
            detector.calibrate(images(10))
        with pytest.raises(ValueError, match=message) as caught:
            method(change(images()))
        assert len(str(caught.value).splitlines()) == 1


REFUSED_AT_FIT: dict[str, tuple[Any, str]] = {
    "NaN": (lambda X: nan(as_floats(X)), "NaN or infinity"),
    "0 to 255": (lambda X: X.astype(np.float32), "floats in"),
    "a single sample": (lambda X: X[:1], r"1 sample\(s\)"),
}


@pytest.mark.parametrize("what", REFUSED_AT_FIT)
@pytest.mark.parametrize("name", ["knn", "vae"])
def test_what_is_nothing_to_train_on_is_refused(name: str, what: str) -> None:
    change, message = REFUSED_AT_FIT[what]
    with pytest.raises(DataError, match=message):
        quick(name).fit(change(images()))


def test_anomalies_are_read_as_the_others() -> None:
    X = vectors()
    fit = DeepSAD(train_steps=2, pretrain_steps=1, epoch_steps=2, width=8).fit
    assert fit(X, anomalies=[]).decision_function(X).shape == (60,)
    assert fit(X, anomalies=(3 + X[:4]).tolist()).decision_function(X).shape == (60,)
    with pytest.raises(DataError, match="anomalies: X has 1 features, but DeepSAD is expecting 2"):
        fit(X, anomalies=X[:4, :1])
    with pytest.raises(DataError, match="NaN"):
        fit(X, anomalies=nan(X[:4]))


def test_bytes_and_floats_of_vectors_are_told_apart() -> None:
    bytes_ = images().reshape(60, -1)
    scores = KNN().fit(bytes_).decision_function(as_floats(bytes_))
    np.testing.assert_allclose(scores, 0, atol=1e-2)
    np.testing.assert_allclose(
        KNN().fit(as_floats(bytes_)).decision_function(bytes_), 0, atol=1e-2
    )
    with pytest.raises(DataError, match=r"floats in \[-1, 1\]"):
        KNN().fit(bytes_).decision_function(bytes_.astype(float))
    with pytest.raises(DataError, match=r"was fitted to floats from 0 to 2.*; give floats"):
        KNN().fit(bytes_.astype(float)).decision_function(bytes_)


def test_images_in_0_to_1_are_warned_of_where_others_were_fitted() -> None:
    detector = quick("vae").fit(images())
    with pytest.warns(UserWarning, match=r"if X lies in \[0, 1\], give 2 \* X - 1"):
        detector.decision_function(images() / 255)


REFUSED_PARAMS: list[tuple[Any, str]] = [
    (KNN(k=0), "KNN: k: Input should be greater than or equal to 1, got 0"),
    (KNN(k="3"), "KNN: k: must be int, got the text '3'"),
    (KNN(k=2.0), "KNN: k: must be int, got 2.0; give 2"),
    (KNN(k=True), "KNN: k: must be int, got True"),
    (KNN(k=61), "k must be at most the 60 training samples, got 61"),
    (LOF(k=60), "k must be below the 60 training samples, got 60"),
    (GMM(floor=np.inf), "GMM: floor: .* got inf"),
    (VAE(lr=float("nan")), "VAE: lr: .* got nan"),
    (VAE(likelihood="gauss"), "VAE: likelihood: Input should be 'gaussian' or 'bernoulli'"),
    (VAE(train_steps=0), "at least one phase needs steps"),
    (VAE(device="gpu"), "device 'gpu' cannot be used: .*; try auto"),
    (VAE(seed=-1), "seed must be a whole number from 0 .* got -1"),
    (KNN(seed=None), "seed must be a whole number .* got None"),
    (KNN(contamination=0.7), r"contamination must be in \(0, 0.5\], got 0.7"),
]


@pytest.mark.parametrize(("detector", "message"), REFUSED_PARAMS, ids=str)
def test_a_value_that_a_param_cannot_have_is_refused_by_fit(detector: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        detector.fit(vectors())
    assert isinstance(caught.value, ValueError)
    assert len(str(caught.value).splitlines()) == 1


def test_a_gpu_that_is_not_there_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="'cuda' cannot be used: torch sees no GPU here; try au"):
        VAE(device="cuda").fit(vectors())


def test_numbers_of_numpy_are_values() -> None:
    assert KNN(k=np.int64(2), seed=np.int64(1)).fit(vectors()).n_features_in_ == 2
    assert VAE(lr=np.float64(1e-3), width=np.int32(8), train_steps=np.int64(2)).fit(vectors())
