"""A detector's state as one safetensors file, without pickle and with a checksum.

The file's metadata holds the structure of the state as JSON (``tree``) and the SHA-256 of the
whole file, in which the checksum itself is written as zeros.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

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
    from safetensors.torch import save

    tensors: dict[str, Any] = {}
    tree = _flatten(dict(state), tensors)
    content = save(tensors, metadata={"tree": json.dumps(tree), "sha256": ZEROS})
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


def _parse(content: bytes) -> dict[str, Any]:
    from safetensors.torch import load

    metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    # The files of older versions have no checksum.
    if set(metadata) != {"tree"}:
        clean = _with_checksum(content, ZEROS)
        if hashlib.sha256(clean).hexdigest() != metadata["sha256"]:
            raise ValueError("its SHA-256 differs")
    state: dict[str, Any] = _unflatten(json.loads(metadata["tree"]), load(content))
    return state


def _with_checksum(content: bytes, checksum: str) -> bytes:
    start = content.index(MARK) + len(MARK)
    return content[:start] + checksum.encode() + content[start + len(checksum) :]


def _flatten(value: Any, tensors: dict[str, Any]) -> Any:
    """Return ``value`` as JSON; its arrays are moved to ``tensors``."""
    import numpy as np
    import torch

    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        if not all(isinstance(key, int | str) for key in value):
            raise TypeError(f"a state's keys must be str or int, got {list(value)[:5]}")
        return {"dict": [[key, _flatten(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        items = [_flatten(item, tensors) for item in value]
        return {"tuple" if isinstance(value, tuple) else "list": items}
    name = str(len(tensors))
    if isinstance(value, torch.Tensor):
        # Cloned because safetensors refuses tensors that share memory.
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, np.ndarray):
        tensors[name] = torch.from_numpy(np.array(value, order="C"))
        return {"array": name}
    raise TypeError(f"a state cannot hold a {type(value).__name__}")


def _unflatten(tree: Any, tensors: Mapping[str, Any]) -> Any:
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "dict":
        return {key: _unflatten(item, tensors) for key, item in content}
    if kind == "list":
        return [_unflatten(item, tensors) for item in content]
    if kind == "tuple":
        return tuple(_unflatten(item, tensors) for item in content)
    tensor = tensors[content]
    return tensor.numpy() if kind == "array" else tensor
