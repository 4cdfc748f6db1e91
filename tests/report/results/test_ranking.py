from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from omasgan import detectors
from omasgan.report.results import ranking, tables
from tests.report.results.test_tables import row

OMASGAN = {"a": 1, "negatives": "boundary"}


def runs(
    detector: str, folds: range, auroc: float, selection: str = "fixed", **params: object
) -> list[dict]:
    """Three seeds of each fold, the AUROCs around ``auroc``."""
    return [
        row(
            fold,
            seed,
            auroc + 0.002 * seed + 0.001 * fold,
            detector,
            selection=selection,
            params=params,
            params_id="-".join([detector, *map(str, params.values())]),
        )
        for fold, seed in itertools.product(folds, range(3))
    ]


def frame(*rows: list[dict]) -> pd.DataFrame:
    return tables.runs(list(itertools.chain(*rows)))


def test_only_what_holds_the_same_folds_is_compared() -> None:
    found = ranking.groups(
        frame(
            runs("knn", range(10), 0.6),
            runs("gmm", range(10), 0.7),
            runs("vae", range(4), 0.8),
            runs("vae", range(10), 0.9, "oracle"),
        )
    )
    assert [group.folds for group in found] == [tuple(range(10)), tuple(range(4))]
    assert [sorted(group.aurocs) for group in found] == [
        ["gmm · fixed", "knn · fixed"],
        ["gmm · fixed", "knn · fixed", "vae · fixed"],
    ]


def test_nothing_is_compared_without_a_common_fold() -> None:
    assert ranking.groups(frame(runs("knn", range(2), 0.6))) == []
    apart = frame(runs("knn", range(2), 0.6), runs("gmm", range(2, 4), 0.7))
    assert ranking.groups(apart) == []


def test_runs_that_count_no_more_are_not_compared() -> None:
    rows = frame(runs("knn", range(2), 0.6), runs("gmm", range(2), 0.7))
    rows["current"] = rows["detector"] != "gmm"
    assert ranking.groups(rows) == []


def test_the_reference_is_the_method_under_the_same_rule_or_else_the_best() -> None:
    (group,) = ranking.groups(
        frame(
            runs("omasgan", range(6), 0.7, **OMASGAN),
            runs("omasgan", range(6), 0.75, **OMASGAN | {"negatives": "noise"}),
            runs("knn", range(6), 0.9),
            runs("knn", range(6), 0.8, "nested"),
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
            runs("omasgan", range(8), 0.7), runs("knn", range(8), 0.6), runs("pca", range(8), 0.9)
        )
    )
    found = ranking.table(group)
    assert list(found["entry"]) == ["pca · fixed", "omasgan · fixed", "knn · fixed"]
    assert list(found["average rank"]) == [1, 2, 3]
    assert list(found["difference"]) == pytest.approx([0.2, -0.2, -0.1])
    assert list(found["p Holm"]) == pytest.approx([2 * 2 / 2**8] * 3)
    assert list(found["P(better)"]) == [1, 0, 0]
    assert set(found["interval"]) == {"0.000-0.000", "1.000-1.000"}


def test_too_few_folds_give_ranks_and_no_p() -> None:
    (group,) = ranking.groups(frame(runs("knn", range(5), 0.6), runs("pca", range(5), 0.9)))
    assert not group.tested
    found = ranking.table(group)
    assert "p Holm" not in found
    assert list(found["against"]) == ["knn · fixed", "pca · fixed"]


def test_the_ledger_sets_default_selected_and_oracle_side_by_side() -> None:
    found = ranking.optimism(
        frame(
            runs("omasgan", range(4), 0.7, **OMASGAN),
            runs("omasgan", range(4), 0.6, **OMASGAN | {"negatives": "noise"}),
            runs("omasgan", range(1, 4), 0.8, "nested"),
            runs("omasgan", range(3), 0.9, "oracle"),
            runs("knn", range(4), 0.5),
            runs("vae", range(4), 0.5),
            runs("vae", range(4), 0.6, "proxy"),
        )
    )
    columns = ["detector", "default", "rule", "selected", "oracle", "gap", "folds"]
    assert list(found.columns) == columns
    omasgan, vae = found.to_dict("records")
    at_folds = 0.002 + 0.001 * np.mean([1, 2])
    assert omasgan["default"] == pytest.approx(0.7 + at_folds)
    assert omasgan["selected"] == pytest.approx(0.8 + at_folds)
    assert omasgan["oracle"] == pytest.approx(0.9 + at_folds)
    assert omasgan["gap"] == pytest.approx(0.1)
    assert (omasgan["rule"], omasgan["folds"]) == ("nested", "1,2")
    assert (vae["detector"], vae["rule"]) == ("vae", "proxy")
    assert pd.isna(vae["gap"])


def test_the_ledger_is_silent_where_it_has_one_number_only() -> None:
    assert ranking.optimism(frame(runs("knn", range(4), 0.5))).empty
    apart = frame(runs("knn", range(2), 0.5), runs("knn", range(2, 4), 0.5, "oracle"))
    assert ranking.optimism(apart).empty


def test_of_several_params_the_defaults_stand_for_the_detector() -> None:
    defaults = detectors.check_params(detectors.load("knn"), {})
    rows = (runs("knn", range(2), 0.8, "oracle"), runs("knn", range(2), 0.5, **defaults))
    other = runs("knn", range(2), 0.6, **defaults | {"k": 97})
    (line,) = ranking.optimism(frame(*rows, other)).to_dict("records")
    assert line["default"] == pytest.approx(0.5025)
    strange = [dict(run, detector="no.such:Thing") for run in itertools.chain(*rows, other)]
    assert ranking.optimism(frame(strange)).empty, "its defaults are not known here"
