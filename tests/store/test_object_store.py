"""Whole flows with results on an object store: what lies there and what is made of it."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

import pytest

from omasgan.backends.local import LocalBackend
from omasgan.checks import geometry
from omasgan.config import BenchmarkSpec
from omasgan.data.datasets import Dataset
from omasgan.experiments.sweep import SweepSpec, sweep
from omasgan.report.results.inputs import read_study
from omasgan.store import files, saved
from omasgan.store.files import AnyPath
from omasgan.store.results import RunKey, Store, params_id
from omasgan.study.space import Space
from omasgan.tracking import ui
from omasgan.training.jobs import RunJob
from tests.results import add_run, claimed
from tests.toy import CURVE_SPACE
from tests.tracking.test_ui import free_port


def searched(spec: BenchmarkSpec, dataset: Dataset, store: Store, folder: Path) -> Any:
    asked = SweepSpec(
        benchmark=spec,
        detector="tests.toy:CurveDetector",
        space=Space.from_dict(CURVE_SPACE),
        rule="nested",
        n_trials=3,
        folds=(0,),
        inner=2,
        storage=f"sqlite:///{folder / 'optuna.db'}",
    )
    return sweep([asked], store, LocalBackend(), dataset)


def files_of(root: AnyPath) -> set[str]:
    return {files.relative(path, root) for path in files.find(root, "**/*")}


def test_a_sweep_leaves_on_an_object_store_what_it_leaves_in_a_folder(
    small_spec: BenchmarkSpec, small_dataset: Dataset, remote: AnyPath, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    local, there = Store(tmp_path / "out"), Store(remote)
    expected = searched(small_spec, small_dataset, local, tmp_path / "a")
    found = searched(small_spec, small_dataset, there, tmp_path / "b")
    assert found.winners == expected.winners
    assert [row["auroc"] for row in found.rows] == [row["auroc"] for row in expected.rows]
    assert there.results() == found.rows
    assert files_of(remote) == files_of(local.root)
    assert [len(there.read_epochs(RunKey.of(row))) for row in found.rows] == [2, 2, 2]

    (folder,) = there.studies()
    study = read_study(folder)
    assert (study.status, len(study.trials)) == ("complete", 3)
    assert study.winner is not None
    assert study.winner["params_id"] == params_id(expected.winners[0].params)
    again = searched(small_spec, small_dataset, Store(remote), tmp_path / "b")
    assert again.rows == found.rows, "nothing is trained again"


def test_a_saved_detector_and_the_geometry_are_found(
    small_spec: BenchmarkSpec, small_dataset: Dataset, remote: AnyPath
) -> None:
    store = Store(remote)
    job = RunJob(1, "knn", {"k": 1}, 0, "fixed", store, "cpu", save=True)
    (row,) = LocalBackend().runs([job], small_spec, small_dataset, lambda event: None)
    (card,) = geometry.cards(store, small_spec.id)
    assert card.knn == pytest.approx(row["auroc"])

    folder = saved.find(remote)
    assert folder == store.run_dir(RunKey.of(row))
    loaded = saved.load(folder, device="cpu")
    scores = store.scores(RunKey.of(row))
    test = small_dataset.test.X[scores["sample_id"].to_numpy()]
    assert loaded.detector.decision_function(test).tolist() == scores["score"].tolist()


@pytest.mark.slow
def test_the_ui_shows_it(remote: AnyPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = claimed(remote)
    add_run(store, pictures=True)
    before = files_of(remote)

    def look(address: str, _pages: object) -> None:
        with urllib.request.urlopen(address, timeout=10) as answer:
            assert answer.status == 200
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ui.serve(store, free_port(), look)
    assert files_of(remote) == before | {"tracking.json"}
