from __future__ import annotations

import pytest

from omasgan.report.results import ranking
from tests.report.results.rows import frame, three_seeds

OMASGAN = {"a": 1, "negatives": "boundary"}


def test_only_entries_with_the_same_folds_are_compared() -> None:
    groups = ranking.groups(
        frame(
            three_seeds("knn", range(10), 0.6),
            three_seeds("gmm", range(10), 0.7),
            three_seeds("vae", range(4), 0.8),
            three_seeds("vae", range(10), 0.9, "oracle"),
        )
    )
    assert [group.folds for group in groups] == [tuple(range(10)), tuple(range(4))]
    assert [sorted(group.aurocs) for group in groups] == [
        ["gmm · fixed", "knn · fixed"],
        ["gmm · fixed", "knn · fixed", "vae · fixed"],
    ]


def test_nothing_is_compared_without_a_common_fold() -> None:
    assert ranking.groups(frame(three_seeds("knn", range(2), 0.6))) == []
    apart = frame(three_seeds("knn", range(2), 0.6), three_seeds("gmm", range(2, 4), 0.7))
    assert ranking.groups(apart) == []


def test_runs_that_are_not_current_are_not_compared() -> None:
    frame_of_both = frame(three_seeds("knn", range(2), 0.6), three_seeds("gmm", range(2), 0.7))
    frame_of_both["current"] = frame_of_both["detector"] != "gmm"
    assert ranking.groups(frame_of_both) == []


def test_the_reference_is_the_method_under_the_same_rule_or_else_the_best() -> None:
    (group,) = ranking.groups(
        frame(
            three_seeds("omasgan", range(6), 0.7, **OMASGAN),
            three_seeds("omasgan", range(6), 0.75, **OMASGAN | {"negatives": "noise"}),
            three_seeds("knn", range(6), 0.9),
            three_seeds("knn", range(6), 0.8, "nested"),
        )
    )
    method = "omasgan · fixed · negatives=boundary"
    assert group.rules == ("fixed", "nested")
    assert group.references == {
        method: "knn · fixed",
        "omasgan · fixed · negatives=noise": method,
        "knn · fixed": method,
        "knn · nested": "knn · fixed",
    }
    assert group.n_tests == 3


def test_the_table_ranks_and_tests_on_the_common_folds() -> None:
    (group,) = ranking.groups(
        frame(
            three_seeds("omasgan", range(8), 0.7),
            three_seeds("knn", range(8), 0.6),
            three_seeds("pca", range(8), 0.9),
        )
    )
    table = ranking.table(group)
    assert list(table["entry"]) == ["pca · fixed", "omasgan · fixed", "knn · fixed"]
    assert list(table["average rank"]) == [1, 2, 3]
    assert list(table["difference"]) == pytest.approx([0.2, -0.2, -0.1])
    assert list(table["p Holm"]) == pytest.approx([2 * 2 / 2**8] * 3)
    assert list(table["P(better)"]) == [1, 0, 0]
    assert set(table["interval"]) == {"0.000-0.000", "1.000-1.000"}


def test_too_few_folds_give_ranks_and_no_p() -> None:
    (group,) = ranking.groups(
        frame(three_seeds("knn", range(5), 0.6), three_seeds("pca", range(5), 0.9))
    )
    assert not group.tested
    table = ranking.table(group)
    assert "p Holm" not in table
    assert list(table["against"]) == ["knn · fixed", "pca · fixed"]
