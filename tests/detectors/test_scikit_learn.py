"""Detectors among scikit-learn's estimators: its own checks, pipelines, searches."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, PredefinedSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted

from omasgan import KNN, OCSVM, OutlierAdapter
from tests.contracts.test_detector import images, quick, vectors

ROUNDING = {
    "check_methods_subset_invariance": "float32 is rounded otherwise in a batch of another size"
}

EXPECTED_FAILURES: dict[str, dict[str, str]] = {
    "knn": {},
    "lof": {},
    "pca": {},
    "gmm": ROUNDING,
    "ocsvm": ROUNDING,
    "isolation-forest": {},
    "random-forest": {},
    "vae": ROUNDING,
}
"""By detector, the checks of scikit-learn's that it may fail, and why."""

ITSELF = "asked about a training sample, it finds that sample: nothing is an outlier"

EXPECTED_FAILURES_ADAPTED: dict[str, dict[str, str]] = {
    "pca": {},
    "lof": {},
    "ocsvm": ROUNDING,
    "knn": {"check_outliers_train": ITSELF, "check_outliers_fit_predict": ITSELF},
}
"""The same of the adapter around a detector."""


def failures(estimator: object) -> set[str]:
    """The names of scikit-learn's checks that an estimator fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = check_estimator(estimator, on_fail=None, on_skip=None)
    assert len(done) > 30
    return {check["check_name"] for check in done if check["status"] == "failed"}


@pytest.mark.parametrize("name", EXPECTED_FAILURES)
def test_scikit_learn_s_checks_pass(name: str) -> None:
    assert failures(quick(name)) <= EXPECTED_FAILURES[name].keys()


@pytest.mark.parametrize("name", EXPECTED_FAILURES_ADAPTED)
def test_the_adapter_passes_them_as_an_outlier_detector(name: str) -> None:
    failed = failures(OutlierAdapter(quick(name)))
    assert failed <= EXPECTED_FAILURES_ADAPTED[name].keys()


def test_the_adapter_has_the_sign_of_scikit_learn() -> None:
    X, y, splits = labelled()
    adapter = OutlierAdapter(KNN(contamination=0.2)).fit(X[y == 0])
    assert adapter.predict(X)[-6:].tolist() == [-1] * 6
    detector = KNN(contamination=0.2).fit(X[y == 0])
    assert np.array_equal(adapter.predict(X) == -1, detector.predict(X) == 1)
    assert np.array_equal(adapter.score_samples(X), -detector.decision_function(X))
    is_normal = np.where(y == 1, -1, 1)
    search = GridSearchCV(adapter, {"detector__k": [1, 3]}, cv=splits, scoring="roc_auc")
    assert search.fit(X, is_normal).best_score_ == 1.0


@pytest.mark.parametrize("name", ["knn", "gmm", "vae", "omasgan"])
def test_a_pickled_detector_is_the_same(name: str) -> None:
    X = images()
    detector = quick(name).fit(X)
    again = pickle.loads(pickle.dumps(detector))
    assert np.array_equal(again.decision_function(X), detector.decision_function(X))
    assert again.threshold_ == detector.threshold_
    check_is_fitted(again)
    with pytest.raises(ValueError, match="not fitted"):
        check_is_fitted(clone(again))
    X = images(seed=1)
    assert np.array_equal(
        again.fit(X).decision_function(X), detector.fit(X).decision_function(X)
    ), "fit starts afresh"


def labelled() -> tuple[np.ndarray, np.ndarray, PredefinedSplit]:
    """Vectors, labels, and splits that train on normal ones alone."""
    X = np.concatenate([vectors(60), np.full((6, 2), 3, np.float32)])
    y = np.repeat([0, 1], [60, 6])
    return X, y, PredefinedSplit(np.where(np.arange(66) < 40, -1, 0))


def test_a_pipeline_is_searched_and_cross_validated() -> None:
    X, y, splits = labelled()
    pipeline = make_pipeline(StandardScaler(), KNN())
    assert cross_val_score(pipeline, X, y, cv=splits, scoring="roc_auc").tolist() == [1.0]
    search = GridSearchCV(pipeline, {"knn__k": [1, 3]}, cv=splits, scoring="roc_auc").fit(X, y)
    assert search.best_score_ == 1.0
    for detector in (KNN(), OCSVM(), quick("vae")):
        found = cross_val_score(detector, X, y, cv=splits)
        assert found == cross_val_score(detector, X, y, cv=splits, scoring="roc_auc") > 0.5
    assert GridSearchCV(quick("vae"), {"stage": ["rate"]}, cv=splits).fit(X, y).best_score_ > 0
