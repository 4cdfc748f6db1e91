from __future__ import annotations

from pathlib import Path

import pytest

from omasgan.errors import StoreError
from omasgan.experiments.status import recorded
from omasgan.store.journal import read_json

STUDY = {"detector": "knn", "points": 3, "folds": [0, 1]}


def interrupt(path: Path, identity: dict[str, object]) -> None:
    with pytest.raises(KeyboardInterrupt), recorded(path, identity, "the study"):
        raise KeyboardInterrupt


def test_a_set_is_running_within_the_context_and_complete_after_it(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    with recorded(path, STUDY, "the study"):
        assert read_json(path) == {**STUDY, "status": "running"}
    assert read_json(path) == {**STUDY, "status": "complete"}


def test_what_was_interrupted_goes_on_but_nothing_else_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    interrupt(path, STUDY)
    assert read_json(path)["status"] == "running"
    with (
        pytest.raises(StoreError, match=r"interrupted and differs: points: 3 -> 5; finish it"),
        recorded(path, {**STUDY, "points": 5}, "the study"),
    ):
        pass
    assert read_json(path)["points"] == 3
    with recorded(path, {**STUDY, "folds": (0, 1)}, "the study"):
        pass
    assert read_json(path)["status"] == "complete"


def test_another_set_may_follow_a_complete_one(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    for points in (3, 5):
        with recorded(path, {**STUDY, "points": points}, "the study"):
            pass
    assert read_json(path)["points"] == 5
