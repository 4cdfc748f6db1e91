from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from omasgan import detectors
from omasgan.data.datasets import Dataset
from omasgan.errors import ConfigError, TrainingDiverged
from omasgan.nn.memory import CUDA_MB
from omasgan.training import probe

SHORT = {"gan_steps": 60, "boundary_steps": 40, "retrain_steps": 30, "detector_steps": 80}


def cost(name: str, X: np.ndarray, n_score: int = 60, **params: Any) -> probe.Cost:
    return probe.probe(name, params, X, device="cpu", n_score=n_score)


def tensors_mb(name: str, X: np.ndarray, **params: Any) -> float:
    return probe.gpu_memory_mb(name, params, X, device="cpu") - CUDA_MB


@pytest.fixture(name="X")
def samples(small_dataset: Dataset) -> np.ndarray:
    return small_dataset.train.X


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("omasgan", {**SHORT, "width": 8}),
        ("vae", {"train_steps": 300}),
        ("deep-svdd", {"pretrain_steps": 200, "train_steps": 200}),
        ("anogan", {"train_steps": 50, "search_steps": 20}),
        ("gmm", {}),
    ],
)
def test_scaled_seconds_are_those_of_a_whole_training(
    name: str, params: dict[str, Any], X: np.ndarray
) -> None:
    # Processor time, since others may be using the machine.
    detector = detectors.load(name)(**params, seed=0, device="cpu")
    found = cost(name, X, n_score=600, **params)
    start = time.process_time()
    detector.fit(X)
    trained = time.process_time()
    detector.stage_scores(X[:600])
    scored = time.process_time()
    assert (trained - start) / 2 < found.train_seconds < 2 * (trained - start)
    total = found.seconds(len(X), 600)
    assert (scored - start) / 2 < total < 2 * (scored - start)


def test_each_phase_has_its_own_steps(X: np.ndarray) -> None:
    found = cost("omasgan", X, **SHORT)
    assert set(found.step_seconds) == {"gan", "boundary", "retrain", "detector"}
    assert all(seconds > 0 for seconds in found.step_seconds.values())
    assert found.stages == 5
    without = cost("omasgan", X, **(SHORT | {"retrain_steps": 0}))
    assert set(without.step_seconds) == {"gan", "boundary", "detector"}


def test_twice_the_steps_take_twice_the_time(X: np.ndarray) -> None:
    one, two = (cost("vae", X, train_steps=n).train_seconds for n in (2000, 4000))
    assert 1.4 < two / one < 2.8


def test_memory_grows_with_width_and_batch(X: np.ndarray) -> None:
    by_width = [tensors_mb("vae", X, width=width) for width in (8, 32, 128)]
    by_batch = [tensors_mb("ganomaly", X, batch_size=n) for n in (16, 256, 1024)]
    for sizes in (by_width, by_batch):
        assert sizes == sorted(sizes) and sizes[-1] > 3 * sizes[0] > 0


def test_a_state_is_as_large_as_weights_and_their_moments(X: np.ndarray) -> None:
    found = cost("vae", X, train_steps=5)
    detector = detectors.load("vae")(train_steps=5, device="cpu")
    detector.fit(X)
    weights = sum(p.numel() * 4 for net in detector._networks.values() for p in net.parameters())
    assert found.state_mb * 2**20 == pytest.approx(3 * weights, rel=0.1)


def test_what_computes_without_torch_needs_no_gpu(X: np.ndarray) -> None:
    found = cost("knn", X)
    assert found.gpu_memory_mb == 0 and found.step_seconds == {}
    assert found.peak_memory_mb > 100
    assert found.seconds(2 * len(X), 60) == pytest.approx(2 * found.seconds(len(X), 60))


def test_a_large_training_set_is_not_used_whole(
    X: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cost("isolation-forest", X)
    assert not whole.is_scaled
    monkeypatch.setattr(probe, "WHOLE", len(X) // 4)
    part = cost("isolation-forest", X)
    assert part.is_scaled and part.n_train == len(X)
    assert part.train_seconds > whole.train_seconds


def test_steps_take_no_longer_on_more_samples(X: np.ndarray) -> None:
    found = cost("vae", X, train_steps=100)
    more = found.seconds(100 * len(X), 60)
    assert more == found.seconds(len(X), 60)
    assert found.seconds(len(X), 120) == pytest.approx(more + found.score_seconds)


def test_what_cannot_be_trained_is_told(X: np.ndarray) -> None:
    with pytest.raises(TrainingDiverged, match="loss is not finite"):
        cost("tests.toy:DivergingDetector", X, lr=0.5)
    with pytest.raises(ConfigError, match="unknown detector 'nothing'"):
        cost("nothing", X)
    with pytest.raises(ConfigError, match="device 'x' cannot be used"):
        probe.probe("knn", {}, X, device="x", n_score=10)
