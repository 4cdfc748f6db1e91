"""The only loop that trains: a consumer of a detector's epochs that can stop and go on."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from omasgan.detectors.base import samples
from omasgan.errors import DamagedError
from omasgan.store.files import AnyPath, delete, exists
from omasgan.store.journal import cause
from omasgan.store.states import load_state, save_state
from omasgan.training.jobs import CheckpointPolicy

if TYPE_CHECKING:
    from omasgan.detectors.base import Epoch, IterativeDetector
    from omasgan.training.stages import SharedTraining

logger = logging.getLogger(__name__)


class Training:
    """A detector in training on ``X`` (and on labelled ``anomalies``), whose state lies in
    ``checkpoint`` from time to time.

    It goes on from the checkpoint if there is one, else from the stages that it shares with other
    trainings, else from the beginning. The consumer takes one of ``epochs``, records it, and then
    calls ``save`` if a checkpoint ``is_due``: a checkpoint holds only epochs that are recorded.
    """

    def __init__(
        self,
        detector: IterativeDetector,
        X: NDArray[Any],
        checkpoint: AnyPath | None = None,
        policy: CheckpointPolicy = CheckpointPolicy(),
        shared: SharedTraining | None = None,
        anomalies: NDArray[Any] | None = None,
    ) -> None:
        """Load the checkpoint; a damaged one is deleted with a warning.

        Raises:
            StoreError: the checkpoint cannot be read.
        """
        self._detector, self._samples = detector, samples(X, anomalies)
        self._checkpoint, self._policy = checkpoint, policy
        self.is_resumed = self._resume()
        self._shared = None if self.is_resumed else shared
        self._is_replaying = False
        self._saved_at = time.monotonic()

    def _resume(self) -> bool:
        if self._checkpoint is None or not exists(self._checkpoint):
            return False
        try:
            state = load_state(self._checkpoint)
        except DamagedError as error:
            logger.warning(
                "'%s' is damaged (%s); the training begins anew", self._checkpoint, cause(error)
            )
            delete(self._checkpoint)
            return False
        self._detector.load_state_dict(state)
        return True

    def epochs(self) -> Iterator[Epoch]:
        """Train to the end, and yield the epochs after the state that the training goes on from.

        Raises:
            TrainingDiverged: a loss is not finite.
        """
        if self._shared is not None:
            self._is_replaying = True
            yield from self._shared.replay()
            self._is_replaying = False
        for epoch in self._detector.fit_epochs(*self._samples):
            if self._shared is not None:
                self._shared.keep(epoch)
            yield epoch

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is older than the policy allows.

        None is due during a replay: the detector is ahead of the epochs then, and who went on from
        there would miss some.
        """
        is_old = time.monotonic() - self._saved_at >= self._policy.seconds
        return self._checkpoint is not None and is_old and not self._is_replaying

    def save(self) -> None:
        """Write the checkpoint.

        Raises:
            StoreError: it cannot be written.
        """
        if self._checkpoint is not None:
            save_state(self._checkpoint, self._detector.state_dict())
        self._saved_at = time.monotonic()
