from __future__ import annotations

import pytest

from omasgan.report.sensitivity.sweeps.pool import Pool, pools
from tests.report.sensitivity.sweeps.studies import fill


@pytest.fixture(scope="session")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """Two studies of 50 trials, whose levels differ."""
    root = tmp_path_factory.mktemp("rich")
    fill(root, 50)
    (pool,) = pools(fill(root, 50, "fold-1", level=0.3, seed=1))
    return pool
