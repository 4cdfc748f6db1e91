from __future__ import annotations

import pytest

from omasgan import detectors
from omasgan.study import probed
from omasgan.study.space import Space, load_space


def test_the_largest_configuration_of_a_space() -> None:
    space = Space.from_dict(
        {
            "width": {"low": 8, "high": 64, "step": 8},
            "batch_size": {"choices": [64, 256, 128]},
            "form": {"choices": ["pixel", "deformation"]},
            "grid": {"low": 2, "high": 5, "when": {"form": "deformation"}},
            "penalty": {"low": 0.1, "high": 1.0, "when": {"form": "pixel"}},
            "stage": "j",
        }
    )
    assert probed.largest(space) == {
        "batch_size": 256, "form": "pixel", "penalty": 1.0, "stage": "j", "width": 64
    }  # fmt: skip


@pytest.mark.parametrize("detector", ["omasgan", "vae", "pca"])
def test_configurations_are_of_the_space(detector: str) -> None:
    space = load_space(detector, detectors.load(detector))
    configurations = [probed.largest(space), *probed.first(space, 5, seed=1)]
    assert all(space.contains(params) for params in configurations)
    assert probed.first(space, 5, seed=1) == configurations[1:]
    assert probed.first(space, 5, seed=2) != configurations[1:]
