"""The page of a suite that is trained with tiny caps: its numbers, captions and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omasgan.backends.local import LocalBackend
from omasgan.data.published import Number
from omasgan.errors import ConfigError
from omasgan.experiments.paper import planning, suites, training
from omasgan.experiments.paper.planning import SuitePlan
from omasgan.experiments.paper.training import Part
from omasgan.report.page import files
from omasgan.report.page.blocks import Page
from omasgan.report.paper import captions, content, trained
from omasgan.report.paper.numbers import Results
from omasgan.store import saved
from omasgan.store.results import Store
from tests.experiments.paper import tiny

SMOKE = (
    "Capped: smoke, no result: folds 0,1 (2 of 10); seeds 0,1; at most 100 training and "
    "validation samples of a fold; at most 60 test samples of a fold."
)
RULE = "Rule fixed: params are given, none was selected here."
SEEN = "The defaults of omasgan were found in sight of test anomalies of MNIST and of digits."

Trained = tuple[SuitePlan, list[Part], Store]


def train(folder: Path, text: str) -> Trained:
    plan, store = tiny.plan(folder, text), Store(folder / "out")
    return plan, training.train(plan, tiny.data(plan), store, LocalBackend(), device="cpu"), store


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(tmp_path_factory.mktemp("digits"), tiny.TINY)


@pytest.fixture(scope="module")
def page(digits: Trained) -> Page:
    return content.page(*digits, [])


@pytest.fixture(scope="module")
def square(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(tmp_path_factory.mktemp("square"), tiny.PLANE)


def test_every_caption_states_budget_and_rule(page: Page) -> None:
    (section,) = page.sections
    blocks = [*section.figures, *(t for t in section.tables if t.title not in ("Params",))]
    assert len(blocks) == 2 + 1 + 1 + 2
    for block in blocks:
        assert SMOKE in block.caption and RULE in block.caption
        assert SEEN in block.caption
    assert SMOKE in page.notes[0]


def test_only_defaults_that_saw_test_data_are_said_to_have(
    digits: Trained,
) -> None:
    plan, _, _ = digits
    (knn,) = [variant for variant in plan.variants if variant.detector == "knn"]
    assert SEEN not in captions.rule([knn])
    small = planning.schedule(suites.load("figure-4"), "small")
    assert "Capped" not in captions.budget(small, []) and "Budget small" in captions.budget(
        small, []
    )


def test_means_are_those_of_the_rows(digits: Trained, page: Page) -> None:
    plan, (part,), store = digits
    assert len(store.results()) == plan.trainings == len(part.rows) == 8
    (table,) = [t for t in page.sections[0].tables if t.title == "AUROC"]
    for row in tiny.rows(table.frame):
        detector = {"OMASGAN": "omasgan", "1-NN": "knn"}[row["arm"]]
        of = [row for row in store.results() if row["detector"] == detector]
        by_fold = [np.mean([r["auroc"] for r in of if r["fold"] == f]) for f in (0, 1)]
        assert row["auroc"] == pytest.approx(np.mean(by_fold))
        assert row["worst"] == pytest.approx(min(by_fold))
        assert row["interval"] != "-"
        assert row["fold 1"] == pytest.approx(by_fold[1])


def test_the_same_results_make_the_same_files_with_fixed_names(
    digits: Trained, page: Page
) -> None:
    plan, parts, store = digits
    written = files.of_page(page)
    assert {figure.name for figure in page.sections[0].figures} == {
        f"figure-99-{name}" for name in ("folds", "stages-omasgan", "seeds-omasgan")
    }
    assert {"tables/figure-99-auroc.md", "tables/figure-99-auroc.tex"} <= written.keys()
    assert written == files.of_page(content.page(plan, parts, store, []))


def test_a_failed_run_is_listed_and_leaves_no_mean(
    digits: Trained,
) -> None:
    plan, (part,), store = digits
    rows = {key: dict(row) for key, row in part.rows.items()}
    key, other = (key for key in rows if key.detector == "omasgan" and key.fold == 1)
    rows[key] |= {"outcome": "diverged", "auroc": None}
    broken = Part(part.benchmark, part.dataset, part.folds, rows)
    prose = content.page(plan, [broken], store, []).sections[0].prose
    assert any("1 of 8 trainings gave no score: omasgan, fold 1" in text for text in prose)
    del rows[other]
    variant = plan.variants[0]
    assert np.isnan(Results(plan, broken).cell(variant).value)
    assert not np.isnan(Results(plan, broken).cell(variant, fold=0).value)


def test_a_printed_number_is_shown_at_its_fold_and_stage(
    digits: Trained,
) -> None:
    plan, (part,), _ = digits

    def number(metric: str, fold: int | None, protocol: str = "leave-one-out") -> Number:
        return Number(
            "digits", protocol, "", "omasgan", metric, fold, 0.5, None, "a source", "a word"
        )

    numbers = (
        number("auroc", None),
        number("auroc", 1),
        number("auroc.task1", None),
        number("auroc", None, "one-vs-rest"),
    )
    arm = plan.suite.arms["OMASGAN"].model_copy(update={"published": ("a source",)})
    suite = plan.suite.model_copy(update={"arms": {**plan.suite.arms, "OMASGAN": arm}})
    one = Results(SuitePlan(suite, "smoke", plan.benchmarks, plan.variants, numbers), part)
    variant = plan.variants[0]
    # the score here is "combined"; what the paper prints without a stage is J's
    assert one.cell(variant).printed == ()
    assert one.cell(variant, "auroc.j").printed == (numbers[0],)
    assert one.cell(variant, "auroc.j", fold=1).printed == (numbers[1],)
    assert one.cell(variant, "auroc.task1").printed == (numbers[2],)
    assert len(content.printed(one.plan, [one])) == 3


def test_stages_of_several_benchmarks_stand_beside_arms_that_have_none(tmp_path: Path) -> None:
    plan, parts, store = train(tmp_path, tiny.ENSEMBLE)
    (section,) = content.page(plan, parts, store, []).sections
    (table,) = [t for t in section.tables if t.title == "By digit, in numbers"]
    rows = {row["score"]: row["digits-loo"] for row in tiny.rows(table.frame)}
    assert list(rows) == ["1-NN", "One", "Three: waic", "Three: variance"]
    of = [row for row in store.results() if row["selection"] == "ensemble-3"]
    by_fold = [np.mean([r["auroc.waic"] for r in of if r["fold"] == f]) for f in (0, 1)]
    assert rows["Three: waic"] == pytest.approx(np.mean(by_fold))


def test_ensembles_have_no_place_among_drawings_of_trained_detectors(tmp_path: Path) -> None:
    text = tiny.PLANE.replace("[arms.Ours]", "[arms.Ours]\nensemble = 2")
    with pytest.raises(ConfigError, match="cannot have ensembles, got 'Ours'; draw it in a suite"):
        tiny.plan(tmp_path, text)


def test_the_plane_is_drawn_from_saved_detectors(
    square: Trained,
) -> None:
    plan, parts, store = square
    (section,) = content.page(plan, parts, store, []).sections
    names = [figure.name for figure in section.figures]
    assert names == [
        "figure-99-plane", "figure-99-boundaries", "figure-99-evolution", "figure-99-losses",
        "figure-99-grid", "figure-99-grid-convergence",
    ]  # fmt: skip
    assert all(figure.drawn.svg for figure in section.figures)
    (table,) = [t for t in section.tables if t.title == "Rates"]
    assert [row["stage"] for row in tiny.rows(table.frame)] == ["task1", "j"]
    assert "no test sample takes part in it" in table.caption
    (auroc,) = [t for t in section.tables if t.title == "AUROC"]
    assert list(auroc.frame["arm"]) == ["Ours"]


def test_the_border_of_a_score_is_the_level_that_held_out_normals_stay_below(
    square: Trained,
) -> None:
    plan, (part,), store = square
    key = Results(plan, part).first(plan.variants[0])
    assert key is not None
    detector: Any = saved.load(store.run_dir(key), device="cpu").detector
    held_out = detector.stage_scores(part.dataset.train.X[part.folds[0].validation])["j"]
    assert trained.level(store, part, key) == pytest.approx(np.quantile(held_out, 0.95))


def test_arms_that_differ_in_task_2_share_task_1(
    square: Trained,
) -> None:
    _, (part,), _ = square
    spared = [row["cached_seconds"] > 0 for row in part.rows.values()]
    assert (sum(spared), len(spared)) == (8, 10)


def test_the_threshold_comes_from_held_out_normals_and_not_from_the_test(
    square: Trained,
) -> None:
    plan, (part,), store = square
    key = Results(plan, part).first(plan.variants[0])
    assert key is not None
    scores = store.scores(key)
    detector: Any = saved.load(store.run_dir(key), device="cpu").detector
    held_out = detector.stage_scores(part.dataset.train.X[part.folds[0].validation])["j"]
    called = scores["j"].to_numpy() > np.quantile(held_out, trained.QUANTILE)
    anomalous = scores["label"].to_numpy() == 1
    rates = trained.rates(store, part, key)["j"]
    assert rates["recall"] == pytest.approx(called[anomalous].mean())
    assert rates["accuracy"] == pytest.approx((called == anomalous).mean())
    assert not set(part.folds[0].validation) & set(part.folds[0].train)
