"""Optuna's importances over our trials."""

from __future__ import annotations

import numpy as np
import pytest

from omasgan.errors import ConfigError
from omasgan.study.importance import EVALUATORS, RANDOM, Importances
from omasgan.study.space import Space

SPACE = Space.from_dict(
    {
        "x": {"low": 0.0, "high": 1.0},
        "y": {"low": 0.0, "high": 1.0},
        "z": {"low": 1, "high": 9, "when": {"kind": "a"}},
        "kind": {"choices": ["a", "b"]},
        "fixed": 3,
    }
)


def told(n: int = 40) -> Importances:
    rng = np.random.default_rng(0)
    params = []
    for x, y, z in rng.random((n, 3)):
        kind = {"kind": "a", "z": 1 + int(8 * z)} if z > 0.4 else {"kind": "b"}
        params.append({"x": x, "y": y, "fixed": 3, **kind})
    return Importances(SPACE, params, np.array([(p["x"] - 0.3) ** 2 for p in params]))


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_the_param_that_decides_is_found(evaluator: str) -> None:
    found = told().measure(evaluator, np.arange(40), seed=0)
    assert found["x"] == max(found.values()) > 3 * found[RANDOM]
    assert sum(found.values()) == pytest.approx(1.0)
    assert set(found) == {*told().names(evaluator), RANDOM}


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_the_seed_decides_what_is_random(evaluator: str) -> None:
    rows = np.arange(40)
    first, again, other = (told().measure(evaluator, rows, seed) for seed in (1, 1, 2))
    assert first == again and first[RANDOM] != other[RANDOM]


def test_only_ped_anova_tells_of_conditional_params() -> None:
    assert told().names("fanova") == ["kind", "x", "y"]
    assert told().names("ped-anova") == ["kind", "x", "y", "z"]


def test_an_unknown_measure_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown importance evaluator 'shap'"):
        told().measure("shap", np.arange(40), seed=0)
