"""A store with something for every part of a report."""

from __future__ import annotations

from pathlib import Path

from omasgan.store.results import Store
from tests.results import STAGES, add_run, add_study, claimed, trial_params


def fill(root: Path) -> Store:
    """Entries under three rules, a study with every outcome, and pictures."""
    store = claimed(root)
    for fold in range(2):
        add_run(store, "knn", {"k": 1}, fold=fold, epochs=1)
    add_run(store, "gmm", {"n": "<b>"}, outcome="diverged")
    add_study(store)
    add_run(
        store, params=trial_params(2), selection="nested", stages=STAGES, pictures=True, shift=2.0
    )
    add_run(store, params={"mu": 1.0}, selection="oracle", shift=3.0, epochs=1)
    return store
