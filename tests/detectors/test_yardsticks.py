"""The yardsticks against naive computations, and their direction on real digits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal

from omasgan import config, detectors
from omasgan.data import metrics, protocols
from omasgan.detectors.gmm import FLOORS, GMM
from omasgan.detectors.isolation_forest import IsolationForest
from omasgan.detectors.knn import KNN
from omasgan.detectors.lof import LOF
from omasgan.detectors.ocsvm import OCSVM
from omasgan.detectors.pca import PCA
from omasgan.errors import ConfigError


def samples(n: int, d: int = 4, seed: int = 0) -> np.ndarray:
    """A Gaussian with correlated coordinates, ``(n, d)``."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(9).normal(0, 0.2, (d, d))
    return np.asarray(rng.normal(size=(n, d)) @ mixing + 0.1, dtype=np.float32)


@pytest.mark.parametrize("k", [1, 3])
def test_knn_is_the_distance_to_the_kth_neighbour(k: int) -> None:
    X, test = samples(50), samples(10, seed=1)
    expected = np.sort(cdist(test, X), axis=1)[:, k - 1]
    np.testing.assert_allclose(KNN(k=k).fit(X).decision_function(test), expected, rtol=1e-4)


def test_pca_is_the_distance_to_the_leading_subspace() -> None:
    X, test = samples(50), samples(10, seed=1)
    _, _, axes = np.linalg.svd(X - X.mean(0))
    rest = (test - X.mean(0)) @ axes[2:].T
    scores = PCA(components=2).fit(X).decision_function(test)
    np.testing.assert_allclose(scores, np.square(rest).sum(1), rtol=1e-3)


def test_a_mixture_of_one_is_a_gaussian() -> None:
    X, test = samples(400), samples(10, seed=1)
    scores = GMM(mixture=1, floor=0.01, components=4).fit(X).decision_function(test)
    covariance = np.cov(X.T, bias=True)
    covariance += 0.01 * np.trace(covariance) / 4 * np.eye(4)
    expected = -multivariate_normal(X.mean(0), covariance).logpdf(test)
    np.testing.assert_allclose(scores, expected, rtol=1e-3)


def groups(n: int, seed: int) -> np.ndarray:
    """Three tight groups in the plane, ``(n, 2)``."""
    rng = np.random.default_rng(seed)
    centres = np.array([(0, 0), (4, 0), (0, 4)])[rng.integers(3, size=n)]
    return np.asarray(centres + rng.normal(0, 0.1, (n, 2)), dtype=np.float32)


def test_the_mixture_has_as_many_gaussians_as_there_are_groups() -> None:
    detector = GMM().fit(groups(400, seed=0))
    assert detector.mixture_ == 3
    assert detector.floor_ == min(FLOORS), "each group is round and narrow"


def test_few_samples_in_many_dimensions_need_a_floor() -> None:
    """Without one each Gaussian would fit its own few samples alone."""
    X = np.random.default_rng(0).normal(size=(120, 30)).astype(np.float32)
    assert GMM(mixture=10).fit(X).floor_ == max(FLOORS)


def test_a_chosen_mixture_is_the_stated_one() -> None:
    X, test = groups(300, seed=0), groups(20, seed=1)
    (epoch,) = (chosen := GMM()).fit_epochs(X)
    stated = GMM(mixture=chosen.mixture_, floor=chosen.floor_).fit(X)
    assert epoch.losses == {"mixture": chosen.mixture_, "floor": chosen.floor_}
    assert np.array_equal(chosen.decision_function(test), stated.decision_function(test))


def test_a_mixture_does_not_depend_on_the_units_of_the_data() -> None:
    X, test = samples(200), samples(10, seed=1)
    scores = GMM(mixture=3).fit(X).decision_function(test)
    scaled = GMM(mixture=3).fit(X * 8).decision_function(test * 8)
    np.testing.assert_allclose(scaled - 4 * np.log(8), scores, rtol=1e-3)


@pytest.mark.filterwarnings("ignore:invalid value encountered in divide")
def test_samples_that_are_all_equal_have_a_likelihood() -> None:
    scores = GMM(mixture=1).fit(np.ones((20, 3), np.float32)).decision_function(samples(5, d=3))
    assert np.isfinite(scores).all()


def test_isolation_forest_cuts_off_the_far_sample() -> None:
    scores = IsolationForest().fit(samples(200)).decision_function(samples(50, seed=1))
    far = IsolationForest().fit(samples(200)).decision_function(np.ones((1, 4), np.float32) * 3)
    assert far.item() > scores.max()


def test_ocsvm_is_a_sum_of_kernels() -> None:
    X, test = samples(80), samples(10, seed=1)
    detector = OCSVM(nu=0.2, gamma=2.0, components=4).fit(X)
    svm, reduce = detector._svm, detector._pca.transform
    gamma = 2.0 / (4 * reduce(X).var())
    kernel = np.exp(-gamma * cdist(reduce(test), svm.support_vectors_, "sqeuclidean"))
    expected = -(kernel @ svm.dual_coef_[0])
    np.testing.assert_allclose(detector.decision_function(test), expected, rtol=1e-4)


@pytest.mark.parametrize("nu", [0.05, 0.3])
def test_nu_is_the_share_of_training_samples_outside(nu: float) -> None:
    X = samples(400)
    detector = OCSVM(nu=nu).fit(X)
    outside = detector.decision_function(X) > -detector._svm.offset_
    assert outside.mean() == pytest.approx(nu, abs=0.02)


def test_ocsvm_does_not_depend_on_the_units_of_the_data() -> None:
    X, test = samples(80), samples(10, seed=1)
    scores = OCSVM().fit(X).decision_function(test)
    scaled = OCSVM().fit(X / 8).decision_function(test / 8)
    np.testing.assert_allclose(scaled, scores, rtol=1e-3)


def test_ocsvm_is_fitted_to_a_bounded_draw() -> None:
    assert OCSVM(samples=30).fit(samples(200))._svm.shape_fit_[0] == 30


@pytest.mark.parametrize("k", [1, 3])
def test_lof_follows_its_definition(k: int) -> None:
    X, test = samples(50), samples(10, seed=1)
    between = cdist(X, X)
    np.fill_diagonal(between, np.inf)
    nearest = np.argsort(between, axis=1)[:, :k]
    kth = np.sort(between, axis=1)[:, k - 1]

    def lrd(distances: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
        reached = np.take_along_axis(distances, neighbours, axis=1)
        return np.asarray(1 / np.maximum(kth[neighbours], reached).mean(axis=1))

    to_test = cdist(test, X)
    of_test = np.argsort(to_test, axis=1)[:, :k]
    expected = lrd(between, nearest)[of_test].mean(axis=1) / lrd(to_test, of_test)
    np.testing.assert_allclose(LOF(k=k).fit(X).decision_function(test), expected, rtol=1e-3)


@pytest.mark.parametrize("spacing", [0.01, 1.0, 30.0])
def test_lof_is_one_where_samples_are_spread_evenly(spacing: float) -> None:
    X = spacing * np.arange(101, dtype=np.float32)[:, None]
    scores = LOF(k=2).fit(X).decision_function(X[40:60])
    # A training sample is its own nearest here, so it is one spacing from the next.
    np.testing.assert_allclose(scores, 1.0, rtol=1e-4)


def test_lof_finds_what_lies_beside_a_tight_group() -> None:
    """The plain distance ranks it below the normal samples of a wide group."""
    rng = np.random.default_rng(0)
    tight, wide = rng.normal(0, 0.01, (100, 2)), rng.normal(5, 1, (100, 2))
    X = np.concatenate([tight, wide]).astype(np.float32)
    test = np.concatenate([np.full((1, 2), 0.1), rng.normal(5, 1, (50, 2))]).astype(np.float32)
    local, plain = (cls(k=5).fit(X).decision_function(test) for cls in (LOF, KNN))
    assert local[0] == local.max()
    assert plain[0] < np.median(plain)


def test_lof_compares_to_a_bounded_draw() -> None:
    assert LOF(samples=30).fit(samples(200))._lof.n_samples_fit_ == 30


@pytest.mark.parametrize("name", ["knn", "lof", "pca", "gmm", "isolation-forest", "ocsvm"])
def test_every_yardstick_knows_a_zero_from_other_digits(name: str) -> None:
    spec = config.load_benchmark("digits-occ")
    dataset = protocols.load_data(spec)
    fold = protocols.folds(spec, dataset)[0]
    scores = (
        detectors.load(name)(seed=0)
        .fit(dataset.train.X[fold.train])
        .decision_function(dataset.test.X[fold.test])
    )
    labels = protocols.labels(fold, dataset.test.classes[fold.test])
    assert metrics.auroc(labels, scores) > 0.95


def test_more_neighbours_than_samples_are_refused() -> None:
    with pytest.raises(ConfigError, match="k must be at most the 3 training samples, got 4"):
        KNN(k=4).fit(np.zeros((3, 2), np.float32))


def test_as_many_neighbours_as_samples_are_refused() -> None:
    with pytest.raises(ConfigError, match="k must be below the 3 training samples, got 3"):
        LOF(k=3).fit(np.zeros((3, 2), np.float32))


def test_a_loaded_mixture_does_not_choose_again(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).normal(0, 0.3, (60, 3)).astype(np.float32)
    fitted, loaded = GMM(mixture=2).fit(X), GMM(mixture=2)
    monkeypatch.delattr(GMM, "_choose")
    loaded.load_state_dict(fitted.state_dict())
    assert np.array_equal(loaded.decision_function(X), fitted.decision_function(X))
