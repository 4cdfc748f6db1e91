"""What a configuration costs, measured by a short training of it on this machine.

A detector whose networks are trained by steps is trained for a few steps of each phase: the
seconds of a step are scaled to all steps of its phase, and the rest (building networks, what
follows the last step) is taken as measured. Any other detector is trained whole. Scoring is
measured on some samples and scaled to all.

The memory of a GPU is read from it where there is one. Elsewhere it is estimated from all tensors
that are alive at once (weights, gradients, the optimiser's moments, what autograd and operations
hold), counted exactly in the precision of this machine, and constants for what CUDA and its
libraries take. A GPU keeps a recording of each phase, and scores more samples at once.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_iter

from omasgan import detectors
from omasgan.detectors.base import IterativeDetector, State
from omasgan.detectors.neural import NeuralDetector, check_finite
from omasgan.nn import batches, graphs
from omasgan.nn.memory import Allocated
from omasgan.training.environment import compute_on_one_thread, has_used_gpu, resolve_device
from omasgan.training.measuring import CUDA_MB, MB, Measurement, peak_resident_mb

UNTIMED_STEPS = graphs.WARM_UP_STEPS + 1
"""Steps of a phase before the timed ones on a GPU, which records its graph in them."""

FIRST_STEPS = UNTIMED_STEPS + 1
"""Steps of a phase in a first training, which shows its memory."""

PHASE_SECONDS = 0.5
"""How long the measured steps of a phase take together, unless the phase is shorter."""

SCORE_SECONDS = 0.5
FEW, MANY = 64, 512
"""Samples that are scored to see how long one takes, and the most that are then scored."""

FIRST_SECONDS = 1.0
"""A training without steps that takes less is done twice: the first pays for imports."""

WHOLE = 20_000
"""Samples that a detector without steps is trained on at most; its times are then scaled."""

LIBRARIES_MB = 260.0
"""What cuBLAS and cuDNN take beside the tensors that can be counted; those of an H200 did."""

BLOCKS = 1.25
"""What the caching allocator takes for a byte of tensors, since its blocks are rounded up."""


@dataclass(frozen=True)
class Cost:
    """What one training on ``n_train`` samples and the scoring of ``n_score`` take.

    ``peak_memory_mb`` is resident memory of the probing process, libraries included;
    ``gpu_memory_mb`` what a process takes of a GPU, 0 for a detector that computes without torch.
    ``state_mb`` is the size of a checkpoint, ``stages`` how many scores a sample gets.
    ``step_seconds`` and ``phase_seconds``, those of whole phases, are by phase in its order, empty
    for a detector without steps; ``is_scaled`` says that such a detector was trained on ``WHOLE``
    of the samples and its times were multiplied.
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
    phase_seconds: Mapping[str, float] = field(default_factory=dict)
    is_scaled: bool = False

    def seconds(self, n_train: int, n_score: int) -> float:
        """Return what a training on and a scoring of other numbers of samples take together.

        Steps take no longer on more samples; all else is taken as linear in their number.
        """
        scored = self.score_seconds * n_score / self.n_score
        if self.step_seconds:
            return self.train_seconds + scored
        return (self.train_seconds + scored) * n_train / self.n_train

    def seconds_until(self, phase: str) -> float:
        """Return the seconds of all phases up to the end of ``phase``; none if it has no steps."""
        phases = list(self.phase_seconds)
        until = phases.index(phase) + 1 if phase in phases else 0
        return sum(self.phase_seconds[name] for name in phases[:until])


def probe(
    detector_name: str,
    params: Mapping[str, Any],
    X: NDArray[Any],
    *,
    device: str,
    n_score: int,
    seed: int = 0,
) -> Cost:
    """Train shortly on ``X``, score some of it, and say what training and scoring would take.

    Args:
        detector_name: as ``detectors.load`` takes it.
        params: of the detector; the others have their defaults.
        X: what it would be trained on.
        device: ``auto``, ``cpu``, ``cuda`` ...
        n_score: how many samples it would score.
        seed: of the short training.

    Raises:
        ConfigError: the detector does not take these params or samples, or there is no device.
        TrainingDiverged: even the short training did.
        torch.OutOfMemoryError: the configuration does not fit on the GPU.
    """
    build = _builder(detector_name, params, device, seed)
    if isinstance(build(), NeuralDetector):
        return _by_steps(build, X, n_score)
    return _whole(build, X, n_score)


def gpu_memory_mb(
    detector_name: str, params: Mapping[str, Any], X: NDArray[Any], *, device: str, seed: int = 0
) -> float:
    """Measure ``Cost.gpu_memory_mb`` alone, in less time; arguments and errors as ``probe``."""
    detector = _builder(detector_name, params, device, seed)()
    training: _Training = _Whole()
    if isinstance(detector, NeuralDetector):
        steps = {phase: min(n, FIRST_STEPS) for phase, n in _steps(detector).items()}
        training = _ShortTraining(steps)
    seen = X[:WHOLE]
    first = _first(detector, training, seen)
    if not first.gpu_memory_mb:
        return 0.0
    return first.gpu_memory_mb + (X.nbytes - seen.nbytes) / MB


def _builder(name: str, params: Mapping[str, Any], device: str, seed: int) -> Callable[[], Any]:
    """Return a function that returns a new detector of this configuration."""
    compute_on_one_thread()
    Measurement()
    cls, run = detectors.load(name), {"seed": seed, "device": resolve_device(device)}
    return lambda: cls(**params, **run)


def _steps(detector: NeuralDetector) -> Counter[str]:
    """Return the steps of each phase that has any."""
    steps: Counter[str] = Counter()
    for phase, n in detector._schedule():
        steps[phase] += n
    return steps


def _by_steps(build: Callable[[], NeuralDetector], X: NDArray[Any], n_score: int) -> Cost:
    detector = build()
    steps = _steps(detector)
    epochs = Counter(phase for phase, _ in detector._schedule())
    warm_up = _ShortTraining({phase: min(n, FIRST_STEPS) for phase, n in steps.items()})
    first = _first(build(), warm_up, X)
    timed = {
        phase: min(n, max(FIRST_STEPS, int(PHASE_SECONDS / warm_up.step_seconds[phase])))
        for phase, n in steps.items()
    }
    on_gpu = torch.device(detector.device).type == "cuda"
    measured = _ShortTraining(timed, UNTIMED_STEPS if on_gpu else 0)
    elapsed = _timer(detector.device)
    measured.run(detector, X)
    besides = elapsed() - measured.seconds
    score_seconds, stages = _score(detector, X[: first.n_scored])
    looped = {
        p: n * measured.step_seconds[p] + epochs[p] * measured.look_seconds[p]
        for p, n in steps.items()
    }
    return Cost(
        n_train=len(X),
        n_score=n_score,
        train_seconds=sum(looped.values()) + besides,
        score_seconds=score_seconds * n_score / first.n_scored,
        peak_memory_mb=peak_resident_mb(),
        gpu_memory_mb=first.gpu_memory_mb,
        state_mb=measured.state_bytes / MB,
        stages=stages,
        step_seconds=measured.step_seconds,
        phase_seconds=looped,
    )


def _whole(build: Callable[[], IterativeDetector], X: NDArray[Any], n_score: int) -> Cost:
    n = min(len(X), WHOLE)
    used = X if n == len(X) else X[np.linspace(0, len(X) - 1, n).astype(np.int64)]
    detector = build()
    first = _first(detector, _Whole(), used)
    train_seconds = first.seconds
    if train_seconds < FIRST_SECONDS:
        detector = build()
        elapsed = _timer(detector.device)
        detector.fit(used)
        train_seconds = elapsed()
    score_seconds, stages = _score(detector, used[: first.n_scored])
    scale = len(X) / len(used)
    return Cost(
        n_train=len(X),
        n_score=n_score,
        train_seconds=train_seconds * scale,
        score_seconds=score_seconds * scale * n_score / first.n_scored,
        peak_memory_mb=peak_resident_mb(),
        gpu_memory_mb=first.gpu_memory_mb,
        state_mb=_nbytes(detector.state_dict()) * scale / MB,
        stages=stages,
        is_scaled=scale > 1,
    )


@dataclass(frozen=True)
class _First:
    """What a first training took, and how many samples were scored after it."""

    seconds: float
    n_scored: int
    gpu_memory_mb: float


def _first(detector: IterativeDetector, training: _Training, X: NDArray[Any]) -> _First:
    """Train ``detector`` and score some samples, measuring memory."""
    with _gpu_memory(detector.device) as gpu_memory:
        elapsed = _timer(detector.device)
        training.run(detector, X, gpu_memory.end_phase)
        seconds = elapsed()
        n = _how_many(detector, X)
        gpu_memory.score(detector, X[:n])
        return _First(seconds, n, gpu_memory.taken(X))


class _Training(Protocol):
    def run(self, detector: Any, X: NDArray[Any], end_phase: Callable[[], None]) -> None: ...


class _Whole:
    """A training as it is, without phases."""

    def run(self, detector: Any, X: NDArray[Any], end_phase: Callable[[], None]) -> None:
        detector.fit(X)


@dataclass
class _ShortTraining:
    """A training of ``steps`` steps of each phase, one epoch a phase, and what it takes. Each
    phase begins with ``untimed`` steps more.

    ``step_seconds`` are those of one step, ``look_seconds`` those of one look at the networks'
    health, which comes once an epoch. ``state_bytes`` is the size of the largest state.
    """

    steps: Mapping[str, int]
    untimed: int = 0
    step_seconds: dict[str, float] = field(default_factory=dict)
    look_seconds: dict[str, float] = field(default_factory=dict)
    state_bytes: int = 0

    @property
    def seconds(self) -> float:
        """Of all steps and looks together."""
        steps = sum(n * self.step_seconds[phase] for phase, n in self.steps.items())
        return steps + sum(self.look_seconds.values())

    def run(
        self,
        detector: NeuralDetector,
        X: NDArray[Any],
        end_phase: Callable[[], None] = lambda: None,
    ) -> None:
        """Train ``detector`` as its ``fit_epochs`` does, in fewer steps; it can then score."""
        detector._begin(list(X.shape[1:]))
        normals = detector._normals(X)
        for epoch, (phase, n) in enumerate(self.steps.items()):
            detector._enter_up_to(phase)
            if self.untimed:
                detector._train_epoch(phase, self.untimed, normals)
            elapsed = _timer(detector.device)
            # It ends with the losses as numbers, for which a GPU has to be done.
            losses = detector._train_epoch(phase, n, normals)
            self.step_seconds[phase] = elapsed() / n
            end_phase()
            elapsed = _timer(detector.device)
            losses |= detector._health(normals, epoch)
            self.look_seconds[phase] = elapsed()
            check_finite(losses, f"phase '{phase}' of a short training")
            state = detector.state_dict()
            self.state_bytes = max(
                self.state_bytes, _nbytes([state["networks"], state["optimisers"]])
            )
        detector._end(X)


def _how_many(trained: IterativeDetector, X: NDArray[Any]) -> int:
    """Return how many samples are scored in ``SCORE_SECONDS``, between ``FEW`` and ``MANY``."""
    elapsed = _timer(trained.device)
    trained.stage_scores(X[:FEW])
    return min(len(X), max(FEW, min(MANY, int(FEW * SCORE_SECONDS / elapsed()))))


def _score(trained: IterativeDetector, X: NDArray[Any]) -> tuple[float, int]:
    """Score ``X``; return the seconds, and how many scores a sample has."""
    elapsed = _timer(trained.device)
    stages = trained.stage_scores(X)
    return elapsed(), len(stages)


def _timer(device: str) -> Callable[[], float]:
    """Return a function that returns the seconds since now, without those spent waiting for a
    core.
    """
    wall, cpu = time.perf_counter(), time.process_time()

    def elapsed() -> float:
        waited = time.perf_counter() - wall
        # With several threads, or a GPU, it is the wall clock that counts.
        on_cpu = torch.device(device).type == "cpu"
        return max(min(waited, time.process_time() - cpu) if on_cpu else waited, 1e-9)

    return elapsed


@contextlib.contextmanager
def _gpu_memory(device: str) -> Iterator[_ReadOff | _Estimated]:
    """Return a context that knows the megabytes of a GPU which are taken in it, or would be."""
    if torch.device(device).type == "cuda":
        # Before the first use of a GPU there is nothing to reset, and it may never be used.
        if has_used_gpu():
            torch.cuda.reset_peak_memory_stats(device)
        yield _ReadOff(device)
        return
    with Allocated() as tensors:
        yield _Estimated(tensors)


class _ReadOff:
    """The memory that this process has taken of its GPU."""

    def __init__(self, device: str) -> None:
        self._device = device

    def end_phase(self) -> None:
        """Do nothing: the GPU sees all."""

    def score(self, trained: IterativeDetector, X: NDArray[Any]) -> None:
        """Score ``X``, ``FEW`` samples of which were scored before."""
        if len(X) > FEW:
            trained.stage_scores(X)

    def taken(self, X: NDArray[Any]) -> float:
        """Return the megabytes, the samples ``X`` among them; 0 for a GPU that was not used."""
        reserved = torch.cuda.max_memory_reserved(self._device) if has_used_gpu() else 0
        if not reserved:
            return 0.0
        free, total = torch.cuda.mem_get_info(self._device)
        # Others may be using the same GPU: their memory does not count.
        besides = min(total - free - torch.cuda.memory_reserved(self._device), CUDA_MB * MB)
        return (reserved + besides) / MB


class _Estimated:
    """The memory of a GPU that would be taken, from the ``tensors`` of this machine.

    What a phase's steps need while they run stays taken: their recording has memory of its own.
    What is done without one (steps before it, the end of a training, scoring) reuses what was
    freed. Scoring is taken as linear in the samples scored at once.
    """

    def __init__(self, tensors: Allocated) -> None:
        self._tensors = tensors
        self._held, self._recorded, self._passing = 0, 0, 0.0

    def end_phase(self) -> None:
        """Note what the steps of a phase took."""
        self._recorded += self._lap()

    def score(self, trained: IterativeDetector, X: NDArray[Any]) -> None:
        """Score ``X`` in two sizes, to see what a sample more takes."""
        self._lap()
        sizes = max(1, len(X) // 2), len(X)
        peaks = []
        for n in sizes:
            trained.stage_scores(X[:n])
            peaks.append(self._lap())
        a_sample = (peaks[1] - peaks[0]) / max(1, sizes[1] - sizes[0])
        more = max(0, batches.SCORING_BATCH["cuda"] - len(X))
        self._passing = max(self._passing, peaks[1] + a_sample * more)

    def taken(self, X: NDArray[Any]) -> float:
        """Return the megabytes, the samples ``X`` among them; 0 where no tensor was seen."""
        tensors = self._held + self._recorded + self._passing
        if not tensors:
            return 0.0
        return (BLOCKS * tensors + X.nbytes) / MB + LIBRARIES_MB + CUDA_MB

    def _lap(self) -> int:
        """Return what was taken since the last lap at most and freed again."""
        freed = self._tensors.peak - self._tensors.bytes
        self._held = max(self._held, self._tensors.bytes)
        self._passing = max(self._passing, freed)
        self._tensors.peak = self._tensors.bytes
        return freed


def _nbytes(state: State | list[Any]) -> int:
    return sum(x.nbytes for x in tree_iter(state) if isinstance(x, Tensor | np.ndarray))
