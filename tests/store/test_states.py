from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omasgan.errors import DamagedError, StoreError
from omasgan.store.files import AnyPath
from omasgan.store.states import load_state, save_state
from tests.damage import HARM, flipped


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


def test_a_state_reads_back_as_it_was_saved(root: AnyPath) -> None:
    saved = state()
    save_state(root / "a" / "state.safetensors", saved)
    loaded = load_state(root / "a" / "state.safetensors")
    assert_same(saved, loaded)
    torch.optim.Adam(torch.nn.Linear(3, 2).parameters()).load_state_dict(loaded["optimiser"])


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_a_damaged_state_is_named(tmp_path: Path, harm: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "state.safetensors"
    save_state(path, state())
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(DamagedError, match=r"checkpoint .*state.* is damaged: .*; delete it"):
        load_state(path)


@pytest.fixture(scope="module")
def saved_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("states") / "state.safetensors"
    save_state(path, {"done": 3, "mean": torch.linspace(0, 1, 20), '"sha256":"': "a trap"})
    return path


@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=300)
def test_no_bit_changes_unnoticed(saved_file: Path, where: float, bit: int) -> None:
    content = saved_file.read_bytes()
    damaged = saved_file.with_name("damaged.safetensors")
    damaged.write_bytes(flipped(content, int(where * len(content)), bit))
    with pytest.raises(DamagedError, match="is damaged"):
        load_state(damaged)


def test_a_state_that_is_not_there_is_not_damaged(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no") as caught:
        load_state(tmp_path / "state.safetensors")
    assert not isinstance(caught.value, DamagedError)


def test_the_state_of_an_older_version_has_no_checksum(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    tree = json.dumps({"dict": [["mean", {"tensor": "0"}]]})
    path.write_bytes(safetensors.torch.save({"0": torch.ones(3)}, metadata={"tree": tree}))
    assert torch.equal(load_state(path)["mean"], torch.ones(3))


def test_a_state_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="cannot hold a set"):
        save_state(tmp_path / "state", {"x": {1, 2}})
    with pytest.raises(TypeError, match="keys must be str or int"):
        save_state(tmp_path / "state", {"x": {1.5: 2}})
