"""What all detectors that are trained by steps have in common."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from omasgan.detectors.deep_svdd import DeepSVDD
from omasgan.detectors.vae import VAE
from omasgan.errors import ConfigError
from omasgan.nn import batches
from tests.contracts.test_detector import images, quick

SHORT = {"pretrain_steps": 4, "train_steps": 4, "epoch_steps": 2, "device": "cpu"}


def from_a_gpu(detector: DeepSVDD) -> dict[str, object]:
    """Return the detector's state as a GPU would have left it: CUDA's generator has 16 bytes."""
    state = detector.state_dict()
    return state | {"generator": state["generator"][:16], "generator_device": "cuda"}


def test_what_was_trained_on_a_gpu_scores_on_a_cpu() -> None:
    X = images()
    detector = DeepSVDD(**SHORT).fit(X)
    other = DeepSVDD(**SHORT)
    other.load_state_dict(from_a_gpu(detector))
    assert np.array_equal(other.decision_function(X), detector.decision_function(X))


def test_an_unfinished_training_stays_on_its_kind_of_device() -> None:
    detector = DeepSVDD(**SHORT)
    next(iter(detector.fit_epochs(images())))
    with pytest.raises(ConfigError, match=r"unfinished training on cuda .* set device='cuda'"):
        DeepSVDD(**SHORT).load_state_dict(from_a_gpu(detector))


def test_rates_are_the_params_own_and_not_the_states() -> None:
    detector = DeepSVDD(**SHORT, lr=1e-3)
    next(iter(detector.fit_epochs(images())))
    other = DeepSVDD(**SHORT, lr=1e-4)
    other.load_state_dict(detector.state_dict())
    assert other._optimisers["phi"].param_groups[0]["lr"] == 1e-4


@pytest.mark.parametrize("name", ["omasgan", "vae"])
def test_the_score_alone_is_that_of_all_stages(name: str) -> None:
    X = images()
    detector = quick(name).fit(X)
    for stage, scores in detector.stage_scores(X).items():
        detector.set_params(stage=stage)
        assert np.array_equal(detector.decision_function(X), scores), stage


def test_phases_begin_in_the_precision_of_their_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a phase measures when it begins, such as OMASGAN's units of distance, is to be the same
    each time as well.
    """
    inside: list[torch.device] = []

    @contextlib.contextmanager
    def full_precision(device: torch.device) -> Iterator[None]:
        inside.append(device)
        yield
        inside.pop()

    class Watched(VAE):
        def _enter(self, phase: str) -> None:
            assert inside
            super()._enter(phase)

    monkeypatch.setattr(batches, "full_precision", full_precision)
    X = np.zeros((8, 4), dtype=np.float32)
    Watched(train_steps=1).fit(X)
    assert not inside
