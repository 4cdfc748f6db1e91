"""The driver's book when processes die: what is repeated, what is given up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omasgan.study.ledger import DEATHS, Ledger, Patience

from omasgan.config import BenchmarkSpec
from omasgan.data import selection
from omasgan.data.datasets import Dataset
from omasgan.progress import Event
from omasgan.store.journal import keep_rows, read_json, read_rows
from omasgan.study.guide import Guide
from omasgan.study.search import Search, TrialJob
from omasgan.study.space import Space


@pytest.fixture
def search(small_spec: BenchmarkSpec, small_dataset: Dataset, tmp_path: Path) -> Search:
    (study,) = selection.studies("nested", small_spec, small_dataset, [0], inner=2)
    guide = Guide(
        Space.from_dict({"lr": {"low": 0.1, "high": 1.0}}),
        storage=None,
        study_name="s",
        log_path=tmp_path / "log.jsonl",
    )
    job = TrialJob("tests.toy:CurveDetector", "cpu", False, tmp_path)
    return Search(guide, job, study.data, 2)


def epoch(step: int, index: int) -> dict[str, Any]:
    return {"task": f"t{step}", "step": step, "epoch": index, "phase": "p", "loss": 1.0}


def value(step: int) -> dict[str, Any]:
    return {"task": f"t{step}", "step": step, "value": 0.5 + 0.1 * step}


OK = {"outcome": "ok", "objective": 0.55, "error": None, "seconds": 1.0}


def test_a_trial_whose_process_dies_goes_on_and_is_told_once(search: Search) -> None:
    events: list[Event] = []
    ledger = Ledger(search, events.append)
    first = ledger.begin()
    ledger.enter(first.number, [epoch(0, 0), epoch(0, 1), value(0), epoch(1, 0), epoch(1, 1)])
    ledger.end(first.number, "the node died")
    assert (ledger.running, ledger.remaining) == (0, 2)
    assert not (search.job.workdir(first.number) / "trial.json").exists()
    again = ledger.begin()
    assert (again.number, again.params) == (first.number, first.params)
    ledger.enter(first.number, [value(0), epoch(1, 1), epoch(1, 2), value(1), OK])
    ledger.end(first.number)
    row = read_json(search.job.workdir(first.number) / "trial.json")
    assert (row["outcome"], row["objective"], row["attempts"]) == ("ok", 0.55, 2)
    assert row["values"] == {"t0": 0.5, "t1": 0.6}
    rows = read_rows(search.job.workdir(first.number) / "epochs.jsonl")
    places = [(r["step"], r.get("epoch", "value")) for r in rows]
    assert places == [(0, 0), (0, 1), (0, "value"), (1, 0), (1, 1), (1, 2), (1, "value")]
    assert [e.outcome for e in events if e.kind == "trial"] == ["ok"]
    assert [e.text for e in events if e.kind == "note"] == ["trial 0 is repeated: the node died"]
    assert ledger.remaining == 1


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        # The driver died between the study and the log.
        ([epoch(0, 0)], [value(0)]),
        # The values in the trial's folder were damaged, and are computed anew.
        ([epoch(0, 0), value(0)], [epoch(0, 0), value(0)]),
    ],
)
def test_a_value_that_the_study_knows_is_in_the_log_too(
    kept: list[dict[str, Any]], told: list[dict[str, Any]], search: Search
) -> None:
    ledger = Ledger(search, lambda event: None)
    ledger.begin()
    ledger.enter(0, [epoch(0, 0), value(0)])
    path = search.job.workdir(0) / "epochs.jsonl"
    keep_rows(path, lambda row: row in kept)
    ledger.end(0, "its process died")
    ledger.begin()
    ledger.enter(0, [*told, epoch(1, 0)])
    ledger.enter(0, [value(1), OK])
    assert read_rows(path) == [epoch(0, 0), value(0), epoch(1, 0), value(1)]


def test_a_trial_that_dies_at_the_same_place_is_given_up(search: Search) -> None:
    ledger = Ledger(search, lambda event: None)
    for attempt in range(DEATHS):
        trial = ledger.begin()
        assert trial.number == 0
        ledger.enter(0, [epoch(0, i) for i in range(3)])
        ledger.end(0, f"killed, attempt {attempt}")
    (ended,) = search.guide.finished()
    assert (ended.outcome, ended.error) == ("failed", f"killed, attempt {DEATHS - 1}")
    assert read_json(search.job.workdir(0) / "trial.json")["attempts"] == DEATHS
    assert ledger.begin().number == 1


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_patience_ends_only_where_nothing_moves(places: list[int]) -> None:
    patience = Patience()
    for i, place in enumerate(places):
        best = max(places[:i], default=None)
        again = patience.outlasts(place)
        if best is None or place > best:
            assert again
        stuck = places[max(0, i + 1 - DEATHS) : i + 1]
        if len(stuck) == DEATHS and best is not None:
            advanced = any(
                p > max(places[: j + i + 1 - DEATHS], default=-1)
                for j, p in enumerate(stuck[1:], 1)
            )
            assert again == advanced or not again
        if not again:
            break
