"""A suite end to end on tiny caps: trained once, told honestly, drawn beside what is printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omasgan.backends.local import LocalBackend
from omasgan.data.published import Number
from omasgan.errors import StoreError
from omasgan.experiments.paper import planning, suites, training
from omasgan.experiments.paper.planning import SuitePlan
from omasgan.report.page import files
from omasgan.report.page.blocks import Page
from omasgan.report.paper import captions, content, plane
from omasgan.report.paper.results import Results
from omasgan.store.results import Store
from tests.experiments.paper import tiny

SMOKE = (
    "Capped: smoke, no result: folds 0,1 (2 of 10); seeds 0,1; at most 100 training and "
    "validation samples of a fold; at most 60 test samples of a fold."
)
RULE = "Rule fixed: params are given, none was chosen here."
SEEN = "The defaults of omasgan were found in sight of test anomalies of MNIST and of digits."

PLANE = f"""
title = "Figure 99: a plane"
about = "In no paper."
benchmarks = ["gaussian-2d"]

[arms.Ours]
detector = "omasgan"
params = {{ latent_dim = 2, form = "pixel", {tiny.OMASGAN} }}

[arms."B after"]
detector = "omasgan"
params = {{ latent_dim = 2, {tiny.OMASGAN} }}
vary = {{ boundary_batch = [8, 16], boundary_reference = [8, 32] }}

[budgets]
smoke = {{ folds = [0], seeds = [0, 1], max_train = 100, max_test = 60 }}
small = {{ folds = [0], seeds = [0] }}
full = {{ folds = [0], seeds = [0] }}

[[drawings]]
kind = "plane"
title = "Plane"
arms = ["Ours"]
[[drawings]]
kind = "evolution"
title = "Evolution"
arms = ["B after"]
[[drawings]]
kind = "losses"
title = "Losses"
arms = ["Ours"]
[[drawings]]
kind = "grid"
title = "N and Q"
arms = ["B after"]
stages = ["j"]
[[drawings]]
kind = "thresholds"
title = "Rates"
arms = ["Ours"]
stages = ["task1", "j"]
"""


def train(made: SuitePlan, root: Path, **more: Any) -> tuple[list[training.Part], Store]:
    store = Store(root)
    return training.train(made, tiny.data(made), store, LocalBackend(), **more), store


@pytest.fixture(scope="module")
def digits(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[SuitePlan, list[training.Part], Store]:
    folder = tmp_path_factory.mktemp("digits")
    made = tiny.plan(folder)
    return (made, *train(made, folder / "out", device="cpu"))


@pytest.fixture(scope="module")
def page(digits: tuple[SuitePlan, list[training.Part], Store]) -> Page:
    made, parts, store = digits
    return content.page(made, parts, store, [])


@pytest.fixture(scope="module")
def square(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[SuitePlan, list[training.Part], Store]:
    folder = tmp_path_factory.mktemp("square")
    made = tiny.plan(folder, PLANE)
    return (made, *train(made, folder / "out", device="cpu"))


def test_every_caption_of_a_number_states_budget_and_rule(page: Page) -> None:
    (section,) = page.sections
    blocks = [*section.figures, *(t for t in section.tables if t.title not in ("Params",))]
    assert len(blocks) == 2 + 1 + 1 + 2
    for block in blocks:
        assert SMOKE in block.caption and RULE in block.caption
        assert SEEN in block.caption
    assert SMOKE in page.notes[0]


def test_what_has_seen_no_test_data_is_not_said_to_have(
    digits: tuple[SuitePlan, list[training.Part], Store],
) -> None:
    made, _, _ = digits
    (knn,) = [line for line in made.lines if line.detector == "knn"]
    assert SEEN not in captions.rule([knn])
    small = planning.schedule(suites.load("figure-4"), "small")
    assert "Capped" not in captions.budget(small, []) and "Budget small" in captions.budget(
        small, []
    )


def test_means_are_those_of_the_rows(
    digits: tuple[SuitePlan, list[training.Part], Store], page: Page
) -> None:
    made, (part,), store = digits
    assert len(store.results()) == made.trainings == len(part.rows) == 8
    (table,) = [t for t in page.sections[0].tables if t.title == "AUROC"]
    for line in tiny.rows(table.frame):
        detector = {"OMASGAN": "omasgan", "1-NN": "knn"}[line["arm"]]
        of = [row for row in store.results() if row["detector"] == detector]
        by_fold = [np.mean([r["auroc"] for r in of if r["fold"] == f]) for f in (0, 1)]
        assert line["auroc"] == pytest.approx(np.mean(by_fold))
        assert line["worst"] == pytest.approx(min(by_fold))
        assert line["interval"] != "-"
        assert line["fold 1"] == pytest.approx(by_fold[1])


def test_the_same_results_make_the_same_files_with_fixed_names(
    digits: tuple[SuitePlan, list[training.Part], Store], page: Page
) -> None:
    made, parts, store = digits
    written = files.of_page(page)
    assert {name for name in written if name.startswith("figures/")} == {
        f"figures/figure-99-{name}.{form}"
        for name in ("folds", "stages-omasgan", "seeds-omasgan")
        for form in ("png", "pdf")
    }
    assert {"tables/figure-99-auroc.md", "tables/figure-99-auroc.tex"} <= written.keys()
    assert written == files.of_page(content.page(made, parts, store, []))


def test_what_is_done_is_not_trained_again(
    digits: tuple[SuitePlan, list[training.Part], Store],
) -> None:
    made, (part,), store = digits
    before = {path: path.stat().st_mtime_ns for path in Path(store.root).rglob("result.json")}
    (again,), _ = train(made, Path(store.root), device="cpu")
    assert again.rows == part.rows
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_an_interrupted_suite_goes_on_with_resume_alone(tmp_path: Path) -> None:
    made = tiny.plan(tmp_path)

    def interrupt(event: Any) -> None:
        if event.kind == "run" and event.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(made, tmp_path / "out", device="cpu", on_event=interrupt)
    with pytest.raises(StoreError, match="has not ended; go on with --resume"):
        train(made, tmp_path / "out", device="cpu")
    (part,), _ = train(made, tmp_path / "out", device="cpu", resume=True)
    assert len(part.rows) == made.trainings


def test_a_lost_run_is_told_and_leaves_no_mean(
    digits: tuple[SuitePlan, list[training.Part], Store],
) -> None:
    made, (part,), store = digits
    lost = {key: dict(row) for key, row in part.rows.items()}
    key = next(key for key in lost if key.detector == "omasgan" and key.fold == 1)
    lost[key] = {**lost[key], "outcome": "diverged", "auroc": None}
    other = next(k for k in lost if k.detector == "omasgan" and k.fold == 1 and k != key)
    broken = training.Part(part.benchmark, part.dataset, part.folds, lost)
    told = content.page(made, [broken], store, []).sections[0].prose
    assert any("1 of 8 trainings gave no score: omasgan, fold 1" in line for line in told)
    del lost[other]
    line = made.lines[0]
    assert np.isnan(Results(made, broken).cell(line).value)
    assert not np.isnan(Results(made, broken).cell(line, fold=0).value)


def test_a_printed_number_stands_at_its_fold_and_stage(
    digits: tuple[SuitePlan, list[training.Part], Store],
) -> None:
    made, (part,), _ = digits

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
    arm = made.suite.arms["OMASGAN"].model_copy(update={"published": ("a source",)})
    suite = made.suite.model_copy(update={"arms": {**made.suite.arms, "OMASGAN": arm}})
    one = Results(SuitePlan(suite, "smoke", made.benchmarks, made.lines, numbers), part)
    line = made.lines[0]
    # the score here is "combined"; what the paper prints without a stage is J's
    assert one.cell(line).printed == ()
    assert one.cell(line, "auroc.j").printed == (numbers[0],)
    assert one.cell(line, "auroc.j", fold=1).printed == (numbers[1],)
    assert one.cell(line, "auroc.task1").printed == (numbers[2],)
    assert len(content.printed(one.made, [one])) == 3


def test_the_plane_is_drawn_and_its_detectors_are_kept(
    square: tuple[SuitePlan, list[training.Part], Store],
) -> None:
    made, parts, store = square
    (section,) = content.page(made, parts, store, []).sections
    names = [figure.name for figure in section.figures]
    assert names == [
        "figure-99-plane", "figure-99-evolution", "figure-99-losses", "figure-99-grid",
        "figure-99-grid-convergence",
    ]  # fmt: skip
    assert all(figure.drawn.svg for figure in section.figures)
    (table,) = [t for t in section.tables if t.title == "Rates"]
    assert [line["stage"] for line in tiny.rows(table.frame)] == ["task1", "j"]
    assert "no test sample has a part in it" in table.caption
    (auroc,) = [t for t in section.tables if t.title == "AUROC"]
    assert list(auroc.frame["arm"]) == ["Ours"]


def test_arms_that_differ_in_task_2_share_task_1(
    square: tuple[SuitePlan, list[training.Part], Store],
) -> None:
    _, (part,), _ = square
    spared = [row["cached_seconds"] > 0 for row in part.rows.values()]
    assert (sum(spared), len(spared)) == (8, 10)


def test_the_threshold_is_the_held_out_normals_and_not_the_tests(
    square: tuple[SuitePlan, list[training.Part], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, (part,), store = square
    key = Results(made, part).key(made.lines[0], 0, 0)
    assert key is not None
    scores = store.scores(key)
    detector = plane._detector(store, key)
    held_out = detector.stage_scores(part.dataset.train.X[part.folds[0].validation])["j"]
    called = scores["j"].to_numpy() > np.quantile(held_out, plane.QUANTILE)
    anomalous = scores["label"].to_numpy() == 1
    found = plane.rates(store, part, key)["j"]
    assert found["recall"] == pytest.approx(called[anomalous].mean())
    assert found["accuracy"] == pytest.approx((called == anomalous).mean())
    assert not set(part.folds[0].validation) & set(part.folds[0].train)
