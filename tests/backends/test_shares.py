from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omasgan.backends import shares
from omasgan.data.datasets import Dataset
from omasgan.errors import BackendError, ConfigError
from omasgan.training.measuring import CUDA_MB

NODE = {"CPU": 8.0, "GPU": 2.0, "memory": 1e9}


@pytest.mark.parametrize(
    ("cpus", "gpus", "expected"),
    [(1, 0.25, 8), (1, 0.4, 4), (1, 0.15, 8), (0.5, 0.15, 12), (1, 1, 2), (1, 2, 1), (2, 0, 4)],
)
def test_capacity_of_a_node(cpus: float, gpus: float, expected: int) -> None:
    assert shares.capacity([NODE], cpus, gpus) == expected


def test_capacity_adds_up_over_nodes_and_no_trial_spreads() -> None:
    assert shares.capacity([NODE, {"CPU": 4.0}], cpus=1, gpus=0) == 12
    assert shares.capacity([NODE, {"CPU": 4.0}], cpus=1, gpus=0.5) == 4
    with pytest.raises(BackendError, match=r"9 CPUs and 0 GPUs fits on no node \(8 CPUs, 2 GPUs"):
        shares.capacity([NODE, NODE], cpus=9, gpus=0)
    with pytest.raises(BackendError, match=r"fits on no node \(no node\); lower"):
        shares.capacity([], cpus=1, gpus=0)


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
        shares.check_share(cpus, gpus)


def test_a_trial_without_a_share_does_not_take_a_gpu() -> None:
    assert shares.device_for("auto", 0) == "cpu"
    assert shares.device_for("auto", 0.25) == "auto"
    assert shares.device_for("cuda:1", 0) == "cuda:1"


@given(n=st.integers(1, 16), gpu_mb=st.floats(1_000, 200_000))
def test_trials_that_keep_to_their_shares_fit_together(n: int, gpu_mb: float) -> None:
    tensors = shares.for_tensors(1 / n, gpu_mb)
    assert 0 < tensors < 1 / n
    if gpu_mb / n > 2 * CUDA_MB:
        assert n * (tensors * gpu_mb + CUDA_MB) <= gpu_mb * (1 + 1e-9)


@given(need=st.floats(1, 80_000), has=st.floats(1_000, 80_000))
def test_as_many_trials_as_a_share_allows_fit(need: float, has: float) -> None:
    if need > has:
        with pytest.raises(ConfigError, match=f"needs {need:.0f} MB .* a GPU has {has:.0f} MB"):
            shares.share_for(need, has)
        return
    share = shares.share_for(need, has)
    n = shares.capacity([{"CPU": 100, "GPU": 1}], 1, share)
    assert n * share <= 1 and 1 <= n <= shares.MOST
    assert n == 1 or n * need * shares.MARGIN <= has
    assert n == shares.MOST or (n + 1) * need * shares.MARGIN > has


def test_a_share_grows_to_a_whole_gpu_and_no_further() -> None:
    share, steps = shares.share_for(700, 80_000), 0
    while (more := shares.larger(share)) is not None:
        assert more >= 2 * share - 1e-3
        share, steps = more, steps + 1
    assert share == 1.0 and steps == 4
    assert shares.larger(0.0) is None and shares.larger(2.0) is None


@pytest.fixture(name="X")
def samples(small_dataset: Dataset) -> np.ndarray:
    return small_dataset.train.X


def test_the_largest_configuration_decides(X: np.ndarray) -> None:
    narrow, wide = {"width": 16}, {"width": 256}
    needs = [shares.predict("vae", probed, X, "cpu") for probed in ([narrow], [wide, narrow])]
    assert needs[1] > needs[0] + 4
    assert shares.predict("pca", [{}], X, "cpu") == 0


def test_configurations_that_diverge_are_left_out(X: np.ndarray) -> None:
    detector = "tests.toy:DivergingDetector"
    assert shares.predict(detector, [{"lr": 0.5}, {"lr": 0.01}], X, "cpu") == 0
    with pytest.raises(ConfigError, match=r"could be probed: loss is not finite at lr"):
        shares.predict(detector, [{"lr": 0.5}], X, "cpu")


def test_what_is_expected_of_a_device() -> None:
    assert shares.expected_device("auto", 0) == "cpu"
    assert shares.expected_device("auto", 1) == "cuda"
    assert shares.expected_device("cpu", 1) == "cpu"
