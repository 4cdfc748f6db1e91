"""Trials of comparable studies are pooled, and values have a position in their range."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omasgan.errors import StoreError
from omasgan.report.sensitivity.sweeps.pool import Pool, pools, position, value_at
from omasgan.store.results import Store
from omasgan.study.space import Choice, Param, Range
from tests.report.sensitivity.sweeps.studies import fill


def test_studies_of_a_space_are_pooled_each_at_its_own_level(rich: Pool) -> None:
    assert len(rich) == 90 and rich.failed == 10 and rich.is_sure
    assert [param.name for param in rich.searched] == ["form", "gan_steps", "idle", "lr", "radius"]
    for number in (0, 1):
        assert rich.objective[rich.study == number].mean() == pytest.approx(0.0)
    for rows in rich.resamples(3):
        assert np.array_equal(rich.study[rows], rich.study)


@given(where=st.floats(0, 1), log=st.booleans(), low=st.floats(1e-6, 1), width=st.floats(1.5, 1e4))
def test_a_position_and_its_value_are_inverse(
    where: float, log: bool, low: float, width: float
) -> None:
    param = Param("p", Range(low, low * width, log=log))
    assert position(param, value_at(param, where)) == pytest.approx(where, abs=1e-6)


@given(
    st.one_of(
        st.builds(Range, st.integers(1, 5), st.integers(6, 500), log=st.booleans()),
        st.builds(Choice, st.lists(st.integers(), min_size=1, unique=True).map(tuple)),
    ),
    st.data(),
)
def test_integers_and_choices_come_back_exactly(
    domain: Range | Choice, data: st.DataObject
) -> None:
    param = Param("p", domain)
    values = domain.choices if isinstance(domain, Choice) else range(domain.low, domain.high + 1)
    value = data.draw(st.sampled_from(values))
    assert 0 <= position(param, value) <= 1
    assert value_at(param, position(param, value)) == value


def test_pools_are_found_by_benchmark_and_detector(tmp_path: Path) -> None:
    store = fill(tmp_path, 3)
    assert len(pools(store, "digits-loo", "omasgan")) == 1
    assert len(pools(store, "digits-loo-v1")) == 1
    for names in (("nowhere", None), (None, "vae"), ("digits-loo-v2", "omasgan")):
        with pytest.raises(StoreError, match="holds no trials that ended ok"):
            pools(store, *names)
    with pytest.raises(StoreError, match="give the --out folder of a sweep"):
        pools(Store(tmp_path / "empty"))
