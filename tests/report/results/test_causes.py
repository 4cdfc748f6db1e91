from __future__ import annotations

from pathlib import Path

import pandas as pd

from omasgan.report.results import causes, tables
from omasgan.report.results.inputs import read_study
from omasgan.store.journal import read_json, write_json
from omasgan.store.results import RunKey, Store
from tests.results import add_run, add_study, claimed


def fail(store: Store, key: RunKey, error: str | None) -> None:
    path = store.run_dir(key) / "result.json"
    write_json(path, read_json(path) | {"error": error})


def test_errors_that_differ_in_numbers_are_one_cause(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    add_run(store)
    for fold in range(3):
        key = add_run(store, fold=fold, seed=1, outcome="diverged")
        fail(store, key, f"loss_g is nan\nat step {fold}00")
    fail(store, add_run(store, "vae", {}, outcome="failed"), None)
    first, second = causes.table(tables.runs(store.results()), []).to_dict("records")
    assert (first["of"], first["outcome"], first["count"]) == ("omasgan · fixed", "diverged", 3)
    assert (first["cause"], first["first"]) == ("loss_g is nan at step 000", "fold 0, seed 1")
    assert "learning rate" in first["remedy"]
    assert (second["of"], second["cause"]) == ("vae · fixed", "not told")


def test_trials_are_told_by_their_study(tmp_path: Path) -> None:
    study = read_study(add_study(claimed(tmp_path)))
    found = causes.table(pd.DataFrame(), [study])
    assert set(found["what"]) == {"trial"}
    assert set(found["outcome"]) == {"pruned", "diverged", "out-of-memory", "failed"}
    assert set(found.index) == {study.label}
    assert set(found["outcome"]) == set(causes.REMEDIES)


def test_the_rarest_causes_are_counted_together(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    words = [f"{a}{b}" for a in "abcdefgh" for b in "abcdefgh"]
    for seed, word in enumerate(words):
        fail(store, add_run(store, seed=seed, outcome="failed", epochs=0), f"error {word}")
    found = causes.table(tables.runs(store.results()), [])
    assert len(found) == causes.MOST + 1
    assert found["count"].sum() == len(words)
    assert found["of"].iloc[-1] == "further ones"


def test_without_failures_there_is_no_line(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    add_run(store)
    assert causes.table(tables.runs(store.results()), []).empty
