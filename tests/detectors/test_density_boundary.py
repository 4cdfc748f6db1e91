"""The generator B of the detectors with a density: it shows their boundary, and no more."""

from __future__ import annotations

import numpy as np
import pytest

from tests.contracts.test_detector import quick, trained

each = pytest.mark.parametrize("detector", ["bdsg", "tailgan"])


def assert_surrounds(b: np.ndarray, sd: float) -> None:
    """That 300 samples ``b`` ``(300, 2)`` lie around the data N(0, sd^2 I), on all sides."""
    radius = np.linalg.norm(b, axis=1) / sd
    assert np.median(radius) > 1.5, "half of the data is within 1.18"
    assert np.quantile(radius, 0.9) < 6
    angles = np.histogram(np.arctan2(b[:, 1], b[:, 0]), bins=4, range=(-np.pi, np.pi))[0]
    assert angles.min() > 15


@each
def test_the_boundary_has_no_part_in_the_score(detector: str) -> None:
    with_it, X = trained(detector, "images")
    without = quick(detector, boundary_steps=0).fit(X)
    assert np.array_equal(without.decision_function(X), with_it.decision_function(X))
    before, after = without.pictures(3), with_it.pictures(3)
    assert np.array_equal(before["G"], after["G"])
    assert not np.array_equal(before["B"], after["B"])


CHANGES = {
    "distance": 0.0, "scattering": 0.0, "density": "plain", "normalised": False,
    "boundary_batch": 7, "boundary_reference": 3, "boundary_lr": 0.1,
}  # fmt: skip


@each
@pytest.mark.parametrize("name", CHANGES)
def test_every_param_of_the_boundary_counts(detector: str, name: str) -> None:
    default, X = trained(detector, "vectors")
    changed = quick(detector, **{name: CHANGES[name]}).fit(X)
    assert not np.array_equal(default.samples(X)["B"], changed.samples(X)["B"])


@each
def test_pictures_are_images_in_range_and_there_are_none_of_vectors(detector: str) -> None:
    rows = trained(detector, "images")[0].pictures(5)
    assert set(rows) == {"G", "B"}
    assert all(x.shape == (5, 1, 8, 8) and np.abs(x).max() <= 1 for x in rows.values())
    assert trained(detector, "vectors")[0].pictures(5) == {}
