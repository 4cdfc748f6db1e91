"""``omasgan.save`` and ``omasgan.load``: a fitted detector in a folder, and back.

The folder is like those of ``omasgan run ... --save``: ``omasgan score`` reads it as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omasgan import __version__, detectors
from omasgan.detectors.base import IterativeDetector
from omasgan.detectors.notes import notes_of
from omasgan.detectors.params import plain
from omasgan.errors import ConfigError
from omasgan.store import saved
from omasgan.store.files import open_root

if TYPE_CHECKING:
    from omasgan.store.files import AnyPath

ORIGIN = {"benchmark": "own-samples", "fold": 0, "code_version": __version__}
"""What the description says of where a detector comes from that no run has trained."""


def save(detector: Any, path: str | Path | AnyPath) -> None:
    """Save a fitted detector in the folder (or at the URI) ``path``, without pickle.

    Its params and state, and what labels and p-values need, so that ``load`` returns the same
    detector. A saved detector that is there already is replaced.

    Raises:
        NotFittedError: ``fit`` has not been called.
        ConfigError: it is no detector of this package's kind, or its class cannot be found again.
        StoreError: the folder cannot be written.
    """
    if not isinstance(detector, IterativeDetector):
        raise ConfigError(
            f"save takes a detector of omasgan's, got {type(detector).__name__}; of a pipeline or "
            "an adapter, save the detector in it"
        )
    cls = type(detector)
    params = {name: plain(getattr(detector, name)) for name in detectors.parameters(cls)}
    row = {
        **ORIGIN,
        "detector": detectors.name_of(cls),
        "params": params,
        "seed": int(detector.seed),
        "contamination": float(detector.contamination),
    }
    saved.write(open_root(str(path)), detector, row, notes_of(detector))


def load(
    path: str | Path | AnyPath, *, device: str = "auto", foreign: bool = False
) -> IterativeDetector:
    """Return the detector that ``save``, or a command with ``--save``, wrote to ``path``.

    Args:
        path: the folder (or its URI), or one above the only saved detector.
        device: where it is to score.
        foreign: whether a class that is not of this package may be imported. That executes code
            which the folder names: only for folders of your own.

    Raises:
        StoreError: there is no saved detector, or a damaged one.
        ConfigError: it is of a class that is not of this package, or was trained on a table, whose
            columns are scaled before.
    """
    folder = saved.find(open_root(str(path)))
    loaded = saved.load(folder, device=device, foreign=foreign)
    if loaded.scaling is not None:
        raise ConfigError(
            f"the detector in '{folder}' takes the scaled columns of a table, and load does not "
            "scale; score rows with omasgan score"
        )
    return loaded.detector
