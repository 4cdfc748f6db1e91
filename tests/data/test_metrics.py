"""Metrics: invariances, ties, closed forms, bad input."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from omasgan.config import Metric
from omasgan.data import metrics
from omasgan.errors import ConfigError, DataError

NAMES = get_args(Metric)
Case = tuple[NDArray[np.int64], NDArray[np.float32]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Labels of both kinds; scores with many ties, since they are small whole numbers."""
    labels = draw(st.lists(st.integers(0, 1), min_size=1, max_size=40))
    labels = np.array([0, 1, *labels])
    scores = draw(st.lists(st.integers(-5, 5), min_size=len(labels), max_size=len(labels)))
    return labels, np.array(scores, dtype=np.float32)


@given(cases())
def test_auroc_is_the_share_of_pairs_in_order(case: Case) -> None:
    labels, scores = case
    pairs = scores[labels == 1][:, None] - scores[labels == 0][None]
    expected = (np.sign(pairs) + 1).mean() / 2
    assert metrics.auroc(labels, scores) == pytest.approx(expected)


@given(cases())
def test_turned_scores_turn_auroc(case: Case) -> None:
    labels, scores = case
    turned = metrics.auroc(labels, -scores)
    assert turned == pytest.approx(1 - metrics.auroc(labels, scores))


@given(cases(), st.sampled_from(NAMES))
def test_only_the_order_of_scores_matters(case: Case, name: str) -> None:
    labels, scores = case
    (before,) = metrics.compute([name], labels, scores).values()
    (after,) = metrics.compute([name], labels, np.exp(scores / 3) * 7 - 2).values()
    assert after == pytest.approx(before)


@given(cases(), st.sampled_from(NAMES), st.randoms(use_true_random=False))
def test_the_order_of_samples_does_not_matter(case: Case, name: str, random) -> None:
    labels, scores = case
    order = list(range(len(labels)))
    random.shuffle(order)
    before = metrics.compute([name], labels, scores)
    assert metrics.compute([name], labels[order], scores[order]) == pytest.approx(before)


@given(cases())
def test_fpr95_by_trying_every_threshold(case: Case) -> None:
    labels, scores = case
    passing = [t for t in scores if (scores[labels == 1] >= t).mean() >= 0.95]
    expected = (scores[labels == 0] >= max(passing)).mean()
    assert metrics.fpr95(labels, scores) == pytest.approx(expected)


@given(cases())
def test_curves_by_trying_every_threshold(case: Case) -> None:
    labels, scores = case
    called = [scores >= threshold for threshold in sorted(set(scores), reverse=True)]
    true, false = (np.array([c[labels == k].mean() for c in called]) for k in (1, 0))
    rates = metrics.roc_curve(labels, scores)
    np.testing.assert_allclose(rates, [[0, *false], [0, *true]])
    assert np.trapezoid(rates[1], rates[0]) == pytest.approx(metrics.auroc(labels, scores))
    precision, recall = metrics.precision_recall_curve(labels, scores)
    np.testing.assert_allclose(precision, [labels[c].mean() for c in called])
    np.testing.assert_allclose(recall, true)


def test_perfect_constant_and_worst() -> None:
    labels = np.array([0, 0, 1, 1])
    perfect, constant = np.array([0.0, 0.1, 0.8, 0.9]), np.zeros(4)
    assert metrics.compute(NAMES, labels, perfect) == {
        "auroc": 1, "average_precision": 1, "fpr95": 0
    }  # fmt: skip
    assert metrics.compute(NAMES, labels, constant) == {
        "auroc": 0.5, "average_precision": 0.5, "fpr95": 1
    }  # fmt: skip
    assert metrics.auroc(labels, -perfect) == 0


@pytest.mark.parametrize("name", NAMES)
def test_bad_input_is_refused(name: str) -> None:
    def value(labels: list[int], scores: list[float]) -> object:
        return metrics.compute([name], np.array(labels), np.array(scores))

    with pytest.raises(DataError, match=r"0 and 1 both, got \[0\]"):
        value([0, 0], [1, 2])
    with pytest.raises(DataError, match="finite, got 1 of 2"):
        value([0, 1], [1, np.nan])
    with pytest.raises(DataError, match=r"must both be \(n,\)"):
        value([0, 1], [1, 2, 3])


def test_unknown_metric() -> None:
    with pytest.raises(ConfigError, match="unknown metric 'aurc'; did you mean 'auroc'"):
        metrics.compute(["aurc"], np.array([0, 1]), np.array([0.0, 1.0]))
