from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omasgan.errors import DamagedError
from omasgan.store.results import RunKey, Store
from omasgan.training import extremes

KEY = RunKey("digits-loo-v1", "knn", "fixed", "0a1b2c3d4e5f", 0, 8)
N = 50
LABEL = (np.arange(N) % 5 == 0).astype(np.int64)
SCORES = {
    "sample_id": np.arange(N) + 100,
    "label": LABEL,
    "score": np.random.default_rng(0).permutation(N).astype(np.float32),
}


def test_the_images_of_all_extreme_samples_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    X = np.broadcast_to(np.arange(N, dtype=np.uint8)[:, None, None, None], (N, 3, 8, 8))
    extremes.save(store.run_dir(KEY), SCORES, X)
    kept = store.extremes(KEY)
    image_of = dict(zip(kept["sample_id"].tolist(), kept["images"], strict=True))
    rows = extremes.rows(LABEL, SCORES["score"])
    assert [len(of_kind) for of_kind in rows.values()] == [8, 8, 8, 8]
    for row in np.concatenate(list(rows.values())):
        assert image_of[row + 100].shape == (3, 8, 8) and image_of[row + 100][0, 0, 0] == row
    missed, alarms = rows["missed"], rows["false alarms"]
    assert SCORES["score"][missed[0]] == SCORES["score"][LABEL == 1].min()
    assert SCORES["score"][alarms[0]] == SCORES["score"][LABEL == 0].max()


def test_large_images_are_thinned_and_what_is_no_image_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    extremes.save(store.run_dir(KEY), SCORES, np.zeros((N, 2), np.float32))
    extremes.save(store.run_dir(KEY), SCORES, np.zeros((N, 2, 8, 8), np.uint8))
    assert store.extremes(KEY) == {}
    extremes.save(store.run_dir(KEY), SCORES, np.zeros((N, 1, 128, 96), np.uint8))
    assert store.extremes(KEY)["images"].shape[1:] == (1, 64, 48)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = tmp_path / KEY.path / "extremes.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PK")
    with pytest.raises(DamagedError, match=r"extremes\.npz"):
        store.extremes(KEY)
