"""Anomalies that are made from normal images: what they are, and that they are reproducible."""

from __future__ import annotations

import numpy as np
import pytest

from omasgan.config import BenchmarkSpec
from omasgan.data import datasets, protocols, shifts
from omasgan.errors import ConfigError

SHA256 = {
    "noise": "812164e391db53b9287aafc8e8d86c48a544b0182a76a7ccaa3c7db370e8c908",
    "flips": "0ec77e8e8792fe33b795db57d38fd1e7a4a84df234b2c49eda8f85db635737ec",
    "adversarial": "b276eb2501ffac1d603f7b8e3d6780924d674ddc1b030dadc2045358d84835f5",
}


def spec(anomalies: str, dataset: str = "digits") -> BenchmarkSpec:
    return BenchmarkSpec(
        name="made", version=1, protocol="out-of-dataset", dataset=dataset, anomalies=anomalies
    )


def made(name: str) -> tuple[datasets.Dataset, np.ndarray, np.ndarray]:
    digits = datasets.load("digits")
    return digits, *shifts.anomalies(name, digits.train.X, digits.test.X)


@pytest.mark.parametrize("name", sorted(shifts.SETS))
def test_every_test_image_gives_one_anomaly_of_two_kinds_in_turn(name: str) -> None:
    digits, X, kinds = made(name)
    assert (X.shape, X.dtype) == (digits.test.X.shape, np.uint8)
    assert kinds.tolist() == [i % 2 for i in range(len(X))]
    joined = protocols.load_data(spec(name))
    assert joined.sha256 == protocols.load_data(spec(name)).sha256 == SHA256[name]
    assert joined.class_names[10:] == tuple(f"{name}/{kind}" for kind in shifts.SETS[name])
    (fold,) = protocols.folds(spec(name), joined)
    labels = protocols.labels(fold, joined.test.classes[fold.test])
    assert (labels == 0).sum() == (labels == 1).sum() == len(digits.test.X)


def test_noise_covers_the_grey_levels() -> None:
    _, X, kinds = made("noise")
    uniform, gaussian = X[kinds == 0].astype(float), X[kinds == 1].astype(float)
    assert uniform.mean() == pytest.approx(127.5, abs=2)
    assert uniform.std() == pytest.approx(73.9, abs=1)
    assert gaussian.mean() == pytest.approx(127.5, abs=2)
    assert 55 < gaussian.std() < 63.75, "clipped"


def test_flips_that_are_flipped_again_are_the_images() -> None:
    digits, X, kinds = made("flips")
    assert np.array_equal(X[kinds == 0][..., ::-1], digits.test.X[kinds == 0])
    assert np.array_equal(X[kinds == 1][..., ::-1, :], digits.test.X[kinds == 1])
    assert not np.array_equal(X, digits.test.X)


def test_a_step_raises_the_likelihood_that_it_follows() -> None:
    """That of a Gaussian with independent pixels, of one variance, before grey levels end."""
    digits, X, kinds = made("adversarial")
    mean = digits.train.X.mean(0, dtype=np.float64)
    before, after = (
        -np.square(x[kinds == 1].astype(float) - mean).sum((1, 2, 3)) for x in (digits.test.X, X)
    )
    assert (after > before).mean() > 0.95
    moved = np.abs(X[kinds == 1].astype(int) - digits.test.X[kinds == 1])
    assert moved.max() == shifts.STEP
    assert 0 < (moved == shifts.STEP).mean() < 1, "clipped at black and white"


def test_vectors_and_unknown_sets_are_refused() -> None:
    with pytest.raises(ConfigError, match="made from images, but the samples are float32"):
        protocols.load_data(spec("noise", "ring"))
    with pytest.raises(ConfigError, match=r"anomalies 'noisy'.*noise"):
        protocols.check_files(spec("noisy"))
    protocols.check_files(spec("noise"))
