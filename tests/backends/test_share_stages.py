"""Trials on Ray that share stages, two at once."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from omasgan.backends.ray.backend import RayBackend
from omasgan.config import BenchmarkSpec
from omasgan.data import selection
from omasgan.data.datasets import Dataset
from omasgan.store.files import find
from omasgan.study.guide import Guide
from omasgan.study.search import Search
from omasgan.study.sharing import sharing
from tests.experiments.test_share_stages import SPACE, saved


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("ray_cluster")
def test_no_two_slots_train_the_same_beginning(
    small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    (study,) = selection.studies("nested", small_spec, small_dataset, [0], inner=1)
    guide = Guide(SPACE, tmp_path, sampler="RandomSampler")
    guide.share(sharing(4, "omasgan", SPACE))
    search = Search(guide, study.data, 8, "omasgan", tmp_path)
    RayBackend(cpus_per_trial=4).search([search], lambda event: None)
    trials = guide.finished()
    assert {trial.outcome for trial in trials} == {"ok"}
    by_group = defaultdict(list)
    for trial in trials:
        by_group[trial.group].append(bool(saved(trial)))
    assert {flags.count(False) for flags in by_group.values()} == {1}
    assert max(map(len, by_group.values())) > 1
    assert find(tmp_path, "stages/*") == []
