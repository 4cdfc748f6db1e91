"""Deep SAD: without labels Deep SVDD, with them anomalies are kept from the centre."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch

from omasgan.data import metrics
from omasgan.detectors.deep_sad import EPSILON, DeepSAD, bounded_inverse
from omasgan.errors import ConfigError, DataError
from tests.contracts.test_detector import images, quick, vectors
from tests.detectors.test_deep_svdd import codes


def bright(n: int) -> np.ndarray:
    """Images unlike ``images()``, uint8 ``(n, 1, 8, 8)``."""
    return (255 - images(n, seed=7)).astype(np.uint8)


@pytest.mark.parametrize("anomalies", [None, np.empty((0, 1, 8, 8), np.uint8)], ids=["none", "0"])
def test_without_labels_it_is_deep_svdd_bit_for_bit(anomalies: np.ndarray | None) -> None:
    X = images()
    sad, svdd = quick("deep-sad"), quick("deep-svdd")
    assert list(sad.fit_epochs(X, anomalies)) == list(svdd.fit_epochs(X))
    assert np.array_equal(sad.decision_function(X), svdd.decision_function(X))


def test_the_loss_weighs_the_sums_of_the_paper() -> None:
    """One sample of each kind, so that each batch holds copies of it."""
    X, anomalies = np.full((30, 2), 0.5, np.float32), np.full((3, 2), -0.5, np.float32)
    detector = quick("deep-sad", eta=2.0, pull=1e9, weight_decay=0.0, epoch_steps=1)
    for epoch in detector.fit_epochs(X, anomalies):
        if epoch.phase == "train":
            break
        before = deepcopy(detector.state_dict())
    again = quick("deep-sad", eta=2.0, pull=1e9, weight_decay=0.0, epoch_steps=1)
    again.load_state_dict(before)
    losses: list[torch.Tensor] = []
    again._update = lambda loss, *names: losses.append(loss)  # type: ignore[method-assign]
    epoch = next(again.fit_epochs(X, anomalies))
    distance = (codes(again, X[:1]) - again._fitted["centre"]).square().sum().item()
    far = (codes(again, anomalies[:1]) - again._fitted["centre"]).square().sum().item()
    assert epoch.losses["distance"] == pytest.approx(distance, rel=1e-4)
    assert epoch.losses["inverse"] == pytest.approx(1 / (far + EPSILON), rel=1e-4)
    assert losses[0].item() == pytest.approx((30 * distance + 2.0 * 3 / far) / 33, rel=1e-3)


def test_an_anomaly_is_pushed_as_the_inverse_of_its_distance_says() -> None:
    distances = torch.tensor([0.5, 1.0, 4.0], requires_grad=True)
    bounded_inverse(distances, 100.0).sum().backward()
    expected = -1 / (distances.detach() + EPSILON).square()
    torch.testing.assert_close(distances.grad, expected)


def test_no_anomaly_pulls_without_bound() -> None:
    code = torch.tensor([[1e-4, 0.0], [0.02, 0.02], [0.2, 0.1], [3.0, 0.0]], requires_grad=True)
    values = bounded_inverse(code.square().sum(1), 10.0)
    values.sum().backward()
    assert code.grad is not None
    assert code.grad.norm(dim=1).max() <= 10.0
    assert code.grad.norm(dim=1)[1].item() == pytest.approx(10.0, rel=1e-2)
    assert (values[:-1] > values[1:]).all(), "nearer is worse, also within the bound"


@pytest.mark.parametrize("maker", [images, vectors])
def test_the_centre_is_the_mean_of_all_samples(maker: Any) -> None:
    X, anomalies = maker(), maker(9, seed=5)
    detector = quick("deep-sad", centre_margin=0.0, depth=2)
    for epoch in detector.fit_epochs(X, anomalies):
        if epoch.phase == "pretrain":
            expected = codes(detector, np.concatenate([X, anomalies])).mean(0)
        else:
            break
    torch.testing.assert_close(detector._fitted["centre"], expected, rtol=1e-4, atol=1e-5)


def test_pretraining_sees_each_kind_at_its_share() -> None:
    X, anomalies = np.zeros((30, 1), np.float32), np.ones((10, 1), np.float32)
    detector = quick("deep-sad", batch_size=2000)
    next(detector.fit_epochs(X, anomalies))
    drawn = detector._pretraining_samples(detector._normals(X))
    assert drawn.mean().item() == pytest.approx(0.25, abs=0.04)


def test_resume_equals_uninterrupted_with_labels() -> None:
    X, anomalies = images(), bright(5)
    whole, resumed = quick("deep-sad"), quick("deep-sad")
    epochs = whole.fit_epochs(X, anomalies)
    for _ in range(3):
        next(epochs)
    resumed.load_state_dict(deepcopy(whole.state_dict()))
    assert list(resumed.fit_epochs(X, anomalies)) == list(epochs)
    assert np.array_equal(resumed.decision_function(X), whole.decision_function(X))


def test_labels_help_to_find_their_like() -> None:
    """Anomalies of a plane on one side of the normal samples; more labels do not harm."""
    rng = np.random.default_rng(0)
    X = rng.normal(0, 0.2, (300, 2)).astype(np.float32)
    known, unseen = (rng.normal([0.35, 0.0], 0.1, (50, 2)).astype(np.float32) for _ in range(2))
    aurocs = []
    for m in (0, 5, 50):
        detector = DeepSAD(pretrain_steps=50, train_steps=200, lr=1e-3, seed=1, device="cpu")
        detector.fit(X[:200], anomalies=known[:m])
        scores = detector.decision_function(np.concatenate([X[200:], unseen]))
        aurocs.append(metrics.auroc(np.repeat([0, 1], [100, 50]), scores))
    assert aurocs[1] > aurocs[0] + 0.05
    assert aurocs[2] > aurocs[1] - 0.02


def test_anomalies_of_another_shape_are_refused() -> None:
    with pytest.raises(ConfigError, match="must have the shape of the normal samples"):
        list(quick("deep-sad").fit_epochs(images(), vectors()))
    with pytest.raises(DataError, match=r"anomalies: a sample has the shape \(2,\), but DeepSAD"):
        quick("deep-sad").fit(images(), anomalies=vectors())


@pytest.mark.parametrize("name", ["vae", "knn"])
def test_labels_are_refused_by_who_takes_none(name: str) -> None:
    with pytest.raises(ConfigError, match="takes no labelled anomalies; leave them out"):
        quick(name).fit(images(), anomalies=bright(3))


def test_j_of_omasgan_is_shown_labelled_anomalies() -> None:
    """Of its phases only the last knows of them."""
    X, known = images(), bright(20)
    plain, shown = quick("omasgan"), quick("omasgan")
    for detector, samples in ((plain, (X,)), (shown, (X, known))):
        list(detector.fit_epochs(*samples))
    for name in plain._networks:
        pairs = zip(
            plain._networks[name].parameters(), shown._networks[name].parameters(), strict=True
        )
        assert all(torch.equal(a, b) for a, b in pairs) == (name != "J"), name


def test_labels_teach_j() -> None:
    X, known, unseen = images(), bright(20)[:10], bright(20)[10:]
    steps = {"detector_steps": 60, "detector_lr": 2e-3, "stage": "j"}
    gaps = []
    for samples in ((X,), (X, known)):
        detector = quick("omasgan", **steps)
        list(detector.fit_epochs(*samples))
        gaps.append(
            detector.decision_function(unseen).mean() - detector.decision_function(X).mean()
        )
    assert gaps[1] > gaps[0] + 1.0
