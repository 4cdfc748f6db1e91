"""A detector's state as one safetensors file, without pickle and with a checksum.

The file's metadata holds the structure of the state as JSON (``tree``) and the SHA-256 of the
whole file, in which the checksum itself is written as zeros. Torch is imported only for states
that hold its tensors.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from omasgan.errors import DamagedError, StoreError
from omasgan.store.files import AnyPath, first_line, read, write_atomic

ZEROS = "0" * 64
MARK = b'"sha256":"'
"""The bytes before the checksum; within ``tree`` quotes are escaped, so they can't occur there."""


def save_state(path: AnyPath, state: Mapping[str, Any]) -> None:
    """Save a detector's state atomically.

    Leaves are tensors, numpy arrays, numbers, strings, bools and None, in nested dicts (with str
    or int keys), lists and tuples.

    Raises:
        StoreError: the file cannot be written.
        TypeError: a leaf is something else.
    """
    arrays: dict[str, Any] = {}
    tree = json.dumps(_flatten(dict(state), arrays))
    content = _serialise(arrays, {"tree": tree, "sha256": ZEROS})
    write_atomic(path, _with_checksum(content, hashlib.sha256(content).hexdigest()))


def load_state(path: AnyPath) -> dict[str, Any]:
    """Return the state that ``save_state`` wrote; tensors are on the CPU.

    Raises:
        DamagedError: the file holds something else, if only by one bit.
        StoreError: the file is missing or cannot be read.
    """
    from safetensors import SafetensorError

    content = read(path)
    if content is None:
        raise StoreError(f"there is no '{path}'")
    try:
        return _parse(content)
    except (SafetensorError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise DamagedError(
            f"checkpoint '{path}' is damaged: {first_line(error)}; delete it to start anew"
        ) from error


def _serialise(arrays: dict[str, Any], metadata: dict[str, str]) -> bytes:
    if _has_tensors(metadata["tree"]):
        import torch
        from safetensors.torch import save

        return save({name: torch.as_tensor(x) for name, x in arrays.items()}, metadata)
    from safetensors import numpy

    return numpy.save(arrays, metadata)


def _has_tensors(tree: str) -> bool:
    # Within the strings of a JSON text quotes are escaped.
    return '{"tensor":' in tree


def _parse(content: bytes) -> dict[str, Any]:
    metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    # The files of older versions have no checksum.
    if set(metadata) != {"tree"}:
        clean = _with_checksum(content, ZEROS)
        if hashlib.sha256(clean).hexdigest() != metadata["sha256"]:
            raise ValueError("its SHA-256 differs")
    tree = metadata["tree"]
    state: dict[str, Any] = _unflatten(json.loads(tree), _arrays(content, _has_tensors(tree)))
    return state


def _arrays(content: bytes, as_tensors: bool) -> Mapping[str, Any]:
    if as_tensors:
        from safetensors.torch import load as load_tensors

        return load_tensors(content)
    from safetensors.numpy import load as load_arrays

    return load_arrays(content)


def _with_checksum(content: bytes, checksum: str) -> bytes:
    start = content.index(MARK) + len(MARK)
    return content[:start] + checksum.encode() + content[start + len(checksum) :]


def _flatten(value: Any, arrays: dict[str, Any]) -> Any:
    """Return ``value`` as JSON; its tensors and arrays are moved to ``arrays``."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        if not all(isinstance(key, int | str) for key in value):
            raise TypeError(f"a state's keys must be str or int, got {list(value)[:5]}")
        return {"dict": [[key, _flatten(item, arrays)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        items = [_flatten(item, arrays) for item in value]
        return {"tuple" if isinstance(value, tuple) else "list": items}
    name = str(len(arrays))
    if isinstance(value, np.ndarray):
        arrays[name] = np.array(value, order="C")
        return {"array": name}
    if "torch" in sys.modules and isinstance(value, sys.modules["torch"].Tensor):
        # Cloned because safetensors refuses tensors that share memory.
        arrays[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    raise TypeError(f"a state cannot hold a {type(value).__name__}")


def _unflatten(tree: Any, arrays: Mapping[str, Any]) -> Any:
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "dict":
        return {key: _unflatten(item, arrays) for key, item in content}
    if kind == "list":
        return [_unflatten(item, arrays) for item in content]
    if kind == "tuple":
        return tuple(_unflatten(item, arrays) for item in content)
    array = arrays[content]
    if kind == "tensor":
        return array
    # What numpy reads is read-only.
    return array.copy() if isinstance(array, np.ndarray) else array.numpy()
