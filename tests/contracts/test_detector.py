"""What every detector must keep to. A new file in ``omasgan/detectors`` is tested by itself."""

from __future__ import annotations

import inspect
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils import estimator_checks

from omasgan import detectors
from omasgan.checks.audit import audit
from omasgan.config import resource_names
from omasgan.errors import ConfigError
from omasgan.store.states import load_state, save_state

QUICK_STEPS = 4
"""Two epochs a phase: one that ends within it, one that ends it."""

SMALL = {"epoch_steps": 2, "flow_blocks": 2, "importance_samples": 3, "trees": 5}


def quick(name: str, **params: Any) -> Any:
    """The detector with as little training as its params allow."""
    cls = detectors.load(name)
    names = detectors.parameters(cls)
    steps = [param for param in names if param.endswith("_steps")]
    small = {param: min(names[param].default, QUICK_STEPS) for param in steps}
    small |= {param: 8 for param in names if param.endswith("width")}
    small |= {param: 16 for param in names if param == "batch_size" or param.endswith("_batch")}
    small |= {param: value for param, value in SMALL.items() if param in names}
    if name == "gmm":
        small |= {"mixture": 3, "floor": 0.1}  # instead of one chosen out of many
    return cls(**(small | params), seed=3, device="cpu")


def images(n: int = 60, seed: int = 0) -> np.ndarray:
    """Smooth blobs, uint8 ``(n, 1, 8, 8)``."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:8, :8]
    centre = rng.uniform(2.5, 4.5, (n, 2, 1, 1))
    blob = np.exp(-((rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2) / 6)
    return (blob * rng.uniform(200, 255, (n, 1, 1))).astype(np.uint8)[:, None]


def vectors(n: int = 60, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.2, (n, 2)).astype(np.float32)


MAKERS = {"images": images, "vectors": vectors}
cases = pytest.mark.parametrize("kind", MAKERS)
every = pytest.mark.parametrize("name", detectors.names())


@cache
def trained(name: str, kind: str) -> tuple[Any, np.ndarray]:
    """A detector for tests that only look at it, and the samples that it was given."""
    X = MAKERS[kind]()
    X.flags.writeable = False
    return quick(name).fit(X), X


@every
@cases
def test_scores_have_shape_type_and_are_finite(name: str, kind: str) -> None:
    detector, X = trained(name, kind)
    scores = detector.decision_function(X[:17])
    assert scores.shape == (17,)
    assert scores.dtype == np.float32
    for stage, values in detector.stage_scores(X[:17]).items():
        assert values.shape == (17,) and values.dtype == np.float32, stage
        assert np.isfinite(values).all(), stage


@every
@cases
def test_scores_do_not_depend_on_batch_order_or_repetition(name: str, kind: str) -> None:
    audited = audit(trained(name, kind)[0], MAKERS[kind](40, seed=1), batch_size=16)
    assert audited.passed, audited.moved()


@every
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)], ids=str)
def test_images_of_the_usual_sizes_can_be_scored(name: str, shape: tuple[int, ...]) -> None:
    X = np.random.default_rng(0).integers(0, 256, (40, *shape), dtype=np.uint8)
    for stage, scores in quick(name).fit(X).stage_scores(X[:5]).items():
        assert scores.shape == (5,) and np.isfinite(scores).all(), stage


@every
def test_rows_of_a_table_may_lie_far_beyond_the_training_range(name: str) -> None:
    far = vectors(5, seed=1) + np.float32([[0], [3], [10], [30], [100]])
    for stage, scores in trained(name, "vectors")[0].stage_scores(far).items():
        assert np.isfinite(scores).all(), stage


@every
def test_the_seed_decides_everything(name: str) -> None:
    detector, X = trained(name, "images")
    np.random.seed(1)
    assert np.array_equal(quick(name).fit(X).decision_function(X), detector.decision_function(X))


@every
def test_resume_equals_uninterrupted_after_every_epoch(name: str, tmp_path: Path) -> None:
    X = images()
    whole = quick(name)
    epochs = []
    for epoch in whole.fit_epochs(X):
        epochs.append(epoch)
        save_state(tmp_path / f"state-{len(epochs)}", whole.state_dict())
    scores = whole.stage_scores(X)
    for stop in range(1, len(epochs) + 1):
        resumed = quick(name)
        resumed.load_state_dict(load_state(tmp_path / f"state-{stop}"))
        rest = list(resumed.fit_epochs(X))
        assert [e.index for e in rest] == [e.index for e in epochs[stop:]]
        assert rest == epochs[stop:]
        for stage, values in resumed.stage_scores(X).items():
            assert np.array_equal(scores[stage], values), (stop, stage)


@every
def test_training_reads_x_only(name: str) -> None:
    _, X = trained(name, "images")
    assert np.array_equal(X, images())


@every
def test_float_and_uint8_images_are_the_same_samples(name: str) -> None:
    detector, X = trained(name, "images")
    as_float = X.astype(np.float32) / 127.5 - 1
    np.testing.assert_allclose(
        detector.decision_function(X), detector.decision_function(as_float), rtol=1e-4, atol=1e-5
    )


@every
def test_fit_starts_afresh(name: str) -> None:
    detector, X = trained(name, "images")
    again = quick(name).fit(images(seed=5)).fit(X).decision_function(X)
    assert np.array_equal(again, detector.decision_function(X))


@every
def test_params_round_trip(name: str) -> None:
    cls = detectors.load(name)
    params = detectors.check_params(cls, {})
    detector = cls(**params, seed=4, device="cpu")
    everything = params | {"seed": 4, "device": "cpu", "contamination": 0.1}
    assert clone(detector).get_params() == detector.get_params() == everything
    kinds = {p.kind for p in inspect.signature(cls).parameters.values()}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}


@every
def test_a_detector_is_an_estimator_as_scikit_learn_wants_it(name: str) -> None:
    cls = detectors.load(name)
    estimator_checks.check_no_attributes_set_in_init(name, cls())
    estimator_checks.check_get_params_invariance(name, cls())
    estimator_checks.check_set_params(name, cls())
    assert repr(cls(seed=7)) == f"{cls.__name__}(seed=7)"
    # Two with the same params are two detectors, as two estimators are.
    assert cls() != cls() and len({cls(), cls()}) == 2


@every
def test_every_default_is_a_value_of_its_param(name: str) -> None:
    for param in detectors.parameters(detectors.load(name)).values():
        assert param.check(param.default) == param.default, param.name
        assert param.default in (param.choices or [param.default])


@every
def test_a_param_states_a_phase_that_there_is(name: str) -> None:
    cls = detectors.load(name)
    stated = {param.phase for param in detectors.parameters(cls).values()} - {None}
    assert stated <= (set(cls()._phases()) if stated else set())


@every
def test_unknown_params_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"unknown parameter of .* 'no_such_thing'"):
        detectors.check_params(detectors.load(name), {"no_such_thing": 1})


@every
def test_scores_before_training_are_refused(name: str) -> None:
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError, match="call fit first"):
        quick(name).decision_function(images())


@every
def test_the_docstring_gives_source_and_score(name: str) -> None:
    module = inspect.getmodule(detectors.load(name))
    assert module is not None and module.__doc__ is not None
    assert "scor" in (module.__doc__ + (detectors.load(name).__doc__ or "")).lower()


@pytest.mark.parametrize("name", resource_names("search_spaces"))
def test_shipped_spaces_belong_to_a_detector(name: str) -> None:
    assert name in detectors.names()
