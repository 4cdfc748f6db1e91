"""The stage cache: equal bit for bit, addressed by exactly what a state depends on."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omasgan.detectors import parameters
from omasgan.detectors.omasgan import OMASGAN
from omasgan.training import stages
from omasgan.training.loop import Training
from omasgan.training.stages import StageCache
from tests.contracts.test_detector import images, quick, vectors

PHASES = tuple(phase for phase, steps in OMASGAN()._phases().items() if steps)
SHARED = PHASES[:-1]
PARAMS = parameters(OMASGAN)
DOWNSTREAM: dict[str, Any] = {
    "mu": 3.0,
    "nu": 0.2,
    "boundary_reference": 300,
    "boundary_batch": 16,
    "radius": 0.3,
    "form": "pixel",
    "alpha": 0.9,
    "gamma": 0.1,
    "zeta": 1.0,
    "detector_width": 12,
    "detector_steps": 6,
    "neighbours": 7,
}


def trained(cache: StageCache | None, X: np.ndarray, **params: Any) -> tuple[OMASGAN, Any, Any]:
    """The detector, its epochs and the training that it shared."""
    detector = quick("omasgan", **params)
    shared = cache and cache.open(detector, X)
    return detector, list(Training(detector, X, shared=shared).epochs()), shared


def bits(state: Any) -> Any:
    """A state that can be compared bit by bit."""
    if isinstance(state, torch.Tensor):
        return (
            str(state.dtype),
            tuple(state.shape),
            state.reshape(-1).view(torch.uint8).numpy().tobytes(),
        )
    if isinstance(state, dict):
        return {name: bits(value) for name, value in state.items()}
    return [bits(value) for value in state] if isinstance(state, list | tuple) else state


def first_phase(name: str) -> str:
    """The first phase with steps at the defaults whose result depends on a param, as it states."""
    phases = list(OMASGAN()._phases())
    later = phases[phases.index(PARAMS[name].phase or PHASES[0]) :]
    return next(phase for phase in later if phase in PHASES)


def other(name: str) -> Any:
    """A value of a param that is not its default, and that the constructor takes."""
    default = getattr(quick("omasgan"), name)
    if PARAMS[name].choices:
        return next(choice for choice in PARAMS[name].choices if choice != default)
    if isinstance(default, int):
        return default + 1
    return default / 2 if default else 0.5


@pytest.mark.parametrize(
    ("X", "name"),
    [(images(), name) for name in DOWNSTREAM]
    + [(vectors(), name) for name in ("mu", "gamma", "zeta")],
    ids=lambda value: value if isinstance(value, str) else f"{value.ndim}-d",
)
def test_scores_and_epochs_are_the_same_bit_for_bit(
    name: str, X: np.ndarray, tmp_path: Path
) -> None:
    cache = StageCache(tmp_path)
    trained(cache, X)
    changed = {name: DOWNSTREAM[name]}
    detector, epochs, shared = trained(cache, X, **changed)
    alone, all_epochs, _ = trained(None, X, **changed)
    assert shared.seconds > 0
    assert epochs == all_epochs
    for stage, scores in alone.stage_scores(X).items():
        assert np.array_equal(scores, detector.stage_scores(X)[stage]), stage


def test_the_longest_beginning_is_taken(tmp_path: Path) -> None:
    X, cache = images(), StageCache(tmp_path)
    trained(cache, X)
    assert len(list(tmp_path.iterdir())) == len(SHARED)
    spared = [trained(cache, X, **p)[2].seconds for p in ({"mu": 2.0}, {"beta": 2.0}, {"zeta": 1})]
    assert spared == sorted(spared) and spared[0] < spared[-1]


def test_a_training_leaves_only_what_it_is_told_to(tmp_path: Path) -> None:
    X = images()
    trained(StageCache(tmp_path, phases=("gan",)), X)
    assert len(list(tmp_path.iterdir())) == 1
    trained(StageCache(tmp_path, phases=()), X, gan_lr=1e-3)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> StageCache:
    """A cache that holds a training on ``images()`` at the quick params."""
    cache = StageCache(tmp_path_factory.mktemp("filled"))
    trained(cache, images())
    return cache


@pytest.mark.parametrize("name", [name for name in PARAMS if first_phase(name) in SHARED])
def test_changing_a_param_inside_changes_the_key(name: str, filled: StageCache) -> None:
    detector = quick("omasgan", **{name: other(name)})
    replayed = list(filled.open(detector, images()).replay())
    assert first_phase(name) not in {epoch.phase for epoch in replayed}


def state_at_the_end_of(phase: str, folder: Path, **params: Any) -> Any:
    """The bits of the state there, which is left in a cache in ``folder``."""
    detector, X = quick("omasgan", **params), images(30)
    shared = StageCache(folder, phases=(phase,)).open(detector, X)
    for epoch in detector.fit_epochs(X):
        shared.keep(epoch)
        if epoch.index + 1 == detector.beginnings()[PHASES.index(phase)].epochs:
            break
    return bits(detector.state_dict())


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    """By phase, a cache's folder and the bits in it, at the quick params."""
    folders = {phase: tmp_path_factory.mktemp(phase) for phase in SHARED}
    return {phase: (f, state_at_the_end_of(phase, f)) for phase, f in folders.items()}


def outside(phase: str) -> list[str]:
    """The params that state a later phase than ``phase``."""
    return [name for name in PARAMS if PHASES.index(first_phase(name)) > PHASES.index(phase)]


def check_unmoved(names: list[str], phase: str, plain: dict[str, tuple[Path, Any]]) -> None:
    folder, state = plain[phase]
    moved = {name: other(name) for name in names}
    assert state_at_the_end_of(phase, folder, **moved) == state
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("phase", SHARED)
def test_changing_all_params_outside_changes_neither_state_nor_key(
    phase: str, plain: dict[str, tuple[Path, Any]]
) -> None:
    check_unmoved(outside(phase), phase, plain)


@pytest.mark.parametrize("phase", SHARED)
@settings(max_examples=4)
@given(data=st.data())
def test_changing_some_of_them_does_not_either(
    phase: str, data: st.DataObject, plain: dict[str, tuple[Path, Any]]
) -> None:
    some = st.lists(st.sampled_from(outside(phase)), min_size=1, unique=True)
    check_unmoved(data.draw(some), phase, plain)


@pytest.mark.parametrize("what", ["seed", "data", "code", "machine", "torch"])
def test_all_else_that_counts_is_in_the_key(
    what: str, filled: StageCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, detector = images(), quick("omasgan")
    assert list(filled.open(detector, X).replay())
    detector = quick("omasgan")
    if what == "seed":
        detector.seed += 1
    elif what == "data":
        X = X.copy()
        X[0, 0, 0, 0] ^= 1
    elif what == "torch":
        monkeypatch.setattr(stages, "torch_version", lambda: "0.0")
    else:
        monkeypatch.setattr(stages, f"_{what}", lambda _: "another")
    assert not list(filled.open(detector, X).replay())


def test_labelled_anomalies_are_in_the_key(filled: StageCache) -> None:
    detector = quick("omasgan")
    assert not list(filled.open(detector, images(), images(3, seed=5)).replay())


def test_an_edited_source_is_another_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "edited_detector"
    package.mkdir()
    lines = "from omasgan.detectors.omasgan import OMASGAN\nclass Mine(OMASGAN): pass\n"
    (package / "__init__.py").write_text(lines)
    from edited_detector import Mine  # type: ignore[import-not-found]

    before = stages._code.__wrapped__(Mine)
    assert before == stages._code.__wrapped__(Mine)
    (package / "helper.py").write_text("STEP = 1\n")
    assert stages._code.__wrapped__(Mine) != before


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign", "empty"])
def test_a_damaged_file_is_passed_over_with_a_warning(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    X, cache = images(), StageCache(tmp_path, phases=("gan",))
    whole, _, _ = trained(cache, X)
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[-3] ^= 1
    elif damage == "foreign":
        stages.save_state(file, {"state": {}, "epochs": [], "seconds": 0.0})
        content = bytearray(file.read_bytes())
    else:
        content = bytearray()
    file.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        detector, _, shared = trained(cache, X)
    assert "phase 'gan' is trained anew" in caplog.text
    assert shared.seconds == 0
    assert np.array_equal(whole.decision_function(X), detector.decision_function(X))
    assert trained(cache, X)[2].seconds > 0, "the damaged file was not replaced"


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_saving(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "stages").write_text("a file")
    with caplog.at_level(logging.WARNING):
        detector, _, _ = trained(StageCache(tmp_path / "stages"), images())
    assert "is not saved" in caplog.text
    detector.decision_function(images())


def test_many_writers_at_once_do_no_harm(tmp_path: Path) -> None:
    X, cache = images(), StageCache(tmp_path, phases=("gan",))
    detector = quick("omasgan")
    writers = [cache.open(detector, X) for _ in range(8)]
    for epoch in detector.fit_epochs(X):
        if epoch.index + 1 == detector.beginnings()[0].epochs:
            break
        for writer in writers:
            writer.keep(epoch)
    threads = [threading.Thread(target=writer.keep, args=(epoch,)) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]
    resumed, _, shared = trained(cache, X)
    assert shared.seconds > 0
    assert np.array_equal(resumed.decision_function(X), trained(None, X)[0].decision_function(X))


def test_a_training_without_beginnings_is_left_alone(tmp_path: Path) -> None:
    from tests.toy import CurveDetector

    detector, X = CurveDetector(), images()
    shared = StageCache(tmp_path).open(detector, X)
    assert len(list(Training(detector, X, shared=shared).epochs())) == detector.epochs
    assert not list(tmp_path.iterdir())


def test_the_last_phase_with_steps_is_not_shared(tmp_path: Path) -> None:
    steps = {"boundary_steps": 0, "retrain_steps": 0, "detector_steps": 0}
    assert quick("omasgan", **steps).beginnings() == []
    two = quick("omasgan", boundary_steps=0, detector_steps=0)
    assert [b.phase for b in two.beginnings()] == ["gan"]
