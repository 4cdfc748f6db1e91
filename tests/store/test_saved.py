from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from omasgan import detectors
from omasgan.config import BenchmarkSpec
from omasgan.data import protocols
from omasgan.data.datasets import Dataset
from omasgan.errors import OmasganError, StoreError, TrainingDiverged
from omasgan.store import saved
from omasgan.store.results import RunKey, Store
from omasgan.store.states import load_state, save_state
from omasgan.training import evaluate
from omasgan.training.environment import code_version
from omasgan.training.jobs import RunJob

QUICK = {
    "omasgan": {
        **{f"{phase}_steps": 5 for phase in ("gan", "boundary", "retrain", "detector")},
        "width": 8,
        "detector_width": 8,
        "neighbours": 50,
    },
    "knn": {},
    "isolation-forest": {"trees": 10},
}


@pytest.fixture(scope="module")
def runs(
    small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Store, RunKey]]:
    """A run of fold 1 with a saved detector, by detector."""
    store = Store(tmp_path_factory.mktemp("runs"))
    keys = {}
    for name, given in QUICK.items():
        params = detectors.check_params(detectors.load(name), given)
        job = RunJob(1, name, params, 5, "fixed", store, device="cpu", save=True)
        row = evaluate.run_fold(job, small_spec, small_dataset)
        assert row["outcome"] == "ok", row["error"]
        keys[name] = (store, RunKey.of(row))
    return keys


@pytest.fixture
def folder(runs: dict[str, tuple[Store, RunKey]], tmp_path: Path) -> Path:
    """A copy of the saved OMASGAN that may be damaged."""
    store, key = runs["omasgan"]
    for name in (saved.STATE, saved.DESCRIPTION):
        (tmp_path / name).write_bytes((store.run_dir(key) / name).read_bytes())
    return tmp_path


@pytest.mark.parametrize("name", QUICK)
def test_a_saved_detector_scores_as_it_did_in_its_run(
    runs: dict[str, tuple[Store, RunKey]],
    small_spec: BenchmarkSpec,
    small_dataset: Dataset,
    name: str,
) -> None:
    store, key = runs[name]
    loaded = saved.load(store.run_dir(key), device="cpu")
    fold = protocols.folds(small_spec, small_dataset)[1]
    scores = loaded.detector.decision_function(small_dataset.test.X[fold.test])
    np.testing.assert_array_equal(scores, store.scores(key)["score"])

    normals = small_dataset.train.X[fold.validation]
    expected = np.sort(loaded.detector.decision_function(normals))
    np.testing.assert_array_equal(loaded.calibration, expected)
    assert len(expected) > 5 and not set(fold.validation) & set(fold.train)

    said = loaded.description
    assert (said.detector, said.seed, said.fold) == (name, 5, 1)
    assert (said.shape, said.dtype) == ((1, 8, 8), "uint8")
    assert (said.benchmark, said.data_sha256) == (small_spec.id, small_dataset.sha256)
    assert said.code_version == code_version()
    assert loaded.detector.get_params() == said.params | {
        "seed": 5, "device": "cpu", "contamination": 0.1
    }  # fmt: skip


def test_vectors_can_be_saved(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(0, 0.2, (50, 2)).astype(np.float32)
    row = {"detector": "pca", "params": {"components": 1}, "seed": 0, "benchmark": "b-v1"}
    row |= {"fold": 0, "data_sha256": "0" * 64, "code_version": "0.1.0"}
    detector = detectors.load("pca")(components=1).fit(X[:40])
    saved.save(tmp_path, detector, row, X[40:])
    loaded = saved.load(tmp_path)
    assert (loaded.description.shape, loaded.description.dtype) == ((2,), "float32")
    assert len(loaded.calibration) == 10

    saved.save(tmp_path, detector, row, X[:0])
    assert len(saved.load(tmp_path).calibration) == 0
    with pytest.raises(TrainingDiverged, match="validation samples are not finite"):
        saved.save(tmp_path, Nan().fit(X), row, X)


class Nan(detectors.load("knn")):  # type: ignore[misc]
    def _score(self, X: Any) -> Any:
        return np.full(len(X), np.nan)


def describe(folder: Path, **changes: Any) -> None:
    """Change ``model.json``; a value of ... takes the key out."""
    path = folder / saved.DESCRIPTION
    told = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in told.items() if value is not ...}))


def vouch(folder: Path) -> None:
    """Make the checksum right, as whoever tampers with both files would."""
    state = (folder / saved.STATE).read_bytes()
    describe(folder, state_sha256=hashlib.sha256(state).hexdigest())


def change_params(folder: Path, **changes: Any) -> None:
    told = json.loads((folder / saved.DESCRIPTION).read_text())
    describe(folder, params=told["params"] | changes)


def replace_state(folder: Path, content: bytes) -> None:
    (folder / saved.STATE).write_bytes(content)
    vouch(folder)


class Bomb:
    """Unpickling it leaves a trace."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("/tmp/omasgan-was-unpickled",)


def pickle_state(folder: Path) -> None:
    replace_state(folder, pickle.dumps(Bomb()))


def torch_state(folder: Path) -> None:
    torch.save({"x": torch.zeros(2)}, folder / saved.STATE)
    vouch(folder)


def truncate(folder: Path) -> None:
    replace_state(folder, (folder / saved.STATE).read_bytes()[:-100])


def huge_header(folder: Path) -> None:
    replace_state(folder, (2**62).to_bytes(8, "little") + b"{}")


def other_tensors(folder: Path) -> None:
    save_file({"x": torch.zeros(2)}, folder / saved.STATE)
    vouch(folder)


def deep_tree(folder: Path) -> None:
    tree = '{"list": [' * 100_000 + "]}" * 100_000
    save_file({"x": torch.zeros(2)}, folder / saved.STATE, metadata={"tree": tree})
    vouch(folder)


def other_detector(folder: Path) -> None:
    save_state(folder / saved.STATE, {"trained_on": np.zeros((9, 64), np.float32)})
    vouch(folder)


def unfinished(folder: Path) -> None:
    save_state(folder / saved.STATE, load_state(folder / saved.STATE) | {"position": 1})
    vouch(folder)


def vectors_of_another_length(folder: Path) -> None:
    other_detector(folder)
    describe(folder, detector="knn", params={"k": 1}, shape=[1, 9, 9])


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no description": (lambda f: (f / saved.DESCRIPTION).unlink(), "model.json' is missing"),
    "no state": (lambda f: (f / saved.STATE).unlink(), "model.safetensors' is missing"),
    "state is a folder": (
        lambda f: ((f / saved.STATE).unlink(), (f / saved.STATE).mkdir()),
        "model.safetensors': .*Is a directory",
    ),
    "another state": (lambda f: (f / saved.STATE).write_bytes(b"x"), "SHA-256 differs"),
    "pickle": (pickle_state, "cannot be used: "),
    "torch file": (torch_state, "cannot be used: "),
    "truncated": (truncate, "cannot be used: "),
    "huge header": (huge_header, "cannot be used: "),
    "other tensors": (other_tensors, "cannot be used: "),
    "deep tree": (deep_tree, "cannot be used: "),
    "state of another detector": (other_detector, "belongs to other params"),
    "state of half a training": (unfinished, "not trained to its end"),
    "other width": (lambda f: change_params(f, width=16), "belongs to other params"),
    "absurd width": (lambda f: change_params(f, width=10**6), "width is 1000000, but no tensor"),
    "absurd latents": (lambda f: change_params(f, latent_dim=10**15), "latent_dim is 1000000"),
    "unknown param": (lambda f: change_params(f, widht=8), "did you mean 'width'"),
    "param out of range": (lambda f: change_params(f, width=-1), "width: Input should be greater"),
    "param of a wrong type": (lambda f: change_params(f, width=[8]), "width: Input should be"),
    "unknown detector": (lambda f: describe(f, detector="omasgn"), "did you mean 'omasgan'"),
    "foreign detector": (lambda f: describe(f, detector="this:s"), "not of this package"),
    "detector as a path": (lambda f: describe(f, detector="../x"), "names no class"),
    "foreign json": (
        lambda f: (f / saved.DESCRIPTION).write_text('{"a": 1}'),
        "does not describe",
    ),
    "a json list": (lambda f: (f / saved.DESCRIPTION).write_text("[1]"), "does not describe"),
    "no json": (lambda f: (f / saved.DESCRIPTION).write_bytes(b"\x80\x04."), "does not describe"),
    "deep json": (lambda f: (f / saved.DESCRIPTION).write_text("[" * 10**6), "does not describe"),
    "another format": (lambda f: describe(f, format=2), "format: Input should be 1"),
    "a key of two lines": (lambda f: describe(f, **{"a\nb\x1b[2J": 1}), r"a\\nb\\x1b\[2J: Extra"),
    "a param of two lines": (lambda f: change_params(f, **{"a\nb": 1}), r"params.a\\nb: String"),
    "missing key": (lambda f: describe(f, fold=...), "fold: Field required"),
    "unknown key": (lambda f: describe(f, code="x"), "code: Extra inputs"),
    "other shape": (lambda f: describe(f, shape=[1, 28, 28]), "cannot be used: "),
    "other length": (vectors_of_another_length, "cannot be used: "),
    "shape of two": (lambda f: describe(f, shape=[8, 8]), "shape: must be"),
    "negative shape": (
        lambda f: describe(f, shape=[1, -8, 8]),
        "shape.1: Input should be greater",
    ),
    "absurd shape": (lambda f: describe(f, shape=[3, 10**6, 10**6]), "at most 4194304 values"),
    "unknown dtype": (lambda f: describe(f, dtype="object"), "dtype: Input should be"),
    "columns of another number": (
        lambda f: describe(f, columns={"names": ["a"], "low": [0.0], "high": [1.0]}),
        "columns must have a name, low and high for each",
    ),
    "a column without a range": (
        lambda f: describe(f, columns={"names": ["a"], "low": [0.0], "high": [float("nan")]}),
        "columns.high: ",
    ),
    "nan calibration": (lambda f: describe(f, calibration=[1.0, float("nan")]), "calibration.1: "),
    "words as calibration": (lambda f: describe(f, calibration=["a"]), "calibration.0: "),
    "null calibration": (lambda f: describe(f, calibration=[None]), "calibration.0: "),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_what_does_not_fit_is_refused_in_one_line(
    folder: Path, damage: Callable[[Path], Any], message: str
) -> None:
    damage(folder)
    with pytest.raises(OmasganError, match=message) as caught:
        saved.load(folder, device="cpu")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000
    assert not Path("/tmp/omasgan-was-unpickled").exists()


def test_a_description_of_any_length_is_not_read(folder: Path) -> None:
    with (folder / saved.DESCRIPTION).open("ab") as file:
        file.truncate(saved.MAX_DESCRIPTION_BYTES + 1)
    with pytest.raises(StoreError, match="is too large"):
        saved.load(folder)


def test_a_foreign_detector_is_loaded_where_python_asks_for_it(tmp_path: Path) -> None:
    X = np.random.default_rng(0).integers(0, 256, (30, 1, 4, 4), dtype=np.uint8)
    from tests.toy import CurveDetector

    row = {"detector": "tests.toy:CurveDetector", "params": {}, "seed": 3, "benchmark": "b-v1"}
    row |= {"fold": 0, "data_sha256": "0" * 64, "code_version": "0.1.0"}
    detector = CurveDetector(seed=3).fit(X)
    saved.save(tmp_path, detector, row, X)
    loaded = saved.load(tmp_path, foreign=True, device="cpu")
    np.testing.assert_array_equal(
        loaded.detector.decision_function(X), detector.decision_function(X)
    )


def test_find_takes_the_folder_or_the_only_one_beneath(
    runs: dict[str, tuple[Store, RunKey]], folder: Path, tmp_path: Path
) -> None:
    store, key = runs["knn"]
    run = store.run_dir(key)
    assert saved.find(run) == run
    assert saved.find(run.parents[3]) == run
    with pytest.raises(StoreError, match=r"holds 3 saved detectors, give one: .*/knn/.*, .*/oma"):
        saved.find(store.root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match=r"no saved detector in .* --save"):
        saved.find(tmp_path / "empty")
    with pytest.raises(StoreError, match="no folder"):
        saved.find(tmp_path / "missing")
    (folder / saved.DESCRIPTION).unlink()
    assert saved.find(folder) == folder
