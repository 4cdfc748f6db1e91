"""What is to be trained: one trial of a study, or one run of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath
    from omasgan.store.results import Store
    from omasgan.training.stages import StageCache


@dataclass(frozen=True)
class CheckpointPolicy:
    """When a training saves its state: at most every ``seconds``, and with ``keep`` at its end,
    where the state then stays.
    """

    seconds: float = 30.0
    keep: bool = False


@dataclass(frozen=True)
class TrialJob:
    """One configuration, to be trained and judged on every task of a study.

    ``stages`` are those that are judged, by default the one that is the detector's score.
    ``values``, by step and stage, are of the tasks that an earlier attempt has finished, which are
    not trained again. Without a ``workdir`` no state is saved. With a ``cache`` each training
    shares beginnings with those of other trials.
    """

    detector: str
    params: Mapping[str, Any]
    device: str = "auto"
    workdir: AnyPath | None = None
    stages: tuple[str, ...] = ()
    values: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    cache: StageCache | None = None
    checkpoints: CheckpointPolicy = CheckpointPolicy()


@dataclass(frozen=True)
class RunJob:
    """One training, tested, on the fold with the index ``fold``.

    With ``save`` the trained detector and its calibration are saved beside the row. With a
    ``cache`` the training shares beginnings with other runs. ``about`` are more columns of the
    row. ``members`` are the params of an ensemble whose members differ in them; ``params`` are
    then those of the first.
    """

    fold: int
    detector: str
    params: Mapping[str, Any]
    seed: int
    selection: str
    store: Store
    device: str = "auto"
    save: bool = False
    cache: StageCache | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    checkpoints: CheckpointPolicy = CheckpointPolicy()
    members: tuple[Mapping[str, Any], ...] = ()

    @property
    def params_id(self) -> str:
        """What stands for all params that are trained."""
        return id_of(self.params, self.members)


def id_of(params: Mapping[str, Any], members: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return what stands for ``params``, or for those of an ensemble's ``members``."""
    # imported here, for what it imports would keep the command line's help waiting
    from omasgan.store.results import params_id

    return params_id({"members": list(members)} if members else params)
