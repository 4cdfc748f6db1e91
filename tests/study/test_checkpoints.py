"""What a budget deletes first, and what it leaves."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from omasgan.study.checkpoints import Checkpoints


def trial(study: Path, number: int, size: int, age: float) -> Path:
    """A trial with a checkpoint of ``size`` bytes, written ``age`` seconds before others."""
    folder = study / "trials" / f"{number:04d}"
    folder.mkdir(parents=True)
    path = folder / "task-0.safetensors"
    path.write_bytes(bytes(size))
    os.utime(path, (1e9 - age, 1e9 - age))
    return path


def test_an_ended_trial_keeps_its_checkpoint_only_if_asked(tmp_path: Path) -> None:
    path = trial(tmp_path, 0, 10, age=0)
    Checkpoints(keep=True).end(path.parent, 0.5)
    assert path.exists()
    Checkpoints().end(path.parent, 0.5)
    assert not path.exists()


def test_the_worst_of_the_ended_goes_first_then_the_oldest_of_the_running(tmp_path: Path) -> None:
    order = [
        trial(tmp_path / "a", 0, 10, age=0),
        trial(tmp_path / "a", 1, 10, age=1),
        trial(tmp_path / "b", 0, 10, age=9),
        trial(tmp_path / "a", 2, 10, age=5),
        trial(tmp_path / "b", 1, 10, age=7),
        trial(tmp_path / "a", 3, 10, age=3),
    ]
    ended = [path.parent for path in order[:4]]
    objectives = dict(zip(ended, (None, 0.2, 0.4, 0.9), strict=True))
    for left in (5, 4, 3, 2, 1, 0):
        checkpoints = Checkpoints(10 * left, keep=True)
        for study in (tmp_path / "a", tmp_path / "b"):
            checkpoints.watch(study, {f: o for f, o in objectives.items() if study in f.parents})
        checkpoints.trim()
        assert [path.exists() for path in order] == [i >= 6 - left for i in range(6)]


def test_a_trial_that_ends_is_weighed_by_its_objective_at_once(tmp_path: Path) -> None:
    paths = [trial(tmp_path, number, 10, age=0) for number in range(3)]
    checkpoints = Checkpoints(20, keep=True)
    checkpoints.watch(tmp_path, {paths[0].parent: 0.5})
    checkpoints.end(paths[1].parent, 0.4)
    assert [path.exists() for path in paths] == [True, False, True]


def test_without_a_budget_and_between_looks_nothing_is_deleted(tmp_path: Path) -> None:
    path = trial(tmp_path, 0, 10, age=0)
    for checkpoints in (Checkpoints(), Checkpoints(10)):
        checkpoints.watch(tmp_path, {})
        checkpoints.trim()
        assert path.exists()
    path.write_bytes(bytes(11))
    checkpoints.trim()
    assert path.exists()
    checkpoints.trim(every_seconds=0)
    assert not path.exists()


@given(
    st.lists(st.tuples(st.integers(0, 50), st.none() | st.floats(0, 1)), max_size=8),
    st.integers(0, 200),
)
def test_the_budget_holds_and_no_more_is_deleted_than_it_takes(
    tmp_path_factory: object, trials: list[tuple[int, float | None]], budget: int
) -> None:
    study = tmp_path_factory.mktemp("study")  # type: ignore[attr-defined]
    files = [trial(study, i, size, i) for i, (size, _) in enumerate(trials)]
    ended = zip(files, trials, strict=True)
    checkpoints = Checkpoints(budget, keep=True)
    checkpoints.watch(study, {file.parent: o for file, (_, o) in ended if o is not None})
    checkpoints.trim()
    left = [file.stat().st_size for file in files if file.exists()]
    assert sum(left) <= budget
    deleted = [size for file, (size, _) in zip(files, trials, strict=True) if not file.exists()]
    assert not deleted or sum(left) + max(deleted) > budget
