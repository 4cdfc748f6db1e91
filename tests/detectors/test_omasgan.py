"""OMASGAN's own rules: what trains what, where B's samples lie, and how a failure shows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from omasgan.data import datasets, metrics
from omasgan.detectors import omasgan, parameters
from omasgan.detectors.omasgan import OMASGAN
from omasgan.errors import ConfigError, TrainingDiverged
from omasgan.nn import tails
from omasgan.nn.boundary import mean_pairwise
from tests.contracts.test_detector import MAKERS, images, quick, trained, vectors

PHASES = ("gan", "boundary", "retrain", "detector")

SYNTHETIC: dict[str, Any] = {
    # The paper's free B on 2-D data. The GAN divergence saturates, which holds the critic's
    # outputs, and so B, near the data.
    "form": "pixel",
    "divergence": "gan",
    "penalty": 1.0,
    "spectral_norm": False,
    "latent_dim": 2,
    "width": 64,
    "depth": 3,
    "batch_size": 64,
    "gan_steps": 250,
    "boundary_steps": 150,
    "retrain_steps": 50,
    "detector_steps": 200,
    "gan_lr": 1e-3,
    "boundary_lr": 1e-3,
    "mu": 2.0,
    "detector_width": 64,
    "detector_depth": 3,
    "zeta": 1.0,
    "nu": 4.0,
}


def choices(parameter: str) -> tuple[Any, ...]:
    return parameters(OMASGAN)[parameter].choices


def advance(detector: OMASGAN, X: np.ndarray, phase: str) -> Any:
    """Train up to the first epoch of ``phase`` inclusive; gives the iterator."""
    epochs = detector.fit_epochs(X)
    while next(epochs).phase != phase:
        pass
    return epochs


def weights(detector: OMASGAN, name: str) -> torch.Tensor:
    return torch.cat([p.flatten() for p in detector._networks[name].parameters()]).clone()


def maker_of_b(form: str) -> str:
    """The network that makes B's samples."""
    return "autoencoder" if form in ("latent", "between") else "B"


@pytest.mark.parametrize("form", choices("form"))
def test_g_d_b_c_and_j_are_separate_instances(form: str) -> None:
    detector = quick("omasgan", form=form).fit(images())
    owners: dict[int, str] = {}
    assert {"G", "D", maker_of_b(form), "C", "G'", "J"} <= detector._networks.keys()
    for name, network in detector._networks.items():
        for p in network.parameters():
            assert owners.setdefault(p.data_ptr(), name) == name


def test_b_starts_from_g() -> None:
    detector = quick("omasgan", form="pixel", boundary_steps=0).fit(images())
    assert torch.equal(weights(detector, "B"), weights(detector, "G"))


def test_retraining_moves_g_s_successor_and_nothing_before_it() -> None:
    X = images()
    detector = quick("omasgan")
    epochs = advance(detector, X, "retrain")
    before = {name: weights(detector, name) for name in ("G", "D", "B", "critic")}
    moved = weights(detector, "G'")
    assert not torch.equal(moved, weights(detector, "G"))
    next(epochs)
    assert not torch.equal(moved, weights(detector, "G'"))
    for name, old in before.items():
        assert torch.equal(old, weights(detector, name)), name


@pytest.mark.parametrize(("phase", "learner"), [("retrain", "C"), ("detector", "J")])
@pytest.mark.parametrize("form", choices("form"))
def test_b_s_samples_train_c_and_j(phase: str, learner: str, form: str) -> None:
    """The released code passes a constant here: with another B nothing would change."""
    X = images()
    after = []
    for change in (0.0, 0.5):
        detector = quick("omasgan", form=form)
        epochs = advance(detector, X, phase)
        with torch.no_grad():
            for p in detector._networks[maker_of_b(form)].parameters():
                p.add_(change * torch.linspace(-1, 1, p.numel()).reshape(p.shape))
        next(epochs)
        after.append(weights(detector, learner))
    assert not torch.equal(*after)


@pytest.mark.parametrize(("weight", "network"), [("gamma", "B"), ("delta", "G")])
def test_a_loss_without_weight_costs_nothing_in_retraining(weight: str, network: str) -> None:
    without, with_it = (forwards_in_retraining(network, **{weight: w}) for w in (0.0, 0.5))
    assert without < with_it


def test_positives_without_weight_cost_nothing() -> None:
    calls: dict[float, int] = {}
    for zeta in (0.5, 1.0):
        detector, made = quick("omasgan", zeta=zeta), []
        epochs = advance(detector, images(), "retrain")
        next(epochs)
        detector._networks["G'"].register_forward_hook(lambda *of, made=made: made.append(of))
        next(epochs)
        calls[zeta] = len(made)
    assert calls[1.0] == 0 < calls[0.5]


def forwards_in_retraining(network: str, **params: float) -> int:
    """How often a network is called in Task 3; its health is looked at, too."""
    detector = quick("omasgan", form="pixel", **params)
    epochs = advance(detector, images(), "boundary")
    total, calls = 0, []
    detector._networks[network].register_forward_hook(lambda *of: calls.append(of))
    for epoch in epochs:
        total += len(calls) if epoch.phase == "retrain" else 0
        calls.clear()
    return total


def test_the_boundary_phase_moves_b() -> None:
    X = images()
    detector = quick("omasgan")
    epochs = advance(detector, X, "boundary")
    before = weights(detector, "B")
    next(epochs)
    assert not torch.equal(before, weights(detector, "B"))


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("negatives", choices("negatives"))
def test_controls_change_j_and_nothing_before_it(negatives: str, kind: str) -> None:
    detector, X = trained("omasgan", kind)
    method = detector.stage_scores(X)
    control = quick("omasgan", negatives=negatives).fit(X).stage_scores(X)
    assert np.array_equal(control["task1"], method["task1"])
    assert np.array_equal(control["task3"], method["task3"])
    assert np.array_equal(control["j"], method["j"]) == (negatives == "boundary")


@pytest.mark.parametrize("maker", [images, vectors])
@pytest.mark.parametrize(
    "params",
    [
        {"form": "pixel"},
        {"form": "pixel", "penalty": 1.0, "precision": "bfloat16"},
        {"form": "pixel", "normalised": False},
        {"base": "generator"},
        {"residual": 0.1},
        {"form": "latent"},
        {"form": "latent", "precision": "bfloat16", "base": "generator"},
        {"form": "between", "guide": "j", "penalty": 1.0},
        {"form": "mixture", "ema": 0.9},
        {"form": "mixture", "precision": "bfloat16", "reconstructed": 0.0},
        {"ema": 0.9},
        {"spectral_norm": False, "penalty": 1.0},
        {"zeta": 1.0, "critic_steps": 2},
        {"precision": "bfloat16"},
        *({"divergence": d, "penalty": 1.0} for d in choices("divergence")),
    ],
    ids=str,
)
def test_every_variant_trains(params: dict[str, Any], maker: Any) -> None:
    X = maker()
    detector = quick("omasgan", **params)
    phases = [epoch.phase for epoch in detector.fit_epochs(X)]
    decodes = params.get("form") in omasgan.DECODED
    expected = ["gan", "autoencoder", *PHASES[1:]] if decodes else list(PHASES)
    assert list(dict.fromkeys(phases)) == expected
    assert np.isfinite(detector.decision_function(X)).all()


def test_epochs_count_through_the_phases_and_carry_b_s_health() -> None:
    epochs = list(quick("omasgan").fit_epochs(images()))
    assert [e.index for e in epochs] == list(range(8))
    for epoch in epochs:
        health = {"spread", "alike", "distance", "collapsed"}
        assert health & set(epoch.losses) == (set() if epoch.phase == "gan" else health)
    assert "j_negative" in epochs[-1].losses


def test_collapse_is_seen() -> None:
    X = images()
    detector = quick("omasgan", form="pixel", boundary_lr=1e-9)
    epochs = advance(detector, X, "boundary")
    with torch.no_grad():
        for p in detector._networks["B"].parameters():
            p.zero_()
    losses = next(epochs).losses
    assert losses["collapsed"] == 1.0
    assert losses["spread"] < 0.1


@pytest.mark.slow
def test_the_literal_weights_collapse_b_on_mnist() -> None:
    """mu = 0.2, nu = 0.3 in the paper's literal form: one dot pattern in varying strength."""
    root = os.environ.get("OMASGAN_DATA")
    if root is None:
        pytest.skip("OMASGAN_DATA is not set: no real MNIST")
    train = datasets.load("mnist", root=Path(root)).train
    detector = OMASGAN(
        form="pixel",
        normalised=False,
        mu=0.2,
        nu=0.3,
        gan_steps=300,
        boundary_steps=150,
        retrain_steps=0,
        detector_steps=0,
        seed=0,
        device="cpu",
    )
    *_, last = detector.fit_epochs(train.X[train.classes != 0])
    assert last.losses["collapsed"] == 1.0


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    detector = quick("omasgan", gan_lr=1e30, spectral_norm=False, divergence="pearson")
    with pytest.raises(TrainingDiverged, match=r"in phase 'gan', epoch \d+; try a lower rate"):
        detector.fit(images())


def test_training_of_no_steps_is_refused() -> None:
    phases = dict.fromkeys([f"{phase}_steps" for phase in PHASES], 0)
    with pytest.raises(ConfigError, match="at least one phase needs steps"):
        OMASGAN(**phases).fit(images())


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 4 samples, got 3"):
        quick("omasgan").fit(images(3))


def test_a_state_of_other_params_is_refused() -> None:
    state = trained("omasgan", "images")[0].state_dict()
    with pytest.raises(ConfigError, match="the state belongs to other params"):
        quick("omasgan", width=16).load_state_dict(state)


def test_decision_function_is_the_score_that_stage_names() -> None:
    X = images()
    detector = quick("omasgan").fit(X)
    for score, values in detector.stage_scores(X).items():
        detector.set_params(stage=score)
        assert np.array_equal(detector.decision_function(X), values)
    assert detector.stage_scores(X).keys() == set(choices("stage"))


@pytest.mark.parametrize("name", omasgan.SUMS)
def test_a_sum_adds_how_unlikely_its_parts_are_among_held_out_normals(name: str) -> None:
    detector, X = trained("omasgan", "images")
    scores = detector.stage_scores(X)
    held_out = dict(zip(omasgan.PARTS, detector._fitted["held_out"].numpy(), strict=True))
    parts = omasgan.SUMS[name]
    known, values = (np.stack([of[part] for part in parts]) for of in (held_out, scores))
    assert np.array_equal(scores[name], tails.fisher(known, values).astype(np.float32))


def test_local_and_density_look_at_j_s_features_and_input_density_at_samples() -> None:
    X = images()
    detector = quick("omasgan").fit(X)
    before = detector.stage_scores(X)
    with torch.no_grad():
        for p in detector._networks["J"].features.parameters():
            p.add_(0.1 * torch.linspace(-1, 1, p.numel()).reshape(p.shape))
    after = detector.stage_scores(X)
    moved = {stage for stage in before if not np.array_equal(before[stage], after[stage])}
    assert moved == {"j", "neighbours", "local", "density", *omasgan.SUMS}


def test_scores_of_the_features_ignore_j_s_head() -> None:
    X = images()
    detector = quick("omasgan").fit(X)
    before = detector.stage_scores(X)
    with torch.no_grad():
        detector._networks["J"].head.weight.neg_()
    after = detector.stage_scores(X)
    for stage in ("neighbours", "local", "density"):
        assert np.array_equal(before[stage], after[stage]), stage
    assert not np.array_equal(before["j"], after["j"])


@pytest.mark.parametrize("form", ["latent", "between"])
def test_samples_that_go_no_step_are_the_form_s_control(form: str) -> None:
    X = images()
    scores = [
        quick("omasgan", form=form, **params).fit(X).stage_scores(X)["j"]
        for params in ({"moves": 0}, {"moves": 0, "negatives": "random"}, {"moves": 1})
    ]
    assert np.array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


@pytest.mark.parametrize("guide", choices("guide"))
def test_steps_of_codes_go_down_eq_2(guide: str) -> None:
    X = images()
    detector = quick("omasgan", form="latent", guide=guide, nu=0.0, move_rate=0.1).fit(X)
    x = torch.from_numpy(X.astype(np.float32) / np.float32(127.5) - 1)
    z = torch.randn(len(x), detector.latent_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        normal = detector._networks["autoencoder"](x)
        values = [
            detector._eq_2(detector._decoded(z, x, moves, same_draws()), normal, z).item()
            for moves in (0, 1, 3)
        ]
    assert values == sorted(values, reverse=True)


def same_draws() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_the_guide_counts_for_j_alone() -> None:
    X = images()
    scores = [
        quick("omasgan", form="latent", guide=g).fit(X).stage_scores(X) for g in ("critic", "j")
    ]
    assert np.array_equal(scores[0]["task3"], scores[1]["task3"])
    assert not np.array_equal(scores[0]["j"], scores[1]["j"])


def test_normals_carry_the_traces_of_what_negatives_went_through() -> None:
    detector = quick("omasgan", form="mixture", reconstructed=0.25).fit(images())
    x = torch.from_numpy(images(8).astype(np.float32) / np.float32(127.5) - 1)
    with torch.no_grad():
        decoded = detector._networks["autoencoder"](x[6:])
        for kind, bent in (("latent", False), ("between", False), ("mixture", True)):
            like = detector._like(x, kind)
            torch.testing.assert_close(like[6:], decoded)
            assert torch.equal(like[:6], x[:6]) != bent
    assert torch.equal(detector._like(x, "pixel"), x)


def test_a_control_shows_what_j_was_trained_against() -> None:
    X = images()
    assert "negatives" not in quick("omasgan").fit(X).samples(X)
    shown = quick("omasgan", negatives="noise").fit(X).samples(X)
    assert shown["negatives"].shape == shown["B"].shape
    assert not np.array_equal(shown["negatives"], shown["B"])


def test_a_state_of_an_earlier_version_is_refused() -> None:
    state = trained("omasgan", "images")[0].state_dict()
    state["fitted"] = {"reference": state["fitted"]["near.reference"]}
    with pytest.raises(ConfigError, match=r"earlier version"):
        quick("omasgan").load_state_dict(state)


@pytest.mark.parametrize("divergence", choices("divergence"))
def test_the_scores_of_critics_are_their_raw_outputs(divergence: str) -> None:
    X = images()
    detector = quick("omasgan", divergence=divergence).fit(X)
    scores = detector.stage_scores(X)
    x = torch.from_numpy(X.astype(np.float32) / np.float32(127.5) - 1)
    for stage, critic in (("task1", "D"), ("task3", "C")):
        with torch.no_grad():
            raw = detector._networks[critic](x)
        np.testing.assert_allclose(scores[stage], -raw.numpy(), rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module", params=["gaussian", "two-gaussians"])
def synthetic(request: pytest.FixtureRequest) -> tuple[OMASGAN, np.ndarray, np.ndarray]:
    """A detector trained on a 2-D set, its training samples, the mode that each belongs to."""
    name = request.param
    X = datasets.load(name).train.X
    detector = OMASGAN(**SYNTHETIC, seed=0, device="cpu").fit(X)
    sides = X[:, 0] > 0 if name == "two-gaussians" else np.zeros(len(X), dtype=bool)
    return detector, X, sides


def test_b_s_samples_lie_around_the_data(
    synthetic: tuple[OMASGAN, np.ndarray, np.ndarray],
) -> None:
    detector, X, sides = synthetic
    z = torch.randn(2000, 2, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        b = detector._boundary_samples(z, torch.empty(0), torch.Generator()).numpy()
    centres = np.array([X[sides == side].mean(0) for side in np.unique(sides)])
    radius = np.mean([X[sides == side].std(0) for side in np.unique(sides)])
    offsets = b[:, None] - centres[None]
    distance = np.linalg.norm(offsets, axis=2)
    nearest = distance.argmin(1)
    away = distance.min(1) / radius
    # Not on the data (whose median lies 1.18 standard deviations out), not far away.
    assert np.median(away) > 1.5
    typical = mean_pairwise(torch.from_numpy(X[::8].copy())).item()
    assert np.quantile(distance.min(1), 0.95) < 3.5 * typical
    for mode in range(len(centres)):
        around = offsets[nearest == mode, mode]
        assert len(around) > 0.2 * len(b)
        angles = np.arctan2(around[:, 1], around[:, 0])
        share = np.histogram(angles, bins=8, range=(-np.pi, np.pi))[0] / len(around)
        assert share.min() > 0.02, share


def test_j_separates_a_ring_of_anomalies(
    synthetic: tuple[OMASGAN, np.ndarray, np.ndarray],
) -> None:
    detector, X, sides = synthetic
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    centres = [X[sides == side].mean(0) for side in np.unique(sides)]
    radius = 5 * np.mean([X[sides == side].std(0) for side in np.unique(sides)])
    ring = np.concatenate([centre + radius * circle for centre in centres]).astype(np.float32)
    # Where a ring passes through the other mode it is no anomaly.
    apart = np.linalg.norm(ring[:, None] - np.array(centres)[None], axis=2).min(1) > 0.99 * radius
    test = np.concatenate([X[:1000], ring[apart]])
    labels = np.repeat([0, 1], [1000, apart.sum()])
    assert metrics.auroc(labels, detector.stage_scores(test)["j"]) > 0.95


def test_new_normals_are_called_anomalous_about_as_often_as_contamination_says() -> None:
    """Training samples would be their own neighbours, and are known to J and to the densities."""
    X, new = images(300), images(400, seed=1)
    detector = quick("omasgan", detector_steps=30).fit(X)
    for stage in (*omasgan.PARTS, *omasgan.SUMS):
        detector.set_params(stage=stage)
        detector._remember(X)
        share = (detector.decision_function(new) > detector.threshold_).mean()
        assert 0.01 < share < 0.25, (stage, share)
