"""A detector of which one training gives several scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from omasgan.detectors.base import Epoch
from tests.toy import CurveDetector


@dataclass(kw_only=True, eq=False, repr=False)
class StagedDetector(CurveDetector):
    """``first`` tells anomalies best and ``last`` worst; all trainings are counted."""

    stage: Literal["last", "middle", "first"] = "last"

    trainings: ClassVar[int] = 0

    def fit_epochs(self, X: NDArray[Any]) -> Iterator[Epoch]:
        StagedDetector.trainings += 1
        yield from super().fit_epochs(X)

    def stage_scores(self, X: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        good = super().stage_scores(X)["score"]
        noise = np.random.RandomState(0).uniform(0, 1, len(X)).astype(np.float32)
        spread = float(good.max() - good.min())
        weights = {"last": 4.0, "middle": 1.0, "first": 0.0}
        return {stage: good + weight * spread * noise for stage, weight in weights.items()}
