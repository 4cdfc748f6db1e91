"""Detectors that need no training: what they reach is a closed form of their params.

Each is a real ``IterativeDetector``, named for instance ``tests.toy:CurveDetector``. None needs
torch, whose import takes most of the time in which a worker starts.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from omasgan.detectors.base import Epoch, IterativeDetector, State
from omasgan.detectors.ranges import Count, NonNegative, Positive
from omasgan.errors import TrainingDiverged

BAD_LR = 0.1
"""Above this rate the detectors below that can go wrong do so."""

HURRY = "TOY_HURRY"
"""With this in the environment nobody sleeps."""


CURVE_SPACE = {"lr": {"low": 1e-4, "high": 1.0, "log": True}, "epochs": 2}
"""What sweeps try of the detectors below."""


@dataclass(kw_only=True, eq=False, repr=False)
class CurveDetector(IterativeDetector):
    """Learns in closed form: best at ``lr`` 0.01, and better with every epoch.

    Its score is the distance to the nearest training sample, drowned in noise that depends on the
    sample alone, so that the AUROC rises with ``quality``. With ``collapse`` it reports itself
    collapsed.
    """

    lr: Positive = 0.01
    epochs: Count = 3
    collapse: bool = False
    device: str = "cpu"

    @property
    def quality(self) -> float:
        """In (0, 1): a bell over log10 of ``lr``, times a curve over the epochs."""
        bell = math.exp(-((math.log10(self.lr) + 2.0) ** 2))
        return bell * (1.0 - 0.5 ** getattr(self, "epoch_", 0))

    def fit_epochs(self, X: NDArray[Any]) -> Iterator[Epoch]:
        self.seen_ = _vectors(X)[:500]
        for index in range(getattr(self, "epoch_", 0), self.epochs):
            self._step()
            self.epoch_ = index + 1
            losses = {"loss": 1.0 - self.quality, "collapsed": float(self.collapse)}
            yield Epoch(index, "curve", losses)

    def _step(self) -> None:
        """Does nothing here; goes wrong in the detectors below."""

    def stage_scores(self, X: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        vectors = _vectors(X)
        distance = cdist(vectors, self.seen_).min(axis=1)
        weights = np.random.RandomState(self.seed).uniform(1, 2, vectors.shape[1])
        noise = (1e3 * (vectors * weights).sum(axis=1)) % 1.0
        score = self.quality * distance + (1.0 - self.quality) * noise
        return {"score": np.asarray(score, dtype=np.float32)}

    def state_dict(self) -> State:
        return {"epoch": self.epoch_, "seen": self.seen_}

    def load_state_dict(self, state: State) -> None:
        self.epoch_, self.seen_ = state["epoch"], state["seen"]


class DivergingDetector(CurveDetector):
    def _step(self) -> None:
        if self.lr > BAD_LR:
            raise TrainingDiverged(f"loss is not finite at lr {self.lr}")


class OutOfMemoryDetector(CurveDetector):
    def _step(self) -> None:
        if self.lr > BAD_LR:
            raise MemoryError(f"no memory left at lr {self.lr}")


class FailingDetector(CurveDetector):
    def _step(self) -> None:
        if self.lr > BAD_LR:
            raise ValueError(f"a bug at lr {self.lr}")


class CrashingDetector(CurveDetector):
    """Takes its process with it."""

    def _step(self) -> None:
        if self.lr > BAD_LR:
            os._exit(3)


@dataclass(kw_only=True, eq=False, repr=False)
class SlowDetector(CurveDetector):
    """Sleeps ``seconds`` an epoch, unless ``HURRY`` is in the environment."""

    seconds: NonNegative = 0.1

    def _step(self) -> None:
        if HURRY not in os.environ:
            time.sleep(self.seconds)


@dataclass(kw_only=True, eq=False, repr=False)
class HangingDetector(SlowDetector):
    """Hangs once, in its last epoch, while the file ``place`` does not exist yet."""

    place: str = ""

    def _step(self) -> None:
        super()._step()
        if HURRY not in os.environ and getattr(self, "epoch_", 0) + 1 == self.epochs:
            with contextlib.suppress(FileExistsError):
                Path(self.place).touch(exist_ok=False)
                time.sleep(1e6)


class LeakingDetector(SlowDetector):
    """Takes ever more memory at a bad rate, up to 4 GB; elsewhere, and in a hurry, none."""

    def _step(self) -> None:
        super()._step()
        arrays = []
        while self.lr > BAD_LR and HURRY not in os.environ and len(arrays) < 400:
            arrays.append(np.ones(10_000_000 // 8))
            time.sleep(0.02)


@dataclass(kw_only=True, eq=False, repr=False)
class MeetingDetector(CurveDetector):
    """Notes its process in the folder ``place`` and waits until ``n`` trials have done so."""

    epochs: Count = 1
    place: str = ""
    n: Count = 1

    def _step(self) -> None:
        folder = Path(self.place)
        process = {
            "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "threads": os.environ.get("OMP_NUM_THREADS"),
            "environment of Tune": os.environ.get("PL_DISABLE_FORK"),
            "pid": os.getpid(),
            "driver's libraries": sorted({"optuna", "mlflow"} & sys.modules.keys()),
        }
        (folder / f"{uuid.uuid4()}.json").write_text(json.dumps(process))
        deadline = time.monotonic() + 200
        while len(list(folder.iterdir())) < self.n:
            if time.monotonic() > deadline:
                raise TimeoutError(f"fewer than {self.n} trials at once")
            time.sleep(0.05)


def _vectors(X: NDArray[Any]) -> NDArray[np.float64]:
    scale = 127.5 if X.dtype == np.uint8 else 1.0
    return X.reshape(len(X), -1).astype(np.float64) / scale


@dataclass(kw_only=True, eq=False, repr=False)
class LabelledDetector(CurveDetector):
    """Says in its one epoch what labelled anomalies it was given, as the sum of their values."""

    takes_anomalies = True

    def fit_epochs(
        self, X: NDArray[Any], anomalies: NDArray[Any] | None = None
    ) -> Iterator[Epoch]:
        list(super().fit_epochs(X))
        yield Epoch(0, "curve", {"labelled": 0.0 if anomalies is None else float(anomalies.sum())})
