"""AnoGAN: its GAN's losses, its search against a naive one, and that it learns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from omasgan.detectors import parameters
from omasgan.detectors.anogan import LOOK_EVERY, SLOTS, AnoGAN, _Searches
from omasgan.nn import batches
from tests.contracts.test_detector import images, quick, vectors
from tests.detectors.learning import trained_and_untrained


def begun(name: str, X: np.ndarray, **params: Any) -> tuple[Any, batches.Sampler]:
    """A detector in the midst of its training, and what it draws from."""
    detector = quick(name, **params)
    next(detector.fit_epochs(X))
    return detector, batches.Sampler(X, np.arange(len(X)), torch.device("cpu"))


def weights(network: nn.Module) -> Tensor:
    return torch.cat([p.flatten() for p in network.parameters()]).detach().clone()


class Identity(nn.Module):
    """A generator whose samples are its latents; counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def forward(self, z: Tensor) -> Tensor:
        self.looks += 1
        return z


def naive_search(detector: AnoGAN, x: Tensor) -> list[float]:
    """The best loss, residual and features' distance of one sample ``(1, ...)``."""
    G, D = detector._networks["G"], detector._networks["D"]
    losses = []
    for start in detector._starts().to(x):
        z = start[None].clone().requires_grad_()
        optimiser = torch.optim.Adam([z], lr=detector.search_lr)
        mark, stale = math.inf, 0
        for _ in range(detector.search_steps):
            optimiser.zero_grad()
            residual = (x - G(z)).abs().sum()
            distance = (D.features(x) - D.features(G(z))).abs().sum()
            loss = (1 - detector.feature_weight) * residual + detector.feature_weight * distance
            loss.backward()
            optimiser.step()
            losses.append([loss.item(), residual.item(), distance.item()])
            stale += 1
            if loss.item() < (1 - detector.tolerance) * mark:
                mark, stale = loss.item(), 0
            if stale == detector.patience:
                break
    return min(losses)


@pytest.mark.parametrize("maker", [images, vectors])
def test_one_step_trains_both_networks(maker: Any) -> None:
    detector, normals = begun("anogan", maker())
    before = {name: weights(network) for name, network in detector._networks.items()}
    detector._step("gan", normals)
    for name, network in detector._networks.items():
        assert not torch.equal(before[name], weights(network)), name


def test_the_losses_of_a_critic_that_knows_nothing() -> None:
    """-log D(x) - log(1 - D(G(z))) = 2 log 2 where D is 1/2; its first step gives D a lead, and
    G's -log D(G(z)) is more than log 2.
    """
    detector, normals = begun("anogan", images(), lr=1e-3)
    for p in detector._networks["D"].head.parameters():
        nn.init.zeros_(p)
    losses = detector._step("gan", normals)
    assert losses["d"].item() == pytest.approx(2 * math.log(2), rel=1e-5)
    assert losses["g"].item() > math.log(2)


@pytest.mark.parametrize(
    "params",
    [
        {"search_steps": 40, "patience": 40},
        {"search_steps": 40, "patience": 3, "search_lr": 0.3, "tolerance": 0.05},
        {"search_steps": 15, "restarts": 3, "patience": 5, "tolerance": 0.02},
    ],
    ids=str,
)
@pytest.mark.parametrize("maker", [images, vectors])
def test_the_search_is_the_naive_one(params: dict[str, Any], maker: Any) -> None:
    """In float64, where rounding has not the time to grow."""
    detector = quick("anogan").fit(maker()).set_params(**params)
    for network in detector._networks.values():
        network.double()
    X = maker(3, seed=1)
    x = torch.from_numpy(X).double() / (127.5 if X.dtype == np.uint8 else 1.0)
    expected = np.array([naive_search(detector, x[i : i + 1]) for i in range(len(x))])
    with torch.no_grad():
        scores = detector._scores(x)
    for stage, column in zip(("anogan", "residual", "features"), expected.T, strict=True):
        np.testing.assert_allclose(scores[stage].numpy(), column, rtol=1e-7, err_msg=stage)


def test_scores_do_not_depend_on_the_batch_after_a_long_search() -> None:
    """Long enough for the last bit to grow; more samples than there are slots."""
    X = images(SLOTS["cpu"] + 30)
    detector = AnoGAN(train_steps=60, width=8, seed=0, device="cpu").fit(X)
    scores = detector.decision_function(X)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_allclose(detector.decision_function(X[order]), scores[order], rtol=1e-4)
    for i in (0, 50, len(X) - 1):
        np.testing.assert_allclose(detector.decision_function(X[i : i + 1]), scores[i], rtol=1e-4)


def test_how_often_ended_searches_are_looked_for_is_of_no_effect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They end by both rules, and others take their places later."""
    X = images(SLOTS["cpu"] + 30)
    params = {"search_steps": 21, "patience": 2, "tolerance": 0.01, "restarts": 2}
    detector = quick("anogan").fit(X).set_params(**params)
    each_step = detector.stage_scores(X)
    for every in (8, 30):
        monkeypatch.setitem(LOOK_EVERY, "cpu", every)
        for stage, scores in detector.stage_scores(X).items():
            assert np.array_equal(scores, each_step[stage]), (stage, every)


def test_a_sample_that_a_search_starts_from_scores_nothing() -> None:
    detector = quick("anogan", restarts=2).fit(images())
    with torch.no_grad():
        X = detector._networks["G"](detector._starts()).numpy()
    assert detector.decision_function(X).max() < 1e-3
    assert detector.decision_function(-X).min() > 1


def test_a_score_is_the_weighted_sum_of_its_parts() -> None:
    X = images()
    scores = quick("anogan", feature_weight=0.3).fit(X).stage_scores(X)
    expected = 0.7 * scores["residual"] + 0.3 * scores["features"]
    np.testing.assert_allclose(scores["anogan"], expected, rtol=1e-5)


def test_searches_that_have_ended_cost_nothing() -> None:
    """Half of the searches end at once. They make room for the others."""
    x = torch.zeros(4 * SLOTS["cpu"], 2)
    x[::2] = 100.0
    looks = []
    for patience in (1, 40):
        params = AnoGAN(search_steps=40, patience=patience, tolerance=0.0, search_lr=1.0)
        generate = Identity()
        losses = _Searches(params, generate, nn.Identity(), x, torch.zeros(1, 2)).run()
        assert (losses[0, 1::2] == 0).all()
        looks.append(generate.looks)
    # At most two waves of long searches and a few short ones, against four waves.
    assert looks[0] < 3 * 40
    assert looks[1] == 4 * 40


def test_decision_function_is_the_score_that_stage_names() -> None:
    X = images()
    choices = parameters(AnoGAN)["stage"].choices
    assert set(choices) == set(quick("anogan").fit(X).stage_scores(X))
    for score in choices:
        detector = quick("anogan", stage=score).fit(X)
        assert np.array_equal(detector.decision_function(X), detector.stage_scores(X)[score])


def test_training_beats_no_training() -> None:
    """One-vs-rest: a GAN of one digit alone has no latent for another. Not a fold like that of 0,
    where even untrained networks, which put out blanks, score 0.8.
    """
    trained, untrained = trained_and_untrained(
        "anogan", "digits-occ", 4, {"train_steps": 1}, width=16, train_steps=200, search_steps=50
    )
    assert trained > max(0.8, untrained + 0.1)
