"""Fixtures for all tests: one torch thread, a small benchmark on the embedded digits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from omasgan import protocols
from omasgan.config import BenchmarkSpec, load_benchmark
from omasgan.datasets import Dataset

settings.register_profile("fast", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("fast")


@pytest.fixture(autouse=True)
def _quiet_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread a process, and no tracking server from the user's environment."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield


@pytest.fixture(scope="session")
def small_spec() -> BenchmarkSpec:
    """Two folds of digits with 100 training and 60 test samples each."""
    return load_benchmark("digits-loo", max_folds=2, max_train=100, max_test=60)


@pytest.fixture(scope="session")
def small_dataset(small_spec: BenchmarkSpec) -> Dataset:
    return protocols.load_data(small_spec, root=None, download=False)
