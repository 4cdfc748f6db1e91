"""What a trial receives: copied when it is asked for, whole where it is sent to."""

from __future__ import annotations

import pickle

import numpy as np

from omasgan.config import BenchmarkSpec
from omasgan.data import selection
from omasgan.data.datasets import Dataset


def test_a_study_holds_no_copy_of_its_samples_but_what_is_sent_does(
    small_spec: BenchmarkSpec, small_dataset: Dataset
) -> None:
    (study,) = selection.studies("nested", small_spec, small_dataset, [0])
    here = study.data
    assert here.pool is not here.pool and not here.pool.flags.writeable
    there = pickle.loads(pickle.dumps(here))
    assert there.pool is there.pool
    assert np.array_equal(there.pool, here.pool)
    assert (there.seed, [t.name for t in there.tasks]) == (here.seed, [t.name for t in here.tasks])
    assert len(pickle.dumps(here)) > here.pool.nbytes
