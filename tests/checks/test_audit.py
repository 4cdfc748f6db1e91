from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from omasgan.checks.audit import Audit, audit
from omasgan.detectors.base import Epoch, IterativeDetector, State
from omasgan.errors import ConfigError

CHECKS = {"twice", "shuffled", "in batches", "one by one"}


class Norm(IterativeDetector):
    """The honest one: the length of each sample, times ``scale``, plus ``offset``."""

    def __init__(
        self, *, scale: float = 1.0, offset: float = 0.0, seed: int = 0, device: str = "cpu"
    ) -> None:
        self.scale = scale
        self.offset = offset
        self.seed = seed
        self.device = device

    def fit_epochs(self, X: NDArray[Any]) -> Iterator[Epoch]:
        yield Epoch(0, "fit", {})

    def stage_scores(self, X: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        return {"score": (self.scale * self._score(X) + self.offset).astype(np.float32)}

    def _score(self, X: NDArray[Any]) -> NDArray[Any]:
        return np.linalg.norm(X.reshape(len(X), -1), axis=1)

    def state_dict(self) -> State:
        return {}

    def load_state_dict(self, state: State) -> None:
        pass


class DividesByTheBatch(Norm):
    def _score(self, X: NDArray[Any]) -> NDArray[Any]:
        return super()._score(X) / super()._score(X).max()


class TrainsItsBatchNorm(Norm):
    """The network was never put into eval mode; ``batch_norm`` refuses a single sample."""

    def fit_epochs(self, X: NDArray[Any]) -> Iterator[Epoch]:
        self._layer = torch.nn.BatchNorm1d(X.shape[1])
        yield Epoch(0, "fit", {})

    def _score(self, X: NDArray[Any]) -> NDArray[Any]:
        return super()._score(self._layer(torch.from_numpy(X)).detach().numpy())


class Random(Norm):
    def fit_epochs(self, X: NDArray[Any]) -> Iterator[Epoch]:
        self._rng = np.random.default_rng(0)
        yield Epoch(0, "fit", {})

    def _score(self, X: NDArray[Any]) -> NDArray[Any]:
        return super()._score(X) + 0.01 * self._rng.random(len(X))


class SameNoiseEveryCall(Norm):
    """Repeatable, but the score of a sample depends on its row."""

    def _score(self, X: NDArray[Any]) -> NDArray[Any]:
        return super()._score(X) + 0.01 * np.random.default_rng(0).random(len(X))


class CountsItsCalls(Norm):
    calls = 0

    def _score(self, X: NDArray[Any]) -> NDArray[Any]:
        self.calls += 1
        return super()._score(X) + 0.01 * self.calls


class LearnsFromTheFirstBatch(Norm):
    """Nothing moves once the first call has fixed the range: only a fresh copy shows it."""

    def _score(self, X: NDArray[Any]) -> NDArray[Any]:
        scores = super()._score(X)
        if not hasattr(self, "_range"):
            self._range = scores.max()
        return scores / self._range


class WrongOnTheLast(Norm):
    def _score(self, X: NDArray[Any]) -> NDArray[Any]:
        scores = super()._score(X)
        scores[-1] += 1e-2
        return scores


class Breaks(Norm):
    def _score(self, X: NDArray[Any]) -> NDArray[Any]:
        return np.where(len(X) < 10, np.nan, super()._score(X))


def points(n: int = 600) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(0, 1, (n, 4)).astype(np.float32)


def failed(audited: Audit) -> set[str]:
    return {finding.check for finding in audited.findings if not finding.passed}


@pytest.mark.parametrize(
    ("cls", "caught_by"),
    [
        (Norm, set()),
        (DividesByTheBatch, {"in batches", "one by one"}),
        (TrainsItsBatchNorm, {"in batches", "one by one"}),
        # Its generator goes on from batch to batch as it does over all.
        (Random, CHECKS - {"in batches"}),
        (SameNoiseEveryCall, CHECKS - {"twice"}),
        (CountsItsCalls, {"twice", "in batches", "one by one"}),
        (LearnsFromTheFirstBatch, {"in batches", "one by one"}),
        (WrongOnTheLast, CHECKS - {"twice"}),
        (Breaks, {"one by one"}),
    ],
)
def test_each_cheat_is_caught_by_the_right_check(cls: type[Norm], caught_by: set[str]) -> None:
    X = points()
    audited = audit(cls().fit(X), X)
    assert {finding.check for finding in audited.findings} == CHECKS
    assert failed(audited) == caught_by
    assert audited.passed is (caught_by == set())
    assert all(check in audited.moved() for check in caught_by)


@pytest.mark.parametrize("n", [2, 3, 40, 257])
def test_few_samples_are_still_divided_into_batches(n: int) -> None:
    X = points(n)
    assert failed(audit(DividesByTheBatch(), X)) == {"in batches", "one by one"}
    assert audit(Norm(), X).passed


def test_what_cannot_be_scored_is_told() -> None:
    X = points()
    (finding,) = (
        f for f in audit(TrainsItsBatchNorm().fit(X), X).findings if f.check == "one by one"
    )
    assert finding.error is not None and finding.error.startswith("ValueError: Expected more than")


def test_single_samples_are_spread_over_all() -> None:
    seen = []

    class Watched(Norm):
        def _score(self, X: NDArray[Any]) -> NDArray[Any]:
            seen.append(X[:, 0])
            return super()._score(X)

    X = np.arange(1, 1001, dtype=np.float32)[:, None]
    audit(Watched(), X, singles=3)
    assert [float(x[0]) for x in seen if len(x) == 1] == [1.0, 501.0, 1000.0]


def test_every_stage_is_judged_by_itself() -> None:
    class TwoStages(Norm):
        def stage_scores(self, X: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
            cheat = DividesByTheBatch().stage_scores(X)["score"]
            return {"good": super().stage_scores(X)["score"], "bad": cheat}

    audited = audit(TwoStages(), points())
    assert {(f.check, f.stage) for f in audited.findings if not f.passed} == {
        ("in batches", "bad"),
        ("one by one", "bad"),
    }


@given(
    exponent=st.floats(-6, 6),
    offset=st.floats(-1, 1),
    share=st.sampled_from([0.0, 1e-6, 3e-5, 1e-3, 0.1]),
)
def test_the_verdict_does_not_depend_on_the_size_of_the_scores(
    exponent: float, offset: float, share: float
) -> None:
    """A movement of ``share`` of the spread, at any scale and on an offset of up to 10 spreads."""

    class Moves(Norm):
        def _score(self, X: NDArray[Any]) -> NDArray[Any]:
            return super()._score(X) + share * (len(X) < 300)

    scale = 10.0**exponent
    audited = audit(Moves(scale=scale, offset=10 * offset * scale), points())
    assert audited.passed is (share < 1e-4)


def test_a_large_offset_excuses_rounding_only() -> None:
    step = float(np.spacing(np.float32(1000)))

    class Moves(Norm):
        """By a number of float32 steps at 1000, on top of which its scores hardly vary."""

        steps: float = 0

        def _score(self, X: NDArray[Any]) -> NDArray[Any]:
            return 1e-5 * super()._score(X) + self.steps * step * (len(X) < 300)

    detector = Moves(offset=1000.0)
    detector.steps = 2
    assert audit(detector, points()).passed
    detector.steps = 20
    assert failed(audit(detector, points())) == {"in batches", "one by one"}


def test_an_extreme_score_may_round_in_proportion() -> None:
    class Rounds(Norm):
        def _score(self, X: NDArray[Any]) -> NDArray[Any]:
            return super()._score(X) * (1 + 2e-5 * (len(X) < 300))

    X = points()
    X[0] *= 1e5
    assert audit(Rounds(), X).passed


def test_an_outlier_does_not_hide_the_others() -> None:
    X = points()
    X[0] *= 1e7
    assert failed(audit(SameNoiseEveryCall(), X)) == CHECKS - {"twice"}


def test_constant_scores_pass() -> None:
    assert audit(Norm(scale=0.0), points()).passed


def test_one_sample_cannot_be_audited() -> None:
    with pytest.raises(ConfigError, match="at least 2 samples, got 1"):
        audit(Norm(), points(1))
