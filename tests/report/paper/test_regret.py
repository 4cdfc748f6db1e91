"""What a choice from a pool is worth, on pools whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omasgan.backends.local import LocalBackend
from omasgan.experiments.paper import training
from omasgan.report import statistics
from omasgan.report.page.blocks import Page
from omasgan.report.paper import content, regret
from omasgan.report.paper.regret import Pool
from omasgan.store.results import Store
from tests.experiments.paper import tiny

LABELS = np.array([0, 0, 1, 1])
RIGHT, WRONG, HALF = [0.0, 1.0, 2.0, 3.0], [3.0, 2.0, 1.0, 0.0], [0.0, 3.0, 1.0, 2.0]
"""Scores whose AUROC is 1, 0 and 0.5."""


def pool(nested: list[list[float]], **more: object) -> Pool:
    """Two folds of three configurations: right, wrong and half right in both."""
    surprise = np.array([[RIGHT], [WRONG], [HALF]])
    test = np.array([[1.0, 0.0, 0.5]] * 2)
    return Pool(test, {"nested": np.array(nested)}, [surprise] * 2, [LABELS] * 2, top=2, **more)  # type: ignore[arg-type]


def test_a_rule_gets_what_it_chose_in_each_fold() -> None:
    found = regret.chosen(pool([[0.9, 0.1, 0.2], [0.1, 0.9, 0.8]]))
    assert found["nested"].tolist() == [1.0, 0.0]
    assert found["defaults"].tolist() == [1.0, 1.0]
    assert found["oracle"].tolist() == [1.0, 1.0]
    assert found["random"].tolist() == [0.5, 0.5]
    # Right and half right give 0, 2, 1.5, 2.5 together; wrong and half right 1.5, 2.5, 1, 1.
    assert found["nested, top 2"].tolist() == [0.75, 0.0]
    assert regret.regrets(found)["nested"].tolist() == [0.0, 1.0]


def test_a_configuration_without_an_objective_is_chosen_last() -> None:
    found = regret.chosen(pool([[np.nan, 0.1, 0.2], [np.nan, np.nan, np.nan]]))
    assert found["nested"].tolist() == [0.5, 1.0]


def test_transfer_chooses_one_for_all_folds() -> None:
    same = [[0.9, 0.1, 0.2]] * 2
    assert "transfer" not in regret.chosen(pool(same))
    found = regret.chosen(pool(same, elsewhere=np.array([0.1, 0.2, 0.9])))
    assert found["transfer"].tolist() == [0.5, 0.5]


def test_a_choice_among_some_sees_no_others() -> None:
    found = regret.chosen(pool([[0.9, 0.1, 0.2]] * 2), np.array([1, 2]))
    assert found["nested"].tolist() == found["oracle"].tolist() == [0.5, 0.5]
    assert found["random"].tolist() == [0.25, 0.25]


def test_the_curve_ends_at_the_whole_pool_and_begins_at_random() -> None:
    one = pool([[0.9, 0.1, 0.2]] * 2)
    curve = regret.curve(one, [1, 3])
    assert curve["nested"][-1] == 0.0 and curve["oracle"][-1] == 0.0
    # From one configuration every rule chooses it.
    assert curve["nested"][0] == curve["oracle"][0] == curve["random"][0]
    assert curve["random"][0] == pytest.approx(0.5, abs=0.1)


def test_agreement_and_optimism() -> None:
    test = np.array([[0.5, 0.7, 0.9]] * 3)
    objective = np.array([[0.6, 0.7, 0.8], [0.8, 0.7, 0.6], [0.7, np.nan, 0.7]])
    agreement = regret.agreement(objective, test)
    assert agreement[:2].tolist() == [1.0, -1.0] and np.isnan(agreement[2])
    np.testing.assert_allclose(regret.optimism(objective, test), [-0.1, 0.3, 0.2])


def test_an_interval_over_folds_holds_their_mean() -> None:
    low, high = statistics.over_folds([0.1, 0.2, np.nan, 0.6])
    assert 0.1 <= low < 0.3 < high <= 0.6
    assert statistics.over_folds([0.25, 0.25]) == (0.25, 0.25)
    assert np.isnan(statistics.over_folds([0.2]).low)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("regret")
    plan, store = tiny.plan(folder, tiny.POOL), Store(folder / "out")
    parts = training.train(plan, tiny.data(plan), store, LocalBackend(), device="cpu")
    return content.page(plan, parts, store, [])


def test_the_page_has_every_rule_and_what_it_costs(page: Page) -> None:
    (section,) = page.sections
    tables = {table.title: table.frame for table in section.tables}
    choices = tables["What each rule chose, score"].set_index("rule")
    assert list(choices.index) == [
        "nested", "nested, top 5", "proxy", "proxy, top 5", "defaults", "random", "oracle",
    ]  # fmt: skip
    assert choices.loc["oracle", "regret"] == 0.0
    assert choices.loc["nested", "trainings"] == "12 + 2"
    assert choices.loc["proxy, top 5", "trainings"] == "6 + 10"
    assert choices.loc["defaults", "trainings"] == "0 + 2"
    every = tables["AUROC of every arm"].set_index("arm")
    assert choices.loc["defaults", "auroc"] == pytest.approx(every.loc["defaults", "auroc"])
    assert choices.loc["random", "auroc"] == pytest.approx(every["auroc"].mean())
    assert len(list(section.figures)) == 2
    for figure in section.figures:
        assert "<svg" in figure.drawn.svg
    assert "Objective against test, score" in tables
    by_fold = tables["Choices by fold, score"].set_index("rule")
    np.testing.assert_allclose(by_fold.mean(axis=1), choices["auroc"])
    objectives = tables["Objectives by nested, score"].set_index("arm")
    assert objectives.shape == (3, 2) and list(objectives.index) == list(every.index)


def test_each_of_two_benchmarks_chooses_for_the_other(tmp_path: Path) -> None:
    both = tiny.POOL.replace('["digits-loo"]', '["digits-loo", "digits-occ"]')
    text = both.replace('detector = "knn"', 'detector = "knn"\nrules = ["proxy"]')
    plan, store = tiny.plan(tmp_path, text), Store(tmp_path / "out")
    parts = training.train(plan, tiny.data(plan), store, LocalBackend(), device="cpu")
    (section,) = content.page(plan, parts, store, []).sections
    tables = {table.title: table.frame for table in section.tables}
    every = tables["AUROC of every arm"].set_index(["benchmark", "arm"])["auroc"]
    for of, other in (("digits-loo", "digits-occ"), ("digits-occ", "digits-loo")):
        chosen = tables[f"What each rule chose, {of}, score"].set_index("rule")
        pick = every[other].idxmax()
        assert chosen.loc["transfer", "auroc"] == pytest.approx(every[of][pick])
