"""The sentences that a report begins with."""

from __future__ import annotations

from pathlib import Path

import pytest

from omasgan.report.results.answer import sentences
from omasgan.report.results.inputs import Benchmark, read_study
from omasgan.report.results.runs import runs
from tests.report.results.rows import row
from tests.results import add_study, claimed

TEN = Benchmark("digits-loo-v1", {"seeds": [0, 1, 2]}, 10)


def rows(detector: str, folds: range, auroc: float, seeds: int = 2, **more: object) -> list[dict]:
    """Runs whose AUROC falls by 0.01 a fold and rises by 0.002 a seed."""
    return [
        row(k, s, auroc - 0.01 * k + 0.002 * s, detector, fold_name=f"digit {k}", **more)
        for k in folds
        for s in range(seeds)
    ]


def said(*of: list[dict], benchmark: Benchmark = TEN) -> str:
    return "\n".join(sentences(runs([row for rows in of for row in rows]), benchmark))


def test_the_best_comes_with_its_lead_and_an_interval() -> None:
    text = said(rows("knn", range(3), 0.9), rows("vae", range(3), 0.8))
    assert "2 detectors were compared on 3 of the 10 folds of digits-loo-v1 (digit 0," in text
    assert "knn is the best: mean AUROC 0.891 (95 % interval 0.890-0.892), 0.100 above vae" in text
    assert "(95 % interval +0.099 to +0.101), and above it on 3 of 3 folds." in text
    assert "Other seeds" not in text


def test_what_other_seeds_could_turn_around_is_said() -> None:
    close = [row(0, s, a, "vae") for s, a in enumerate((0.5, 0.9))]
    text = said([row(0, s, a, "knn") for s, a in enumerate((0.6, 0.85))], close)
    assert "knn is the best" in text and "Other seeds could turn that around." in text
    assert "weakest" not in text, "with one fold there is no weakest"


def test_a_benchmark_of_one_fold_is_complete() -> None:
    text = said(rows("knn", range(1), 0.9), benchmark=Benchmark("parts-v1", {}, 1))
    assert "1 detector was tested on the only fold of parts-v1 (digit 0), with 2 seeds." in text
    assert "missing" not in text


def test_a_fold_is_named_with_who_is_better_there() -> None:
    worst = [row(2, s, 0.95, "vae", fold_name="digit 2") for s in range(2)]
    text = said(rows("knn", range(3), 0.9), rows("vae", range(2), 0.8), worst)
    assert "knn is weakest on digit 2: 0.881, where vae has 0.950." in text


def test_a_score_below_chance_is_called_that() -> None:
    assert "knn is weakest on digit 1: 0.391 (below chance)." in said(rows("knn", range(2), 0.4))


@pytest.mark.parametrize(("lead", "words"), [(0.05, "tell it from all others"), (0.0, "can't")])
def test_many_folds_are_tested(lead: float, words: str) -> None:
    mixed = [row(k, s, 0.8 - lead + 0.01 * (-1) ** k, "vae") for k in range(10) for s in range(2)]
    knn = [row(k, s, 0.801, "knn") for k in range(10) for s in range(2)]
    text = said(knn, mixed)
    assert f"Signed-rank tests over the 10 folds (Holm, 0.05) {words}" in text
    assert "Too small" not in text


def test_equals_are_both_the_best() -> None:
    text = said(rows("knn", range(2), 0.9), rows("vae", range(2), 0.9))
    assert "knn and vae are the best, with the same mean AUROC" in text


def test_the_method_has_its_place_and_its_better_stage() -> None:
    stages = {"auroc.j": 0.7, "auroc.task1": 0.6}
    text = said(rows("knn", range(2), 0.9), rows("omasgan", range(2), 0.65, **stages))
    assert "omasgan is number 2 of 2: mean AUROC 0.646" in text and "0.250 below the best." in text
    assert "The stage j of omasgan would have been better: 0.700, 0.054 above its score." in text


def test_a_score_that_no_stage_beats_is_said() -> None:
    stages = {"auroc.j": 0.7, "auroc.task1": 0.6}
    text = said(rows("omasgan", range(2), 0.9, **stages))
    assert "No other stage of omasgan would have been better than its score." in text


def test_what_is_too_small_is_said() -> None:
    text = said(rows("knn", range(2), 0.9, seeds=1), rows("vae", range(2), 0.8, seeds=1))
    assert "8 folds of the benchmark are missing" in text
    assert "fewer than 6 folds allow no test" in text
    assert "one seed does not show what another would change" in text


def test_entries_of_other_folds_are_not_compared() -> None:
    other = rows("pca", range(8, 9), 1)
    text = said(rows("knn", range(4), 0.9), rows("vae", range(4), 0.8), other)
    assert "2 detectors were compared on 4 of the 10 folds" in text
    assert "with 2 seeds. Of other folds, and not compared here: pca." in text


def test_an_oracle_is_no_winner() -> None:
    text = said(rows("knn", range(2), 0.8), rows("vae", range(2), 0.9, selection="oracle"))
    assert "knn has a mean AUROC" in text and "vae" not in text


def test_without_a_test_score_the_search_is_told(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    study = read_study(add_study(store))
    assert sentences(runs([]), TEN, [study]) == [
        "No run has given a test score yet.",
        "Winner of omasgan (nested): trial 2 on fold-0, the best of 6 (objective 0.700); for "
        "--params, below --out: toy-loo-v1/omasgan/nested/studies/fold-0/winner.toml.",
    ]
    going_on = read_study(add_study(store, fold=1, status="running", outcomes=("ok",)))
    assert "none yet on fold-1, 1 trial." in sentences(runs([]), TEN, [going_on])[1]
