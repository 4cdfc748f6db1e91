from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omasgan import detectors
from omasgan.backends import gpu, shares
from omasgan.config import BenchmarkSpec
from omasgan.data import selection
from omasgan.data.datasets import Dataset
from omasgan.data.selection import TrialData
from omasgan.errors import ConfigError
from omasgan.study.space import Space, load_space


@pytest.fixture
def data(small_spec: BenchmarkSpec, small_dataset: Dataset) -> TrialData:
    return selection.studies("proxy", small_spec, small_dataset, [0])[0].data


@given(need=st.floats(1, 80_000), has=st.floats(1_000, 80_000))
def test_as_many_trials_as_a_share_allows_fit(need: float, has: float) -> None:
    if need > has:
        with pytest.raises(ConfigError, match=f"needs {need:.0f} MB .* a GPU has {has:.0f} MB"):
            shares.share_for(need, has)
        return
    share = shares.share_for(need, has)
    n = gpu.capacity([{"CPU": 100, "GPU": 1}], 1, share)
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


def test_the_largest_configuration_of_a_space() -> None:
    space = Space.from_dict(
        {
            "width": {"low": 8, "high": 64, "step": 8},
            "batch_size": {"choices": [64, 256, 128]},
            "form": {"choices": ["pixel", "deformation"]},
            "grid": {"low": 2, "high": 5, "when": {"form": "deformation"}},
            "penalty": {"low": 0.1, "high": 1.0, "when": {"form": "pixel"}},
            "score": "j",
        }
    )
    assert shares.largest(space) == {
        "batch_size": 256, "form": "pixel", "penalty": 1.0, "score": "j", "width": 64
    }  # fmt: skip


@pytest.mark.parametrize("detector", ["omasgan", "vae", "pca"])
def test_configurations_are_of_the_space(detector: str) -> None:
    space = load_space(detector, detectors.load(detector))
    configurations = [shares.largest(space), *shares.first(space, 5, seed=1)]
    assert all(space.contains(params) for params in configurations)
    assert shares.first(space, 5, seed=1) == configurations[1:]
    assert shares.first(space, 5, seed=2) != configurations[1:]


def test_the_largest_configuration_decides(data: TrialData) -> None:
    needs = [
        shares.predict("vae", Space.from_dict({"width": {"low": 8, "high": high}}), data, "cpu")
        for high in (16, 256)
    ]
    assert needs[1] > needs[0] + 4
    assert shares.predict("pca", Space.from_dict({}), data, "cpu") == 0


def test_configurations_that_diverge_are_left_out(data: TrialData) -> None:
    detector = "tests.toy:DivergingDetector"
    lr = {"low": 1e-6, "high": 1.0, "log": True}
    assert shares.predict(detector, Space.from_dict({"lr": lr}), data, "cpu") == 0
    with pytest.raises(ConfigError, match=r"could be probed: loss is not finite at lr"):
        shares.predict(detector, Space.from_dict({"lr": {"low": 0.5, "high": 1.0}}), data, "cpu")
