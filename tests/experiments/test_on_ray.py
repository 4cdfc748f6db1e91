"""Experiments on Ray: what is sent to workers and when, and probes on a cluster."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
import ray
from ray import cloudpickle

from omasgan.backends.ray.backend import RayBackend
from omasgan.cli.options.execution import Execution
from omasgan.config import BenchmarkSpec
from omasgan.data import protocols, selection
from omasgan.data.datasets import Dataset
from omasgan.experiments import plan as planning
from omasgan.experiments.compare import CompareSpec, compare
from omasgan.experiments.sweep import SweepSpec, sweep
from omasgan.store.results import Store
from omasgan.study.search import Search
from omasgan.study.space import Space
from tests.experiments.test_compare import PARAMS, YARDSTICKS, tuned
from tests.experiments.wire import Watched, is_sent
from tests.toy import CURVE_SPACE

pytestmark = pytest.mark.usefixtures("ray_cluster")


def test_a_cluster_is_asked_for_as_the_options_say() -> None:
    with contextlib.closing(Execution(at_once=3, gpus_per_trial="0.25").open("cpu")) as backend:
        assert backend.capacity == 3
    with contextlib.closing(
        Execution(gpus_per_trial="0.5", cpus_per_trial=2).open("cpu")
    ) as backend:
        assert backend.capacity == 4


def test_probes_are_run_on_the_cluster(small_spec: BenchmarkSpec, small_dataset: Dataset) -> None:
    head = ray.get_runtime_context().gcs_address
    work = planning.of_runs(small_spec, small_dataset, "knn", [0], [0])
    cluster = planning.join(head, None, 1.0)
    assert cluster.gpu_mb == 16 * 1024
    found = planning.forecast(work, [{}], cluster)
    assert found.at_once == 8 and found.probes == 1


def test_no_test_image_is_sent_before_all_winners_are_frozen(
    small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    backend = Watched(RayBackend(cpus_per_trial=8), store)
    compare(tuned(CompareSpec(small_spec, ("knn",), PARAMS)), store, backend, small_dataset)
    assert len(store.studies()) == len(YARDSTICKS)
    assert backend.n_runs == 2 * len(YARDSTICKS)
    assert_normals_alone_are_sent(backend, small_spec, small_dataset)


def test_no_test_image_is_sent_before_the_winner_is_frozen(
    small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store, ray_backend = Store(tmp_path), RayBackend(cpus_per_trial=8)
    backend = Watched(ray_backend, store)
    space = Space.from_dict(CURVE_SPACE)
    spec = SweepSpec(small_spec, "tests.toy:CurveDetector", space, "nested", 1, folds=(0,))
    (winner,) = sweep([spec], store, backend, small_dataset).winners
    assert winner.study == "fold-0"
    assert_normals_alone_are_sent(backend, small_spec, small_dataset)
    # The same look finds test samples where a rule shows them.
    (fold, _) = protocols.folds(small_spec, small_dataset)
    (study,) = selection.studies("oracle", small_spec, small_dataset, [0])
    search = Search(None, study.data, 1, "x", tmp_path)  # type: ignore[arg-type]
    with_test = cloudpickle.dumps(ray_backend.payloads([search]))
    assert is_sent(small_dataset.test.X[fold.test], with_test).all()


def assert_normals_alone_are_sent(backend: Watched, spec: BenchmarkSpec, dataset: Dataset) -> None:
    """Workers receive the first fold's training samples before its winner is known, no others."""
    (fold, _) = protocols.folds(spec, dataset)
    test, train = dataset.test, dataset.train
    assert not is_sent(test.X, backend.wire).any()
    anomalous = np.isin(train.classes, fold.anomalous_classes)
    assert not is_sent(train.X[anomalous], backend.wire).any()
    # The same look finds what is there.
    assert is_sent(train.X[fold.train], backend.wire).all()
