from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omasgan.backends import gpu
from omasgan.errors import BackendError, ConfigError
from omasgan.nn.memory import CUDA_MB

NODE = {"CPU": 8.0, "GPU": 2.0, "memory": 1e9}


@pytest.mark.parametrize(
    ("cpus", "gpus", "expected"),
    [(1, 0.25, 8), (1, 0.4, 4), (1, 0.15, 8), (0.5, 0.15, 12), (1, 1, 2), (1, 2, 1), (2, 0, 4)],
)
def test_capacity_of_a_node(cpus: float, gpus: float, expected: int) -> None:
    assert gpu.capacity([NODE], cpus, gpus) == expected


def test_capacity_adds_up_over_nodes_and_no_trial_spreads() -> None:
    assert gpu.capacity([NODE, {"CPU": 4.0}], cpus=1, gpus=0) == 12
    assert gpu.capacity([NODE, {"CPU": 4.0}], cpus=1, gpus=0.5) == 4
    with pytest.raises(BackendError, match=r"9 CPUs and 0 GPUs fits on no node \(8 CPUs, 2 GPUs"):
        gpu.capacity([NODE, NODE], cpus=9, gpus=0)
    with pytest.raises(BackendError, match=r"fits on no node \(no node\); lower"):
        gpu.capacity([], cpus=1, gpus=0)


@pytest.mark.parametrize(
    ("cpus", "gpus", "message"),
    [
        (0, 0, "cpus per trial must be above 0, got 0"),
        (float("nan"), 0, "cpus per trial must be above 0"),
        (1, -0.5, r"gpus per trial must be in \[0, 1\] or a whole number, got -0.5"),
        (1, 1.5, r"gpus per trial must be in \[0, 1\] or a whole number, got 1.5"),
    ],
)
def test_impossible_shares_are_refused(cpus: float, gpus: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        gpu.check_share(cpus, gpus)


def test_a_trial_without_a_share_does_not_take_a_gpu() -> None:
    assert gpu.device_for("auto", 0) == "cpu"
    assert gpu.device_for("auto", 0.25) == "auto"
    assert gpu.device_for("cuda:1", 0) == "cuda:1"


@given(n=st.integers(1, 16), gpu_mb=st.floats(1_000, 200_000))
def test_trials_that_keep_to_their_shares_fit_together(n: int, gpu_mb: float) -> None:
    tensors = gpu.for_tensors(1 / n, gpu_mb)
    assert 0 < tensors < 1 / n
    if gpu_mb / n > 2 * CUDA_MB:
        assert n * (tensors * gpu_mb + CUDA_MB) <= gpu_mb * (1 + 1e-9)
