"""Combined scores: every order stays, however far a score lies, and a batch changes nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from omasgan.nn.tails import fisher, surprise

FLOATS = st.floats(-1e3, 1e3, width=32)
MANY = hnp.arrays(np.float32, st.integers(2, 40), elements=FLOATS)
EVEN = st.integers(2, 300).map(lambda m: np.linspace(0, 1, m, dtype=np.float32))
"""Held-out scores from 0 to 1; their number says how fine the steps between them are."""


def scores(low: float, high: float) -> st.SearchStrategy[np.ndarray[Any, Any]]:
    """Scores that differ from each other by at least 1e-3."""
    whole = st.integers(math.ceil(low * 1000), math.floor(high * 1000))
    return st.lists(whole, min_size=2, max_size=40, unique=True).map(
        lambda values: np.array(sorted(values), dtype=np.float32) / np.float32(1000)
    )


@given(MANY, MANY)
def test_a_surprise_is_positive_finite_and_keeps_the_order(
    held_out: np.ndarray, values: np.ndarray
) -> None:
    surprises = surprise(held_out, values)
    assert surprises.dtype == np.float64
    assert (surprises > 0).all() and np.isfinite(surprises).all()
    # The last bit aside, which no score in float32 shows.
    rises = np.diff(surprises[np.argsort(values, kind="stable")])
    assert (rises >= -1e-12 * surprises.max()).all()


@pytest.mark.parametrize(("low", "high"), [(0, 1), (1, 1000), (-1000, 0), (-1000, 1000)])
@given(data=st.data(), held_out=EVEN)
def test_it_increases_strictly_within_above_and_below_the_held_out_range(
    low: float, high: float, data: st.DataObject, held_out: np.ndarray
) -> None:
    values = data.draw(scores(low, high))
    assert (np.diff(surprise(held_out, values)) > 0).all()


@given(EVEN, st.floats(2, 2.0**100, width=32))
def test_far_scores_that_float32_tells_apart_stay_apart(held_out: np.ndarray, far: float) -> None:
    values = np.full(3, far, dtype=np.float32)
    values[1] = np.nextafter(values[0], np.float32(np.inf))
    values[2] = np.nextafter(values[1], np.float32(np.inf))
    assert (np.diff(surprise(held_out, values)) > 0).all()


def test_two_thousand_far_scores_are_two_thousand_scores() -> None:
    rng = np.random.default_rng(0)
    held_out = rng.normal(size=(2, 200)).astype(np.float32)
    far = np.linspace(4, 60, 2000, dtype=np.float32)
    combined = fisher(held_out, np.stack([far, far])).astype(np.float32)
    assert (np.diff(combined) > 0).all()
    # One score alone may be far as well, beside any other.
    usual = np.full_like(far, 0.3)
    for pair in ([far, usual], [usual, far]):
        assert (np.diff(fisher(held_out, np.stack(pair)).astype(np.float32)) > 0).all()


def test_far_below_the_range_scores_keep_their_order_beside_a_usual_one() -> None:
    held_out = np.random.default_rng(0).normal(size=(2, 200)).astype(np.float32)
    low = np.linspace(-60, -4, 200, dtype=np.float32)
    combined = fisher(held_out, np.stack([low, np.full_like(low, 0.3)]))
    assert (np.diff(combined) > 0).all()


@given(MANY, MANY)
def test_a_surprise_depends_on_its_own_score_alone(
    held_out: np.ndarray, values: np.ndarray
) -> None:
    one_by_one = np.concatenate([surprise(held_out, value[None]) for value in values])
    assert np.array_equal(one_by_one, surprise(held_out, values))


@given(MANY, MANY, st.integers(-8, 8))
def test_the_unit_of_a_score_does_not_matter(
    held_out: np.ndarray, values: np.ndarray, power: int
) -> None:
    if np.ptp(held_out) > 0:
        # In float64 a power of two changes no digit.
        scaled = [x.astype(np.float64) * 2.0**power for x in (held_out, values)]
        assert np.array_equal(surprise(*scaled), surprise(held_out, values))


def test_held_out_scores_have_their_empirical_tail_probabilities() -> None:
    held_out = np.random.default_rng(0).normal(size=999).astype(np.float32)
    tails = np.sort(np.exp(-surprise(held_out, held_out)))
    assert np.allclose(tails, np.arange(1, 1000) / 1000)


@pytest.mark.parametrize("held_out", [[1, 1], [0, 1, 1, 1, 1], [0, 0, 0, 0, 1]], ids=str)
def test_equal_held_out_scores_are_no_obstacle(held_out: list[float]) -> None:
    values = np.array([-9, -1, 0, 0.5, 1, 2, 9], dtype=np.float32)
    assert (np.diff(surprise(np.array(held_out, np.float32), values)) > 0).all()


def test_one_tiny_tail_probability_decides() -> None:
    held_out = np.random.default_rng(0).normal(size=(2, 500)).astype(np.float32)
    usual, odd, far = [0.0, 0.0], [2.0, 2.0], [0.0, 40.0]
    combined = fisher(held_out, np.array([usual, odd, far], dtype=np.float32).T)
    assert combined[0] < combined[1] < combined[2]
