from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omasgan.report.results import averages, tables
from omasgan.report.results.inputs import Benchmark
from omasgan.report.results.runs import runs
from tests.report.results.rows import row
from tests.results import N_FOLDS, SPEC

BENCHMARK = Benchmark("toy-loo-v1", SPEC.identity(), N_FOLDS)


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_the_mean_is_within_the_folds_and_worst_is_their_minimum(values: list[float]) -> None:
    rows = [row(k, 0, value) for k, value in enumerate(values)]
    (line,) = tables.comparison(runs(rows), BENCHMARK).to_dict("records")
    assert line["worst"] == min(values)
    assert min(values) - 1e-12 <= line["auroc"] <= max(values) + 1e-12
    means = averages.means(rows)
    assert means["auroc"] == line["auroc"]
    assert means["auroc_worst_fold"] == line["worst"]


def test_seeds_are_averaged_before_folds() -> None:
    rows = [row(0, 0, 0.4), row(0, 1, 0.6), row(1, 0, 0.9)]
    means = averages.means(rows)
    assert means["auroc"] == pytest.approx(0.7)
    assert means["auroc_sd"] == pytest.approx(0.2 * 2**0.5)
    assert (means["auroc/fold-0"], means["auroc/fold-1"]) == (0.5, 0.9)


def test_runs_without_a_score_have_no_means() -> None:
    rows = [row(0, 0, None)]
    assert averages.means(rows) == {}
    assert averages.by_entry(runs(rows)) == {}
