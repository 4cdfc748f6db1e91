"""Labels and probabilities in Python, with the names and rules of PyOD."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import omasgan
from omasgan import detectors
from omasgan.detectors.knn import KNN
from tests.contracts.test_detector import images, quick, vectors

FAR = np.full((5, 2), 0.95, np.float32)


def test_every_detector_is_found_in_the_package() -> None:
    assert set(omasgan.DETECTORS.values()) == set(detectors.names())
    for name, detector in omasgan.DETECTORS.items():
        assert getattr(omasgan, name) is detectors.load(detector)
        assert getattr(omasgan, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'OMASGAM'"):
        _ = omasgan.OMASGAM


@given(st.floats(0.01, 0.5), st.integers(0, 99))
def test_contamination_is_the_share_of_training_samples_above_the_threshold(
    contamination: float, seed: int
) -> None:
    X = np.random.default_rng(seed).normal(0, 0.2, (97, 2)).astype(np.float32)
    detector = omasgan.PCA(components=1, contamination=contamination).fit(X)
    assert abs(detector.labels_.mean() - contamination) <= 1 / 97
    assert np.array_equal(detector.labels_, detector.predict(X))
    assert np.array_equal(detector.decision_scores_, detector.decision_function(X))
    assert detector.threshold_ == pytest.approx(
        np.quantile(detector.decision_scores_, 1 - contamination)
    )


@pytest.mark.parametrize("method", ["linear", "unify"])
def test_probabilities_grow_with_the_score(method: str) -> None:
    X = vectors()
    detector = KNN(k=3).fit(X)
    both = detector.predict_proba(np.concatenate([X, FAR]), method)
    assert both.shape == (len(X) + 5, 2)
    np.testing.assert_allclose(both.sum(1), 1)
    scores = detector.decision_function(np.concatenate([X, FAR]))
    assert (np.diff(both[np.argsort(scores), 1]) >= 0).all()
    assert (both[-5:, 1] > 0.95).all()
    assert detector.predict(FAR).tolist() == [1] * 5


def test_a_network_has_them_too_and_fit_predict() -> None:
    detector = quick("vae")
    labels = detector.fit_predict(images())
    assert set(labels.tolist()) <= {0, 1}
    assert np.array_equal(labels, detector.labels_)
    again = clone(detector).set_params(contamination=0.5).fit(images())
    assert again.labels_.mean() == pytest.approx(0.5, abs=0.02)
    assert np.array_equal(again.decision_scores_, detector.decision_scores_)


def test_another_fit_forgets_the_scores_of_the_first() -> None:
    X = vectors()
    detector = KNN().fit(X)
    first = detector.threshold_
    assert detector.fit(3 * X).threshold_ == pytest.approx(3 * first, rel=1e-5)


@pytest.mark.parametrize("detector", [KNN(), KNN(k=3), omasgan.LOF(k=3)], ids=repr)
def test_a_training_sample_is_no_neighbour_of_itself(detector: KNN) -> None:
    X = vectors(30)
    others = clone(detector)
    scores = [
        others.fit(np.delete(X, i, axis=0)).decision_function(X[i : i + 1])[0] for i in range(30)
    ]
    close = 1e-5 if isinstance(detector, KNN) else 0.2  # the others' neighbours change a little
    np.testing.assert_allclose(detector.fit(X).decision_scores_, scores, rtol=close)
    new = detector.predict(vectors(400, seed=1)).mean()
    assert 0.02 < new < 0.3, "about a tenth of new normal samples is called anomalous"


def test_without_fit_there_are_no_labels() -> None:
    detector = KNN()
    with pytest.raises(NotFittedError, match="knows no training samples; call fit first"):
        _ = detector.labels_
    for _ in detector.fit_epochs(vectors()):
        pass
    assert detector.decision_function(vectors()).shape == (len(vectors()),)
    with pytest.raises(NotFittedError):
        detector.predict(vectors())


def test_wrong_values_are_refused() -> None:
    with pytest.raises(ValueError, match=r"contamination must be in \(0, 0.5\], got 0.7"):
        _ = KNN(contamination=0.7).fit(vectors()).threshold_
    with pytest.raises(ValueError, match="method must be linear or unify, got 'log'"):
        KNN().fit(vectors()).predict_proba(vectors(), "log")  # type: ignore[arg-type]


def test_contamination_is_no_param_of_a_run() -> None:
    for name in detectors.names():
        assert "contamination" not in detectors.parameters(detectors.load(name))
