"""Classes of other packages as detectors: scikit-learn's, of PyOD's form, of one's own."""

from __future__ import annotations

import pickle
import random
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import IsolationForest

import omasgan
from omasgan import detectors
from omasgan.detectors.params import check_params, check_usable, parameters, parse_params
from omasgan.errors import ConfigError
from omasgan.store.states import load_state, save_state
from tests.contracts.test_detector import images, vectors

HERE = __name__
FAR = np.full((5, 2), 0.95, np.float32)


class LikePyOD:
    """Has PyOD's form: untyped params, ``contamination``, higher scores for anomalies."""

    def __init__(self, contamination=0.1, power=2.0, norm="auto", random_state=None, **more):
        self.contamination, self.power, self.norm = contamination, power, norm
        self.random_state = random_state

    def fit(self, X, y=None):
        assert X.dtype == np.float32 and X.ndim == 2
        self.mean_ = X.mean(0)
        return self

    def decision_function(self, X):
        return (np.abs(X - self.mean_) ** self.power).sum(1)


class Least:
    """Has the least that is needed, no constructor among it, and looks at images."""

    takes_images = True

    def fit(self, X):
        self.shape_ = X.shape[1:]

    def decision_function(self, X):
        assert X.shape[1:] == self.shape_ == (1, 8, 8)
        return X.max(axis=(1, 2, 3))


class Draws(LikePyOD):
    """Draws from global generators, as code that does not know better."""

    def __init__(self):
        super().__init__()

    def fit(self, X, y=None):
        self.mean_ = np.random.normal() + random.random() + torch.rand(1).item()


class NeedsLabels(LikePyOD):
    def fit(self, X, y):
        return super().fit(X)


class Columns(LikePyOD):
    def decision_function(self, X):
        return X


class Refuses(LikePyOD):
    def __init__(self, power: int):
        if power > 3:
            raise ValueError("power is\ntoo large")
        super().__init__(power=power)


def load(name: str) -> Any:
    return detectors.load(name if ":" in name else f"{HERE}:{name}")


def test_a_class_of_pyods_form_is_a_detector() -> None:
    cls = load("LikePyOD")
    X = vectors()
    detector = cls(power=1.0, seed=3).fit(X)
    scores = detector.decision_function(X)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, np.abs(X - X.mean(0)).sum(1), rtol=1e-5)
    assert detector.predict(FAR).tolist() == [1] * 5
    assert detector.calibrate(vectors(50, seed=1)).p_values(FAR).max() == pytest.approx(1 / 51)
    assert cls is load("LikePyOD"), "made once"


@pytest.mark.parametrize(
    "name",
    ["sklearn.ensemble:IsolationForest", "sklearn.svm:OneClassSVM",
     "sklearn.covariance:EllipticEnvelope"],
)  # fmt: skip
def test_the_sign_of_scikit_learn_is_turned(name: str) -> None:
    detector = load(name)(seed=1).fit(vectors())
    normal = detector.decision_function(vectors(30, seed=1))
    assert detector.decision_function(FAR).min() > np.quantile(normal, 0.9)


def test_scores_are_those_of_the_class_itself() -> None:
    X = images()
    rows = X.reshape(60, -1).astype(np.float32) / 127.5 - 1
    forest = IsolationForest(n_estimators=5, random_state=7).fit(rows)
    detector = load("sklearn.ensemble:IsolationForest")(n_estimators=5, seed=7).fit(X)
    np.testing.assert_allclose(
        detector.decision_function(X), -forest.decision_function(rows), rtol=1e-5
    )


def test_images_reach_a_class_that_takes_them() -> None:
    X = images()
    expected = (X.astype(np.float32) / 127.5 - 1).max(axis=(1, 2, 3))
    np.testing.assert_allclose(load("Least")().fit(X).decision_function(X), expected, rtol=1e-6)


def test_params_are_those_of_the_constructor() -> None:
    assert list(parameters(load("LikePyOD"))) == ["power", "norm"]
    assert parameters(load("Least")) == {}
    cls = load("sklearn.ensemble:IsolationForest")
    assert {"random_state", "contamination"}.isdisjoint(parameters(cls))
    texts = {"max_samples": "0.5", "bootstrap": "true", "n_jobs": "None", "n_estimators": "7"}
    parsed = parse_params(cls, texts)
    assert parsed == {"max_samples": 0.5, "bootstrap": True, "n_jobs": None, "n_estimators": 7}
    assert check_params(cls, {})["max_samples"] == "auto"
    assert parameters(load("Refuses"))["power"].annotation is int
    assert load("LikePyOD")(power=3).get_params() == {
        "power": 3, "norm": "auto", "seed": 0, "device": "auto", "contamination": 0.1
    }  # fmt: skip


def test_global_generators_are_seeded_and_left_alone() -> None:
    X = vectors()
    before = np.random.get_state()[1].copy(), random.getstate(), torch.get_rng_state()
    scores = [load("Draws")(seed=seed).fit(X).decision_function(X) for seed in (1, 1, 2)]
    assert np.array_equal(scores[0], scores[1]) and not np.array_equal(scores[0], scores[2])
    assert np.array_equal(np.random.get_state()[1], before[0])
    assert random.getstate() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_its_state_is_saved_without_pickle_and_it_can_be_pickled(tmp_path: Path) -> None:
    X = vectors()
    name = "sklearn.ensemble:IsolationForest"
    detector = load(name)(n_estimators=5, seed=2).fit(X)
    save_state(tmp_path / "state", detector.state_dict())
    again = load(name)(n_estimators=5, seed=2)
    again.load_state_dict(load_state(tmp_path / "state"))
    assert np.array_equal(again.decision_function(X), detector.decision_function(X))
    unpickled = pickle.loads(pickle.dumps(detector))
    assert np.array_equal(unpickled.predict(X), detector.predict(X))
    omasgan.save(detector, tmp_path / "saved")
    loaded = omasgan.load(tmp_path / "saved", foreign=True)
    assert np.array_equal(loaded.predict(X), detector.predict(X))


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "no scores": (
        "sklearn.mixture:GaussianMixture",
        {},
        "lacks decision_function; a detector has",
    ),
    "no scores at these params": (
        "sklearn.neighbors:LocalOutlierFactor",
        {},
        "LocalOutlierFactor' cannot be used: it lacks decision_function: .*novelty=True",
    ),
    "labels": ("NeedsLabels", {}, "its fit needs y; a detector is given normal samples X alone"),
    "a value": ("Refuses", {"power": 4}, "cannot be made: ValueError: power is too large"),
    "no value": ("Refuses", {}, "power has no default; give it a value"),
    "a type": ("Refuses", {"power": "x"}, "power: Input should be a valid integer"),
    "a name": ("LikePyOD", {"powr": 4}, "unknown parameter of LikePyOD 'powr'; did you mean"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_class_lacks_is_said_before_it_is_trained(what: str) -> None:
    name, params, message = REFUSED[what]
    with pytest.raises(ConfigError, match=message) as caught:
        cls = load(name)
        check_usable(cls, check_params(cls, params))
    assert len(str(caught.value).splitlines()) == 1


def test_a_class_that_scores_in_columns_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a score for each sample, \(60,\), got \(60, 2\)"):
        load("Columns")().fit(vectors()).decision_function(vectors())


def test_versions_tell_the_code_of_others(tmp_path: Path) -> None:
    import sklearn

    assert detectors.version("sklearn.svm:OneClassSVM") == f"sklearn {sklearn.__version__}"
    assert detectors.version("knn") is None
    first, second = (tmp_path / name / "mine.py" for name in "ab")
    for path in (first, second):
        path.parent.mkdir()
        path.write_text(f"# {path.parent.name}")
    of_files = [detectors.version(f"{path}:Mine") for path in (first, second)]
    assert of_files[0] != of_files[1] and str(of_files[0]).startswith("mine.py ")
    assert str(detectors.version("tests.toy:CurveDetector")).startswith("toy.py ")


TEN_OF_PYOD = {
    "pyod.models.ecod:ECOD": {},
    "pyod.models.copod:COPOD": {},
    "pyod.models.hbos:HBOS": {},
    "pyod.models.iforest:IForest": {"n_estimators": 20},
    "pyod.models.knn:KNN": {},
    "pyod.models.lof:LOF": {},
    "pyod.models.mcd:MCD": {},
    "pyod.models.ocsvm:OCSVM": {},
    "pyod.models.pca:PCA": {},
    "pyod.models.auto_encoder:AutoEncoder": {"epoch_num": 1, "hidden_neuron_list": [8, 4]},
}


@pytest.mark.skipif(find_spec("pyod") is None, reason="PyOD is not installed: pip install pyod")
@pytest.mark.parametrize("name", TEN_OF_PYOD)
def test_ten_of_pyods(name: str) -> None:
    cls = load(name)
    params = check_params(cls, TEN_OF_PYOD[name])
    check_usable(cls, params)
    X, far = vectors(200), FAR + np.linspace(0, 0.04, 5, dtype=np.float32)[:, None]
    detector = cls(**params, seed=1, device="cpu").fit(X)
    normal = detector.decision_function(vectors(50, seed=1))
    assert detector.decision_function(far).min() > np.median(normal)
    assert str(detectors.version(name)).startswith("pyod ")
