"""What a configuration costs, measured by a short training of it on this machine.

A detector whose networks are trained by steps is trained for a few steps of each phase: the
seconds of a step are scaled to all steps of its phase, and what is no step (building networks,
what follows the last one) is taken as it is. Any other detector is trained whole. Scoring is
measured on some samples and scaled to all.

A GPU's memory is read off where there is one. Elsewhere it is estimated: the peak of all tensors
that are alive at once (weights, gradients, the optimiser's moments, what autograd and operations
keep), counted exactly in the precision of this machine, and a stated constant for what CUDA itself
takes.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_iter

from omasgan import detectors
from omasgan.detectors.base import IterativeDetector, State
from omasgan.detectors.neural import NeuralDetector
from omasgan.nn.batches import Sampler
from omasgan.nn.memory import CUDA_MB, Allocated
from omasgan.training.environment import resolve_device
from omasgan.training.measuring import Measurement, peak_resident_mb

MB = 2**20

WARM_UP_STEPS = 3
PHASE_SECONDS = 0.5
"""How long the measured steps of a phase take together, unless the phase is shorter."""

SCORE_SECONDS = 0.5
FEW, MANY = 64, 512
"""Samples that are scored to see how long one takes, and the most that are then scored."""

FIRST_SECONDS = 1.0
"""A training without steps that takes less is done twice: the first pays for imports."""

WHOLE = 20_000
"""Samples that a detector without steps is trained on at most; its times are then scaled."""

BLOCKS = 1.25
"""What the caching allocator takes for a byte of tensors, since its blocks are rounded up."""


@dataclass(frozen=True)
class Cost:
    """What one training on ``n_train`` samples and the scoring of ``n_score`` take.

    ``peak_memory_mb`` is resident memory of the probing process, libraries included;
    ``gpu_memory_mb`` what a process takes of a GPU, 0 for a detector that computes without torch.
    ``state_mb`` is the size of a checkpoint, ``stages`` how many scores a sample gets.
    ``step_seconds`` are by phase, empty for a detector without steps; ``is_scaled`` says that such
    a one was trained on ``WHOLE`` of the samples and its times multiplied.
    """

    n_train: int
    n_score: int
    train_seconds: float
    score_seconds: float
    peak_memory_mb: float
    gpu_memory_mb: float
    state_mb: float
    stages: int
    step_seconds: Mapping[str, float] = field(default_factory=dict)
    is_scaled: bool = False

    def seconds(self, n_train: int, n_score: int) -> float:
        """What a training on and a scoring of other numbers of samples take together.

        Steps take no longer on more samples; all else is taken as linear in their number.
        """
        scored = self.score_seconds * n_score / self.n_score
        if self.step_seconds:
            return self.train_seconds + scored
        return (self.train_seconds + scored) * n_train / self.n_train


def probe(
    detector_name: str,
    params: Mapping[str, Any],
    X: NDArray[Any],
    *,
    device: str,
    n_score: int,
    seed: int = 0,
) -> Cost:
    """Train shortly on ``X``, score some of it, and say what all of that would take.

    Args:
        detector_name: as ``detectors.load`` takes it.
        params: of the detector; those that are not given have their defaults.
        X: what it would be trained on.
        device: ``auto``, ``cpu``, ``cuda`` ...
        n_score: how many samples it would score.
        seed: of the short training.

    Raises:
        ConfigError: the detector does not take these params or samples, or there is no device.
        TrainingDiverged: even the short training did.
        torch.OutOfMemoryError: the configuration does not fit on the GPU.
    """
    cls, arguments = _configured(detector_name, params, device, seed)
    if issubclass(cls, NeuralDetector):
        return _by_steps(cls, arguments, X, n_score)
    return _whole(cls, arguments, X, n_score)


def gpu_memory_mb(
    detector_name: str, params: Mapping[str, Any], X: NDArray[Any], *, device: str, seed: int = 0
) -> float:
    """``Cost.gpu_memory_mb`` alone, in less time; the arguments and errors of ``probe``."""
    cls, arguments = _configured(detector_name, params, device, seed)
    if issubclass(cls, NeuralDetector):
        cls = _shortened(cls, dict.fromkeys(cls(**arguments)._phases(), WARM_UP_STEPS), _Notes())
    return _first(cls, arguments, X[:WHOLE]).gpu_memory_mb


def _configured(
    detector_name: str, params: Mapping[str, Any], device: str, seed: int
) -> tuple[type[IterativeDetector], dict[str, Any]]:
    Measurement()
    place = {"seed": seed, "device": resolve_device(device)}
    return detectors.load(detector_name), {**params, **place}


def _by_steps(
    cls: type[NeuralDetector], arguments: Mapping[str, Any], X: NDArray[Any], n_score: int
) -> Cost:
    full = cls(**arguments)
    phases = {phase: n for phase, n in full._phases().items() if n}
    epochs = Counter(phase for phase, _ in full._schedule())
    rough, notes = _Notes(), _Notes()
    first = _first(_shortened(cls, dict.fromkeys(phases, WARM_UP_STEPS), rough), arguments, X)
    limits = {p: max(WARM_UP_STEPS, int(PHASE_SECONDS / rough.step(p))) for p in phases}
    elapsed = _timer(full.device)
    trained = _shortened(cls, limits, notes)(**arguments).fit(X)
    besides = elapsed() - notes.seconds
    score_seconds, stages = _score(trained, X[: first.n_scored])
    looped = sum(n * notes.step(p) + epochs[p] * notes.look(p) for p, n in phases.items())
    return Cost(
        n_train=len(X),
        n_score=n_score,
        train_seconds=looped + besides,
        score_seconds=score_seconds * n_score / first.n_scored,
        peak_memory_mb=peak_resident_mb(),
        gpu_memory_mb=first.gpu_memory_mb,
        state_mb=notes.state_bytes / MB,
        stages=stages,
        step_seconds={phase: notes.step(phase) for phase in phases},
    )


def _whole(
    cls: type[IterativeDetector], arguments: Mapping[str, Any], X: NDArray[Any], n_score: int
) -> Cost:
    n = min(len(X), WHOLE)
    used = X if n == len(X) else X[np.linspace(0, len(X) - 1, n).astype(np.int64)]
    first = _first(cls, arguments, used)
    trained, train_seconds = first.trained, first.seconds
    if train_seconds < FIRST_SECONDS:
        trained, train_seconds = _fit(cls, arguments, used)
    score_seconds, stages = _score(trained, used[: first.n_scored])
    scale = len(X) / len(used)
    return Cost(
        n_train=len(X),
        n_score=n_score,
        train_seconds=train_seconds * scale,
        score_seconds=score_seconds * scale * n_score / first.n_scored,
        peak_memory_mb=peak_resident_mb(),
        gpu_memory_mb=first.gpu_memory_mb,
        state_mb=_nbytes(trained.state_dict()) * scale / MB,
        stages=stages,
        is_scaled=scale > 1,
    )


@dataclass(frozen=True)
class _First:
    """A first training, in which memory is measured; how many samples it then scored."""

    trained: IterativeDetector
    seconds: float
    n_scored: int
    gpu_memory_mb: float


def _first(cls: type[IterativeDetector], arguments: Mapping[str, Any], X: NDArray[Any]) -> _First:
    with _gpu_memory(arguments["device"]) as gpu_memory:
        trained, seconds = _fit(cls, arguments, X)
        n = _how_many(trained, X)
        if n > FEW:
            trained.stage_scores(X[:n])
        return _First(trained, seconds, n, gpu_memory())


@dataclass
class _Notes:
    """What a shortened training took, by phase."""

    steps: Counter[str] = field(default_factory=Counter)
    step_seconds: dict[str, float] = field(default_factory=dict)
    looks: Counter[str] = field(default_factory=Counter)
    look_seconds: dict[str, float] = field(default_factory=dict)
    state_bytes: int = 0

    @property
    def seconds(self) -> float:
        """Of all steps, and of all looks at the networks' health."""
        return sum(self.step_seconds.values()) + sum(self.look_seconds.values())

    def step(self, phase: str) -> float:
        """Seconds of one step."""
        return self.step_seconds[phase] / self.steps[phase]

    def look(self, phase: str) -> float:
        """Seconds of one look, which comes once an epoch."""
        return self.look_seconds[phase] / self.looks[phase]


def _shortened(
    cls: type[NeuralDetector], limits: Mapping[str, int], notes: _Notes
) -> type[NeuralDetector]:
    """``cls`` with at most so many steps in each phase; it takes notes while it is trained."""

    class Shortened(cls):  # type: ignore[valid-type, misc]
        def _phases(self) -> Mapping[str, int]:
            return {phase: min(n, limits.get(phase, n)) for phase, n in super()._phases().items()}

        def _train_epoch(self, phase: str, steps: int, normals: Sampler) -> dict[str, float]:
            elapsed = _timer(self.device)
            # It ends with the losses as numbers, for which a GPU has to be done.
            losses: dict[str, float] = super()._train_epoch(phase, steps, normals)
            self._phase = phase
            notes.steps[phase] += steps
            _add(notes.step_seconds, phase, elapsed())
            return losses

        def _health(self, normals: Sampler, epoch: int) -> dict[str, float]:
            elapsed = _timer(self.device)
            figures: dict[str, float] = super()._health(normals, epoch)
            notes.looks[self._phase] += 1
            _add(notes.look_seconds, self._phase, elapsed())
            optimisers = {name: o.state_dict() for name, o in self._optimisers.items()}
            networks = {name: net.state_dict() for name, net in self._networks.items()}
            notes.state_bytes = max(notes.state_bytes, _nbytes([networks, optimisers]))
            return figures

    return Shortened


def _add(seconds: dict[str, float], phase: str, more: float) -> None:
    seconds[phase] = seconds.get(phase, 0.0) + more


def _fit(
    cls: type[IterativeDetector], arguments: Mapping[str, Any], X: NDArray[Any]
) -> tuple[IterativeDetector, float]:
    elapsed = _timer(arguments["device"])
    trained = cls(**arguments).fit(X)
    return trained, elapsed()


def _how_many(trained: IterativeDetector, X: NDArray[Any]) -> int:
    """How many samples are scored in ``SCORE_SECONDS``, between ``FEW`` and ``MANY``."""
    elapsed = _timer(trained.device)
    trained.stage_scores(X[:FEW])
    return min(len(X), max(FEW, min(MANY, int(FEW * SCORE_SECONDS / elapsed()))))


def _score(trained: IterativeDetector, X: NDArray[Any]) -> tuple[float, int]:
    """Seconds, and how many scores a sample gets."""
    elapsed = _timer(trained.device)
    stages = trained.stage_scores(X)
    return elapsed(), len(stages)


def _timer(device: str) -> Callable[[], float]:
    """Gives the seconds since now; those in which this process waited for a core do not count."""
    wall, cpu = time.perf_counter(), time.process_time()

    def elapsed() -> float:
        waited = time.perf_counter() - wall
        # With several threads it is the wall that counts, and with a GPU as well.
        on_cpu = torch.device(device).type == "cpu"
        return max(min(waited, time.process_time() - cpu) if on_cpu else waited, 1e-9)

    return elapsed


@contextlib.contextmanager
def _gpu_memory(device: str) -> Iterator[Callable[[], float]]:
    """Gives what tells the megabytes of a GPU that this context has taken so far, or would have
    taken.
    """
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield lambda: _read_off(device)
        return
    with Allocated() as tensors:
        yield lambda: tensors.peak * BLOCKS / MB + CUDA_MB if tensors.peak else 0.0


def _read_off(device: str) -> float:
    reserved = torch.cuda.max_memory_reserved(device)
    if not reserved:
        return 0.0
    free, total = torch.cuda.mem_get_info(device)
    # Others may be using the same GPU, which is not to be taken for this process's own.
    besides = min(total - free - torch.cuda.memory_reserved(device), CUDA_MB * MB)
    return (reserved + besides) / MB


def _nbytes(state: State | list[Any]) -> int:
    return sum(x.nbytes for x in tree_iter(state) if isinstance(x, Tensor | np.ndarray))
