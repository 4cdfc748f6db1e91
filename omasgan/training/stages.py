"""The stage cache: what trainings have in common is trained once.

A detector says which beginnings of its training depend on few of its params
(``IterativeDetector.beginnings``). The state at the end of such a beginning is saved in a folder
under a digest of all that it depends on; a later training with the same digest goes on from there.
On the CPU it gives the same scores, bit for bit, as one that began anew.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import logging
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from omasgan import nn
from omasgan.config import digest
from omasgan.detectors.base import Epoch
from omasgan.errors import ConfigError, StoreError
from omasgan.store.files import exists
from omasgan.store.states import load_state, save_state
from omasgan.training.environment import compute_on_one_thread, torch_version

if TYPE_CHECKING:
    from omasgan.detectors.base import Beginning, IterativeDetector
    from omasgan.store.files import AnyPath

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageCache:
    """States in ``folder``, which may be deleted whenever nothing trains.

    A training goes on from the states of others, and saves its own at the ends of ``phases``
    (None: of all that can be shared). Each takes a few times the size of the networks' weights.
    ``mark`` begins the names of its files, where others lie in the same folder.
    """

    folder: AnyPath
    phases: tuple[str, ...] | None = None
    mark: str = ""

    def open(self, detector: IterativeDetector, *samples: NDArray[Any]) -> SharedTraining:
        """Return the training of ``detector`` on ``samples`` (X, and labelled anomalies if there
        are any), which has not begun.
        """
        return SharedTraining(self, detector, *samples)


class SharedTraining:
    """One training that takes from a cache what others have trained, and saves there its own.

    First comes ``replay``, then the detector's own ``fit_epochs`` with ``keep`` after each epoch.
    ``seconds`` is what the replayed epochs had taken: the time that the cache saves.
    """

    def __init__(
        self, cache: StageCache, detector: IterativeDetector, *samples: NDArray[Any]
    ) -> None:
        self.seconds = 0.0
        self._cache, self._detector = cache, detector
        self._started = time.monotonic()
        self._epochs: list[Epoch] = []
        self._keys: dict[int, tuple[Beginning, str]] = {}
        beginnings = detector.beginnings()
        if beginnings:
            common = _surroundings(detector, *samples)
            self._keys = {b.epochs: (b, _key(b, common)) for b in beginnings}

    def replay(self) -> Iterator[Epoch]:
        """Yield the epochs of the longest beginning in the cache, whose end the detector is at.

        A damaged file is logged as a warning, and skipped.
        """
        for beginning, key in sorted(self._keys.values(), key=lambda pair: -pair[0].epochs):
            path = self._path(key)
            try:
                if not exists(path):
                    continue
                entry = load_state(path)
                epochs, seconds = [Epoch(*epoch) for epoch in entry["epochs"]], entry["seconds"]
                self._detector.load_state_dict(entry["state"])
                self._epochs, self.seconds = epochs, seconds
                break
            except (StoreError, ConfigError, KeyError, TypeError) as error:
                logger.warning("phase '%s' is trained anew: %s", beginning.phase, error)
        self._started = time.monotonic()
        yield from list(self._epochs)

    def keep(self, epoch: Epoch) -> None:
        """Note a trained epoch; at the end of a beginning save the state in the cache.

        A state that cannot be written is logged as a warning, and left out.
        """
        self._epochs.append(epoch)
        ends = self._keys.get(epoch.index + 1)
        if ends is None or len(self._epochs) != epoch.index + 1:
            return
        beginning, key = ends
        if self._cache.phases is not None and beginning.phase not in self._cache.phases:
            return
        entry = {
            "seconds": self.seconds + time.monotonic() - self._started,
            "epochs": [[e.index, e.phase, dict(e.losses)] for e in self._epochs],
            "state": self._detector.state_dict(),
        }
        try:
            save_state(self._path(key), entry)
        except StoreError as error:
            logger.warning("the state after phase '%s' is not saved: %s", beginning.phase, error)

    def _path(self, key: str) -> AnyPath:
        return self._cache.folder / f"{self._cache.mark}{key}.safetensors"


def _key(beginning: Beginning, surroundings: Mapping[str, Any]) -> str:
    """Return a digest of everything that the state at the end of ``beginning`` depends on."""
    end = {"phase": beginning.phase, "epochs": beginning.epochs}
    return digest({**end, "params": dict(beginning.params), **surroundings})


def _surroundings(detector: IterativeDetector, *samples: NDArray[Any]) -> dict[str, Any]:
    """Return what every state of this training depends on besides params."""
    cls = type(detector)
    return {
        "detector": f"{cls.__module__}:{cls.__qualname__}",
        "seed": detector.seed,
        "data": " ".join(
            f"{X.dtype} {X.shape} {hashlib.sha256(np.ascontiguousarray(X).data).hexdigest()}"
            for X in samples
        ),
        "code": _code(cls),
        "machine": _machine(detector.device),
        "torch": torch_version(),
        "numpy": np.__version__,
    }


def _machine(device: str) -> str:
    """Return what of the machine may change the last bit of a sum."""
    import torch

    from omasgan.nn import batches

    # Torch may have been imported just now, with as many threads as there are cores.
    compute_on_one_thread()
    resolved = batches.resolve_device(device)
    half = batches.half_precision_pays(resolved)
    if resolved.type == "cuda":
        name = torch.cuda.get_device_name(resolved)
        return f"{name}, cuDNN {torch.backends.cudnn.version()}, bfloat16 {half}"
    name = f"{resolved.type} {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return f"{name}, {torch.get_num_threads()} threads, bfloat16 {half}"


@functools.cache
def _code(cls: type[Any]) -> str:
    """Return a digest of the sources that a training runs: the files in the folders of the
    detector, its bases and the networks. A version would be the same in an edited checkout.
    """
    folders = {Path(nn.__file__).parent}
    for base in cls.__mro__:
        module = sys.modules[base.__module__]
        if base.__module__.split(".")[0] not in ("builtins", "abc", "sklearn"):
            folders.add(Path(inspect.getfile(module)).parent)
    files = sorted(path for folder in folders for path in folder.glob("*.py"))
    return digest([(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files])
