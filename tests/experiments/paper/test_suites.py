"""Suites are data: every shipped one loads and plans, and mistakes have a message."""

from __future__ import annotations

from pathlib import Path

import pytest

from omasgan import config, detectors
from omasgan.data import published
from omasgan.detectors.base import IterativeDetector
from omasgan.errors import ConfigError
from omasgan.experiments.paper import planning, suites
from omasgan.report.paper import drawings
from tests.experiments.paper import tiny

COUNTS = {
    "figure-3": (26, 78, 84),
    "figure-4": (14, 42, 210),
    "figure-5": (16, 48, 240),
    "figure-6": (14, 42, 210),
    "figure-7": (16, 48, 240),
    "figure-8": (4, 12, 60),
    "figure-9": (18, 54, 270),
    "figure-10": (4, 12, 60),
    "figure-11": (12, 18, 60),
    "table-1": (0, 0, 0),
    "table-2": (8, 24, 24),
    "table-3": (4, 12, 12),
    "bdsg": (20, 60, 66),
    "boundary": (18, 18, 18),
    "selection-regret": (6, 300, 1000),
    "selection-regret-images": (8, 240, 600),
    "selection-regret-vae": (6, 200, 300),
    "waic": (24, 24, 72),
}


def test_every_figure_and_table_of_the_paper_has_its_suite() -> None:
    assert suites.names() == list(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_trainings_by_budget(name: str) -> None:
    suite = suites.load(name)
    plans = [planning.schedule(suite, budget) for budget in suites.BUDGETS]
    assert tuple(plan.trainings for plan in plans) == COUNTS[name]
    smoke, small, full = plans
    for plan in plans:
        assert all(plan.of(drawing) or not plan.variants for drawing in suite.drawings)
    if smoke.variants:
        assert smoke.settings.is_capped
        assert not small.settings.is_capped and not full.settings.is_capped


def test_the_small_budget_is_the_defaults_own_on_three_folds() -> None:
    for name in ("figure-4", "figure-6", "figure-8", "figure-9"):
        plan = planning.schedule(suites.load(name), "small")
        assert len(plan.settings.folds) >= 3
        for variant in plan.variants:
            if variant.settings == suites.DEFAULTS:
                cls = detectors.load(variant.detector)
                given = plan.suite.arms[variant.arm].params
                assert variant.params == detectors.check_params(cls, given)


def test_the_full_budget_takes_the_papers_settings() -> None:
    plan = planning.schedule(suites.load("figure-6"), "full")
    by_label = {variant.label: variant for variant in plan.variants}
    printed = by_label["OMASGAN, printed settings"].params
    named = ("mu", "nu", "boundary_batch", "boundary_reference", "zeta", "gamma", "latent_dim")
    assert [printed[name] for name in named] == [0.2, 0.3, 256, 1024, 0.5, 0.7, 128]
    assert printed["alpha"] + printed["delta"] == pytest.approx(0.7)
    assert by_label["AnoGAN"].settings == "cifar10-loo/anogan.toml"
    assert by_label["OMASGAN, our defaults"].settings == suites.DEFAULTS


def test_suites_on_the_same_images_share_their_trainings() -> None:
    keys = {}
    for name in ("figure-4", "figure-5", "figure-8"):
        plan = planning.schedule(suites.load(name), "smoke")
        (benchmark,) = plan.benchmarks
        keys[name] = {
            key for key, variant in plan.keys(benchmark).items() if variant.arm[:7] == "OMASGAN"
        }
    assert keys["figure-4"] == keys["figure-5"] == keys["figure-8"]


def test_every_f_divergence_is_a_base_of_figure_9() -> None:
    from omasgan.nn.divergences import F_DIVERGENCES

    plan = planning.schedule(suites.load("figure-9"), "small")
    assert {variant.params["divergence"] for variant in plan.variants} == {
        "kl-wgan",
        *F_DIVERGENCES,
    }


@pytest.mark.parametrize("name", COUNTS)
def test_printed_numbers_are_of_the_same_data_protocol_and_detector(name: str) -> None:
    plan = planning.schedule(suites.load(name), "smoke")
    for benchmark in plan.benchmarks:
        for variant in plan.variants:
            for number in plan.numbers(benchmark, variant):
                theirs = (number.dataset, number.protocol, number.anomalies, number.detector)
                ours = (benchmark.dataset, benchmark.protocol, benchmark.anomalies or "")
                assert theirs == (*ours, variant.detector)


def test_a_source_of_another_protocol_is_refused(tmp_path: Path) -> None:
    source = "AGAD paper (arXiv 2304.04211), table of others' results"
    numbers = [n for n in published.read() if (n.source, n.dataset) == (source, "mnist")]
    assert {n.protocol for n in numbers if n.detector == "deep-svdd"} == {"one-vs-rest"}
    text = tiny.TINY.replace(
        'detector = "knn"', f'detector = "deep-svdd"\npublished = ["{source}"]'
    ).replace("digits-loo", "mnist-loo")
    with pytest.raises(ConfigError, match="no published number of 'deep-svdd' on mnist-loo has"):
        tiny.plan(tmp_path, text)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('detector = "knn"', 'detector = "kn"', "did you mean 'knn'"),
        ("digits-loo", "digit-loo", "did you mean 'digits-loo'"),
        ('arms = ["OMASGAN"]', 'arms = ["OMASGN"]', "did you mean 'OMASGAN'"),
        ("gan_steps = 4", "gan_step = 4", "did you mean 'gan_steps'"),
        ('kind = "folds"', 'kind = "fold"', "drawings.0.kind: Input should be 'folds'"),
        ("[budgets.full]", "[budgets.ful]", "budgets"),
        ('about = "In no paper."', 'about = "x"\nbudget = "image"', "did you mean 'images'"),
        ('about = "In no paper."', 'about = "x"\nabuot = "y"', "abuot: no such key"),
        ('detector = "knn"', 'detector = "knn"\nsettings = "mnist-loo"', "no settings of 'knn'"),
        ('detector = "knn"', 'detector = "knn"\nensemble = 1', "arms.1-NN.ensemble: Input should"),
        (
            'detector = "knn"',
            'detector = "knn"\nsettings = "mnist-lo"',
            "did you mean 'mnist-loo'",
        ),
    ],
)
def test_a_mistake_in_a_suite_has_a_message(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    assert old in tiny.TINY
    with pytest.raises(ConfigError, match=message):
        tiny.plan(tmp_path, tiny.TINY.replace(old, new, 1))


def test_the_suite_in_the_documentation_is_one(tmp_path: Path) -> None:
    text = (config.paper_suites().parents[1] / "docs" / "paper.md").read_text()
    plan = tiny.plan(tmp_path, text.split("```toml\n")[1].split("```")[0])
    assert [variant.label for variant in plan.variants][:2] == [
        "OMASGAN, radius 0.1",
        "OMASGAN, radius 0.2",
    ]
    assert plan.trainings == 8


def test_a_wrong_name_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="unknown suite 'figre-4'; did you mean 'figure-4'"):
        suites.load("figre-4")


def test_what_wins_over_what(tmp_path: Path) -> None:
    text = tiny.TINY.replace(
        f"params = {{ {tiny.OMASGAN} }}",
        'settings = "mnist-loo"\nparams = { nu = 7.0 }\nvary = { zeta = [0.25, 1.0] }',
    ).replace("[budgets.small]", "[budgets.smoke.params]\nomasgan = { mu = 5.0, nu = 5.0 }\n"
              "[budgets.small]")  # fmt: skip
    text = text.replace('arms = ["OMASGAN"]', "")
    plan = tiny.plan(tmp_path, text)
    first, second, _ = plan.variants
    assert (first.label, second.label) == ("OMASGAN, zeta 0.25", "OMASGAN, zeta 1.0")
    assert [first.params[n] for n in ("mu", "nu", "zeta", "form")] == [5.0, 7.0, 0.25, "pixel"]


def test_every_kind_of_drawing_is_drawn_by_some_suite() -> None:
    kinds = {d.kind for name in suites.names() for d in suites.load(name).drawings}
    assert kinds == set(drawings.KINDS)


def test_detectors_say_what_they_are_built_on() -> None:
    assert IterativeDetector.properties == frozenset()
    properties = {name: detectors.load(name).properties for name in detectors.names()}
    assert max(properties, key=lambda name: len(properties[name])) == "omasgan"
    assert {name for name in properties if "autoencoder" in properties[name]} == {
        "vae", "ganomaly", "adae", "aed", "rapp", "conad", "ognet", "nae"
    }  # fmt: skip
    assert {name for name in properties if "GAN" in properties[name]} == {
        "omasgan", "anogan", "egbad", "fencegan", "wgan", "tailgan", "minlgan"
    }  # fmt: skip


def test_all_systems_of_table_1_are_detectors_and_say_what_they_are_built_on() -> None:
    assert len(set(drawings.OF_TABLE_1)) == 14
    for name in drawings.OF_TABLE_1:
        assert detectors.load(name).properties, name


def test_printed_settings_name_their_source() -> None:
    for folder in ("mnist-loo", "cifar10-loo", "student-t-2d"):
        file = config.published_params(folder) / "omasgan.toml"
        assert "Dionelis" in config.load_toml(file)["source"]
        detectors.check_params(detectors.load("omasgan"), config.load_params(file))
