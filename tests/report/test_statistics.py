from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omasgan.report import statistics

AUROC = st.floats(0, 1).map(lambda value: round(value, 3))
SEEDS = st.lists(AUROC, min_size=2, max_size=5)
FOLDS = st.dictionaries(st.integers(0, 9), SEEDS, min_size=1, max_size=5)
P_VALUES = st.lists(st.floats(1e-6, 1), min_size=1, max_size=20)

few = settings(max_examples=30, deadline=None)


def mean(folds: statistics.Folds) -> float:
    return float(np.mean([np.mean(seeds) for seeds in folds.values()]))


def table(values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(values, columns=[f"e{i}" for i in range(values.shape[1])])


@few
@given(FOLDS)
def test_the_interval_of_a_difference_is_that_of_both() -> None:
    x, y = {0: [0.8, 0.9], 1: [0.7, 0.8]}, {0: [0.5, 0.5], 1: [0.5, 0.5], 2: [0.9, 0.9]}
    alone = statistics.interval(x)
    both = statistics.difference_interval(x, y)
    assert both.low == pytest.approx(alone.low - 0.5), "y has no spread on the common folds"
    assert both.high == pytest.approx(alone.high - 0.5)
    assert statistics.difference_interval(x, {0: [0.5]}) == statistics.NONE
    assert statistics.difference_interval(x, {2: [0.5, 0.5]}) == statistics.NONE


def test_the_interval_contains_the_mean_and_is_within_the_values(folds: statistics.Folds) -> None:
    low, high = statistics.interval(folds)
    assert low - 1e-9 <= mean(folds) <= high + 1e-9
    assert min(map(min, folds.values())) - 1e-9 <= low
    assert high <= max(map(max, folds.values())) + 1e-9


@few
@given(FOLDS, st.randoms())
def test_the_order_of_rows_does_not_change_an_interval(folds: statistics.Folds, random) -> None:
    rows = [(fold, value) for fold, seeds in folds.items() for value in seeds]
    random.shuffle(rows)
    frame = pd.DataFrame(rows, columns=["fold", "auroc"]).assign(entry="x")
    shuffled = statistics.aurocs(frame)["x"]
    assert statistics.interval(shuffled) == statistics.interval(folds)


def test_the_interval_is_the_bootstrap_of_every_resample() -> None:
    folds = {0: [0.1, 0.4, 0.5], 1: [0.7, 0.9]}
    every = [
        (np.mean(a) + np.mean(b)) / 2
        for a in itertools.product(folds[0], repeat=3)
        for b in itertools.product(folds[1], repeat=2)
    ]
    interval = statistics.interval(folds, n_resamples=100_000)
    assert interval == pytest.approx(np.quantile(every, [0.025, 0.975]), abs=0.01)


def test_without_randomness_an_interval_has_no_width() -> None:
    low, high = statistics.interval({0: [0.7] * 3, 1: [0.9] * 3})
    assert (low, high) == pytest.approx((0.8, 0.8))


@pytest.mark.parametrize("folds", [{}, {0: [0.5]}, {0: [0.5, 0.6], 1: [0.7]}])
def test_one_seed_gives_no_interval(folds: statistics.Folds) -> None:
    assert np.isnan(statistics.interval(folds)).all()
    if folds:
        assert np.isnan(statistics.improvement_interval(folds, folds)).all()


@few
@given(FOLDS, FOLDS)
def test_improvements_of_both_sides_add_up_to_one(
    x: statistics.Folds, y: statistics.Folds
) -> None:
    if not x.keys() & y.keys():
        with pytest.raises(ValueError, match="must have a fold in common"):
            statistics.improvement(x, y)
        return
    share = statistics.improvement(x, y)
    assert share + statistics.improvement(y, x) == pytest.approx(1.0)
    low, high = statistics.improvement_interval(x, y)
    assert 0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1


def test_improvement_counts_pairs_and_halves_ties() -> None:
    x, y = {0: [0.5, 0.9], 1: [0.8, 0.8]}, {0: [0.5, 0.6], 1: [0.7, 0.7]}
    assert statistics.improvement(x, y) == pytest.approx((2.5 / 4 + 1) / 2)
    assert statistics.improvement_interval(x, y).high == pytest.approx(1.0)
    assert statistics.improvement(x, x) == 0.5


@few
@given(st.integers(1, 8), st.integers(2, 8), st.integers(0, 1000))
def test_average_ranks_add_up(n_folds: int, n_entries: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 4, (n_folds, n_entries)) / 4
    ranks = statistics.average_ranks(table(values))
    assert ranks.sum() == pytest.approx(n_entries * (n_entries + 1) / 2)
    assert ranks.between(1, n_entries).all()


def test_the_best_has_rank_one_and_ties_share() -> None:
    ranks = statistics.average_ranks(table(np.array([[0.9, 0.5, 0.5], [0.8, 0.7, 0.6]])))
    assert ranks.tolist() == [1.0, 2.25, 2.75]


def test_means_are_taken_on_common_folds_whatever_the_seeds_order() -> None:
    entries = {"a": {1: [0.1, 0.2, 0.6], 0: [0.5]}, "b": {1: [0.6, 0.2, 0.1], 2: [0.9]}}
    means = statistics.fold_means(entries)
    assert list(means.index) == [1]
    assert means.loc[1, "a"] == means.loc[1, "b"] == pytest.approx(0.3)


def exact_signed_rank(differences: list[float]) -> float:
    """The share of all signs that the non-zero differences could have which are as extreme."""
    ranks = pd.Series(np.abs(differences)).rank()[np.array(differences) != 0].to_numpy()
    signs = np.array(list(itertools.product((-1, 1), repeat=len(ranks))))
    observed = abs(ranks @ np.sign([d for d in differences if d]))
    return float(np.mean(abs(signs @ ranks) >= observed - 1e-9))


@few
@given(st.lists(st.integers(-4, 4).map(lambda d: d / 10), min_size=6, max_size=9))
def test_the_signed_rank_test_is_exact_with_zeros_and_ties(differences: list[float]) -> None:
    p = statistics.signed_rank(differences, np.zeros(len(differences)))
    assert p == pytest.approx(exact_signed_rank(differences))


def test_a_test_needs_six_folds() -> None:
    assert np.isnan(statistics.signed_rank(np.arange(1.0, 6), np.zeros(5)))
    assert statistics.signed_rank(np.arange(1.0, 7), np.zeros(6)) == pytest.approx(2 / 2**6)
    assert statistics.least_p(1, statistics.MIN_FOLDS - 1) > statistics.LEVEL
    assert statistics.least_p(1, statistics.MIN_FOLDS) < statistics.LEVEL


@given(P_VALUES)
def test_holm_never_lowers_p_and_keeps_their_order(p: list[float]) -> None:
    corrected = statistics.holm(p)
    assert (corrected >= np.array(p) - 1e-12).all()
    assert (corrected <= 1).all()
    assert (np.diff(corrected[np.argsort(p, kind="stable")]) >= -1e-12).all()
    assert corrected.min() == pytest.approx(min(1, min(p) * len(p)))


def test_two_entries_against_each_other_are_one_test() -> None:
    means = table(np.linspace(0.5, 0.9, 8)[:, None] + [0.0, 0.05, 0.1])
    p = statistics.against(means, {"e0": "e2", "e1": "e2", "e2": "e0"})
    assert p == pytest.approx(dict.fromkeys(("e0", "e1", "e2"), 2 * 2 / 2**8))
    assert np.isnan(list(statistics.against(means[:5], {"e0": "e1"}).values())).all()


@pytest.mark.parametrize("n_entries", [3, 12])
def test_all_pairs_are_symmetric_and_follow_the_ranks(n_entries: int) -> None:
    rng = np.random.default_rng(1)
    means = table(rng.normal(0, 0.01, (10, n_entries)) + np.arange(n_entries))
    p = statistics.all_pairs(means)
    assert np.allclose(p, p.T)
    assert (np.diag(p) == 1).all()
    assert p.loc["e0", f"e{n_entries - 1}"] < statistics.LEVEL
    if n_entries == 3:
        assert p.loc["e0", "e1"] == pytest.approx(3 * 2 / 2**10)
    else:
        assert p.loc["e0", "e1"] > statistics.LEVEL, "neighbours by rank"
