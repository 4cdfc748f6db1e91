from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from omasgan.checks.geometry import Card, cards
from omasgan.config import load_benchmark
from omasgan.data import datasets, protocols
from omasgan.errors import StoreError
from omasgan.store.results import RunKey, Store, params_id
from omasgan.training import evaluate
from omasgan.training.jobs import RunJob
from tests.results import SPEC, add_run, claimed

NORMALS = [1.0, 2.0, 3.0, 4.0, 40.0]


def add_scores(  # noqa: PLR0913 - what tests vary of a run
    store: Store,
    detector: str,
    anomalies: list[float],
    *,
    fold: int = 0,
    seed: int = 0,
    outcome: str = "ok",
    selection: str = "fixed",
    params: dict | None = None,
) -> None:
    """A run with these scores of the five test normals and of the anomalies."""
    params = {"k": 1} if params is None else params
    key = RunKey(SPEC.id, detector, selection, params_id(params), seed, fold)
    label = [0] * len(NORMALS) + [1] * len(anomalies)
    scores = pd.DataFrame({"label": label, "score": np.float32([*NORMALS, *anomalies])})
    row = {**key.__dict__, "params": params, "outcome": outcome}
    store.write_run(key, scores if outcome == "ok" else None, row)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return claimed(tmp_path)


def test_a_card_counts_anomalies_below_the_median_normal(store: Store) -> None:
    add_scores(store, "knn", [0.5, 1.5, 2.5, 90.0])
    add_scores(store, "gmm", [90.0, 90.0], params={"mixture": 30})
    add_scores(store, "knn", [90.0, 3.0], fold=2)
    first, second = cards(store, SPEC.id)
    assert (first.fold, first.nearer, first.gmm) == (0, 0.75, 1.0)
    assert first.knn == pytest.approx((0 + 1 + 2 + 5) / 20)
    assert (second.fold, second.nearer, second.gmm) == (2, 0.0, None), "a tie is not nearer"
    assert (first.inverted, second.inverted) == (True, False)


def test_scores_that_seeds_have_in_common_are_read_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, anomaly in enumerate((0.5, 0.5, 90.0, 0.5)):
        add_scores(store, "knn", [anomaly], seed=seed)
    read = []
    scores = Store.scores
    monkeypatch.setattr(Store, "scores", lambda s, key: read.append(key.seed) or scores(s, key))
    rows = [row | {"auroc": 0.5} for row in store.results()]
    (card,) = cards(store, SPEC.id, rows)
    assert card.nearer == 0.75 and len(read) == 2


@pytest.mark.parametrize(
    ("nearer", "knn", "inverted"),
    [(0.5, 0.5, False), (0.51, 0.6, True), (0.4, 0.49, True), (0.0, 1.0, False)],
)
def test_either_sign_inverts_a_fold(nearer: float, knn: float, inverted: bool) -> None:
    assert Card(1, nearer, knn, None).inverted is inverted


def test_a_card_is_one_line_for_the_reader() -> None:
    assert str(Card(1, 0.64, 0.433, None)) == (
        "fold 1 is ill-posed: 64 % of its anomalies lie nearer to the normals than the median "
        "normal does; 1-NN AUROC 0.43"
    )
    assert str(Card(0, 0.0, 0.98, 0.99)) == (
        "fold 0: 0 % of its anomalies lie nearer to the normals than the median normal does; "
        "1-NN AUROC 0.98, Gaussian mixture 0.99"
    )


def test_only_finished_fixed_runs_of_one_neighbour_count(store: Store) -> None:
    add_scores(store, "knn", [0.0], params={"k": 5})
    add_scores(store, "knn", [0.0], selection="nested")
    add_scores(store, "knn", [0.0], outcome="diverged", seed=1)
    assert cards(store, SPEC.id) == []
    add_scores(store, "knn", [90.0])
    assert [card.knn for card in cards(store, SPEC.id)] == [1.0]
    assert cards(store, "another-v1") == []


def test_seeds_are_averaged(store: Store) -> None:
    for seed, anomaly in enumerate((0.0, 90.0)):
        add_scores(store, "knn", [anomaly], seed=seed)
        add_scores(store, "gmm", [anomaly], seed=seed)
    (card,) = cards(store, SPEC.id)
    assert (card.nearer, card.knn, card.gmm) == (0.5, 0.5, 0.5)


def test_lost_scores_are_told(store: Store) -> None:
    key = add_run(store, "knn", {"k": 1})
    (store.run_dir(key) / "scores.parquet").unlink()
    with pytest.raises(StoreError, match=r"cannot read .*scores.parquet"):
        cards(store, SPEC.id)


def test_real_digits_have_a_card(tmp_path: Path) -> None:
    store, spec = Store(tmp_path), load_benchmark("digits-occ", max_folds=1)
    data = datasets.load("digits")
    (fold,) = protocols.folds(spec, data)
    job = RunJob(fold.index, "knn", {"k": 1}, 0, "fixed", store, device="cpu")
    row = evaluate.run_fold(job, spec, data)
    (card,) = cards(store, spec.id)
    assert card.knn == pytest.approx(row["auroc"])
    assert not card.inverted, "nine other digits lie farther from zeros than zeros do"
