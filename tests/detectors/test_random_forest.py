"""The random forest: a classifier with labelled anomalies, shuffled columns without."""

from __future__ import annotations

import numpy as np

from omasgan.data import metrics
from omasgan.detectors.random_forest import RandomForest
from tests.contracts.test_detector import images


def line(n: int, seed: int) -> np.ndarray:
    """Points near the diagonal of a square, ``(n, 2)``."""
    rng = np.random.default_rng(seed)
    return (rng.uniform(-1, 1, (n, 1)) + rng.normal(0, 0.02, (n, 2))).astype(np.float32)


def test_without_labels_it_knows_which_columns_go_together() -> None:
    off = np.float32([[1, -1]]) * line(200, seed=2)
    scores = (
        RandomForest(trees=30)
        .fit(line(300, seed=0))
        .decision_function(np.concatenate([line(200, seed=1), off]))
    )
    assert metrics.auroc(np.repeat([0, 1], 200), scores) > 0.9


def test_labels_show_it_anomalies_that_lie_among_the_normal_samples() -> None:
    """An interval of the diagonal is anomalous: nothing but labels can tell."""
    X, test = line(600, seed=0), line(600, seed=1)
    inside = np.abs(X.mean(1)) < 0.2
    anomalous = np.abs(test.mean(1)) < 0.2
    aurocs = [
        metrics.auroc(anomalous.astype(int), forest.decision_function(test))
        for forest in (
            RandomForest(trees=30).fit(X[~inside], anomalies=X[inside]),
            RandomForest(trees=30).fit(X, anomalies=X[inside][:0]),
        )
    ]
    assert aurocs[0] > 0.95 > 0.7 > aurocs[1]


def test_a_loaded_forest_has_seen_the_same_anomalies() -> None:
    X, anomalies = images(40), 255 - images(5, seed=7)
    forest, loaded = (RandomForest(trees=10, seed=3) for _ in range(2))
    forest.fit(X, anomalies=anomalies)
    loaded.load_state_dict(forest.state_dict())
    for name, scores in forest.stage_scores(X).items():
        assert np.array_equal(loaded.stage_scores(X)[name], scores)
    assert list(loaded.fit_epochs(X)) == []
    assert len(loaded.state_dict()["anomalies"]) == 5


def test_only_so_many_normal_samples_are_used() -> None:
    forest = RandomForest(trees=5, samples=20).fit(line(100, seed=0))
    assert forest._forest.estimators_[0].tree_.n_node_samples[0] <= 40
