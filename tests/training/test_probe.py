from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from omasgan import detectors
from omasgan.data.datasets import Dataset
from omasgan.detectors import parameters
from omasgan.detectors.deep_svdd import DeepSVDD
from omasgan.detectors.neural import NeuralDetector
from omasgan.detectors.omasgan import OMASGAN
from omasgan.detectors.pca import PCA
from omasgan.errors import ConfigError, TrainingDiverged
from omasgan.nn.batches import SCORING_BATCH, Sampler
from omasgan.training import probe
from omasgan.training.measuring import CUDA_MB
from tests.contracts.test_detector import QUICK_STEPS, images, quick

SHORT = {
    "gan_steps": 60, "boundary_steps": 40, "retrain_steps": 30, "detector_steps": 80,
    "width": 8, "detector_width": 8, "batch_size": 16, "detector_batch": 16,
}  # fmt: skip


def cost(name: str, X: np.ndarray, n_score: int = 60, **params: Any) -> probe.Cost:
    return probe.probe(name, params, X, device="cpu", n_score=n_score)


def tensors_mb(name: str, X: np.ndarray, **params: Any) -> float:
    """The tensors that a GPU is estimated to hold besides the samples."""
    besides = CUDA_MB + probe.LIBRARIES_MB + X.nbytes / 2**20
    return probe.gpu_memory_mb(name, params, X, device="cpu") - besides


@pytest.fixture(name="X")
def samples(small_dataset: Dataset) -> np.ndarray:
    return small_dataset.train.X


CLOCK = {"now": 0.0}
"""Seconds that the detectors below let pass; no test waits for real ones."""


def timer(device: str) -> Callable[[], float]:
    """``probe._timer`` on ``CLOCK``."""
    start = CLOCK["now"]
    return lambda: max(CLOCK["now"] - start, 1e-9)


class TimedSteps(DeepSVDD):
    """1 s a step of the first phase and 3 s of the second, 2 s a look at the networks' health,
    100 s at the end, 0.5 s to score a sample.
    """

    def _step(self, phase: str, normals: Sampler) -> dict[str, Tensor]:
        CLOCK["now"] += 1 if phase == "pretrain" else 3
        return super()._step(phase, normals)

    def _health(self, normals: Sampler, epoch: int) -> dict[str, float]:
        CLOCK["now"] += 2
        return {}

    def _finish(self, X: NDArray[Any]) -> None:
        CLOCK["now"] += 100
        super()._finish(X)

    def _scores(self, x: Tensor) -> dict[str, Tensor]:
        CLOCK["now"] += 0.5 * len(x)
        return super()._scores(x)


class TimedFit(PCA):
    """0.1 s a sample to train on, 0.5 s to score a sample."""

    def _fit(self, X: NDArray[np.float32]) -> None:
        CLOCK["now"] += 0.1 * len(X)
        super()._fit(X)

    def _score(self, X: NDArray[np.float32]) -> NDArray[Any]:
        CLOCK["now"] += 0.5 * len(X)
        return super()._score(X)


@pytest.mark.parametrize(("pretrain", "train"), [(2000, 1000), (2000, 2), (0, 999), (51, 49)])
def test_the_seconds_of_a_step_are_scaled_to_all_steps_of_its_phase(
    pretrain: int, train: int, X: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_timer", timer)
    steps = {"pretrain_steps": pretrain, "train_steps": train, "epoch_steps": 50}
    measured = cost(f"{__name__}:TimedSteps", X, n_score=600, **steps)
    epochs = -(-pretrain // 50) + -(-train // 50)
    expected = pretrain + 3 * train + 2 * epochs + 100
    assert measured.train_seconds == pytest.approx(expected)
    assert measured.score_seconds == pytest.approx(300)
    assert measured.seconds(len(X), 600) == pytest.approx(expected + 300)
    assert measured.step_seconds == ({"pretrain": 1.0} if pretrain else {}) | {"train": 3.0}
    # What trials spare that share a phase: its steps, and the looks at the end of its epochs.
    begun = pretrain + 2 * -(-pretrain // 50)
    assert measured.seconds_until("pretrain") == pytest.approx(begun)
    assert measured.seconds_until("train") == pytest.approx(expected - 100)
    assert measured.seconds_until("other") == 0


@pytest.mark.parametrize("share", [1, 4])
def test_a_training_without_steps_is_scaled_from_the_samples_that_were_used(
    share: int, X: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_timer", timer)
    monkeypatch.setattr(probe, "WHOLE", len(X) // share)
    measured = cost(f"{__name__}:TimedFit", X, n_score=600)
    assert measured.is_scaled is (share > 1) and measured.n_train == len(X)
    assert measured.train_seconds == pytest.approx(0.1 * len(X))
    assert measured.seconds(2 * len(X), 600) == pytest.approx(
        2 * (measured.train_seconds + measured.score_seconds)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("omasgan", {**SHORT, "width": 8}),
        ("vae", {"train_steps": 300}),
        ("anogan", {"train_steps": 50, "search_steps": 20}),
        ("gmm", {}),
    ],
)
def test_scaled_seconds_are_those_of_a_whole_training(
    name: str, params: dict[str, Any], X: np.ndarray
) -> None:
    # Processor time, since others may be using the machine.
    detector = detectors.load(name)(**params, seed=0, device="cpu")
    measured = cost(name, X, n_score=600, **params)
    start = time.process_time()
    detector.fit(X)
    trained = time.process_time()
    detector.stage_scores(X[:600])
    scored = time.process_time()
    assert (trained - start) / 2 < measured.train_seconds < 2 * (trained - start)
    total = measured.seconds(len(X), 600)
    assert (scored - start) / 2 < total < 2 * (scored - start)


@pytest.mark.parametrize("name", detectors.names())
def test_a_short_training_leaves_a_detector_that_scores(name: str) -> None:
    # The same networks at the same seeds as a training of as few steps.
    X = images()
    detector = quick(name)
    if not isinstance(detector, NeuralDetector):
        return
    probe._ShortTraining(dict(probe._steps(detector))).run(detector, X)
    one_epoch = quick(name, epoch_steps=QUICK_STEPS).fit(X)
    for stage, scores in one_epoch.stage_scores(X).items():
        assert np.array_equal(scores, detector.stage_scores(X)[stage]), stage


def test_each_phase_has_its_own_steps(X: np.ndarray) -> None:
    measured = cost("omasgan", X, **SHORT)
    assert set(measured.step_seconds) == {"gan", "boundary", "retrain", "detector"}
    assert all(seconds > 0 for seconds in measured.step_seconds.values())
    assert measured.stages == len(parameters(OMASGAN)["stage"].choices)
    without = cost("omasgan", X, **(SHORT | {"retrain_steps": 0}))
    assert set(without.step_seconds) == {"gan", "boundary", "detector"}


def test_memory_grows_with_width_and_batch(X: np.ndarray) -> None:
    by_width = [tensors_mb("vae", X, width=width) for width in (8, 32, 128)]
    by_batch = [tensors_mb("ganomaly", X, batch_size=n) for n in (16, 256, 1024)]
    for sizes in (by_width, by_batch):
        assert sizes == sorted(sizes) and sizes[-1] > 1.5 * sizes[0] > 0


class Known(TimedSteps):
    """Takes 2 MB for a step of each phase, and 1,000 bytes a sample that is scored."""

    def _step(self, phase: str, normals: Sampler) -> dict[str, Tensor]:
        torch.zeros(2 * 2**20, dtype=torch.uint8)
        return super()._step(phase, normals)

    def _scores(self, x: Tensor) -> dict[str, Tensor]:
        torch.zeros(1000 * len(x), dtype=torch.uint8)
        return super()._scores(x)


def test_a_gpu_keeps_a_recording_of_each_phase_and_scores_more_at_once(X: np.ndarray) -> None:
    small = {"width": 1, "batch_size": 2}
    one = tensors_mb(f"{__name__}:Known", X, pretrain_steps=0, **small)
    two = tensors_mb(f"{__name__}:Known", X, pretrain_steps=5, **small)
    assert two - one == pytest.approx(2 * probe.BLOCKS, rel=0.2)
    scoring = 1000 * SCORING_BATCH["cuda"] / 2**20
    assert one == pytest.approx((2 + scoring) * probe.BLOCKS, rel=0.3)


def test_a_state_is_as_large_as_weights_and_their_moments(X: np.ndarray) -> None:
    measured = cost("vae", X, train_steps=5)
    detector = detectors.load("vae")(train_steps=5, device="cpu")
    detector.fit(X)
    weights = sum(p.numel() * 4 for net in detector._networks.values() for p in net.parameters())
    assert measured.state_mb * 2**20 == pytest.approx(3 * weights, rel=0.1)


def test_what_computes_without_torch_needs_no_gpu(X: np.ndarray) -> None:
    measured = cost("knn", X)
    assert measured.gpu_memory_mb == 0 and measured.step_seconds == {}
    assert measured.peak_memory_mb > 100
    assert measured.seconds(2 * len(X), 60) == pytest.approx(2 * measured.seconds(len(X), 60))


def test_steps_take_no_longer_on_more_samples(X: np.ndarray) -> None:
    measured = cost("vae", X, train_steps=100)
    more = measured.seconds(100 * len(X), 60)
    assert more == measured.seconds(len(X), 60)
    assert measured.seconds(len(X), 120) == pytest.approx(more + measured.score_seconds)


def test_what_cannot_be_trained_is_told(X: np.ndarray) -> None:
    with pytest.raises(TrainingDiverged, match="loss is not finite"):
        cost("tests.toy:DivergingDetector", X, lr=0.5)
    with pytest.raises(ConfigError, match="unknown detector 'nothing'"):
        cost("nothing", X)
    with pytest.raises(ConfigError, match="device 'x' cannot be used"):
        probe.probe("knn", {}, X, device="x", n_score=10)
