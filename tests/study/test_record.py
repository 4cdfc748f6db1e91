"""The record of a study when its driver is killed anywhere, or its file is damaged."""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omasgan.errors import DamagedError, StoreError
from omasgan.store.files import AnyPath, read, write_atomic
from omasgan.study.guide import Guide
from omasgan.study.record import CONTINUES, FILE, Journal, read_trials, trial_of
from omasgan.training.trials import Ending, Trial
from tests.damage import HARM, flipped
from tests.study.closed_form import SPACE, make, quality

OPTIONS: dict[str, Any] = {
    "sampler": "TPESampler(n_startup_trials=2)",
    "pruner": "MedianPruner(n_startup_trials=1)",
    "seed": 7,
}
N_TRIALS = 4


def act(guide: Guide) -> None:
    """Do the next thing that a driver does to a study of ``N_TRIALS`` trials with two tasks."""
    trial = next((t for t in state(guide) if t.ending is None), None)
    if trial is None or trial.number not in guide._live:
        guide.ask()
    elif len(trial.values) < 2 and not (trial.values and guide.should_prune(trial.number)):
        value = quality(dict(trial.params)) + 0.01 * len(trial.values)
        guide.report(trial.number, len(trial.values), {"score": value})
    elif len(trial.values) < 2:
        guide.tell(trial.number, Ending("pruned"))
    else:
        bad = trial.number == 3
        guide.tell(trial.number, Ending("diverged" if bad else "ok", trial.values[1]["score"]))


def is_over(guide: Guide) -> bool:
    return len(guide.finished()) == N_TRIALS


def state(guide: Guide) -> list[Trial]:
    """All trials, without when they ended."""
    return [timeless(stored) for stored in guide.stored()]


def timeless(stored: optuna.trial.FrozenTrial) -> Trial:
    return replace(trial_of(stored, SPACE), ended_at=None)


@functools.cache
def whole() -> tuple[bytes, dict[int, list[Trial]]]:
    """The record of an undisturbed study, and its trials by how long the record was."""
    with tempfile.TemporaryDirectory() as name:
        guide, file = make(Path(name), **OPTIONS), Path(name) / FILE
        states = {0: state(guide), file.stat().st_size: state(guide)}
        while not is_over(guide):
            act(guide)
            states[file.stat().st_size] = state(guide)
        return file.read_bytes(), states


def test_the_study_has_every_kind_of_entry() -> None:
    record, states = whole()
    outcomes = {trial.outcome for trial in states[len(record)]}
    assert outcomes == {"ok", "pruned", "diverged"}
    assert len(states) > 2 * N_TRIALS


def go_on(folder: Path, cut: int) -> None:
    """Cut the record, as a driver that is killed in a write does, and go on with the study."""
    record, states = whole()
    (folder / FILE).write_bytes(record[:cut])
    last = max(length for length in states if length <= cut + (record[cut : cut + 1] == b"\n"))
    # Whoever reads it meanwhile sees the same.
    seen = read_trials(folder, SPACE)
    guide = make(folder, **OPTIONS)
    assert state(guide) == states[last]
    assert [t.params for t in seen] == [t.params for t in states[last]]
    while not is_over(guide):
        act(guide)
    assert state(guide) == states[len(record)]
    backend = optuna.storages.journal.JournalFileBackend(str(folder / FILE))
    storage = optuna.storages.JournalStorage(backend)
    study = optuna.load_study(study_name="study", storage=storage)
    assert [timeless(stored) for stored in study.trials] == states[len(record)]
    rows = [json.loads(line) for line in (folder / FILE).read_text().splitlines()]
    assert sum(row["op_code"] == 4 for row in rows) == N_TRIALS


@given(st.data())
def test_a_driver_killed_anywhere_loses_at_most_the_entry_it_wrote(data: st.DataObject) -> None:
    record, _ = whole()
    with tempfile.TemporaryDirectory() as folder:
        go_on(Path(folder), data.draw(st.integers(0, len(record))))


def test_a_driver_killed_before_within_or_after_any_line_goes_on(tmp_path: Path) -> None:
    record, _ = whole()
    ends = [i for i, byte in enumerate(record) if byte == ord("\n")]
    for end in ends[:: max(1, len(ends) // 8)]:
        for cut in (end - 1, end, end + 1):
            go_on(tmp_path, cut)


def test_an_entry_is_written_as_a_whole(tmp_path: Path) -> None:
    guide, file = make(tmp_path), tmp_path / FILE
    for do in (
        lambda: guide.ask(),
        lambda: guide.report(0, 0, {"score": 0.5}),
        lambda: guide.tell(0, Ending("ok", 0.5)),
    ):
        before = file.read_text().splitlines()
        do()
        rows = [json.loads(line) for line in file.read_text().splitlines()[len(before) :]]
        assert len(rows) > 1
        assert [row.get(CONTINUES) for row in rows] == [True] * (len(rows) - 1) + [None]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_entry_that_is_broken_off_leaves_nothing(
    tmp_path: Path, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = make(tmp_path, **OPTIONS)
    before = (tmp_path / FILE).read_bytes()
    draws = iter(["a"])

    def interrupted(*args: Any) -> Any:
        for value in draws:
            return value
        raise error("here")

    with monkeypatch.context() as patch:
        patch.setattr("optuna.samplers.TPESampler.sample_independent", interrupted)
        with pytest.raises(error, match="here"):
            guide.ask()
    assert (tmp_path / FILE).read_bytes() == before
    assert make(tmp_path, **OPTIONS).ask() == make(**OPTIONS).ask()


def test_opening_a_study_again_adds_nothing_to_its_record(tmp_path: Path) -> None:
    make(tmp_path)
    before = (tmp_path / FILE).read_bytes()
    make(tmp_path)
    read_trials(tmp_path, SPACE)
    assert (tmp_path / FILE).read_bytes() == before


def test_the_record_is_the_same_on_every_kind_of_storage(root: AnyPath) -> None:
    guide = Guide(SPACE, root, **OPTIONS)
    while not is_over(guide):
        act(guide)
    record, states = whole()
    assert state(Guide(SPACE, root, **OPTIONS)) == states[len(record)]
    # An object store has no torn writes, but a driver that died may have left an older object.
    content = read(root / FILE) or b""
    write_atomic(root / FILE, content[: content.rindex(b'{"op_code": 6')])
    guide = Guide(SPACE, root, **OPTIONS)
    assert len(guide.finished()) == N_TRIALS - 1
    while not is_over(guide):
        act(guide)
    assert state(guide) == states[len(record)]


@pytest.mark.parametrize("harm", [harm for harm in HARM if harm != "one bit"])
def test_a_damaged_record_is_named_or_begun_anew(tmp_path: Path, harm: str) -> None:
    record, states = whole()
    (tmp_path / FILE).write_bytes(HARM[harm](record))
    try:
        guide = make(tmp_path, **OPTIONS)
    except DamagedError as error:
        assert str(tmp_path / FILE) in str(error)
        assert "delete it to begin the study anew" in str(error) and "\n" not in str(error)
        (tmp_path / FILE).unlink()
        guide = make(tmp_path, **OPTIONS)
    while not is_over(guide):
        act(guide)
    assert state(guide) == states[len(record)]


@given(st.integers(0, 10**6), st.integers(0, 7))
def test_a_record_with_a_flipped_bit_is_opened_or_named(position: int, bit: int) -> None:
    record, _ = whole()
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / FILE).write_bytes(flipped(record, position % len(record), bit))
        for use in (lambda: read_trials(Path(name), SPACE), lambda: make(Path(name), **OPTIONS)):
            with contextlib.suppress(StoreError), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                use()


def test_a_line_that_is_gone_or_damaged_is_named(tmp_path: Path) -> None:
    record, _ = whole()
    lines = record.splitlines(keepends=True)
    (tmp_path / FILE).write_bytes(b"".join([*lines[:4], b"torn\n", *lines[5:]]))
    before = (tmp_path / FILE).read_bytes()
    for use in (lambda: make(tmp_path), lambda: read_trials(tmp_path, SPACE)):
        with pytest.raises(DamagedError, match="is damaged: line 5 is no row; delete"):
            use()
    assert (tmp_path / FILE).read_bytes() == before
    (tmp_path / FILE).write_bytes(b'{"op_code": 99}\n{"worker_id": "w"}\n')
    for use in (lambda: make(tmp_path), lambda: read_trials(tmp_path, SPACE)):
        with pytest.raises(DamagedError, match=r"is damaged: (AssertionError|KeyError)"):
            use()


def test_the_record_of_another_study_is_refused(tmp_path: Path) -> None:
    make(tmp_path, name="one")
    with pytest.raises(StoreError, match="the record of study 'other' is that of 'one'; give an"):
        make(tmp_path, name="other")


def test_a_folder_without_a_record_has_no_trials(tmp_path: Path) -> None:
    assert read_trials(tmp_path, SPACE) == []


def test_a_trial_that_another_tool_has_ended_counts_as_failed(tmp_path: Path) -> None:
    make(tmp_path).ask()
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / FILE))
    storage = optuna.storages.JournalStorage(backend)
    study = optuna.load_study(study_name="study", storage=storage)
    study.tell(0, state=optuna.trial.TrialState.FAIL)
    (trial,) = read_trials(tmp_path, SPACE)
    assert trial.outcome == "failed"
    assert make(tmp_path).finished() == [trial]


def test_a_full_disk_stops_a_study_that_then_goes_on(tmp_path: Path) -> None:
    guide = make(tmp_path, **OPTIONS)
    for _ in range(4):
        act(guide)
    record, states = whole()
    (tmp_path / FILE).rename(tmp_path / "aside")
    (tmp_path / FILE).mkdir()
    with pytest.raises(StoreError, match="cannot write"):
        act(guide)
    (tmp_path / FILE).rmdir()
    (tmp_path / "aside").rename(tmp_path / FILE)
    guide = make(tmp_path, **OPTIONS)
    while not is_over(guide):
        act(guide)
    assert state(guide) == states[len(record)]


def test_rows_are_read_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / FILE)
    journal.append_logs([{"n": 0}, {"n": 1}])
    assert [row["n"] for row in journal.read_logs(0)] == [0, 1]
    journal.append_logs([{"n": 2}])
    assert [row["n"] for row in journal.read_logs(1)] == [1, 2]
    assert [row["n"] for row in journal.read_logs(3)] == []
    assert [row["n"] for row in Journal(tmp_path / FILE).read_logs(1)] == [1, 2]
