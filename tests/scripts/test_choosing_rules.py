"""choosing-rules: what its searches see, and how their objectives are made comparable."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.scripts.shell import imported

PARAMS = {"components": 2, "whiten": 0.0, "neighbours": 1, "relative": 0.0}


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return imported("choosing-rules", monkeypatch)


def blobs(rules: ModuleType) -> Any:
    """Four classes of 20 points, each around a corner of a square."""
    draw = np.random.default_rng(0)
    corners = np.array([[0, 0], [0, 9], [9, 0], [9, 9]])
    classes = np.repeat(np.arange(4), 20)
    X = corners[classes] + draw.normal(size=(80, 2))
    return rules.Data.of(X, classes, 0)


def test_parts_of_a_class_are_apart(rules: ModuleType) -> None:
    data = blobs(rules)
    parts = [data.train, data.inner, data.outer]
    assert [len(part[0]) for part in parts] == [12, 4, 4]
    points = np.concatenate([of_class for part in parts for of_class in part])
    assert len(np.unique(points, axis=0)) == 80


def test_a_score_is_the_distance_to_the_nearest(rules: ModuleType) -> None:
    train = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 3.0]])
    far, near = rules.scores(PARAMS, train, np.array([[4.0, 7.0], [4.0, 1.0]]))
    assert np.exp([far, near]) == pytest.approx([np.sqrt(32), 1.0])


@pytest.mark.parametrize(("inner", "n"), [("fixed", 2), ("varied", 2), ("all nine", 3)])
def test_a_search_never_holds_out_the_class_that_judges_it(
    rules: ModuleType, inner: str, n: int
) -> None:
    search = rules.Search(blobs(rules), 3, inner, 0)
    for _ in range(8):
        search._try(PARAMS)
    assert all(len(values) == n and 3 not in values for values in search.values)
    assert all(0.9 < value <= 1 for values in search.values for value in values.values())
    tasks = {tuple(values) for values in search.values}
    assert len(tasks) == 1 if inner != "varied" else len(tasks) > 1


def test_objectives_of_other_tasks_are_made_comparable(rules: ModuleType) -> None:
    """The second trial is better than others of its easy task, the first worse in its hard one."""
    values = [{0: 0.5}, {1: 0.95}, {0: 0.7}, {1: 0.9}]

    def objectives(inner: str) -> list[float]:
        search = rules.Search(blobs(rules), 3, inner, 0)
        search.values = values
        return search.objectives()

    assert objectives("varied") == [0.5, 0.95, 0.7, 0.9]
    less = objectives("varied, less task mean")
    assert less == pytest.approx([-0.1, 0.025, 0.1, -0.025])
    assert objectives("varied, ranks") == [0.5, 1.0, 1.0, 0.5]
