from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from omasgan import store as store_module
from omasgan.errors import StoreError
from omasgan.store import (
    RunKey,
    Store,
    append_rows,
    keep_rows,
    load_state,
    params_id,
    read_rows,
    save_state,
)

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
    store = Store(tmp_path_factory.mktemp("store"))
    row = row | {"outcome": "ok"}
    store.write_run(KEY, frame(n), row)
    assert store.read_result(KEY) == row
    assert store.results() == [row]
    pd.testing.assert_frame_equal(store.scores(KEY), frame(n))


@pytest.mark.parametrize(
    ("outcome", "done"),
    [("ok", True), ("diverged", True), ("failed", False), ("out-of-memory", False)],
)
def test_done_is_what_training_again_would_repeat(
    tmp_path: Path, outcome: str, done: bool
) -> None:
    store = Store(tmp_path)
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


def test_a_benchmark_means_one_thing_in_a_store(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.claim_benchmark(Spec(), "abc")
    store.claim_benchmark(Spec(), "abc")
    with pytest.raises(StoreError, match=r"fraction: 0\.1 -> 0\.2; use another --out"):
        store.claim_benchmark(Spec(fraction=0.2), "abc")
    with pytest.raises(StoreError, match='data_sha256: "abc" -> "abd"'):
        store.claim_benchmark(Spec(), "abd")


def test_opening_a_store_writes_nothing(tmp_path: Path) -> None:
    Store(tmp_path / "new" / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a file"):
        Store(tmp_path / "file" / "out")
    with pytest.raises(StoreError, match="no folder"):
        Store(tmp_path / "missing", create=False)
    if os.access("/proc", os.W_OK):  # as root everything is writable, until one tries
        with pytest.raises(StoreError, match="cannot write"):
            Store(Path("/proc/omasgan")).write_run(KEY, None, {"outcome": "ok"})


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_run(KEY, None, {"outcome": "ok"})
    (store.run_dir(KEY) / "result.json").write_text('{"outcome": ')
    with pytest.raises(StoreError, match=r"cannot read .*result\.json"):
        store.results()


def test_numpy_numbers_and_numbers_that_are_not_finite(tmp_path: Path) -> None:
    store = Store(tmp_path)
    row = {"outcome": "ok", "auroc": np.float32(0.5), "n": np.int64(3), "loss": float("nan")}
    store.write_run(KEY, None, row)
    assert store.read_result(KEY) == {"outcome": "ok", "auroc": 0.5, "n": 3, "loss": None}
    json.loads((store.run_dir(KEY) / "result.json").read_text(), parse_constant=pytest.fail)


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


def test_epochs_from_a_point_on_are_dropped(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.read_epochs(KEY) == []
    store.append_epochs(KEY, [{"epoch": i, "loss": i / 2} for i in range(5)])
    store.drop_epochs(KEY, 3)
    store.append_epochs(KEY, [{"epoch": 3, "loss": 7.0}])
    assert [row["loss"] for row in store.read_epochs(KEY)] == [0.0, 0.5, 1.0, 7.0]
    keep_rows(tmp_path / "missing.jsonl", lambda row: True)


def test_studies_are_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = store.study_dir("digits-loo-v1", "tests.toy:Curve", "nested", "fold-3")
    store_module.write_json(folder / "study.json", {"status": "running"})
    assert store.studies() == [folder]
    assert store.results() == []


def state() -> dict[str, Any]:
    net = torch.nn.Linear(3, 2)
    optimiser = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    return {
        "net": net.state_dict(),
        "optimiser": optimiser.state_dict(),
        "generator": np.random.default_rng(0).bit_generator.state,
        "torch_generator": torch.Generator().manual_seed(3).get_state(),
        "tied": [net.weight.detach(), net.weight.detach()],
        "array": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "empty": np.zeros((0, 2)),
        "flags": (True, None, "text", 1.5, -3, float("inf")),
        "scalar": np.float64(2.0),
    }


def assert_same(left: Any, right: Any) -> None:
    if isinstance(left, dict):
        assert list(left) == list(right)
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert type(left) is type(right) and len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    elif isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype and torch.equal(left, right)
    elif isinstance(left, np.ndarray):
        assert left.dtype == right.dtype and np.array_equal(left, right)
    else:
        assert left == right


def test_a_state_reads_back_as_it_was_saved(tmp_path: Path) -> None:
    saved = state()
    save_state(tmp_path / "a" / "state.safetensors", saved)
    loaded = load_state(tmp_path / "a" / "state.safetensors")
    assert_same(saved, loaded)
    torch.optim.Adam(torch.nn.Linear(3, 2).parameters()).load_state_dict(loaded["optimiser"])


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_state(path, state())
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(StoreError, match=r"checkpoint .* is damaged.*delete it"):
        load_state(path)


def test_a_state_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="cannot hold a set"):
        save_state(tmp_path / "state", {"x": {1, 2}})
    with pytest.raises(TypeError, match="keys must be str or int"):
        save_state(tmp_path / "state", {"x": {1.5: 2}})
