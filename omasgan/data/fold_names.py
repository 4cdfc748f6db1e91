"""What a fold is called: by its class, which says more to a reader than its number."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omasgan.config import BenchmarkSpec, data_name, is_data_path

NOUNS = {"digits": "digit", "mnist": "digit", "svhn": "digit", "emnist-letters": "letter"}
"""What the classes of a data set are whose names alone say little."""


def name_of(spec: BenchmarkSpec, class_names: tuple[str, ...], index: int) -> str:
    """Return the name of the fold ``index``, such as "digit 8", "cat" or "fashion-mnist".

    It is that of the class which sets the fold apart (the anomalous one, or under one-vs-rest the
    normal one), or under out-of-dataset of the anomalies.
    """
    if spec.anomalies is not None:
        path = spec.anomalies
        return data_name(Path(path)) if is_data_path(path) else path
    name = class_names[index]
    noun = NOUNS.get(spec.dataset, "class" if name.isdecimal() else "")
    return f"{noun} {name}".strip()


def stored_name(row: Mapping[str, Any]) -> str:
    """Return the name of the fold of a result row; rows of earlier versions know its number only.

    >>> stored_name({"fold": 8, "fold_name": "digit 8"}), stored_name({"fold": 8})
    ('digit 8', 'fold 8')
    """
    return str(row.get("fold_name") or f"fold {row['fold']}")
