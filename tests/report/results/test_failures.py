from __future__ import annotations

from pathlib import Path

import pandas as pd

from omasgan.report.results import failures
from omasgan.report.results.inputs import read_study
from omasgan.report.results.runs import runs
from omasgan.store.journal import read_json, write_json
from omasgan.store.results import RunKey, Store
from tests.results import add_run, add_study, claimed


def set_error(store: Store, key: RunKey, error: str | None) -> None:
    path = store.run_dir(key) / "result.json"
    write_json(path, read_json(path) | {"error": error})


def test_errors_that_differ_in_numbers_are_one_cause(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    add_run(store)
    for fold in range(3):
        key = add_run(store, fold=fold, seed=1, outcome="diverged")
        set_error(store, key, f"loss_g is nan\nat step {fold}00")
    set_error(store, add_run(store, "vae", {}, outcome="failed"), None)
    first, second = failures.table(runs(store.results()), []).to_dict("records")
    assert (first["of"], first["outcome"], first["count"]) == ("omasgan · fixed", "diverged", 3)
    assert (first["cause"], first["first"]) == ("loss_g is nan at step 000", "fold 0, seed 1")
    assert "learning rate" in first["remedy"]
    assert (second["of"], second["cause"]) == ("vae · fixed", "unknown")


def test_trials_are_named_by_their_study(tmp_path: Path) -> None:
    study = read_study(add_study(claimed(tmp_path)))
    table = failures.table(pd.DataFrame(), [study])
    assert set(table["what"]) == {"trial"}
    assert set(table["outcome"]) == {"pruned", "diverged", "out-of-memory", "failed"}
    assert set(table.index) == {study.label}
    assert set(table["outcome"]) == set(failures.REMEDIES)


def test_the_rarest_causes_are_counted_together(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    words = [f"{a}{b}" for a in "abcdefgh" for b in "abcdefgh"]
    for seed, word in enumerate(words):
        set_error(store, add_run(store, seed=seed, outcome="failed", epochs=0), f"error {word}")
    table = failures.table(runs(store.results()), [])
    assert len(table) == failures.MAX_CAUSES + 1
    assert table["count"].sum() == len(words)
    assert table["of"].iloc[-1] == "other causes"


def test_without_failures_there_is_no_row(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    add_run(store)
    assert failures.table(runs(store.results()), []).empty
