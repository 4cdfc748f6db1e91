from __future__ import annotations

import hashlib
import json
import os
import pickle
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omasgan.errors import DamagedError, StoreError
from omasgan.store import results as store_module
from omasgan.store.files import AnyPath, find, open_root, read, write_atomic
from omasgan.store.journal import append_rows, keep_rows, read_json, read_rows
from omasgan.store.results import RunKey, Store, params_id
from tests.damage import HARM, flipped

KEY = RunKey("digits-loo-v1", "knn", "fixed", "0a1b2c3d4e5f", 0, 3)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
rows = st.dictionaries(st.text(), json_values, max_size=6)


@dataclass(frozen=True)
class Spec:
    id: str = "digits-loo-v1"
    fraction: float = 0.1

    def identity(self) -> dict[str, Any]:
        return {"fraction": self.fraction, "seeds": (0, 1, 2)}


def frame(n: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sample_id": np.arange(n),
            "class": np.arange(n) % 10,
            "label": (np.arange(n) % 10 == 3).astype(np.int64),
            "score": np.linspace(-1, 1, n, dtype=np.float32),
            "j": np.linspace(0, 1, n, dtype=np.float32),
        }
    )


@given(row=rows, n=st.integers(0, 50))
def test_a_run_reads_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, row: dict[str, Any], n: int
) -> None:
    reads_back(Store(tmp_path_factory.mktemp("store")), row, n)


@given(row=rows, n=st.integers(0, 50))
@settings(max_examples=5)
def test_a_run_reads_back_from_an_object_store(bucket: str, row: dict[str, Any], n: int) -> None:
    reads_back(Store(open_root(f"{bucket}/{uuid.uuid4().hex}")), row, n)


def reads_back(store: Store, row: dict[str, Any], n: int) -> None:
    row = row | {"outcome": "ok"}
    stored = store.write_run(KEY, frame(n), row)
    sha256 = hashlib.sha256(read(store.run_dir(KEY) / "scores.parquet") or b"").hexdigest()
    assert stored == row | {"scores_sha256": sha256}
    assert store.read_result(KEY) == stored
    assert store.results() == [stored]
    pd.testing.assert_frame_equal(store.scores(KEY), frame(n))


@pytest.mark.parametrize(
    ("outcome", "done"),
    [("ok", True), ("diverged", True), ("failed", False), ("out-of-memory", False)],
)
def test_done_is_what_training_again_would_repeat(root: AnyPath, outcome: str, done: bool) -> None:
    store = Store(root)
    assert not store.is_done(KEY)
    store.write_run(KEY, None, {"outcome": outcome})
    assert store.is_done(KEY) is done


@pytest.mark.parametrize("survivors", [0, 1])
def test_a_crash_before_the_rename_leaves_the_run_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survivors: int
) -> None:
    renames = 0
    rename = Path.replace

    def crash(self: Path, target: Path) -> Path:
        nonlocal renames
        renames += 1
        if renames > survivors:
            raise KeyboardInterrupt
        return rename(self, target)

    store = Store(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            store.write_run(KEY, frame(5), {"outcome": "ok"})
    assert not store.is_done(KEY)
    assert store.results() == []
    store.write_run(KEY, frame(5), {"outcome": "ok"})
    assert store.is_done(KEY)


def test_a_key_is_read_from_its_row() -> None:
    row = {**vars(KEY), "auroc": 0.8}
    assert RunKey.of(row) == KEY
    assert RunKey.of(row).path == "digits-loo-v1/knn/fixed/0a1b2c3d4e5f/seed-0/fold-3"
    own = RunKey("b-v1", "my_pkg.my_module:MyGAN", "fixed", "0" * 12, 0, 0)
    assert own.path.startswith("b-v1/my_pkg.my_module.MyGAN/fixed/")


def test_params_id_does_not_depend_on_the_order() -> None:
    assert params_id({"a": 1, "b": 2.5}) == params_id({"b": 2.5, "a": 1})
    assert params_id({"a": 1}) != params_id({"a": 2})
    assert len(params_id({})) == 12


def test_a_benchmark_means_one_thing_in_a_store(root: AnyPath) -> None:
    store = Store(root)
    store.claim_benchmark(Spec(), "abc")
    store.claim_benchmark(Spec(), "abc")
    with pytest.raises(StoreError, match=r"fraction: 0\.1 -> 0\.2; use another --out"):
        store.claim_benchmark(Spec(fraction=0.2), "abc")
    with pytest.raises(StoreError, match='data_sha256: "abc" -> "abd"'):
        store.claim_benchmark(Spec(), "abd")


def test_opening_a_store_writes_nothing(root: AnyPath) -> None:
    Store(root / "new" / "out")
    assert find(root, "**/*") == []


def test_a_store_travels_to_workers(root: AnyPath) -> None:
    store = Store(root)
    sent = pickle.dumps(store)
    assert len(sent) < 1000
    pickle.loads(sent).write_run(KEY, None, {"outcome": "ok"})
    assert store.is_done(KEY)


def test_a_root_that_cannot_be_used_is_refused(tmp_path: Path, bucket: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a file"):
        Store(tmp_path / "file" / "out")
    with pytest.raises(StoreError, match="no folder"):
        Store(tmp_path / "missing", create=False)
    with pytest.raises(StoreError, match="no folder 's3://"):
        Store(open_root(f"{bucket}/missing"), create=False)
    if os.access("/proc", os.W_OK):  # as root everything is writable, until one tries
        with pytest.raises(StoreError, match="'/proc/omasgan' cannot be the output folder"):
            Store(Path("/proc/omasgan"))


SHAPELESS = {name: harm for name, harm in HARM.items() if name != "one bit"} | {
    "no object": lambda content: b"[1, 2]",
    "deep": lambda content: b"[" * 10**5,
}
"""What no JSON survives; a single bit may leave JSON that says something else."""


@pytest.mark.parametrize("harm", SHAPELESS.values(), ids=SHAPELESS)
def test_a_run_with_a_damaged_result_is_trained_anew(
    tmp_path: Path, harm: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)
    store.write_run(KEY, None, {"outcome": "ok", "error": None})
    path = tmp_path / KEY.path / "result.json"
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(DamagedError, match=r"cannot read .*result\.json': .*; delete it and run"):
        store.results()
    assert not store.is_done(KEY)
    (message,) = caplog.messages
    assert str(path) in message and "is trained anew" in message
    store.write_run(KEY, None, {"outcome": "ok"})
    assert store.is_done(KEY)


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_damaged_scores_are_refused(root: AnyPath, harm: Callable[[bytes], bytes]) -> None:
    store = Store(root)
    store.write_run(KEY, frame(30), {"outcome": "ok"})
    path = store.run_dir(KEY) / "scores.parquet"
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(
        DamagedError, match=r"scores\.parquet' is damaged: .*; delete '.*result\.json' and run"
    ):
        store.scores(KEY)


def test_scores_that_are_not_there_or_of_an_older_version(tmp_path: Path) -> None:
    store = Store(tmp_path)
    row = store.write_run(KEY, frame(30), {"outcome": "ok"})
    store_module.write_json(tmp_path / KEY.path / "result.json", {"outcome": "ok"})
    assert "scores_sha256" in row and len(store.scores(KEY)) == 30
    (tmp_path / KEY.path / "scores.parquet").write_bytes(b"PAR1")
    with pytest.raises(DamagedError, match=r"cannot read .*scores\.parquet"):
        store.scores(KEY)
    (tmp_path / KEY.path / "scores.parquet").unlink()
    with pytest.raises(StoreError, match=r"cannot read .*scores\.parquet': no such file; delete"):
        store.scores(KEY)


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_damaged_pictures_are_refused(root: AnyPath, harm: Callable[[bytes], bytes]) -> None:
    store = Store(root)
    assert store.pictures(KEY) == {}
    drawn = {"G": np.random.default_rng(0).normal(size=(3, 1, 8, 8)).astype(np.float32)}
    buffer = BytesIO()
    np.savez_compressed(buffer, **drawn)
    path = store.run_dir(KEY) / "pictures.npz"
    write_atomic(path, buffer.getvalue())
    np.testing.assert_array_equal(store.pictures(KEY)["G"], drawn["G"])
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(
        DamagedError, match=r"cannot read .*pictures\.npz.*; delete '.*result.json"
    ):
        store.pictures(KEY)


@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_in_json_is_refused_or_another_object(
    tmp_path_factory: pytest.TempPathFactory, where: float, bit: int
) -> None:
    path = tmp_path_factory.mktemp("json") / "study.json"
    store_module.write_json(path, {"status": "running", "folds": [0, 1], "seed": 3})
    content = path.read_bytes()
    path.write_bytes(flipped(content, int(where * len(content)), bit))
    try:
        assert isinstance(read_json(path), dict)
    except DamagedError as error:
        assert "delete it and run the same sweep again" in str(error)


def test_numpy_numbers_and_numbers_that_are_not_finite(tmp_path: Path) -> None:
    store = Store(tmp_path)
    row = {"outcome": "ok", "auroc": np.float32(0.5), "n": np.int64(3), "loss": float("nan")}
    store.write_run(KEY, None, row)
    assert store.read_result(KEY) == {"outcome": "ok", "auroc": 0.5, "n": 3, "loss": None}
    json.loads((tmp_path / KEY.path / "result.json").read_text(), parse_constant=pytest.fail)


@given(first=st.lists(rows, max_size=4), second=st.lists(rows, max_size=4), torn=st.booleans())
def test_json_lines_survive_a_torn_line(
    tmp_path_factory: pytest.TempPathFactory,
    first: list[dict[str, Any]],
    second: list[dict[str, Any]],
    torn: bool,
) -> None:
    path = tmp_path_factory.mktemp("rows") / "log.jsonl"
    append_rows(path, first)
    if torn:
        with path.open("ab") as file:
            file.write(b'{"epoch": 1')
    append_rows(path, second)
    assert read_rows(path) == first + second


def test_epochs_from_a_point_on_are_dropped(root: AnyPath) -> None:
    store = Store(root)
    assert store.read_epochs(KEY) == []
    store.append_epochs(KEY, [{"epoch": i, "loss": i / 2} for i in range(5)])
    store.drop_epochs(KEY, 3)
    store.append_epochs(KEY, [{"epoch": 3, "loss": 7.0}])
    assert [row["loss"] for row in store.read_epochs(KEY)] == [0.0, 0.5, 1.0, 7.0]
    keep_rows(root / "missing.jsonl", lambda row: True)


def test_studies_are_found(root: AnyPath) -> None:
    store = Store(root)
    folder = store.study_dir("digits-loo-v1", "tests.toy:Curve", "nested", "fold-3")
    store_module.write_json(folder / "study.json", {"status": "running"})
    assert store.studies() == [folder]
    assert store.results() == []
