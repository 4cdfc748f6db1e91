"""A detector that needs no training and whose first half other trainings can share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from omasgan.detectors.base import Beginning, Epoch
from tests.toy import CurveDetector

FIRST = 2
"""Epochs of the phase that depends on ``lr`` alone."""


class StagedDetector(CurveDetector):
    """``tail`` moves its score after the first phase; ``idle`` does nothing at all.

    ``trained`` notes every epoch of the first phase that is really trained, over all instances.
    """

    trained: list[tuple[float, int]] = []  # noqa: RUF012 - shared on purpose

    def __init__(
        self,
        *,
        lr: Annotated[float, Field(gt=0)] = 0.01,
        epochs: Annotated[int, Field(ge=1)] = 4,
        tail: Annotated[float, Field(ge=0, le=1)] = 0.5,
        idle: Annotated[int, Field(ge=1)] = 8,
        kind: Literal["plain", "fancy"] = "plain",
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        super().__init__(lr=lr, epochs=epochs, seed=seed, device=device)
        self.tail = tail
        self.idle = idle
        self.kind = kind

    def beginnings(self) -> Sequence[Beginning]:
        return [Beginning("curve", FIRST, {"lr": self.lr})]

    def fit_epochs(self, X: NDArray[Any]) -> Iterator[Epoch]:
        for epoch in super().fit_epochs(X):
            if epoch.index < FIRST:
                self.trained.append((self.lr, self.seed))
            yield epoch

    @property
    def quality(self) -> float:
        after = getattr(self, "epoch_", 0) > FIRST
        return super().quality * (1.0 - 0.7 * self.tail * after)

    def stage_scores(self, X: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        whole = super().stage_scores(X)["score"]
        return {"score": whole, "first": np.float32(0.5) * whole}


NAME = f"{__name__}:StagedDetector"
