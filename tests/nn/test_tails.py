"""Tail probabilities: monotone, bounded, independent of the batch."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from omasgan.nn.tails import rank_among

FLOATS = st.floats(-1e3, 1e3, width=32)
MANY = hnp.arrays(np.float32, st.integers(2, 40), elements=FLOATS)


@given(MANY, MANY)
def test_ranks_are_probabilities_and_keep_the_order(
    held_out: np.ndarray, scores: np.ndarray
) -> None:
    ranks = rank_among(held_out, scores)
    assert ((ranks > 0) & (ranks <= 1)).all()
    assert (np.diff(ranks[np.argsort(scores, kind="stable")]) >= 0).all()


@given(MANY, MANY)
def test_a_rank_depends_on_its_own_score_alone(held_out: np.ndarray, scores: np.ndarray) -> None:
    one_by_one = np.concatenate([rank_among(held_out, s[None]) for s in scores])
    assert np.array_equal(one_by_one, rank_among(held_out, scores))


def test_held_out_normals_are_spread_evenly() -> None:
    held_out = np.random.default_rng(0).normal(size=999).astype(np.float32)
    ranks = np.sort(rank_among(held_out, held_out))
    assert np.allclose(ranks, np.arange(1, 1000) / 1000, atol=1e-6)


def test_clear_anomalies_keep_their_order_beyond_the_held_out_range() -> None:
    held_out = np.linspace(0, 1, 100, dtype=np.float32)
    ranks = rank_among(held_out, np.array([1.0, 1.1, 1.2, 1.4], dtype=np.float32))
    assert (np.diff(ranks) > 0).all()
