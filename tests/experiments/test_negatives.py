"""A sweep must not choose what a detector trains against by the same kind of pseudo-anomaly."""

from __future__ import annotations

from pathlib import Path

import pytest

from omasgan.backends.local import LocalBackend
from omasgan.config import load_benchmark
from omasgan.data.datasets import Dataset
from omasgan.errors import ConfigError
from omasgan.experiments.sweep import SweepSpec, check, sweep
from omasgan.store.results import Store
from omasgan.study.space import Space


def test_it_is_refused_before_anything_is_written(small_dataset: Dataset, tmp_path: Path) -> None:
    space = Space.from_dict({"negatives": {"choices": ["boundary", "noise"]}})
    spec = SweepSpec(load_benchmark("digits-loo"), "omasgan", space, "proxy", n_trials=1)
    message = "must not choose negatives that resemble its pseudo-anomalies, got noise"
    with pytest.raises(ConfigError, match=message):
        check(spec)
    with pytest.raises(ConfigError, match=message):
        sweep([spec], Store(tmp_path / "out"), LocalBackend(), small_dataset)
    assert not (tmp_path / "out").exists()
