"""What runs or a sweep will take, before anything is spent.

The functions with which a sweep begins count what there is to train; ``probe`` measures on a few
configurations what one training takes. Nothing is written.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from omasgan.backends import shares
from omasgan.config import BenchmarkSpec
from omasgan.data import protocols, selection
from omasgan.data.datasets import Dataset
from omasgan.data.selection import Study
from omasgan.errors import ConfigError, TrainingDiverged
from omasgan.experiments import sweep_spec
from omasgan.experiments.sweep_spec import SweepSpec, study_seed
from omasgan.study import probed
from omasgan.study.groups import Sharing, expected_groups
from omasgan.study.space import Params, Space
from omasgan.training.measuring import MB
from omasgan.training.probe import Cost, probe

RUN_BYTES, SCORE_BYTES = 8_000, 6
"""On disk: of a run, and of one score of a sample in its ``scores.parquet``."""

Size: TypeAlias = tuple[int, int]
"""Samples that are trained on, and samples that are then scored."""


@dataclass(frozen=True, eq=False)
class Work:
    """What there is to train of a detector, without a search or with one.

    ``tasks`` are the sizes of the trainings of one trial of every study, study after study;
    ``runs`` those of the runs that are tested. ``X`` holds the samples of the first training.
    ``sharing`` says what trials train once for several.
    """

    detector: str
    studies: list[Study]
    n_trials: int
    tasks: list[Size]
    runs: list[Size]
    X: NDArray[Any]
    space: Space | None = None
    sharing: Sharing | None = None

    @property
    def trials(self) -> int:
        """How many there are in all studies together."""
        return len(self.studies) * self.n_trials

    @property
    def trainings(self) -> int:
        """How many trainings all trials take."""
        return len(self.tasks) * self.n_trials

    def spared_trials(self, at_once: int) -> int:
        """Return how many trials of a study go on from what others have trained."""
        if self.sharing is None:
            return 0
        slots = math.ceil(at_once / len(self.studies))
        return self.n_trials - expected_groups(self.n_trials, self.sharing, slots)


def of_runs(
    benchmark: BenchmarkSpec,
    dataset: Dataset,
    detector: str,
    folds: Sequence[int] | None,
    seeds: Sequence[int],
) -> Work:
    """Return the work of running each fold (all with None) with each seed."""
    chosen = protocols.choose(protocols.folds(benchmark, dataset), folds)
    runs = [(len(fold.train), len(fold.test)) for fold in chosen for _ in seeds]
    X = protocols.FoldSamples(dataset, chosen[0]).train
    return Work(detector, [], 0, [], runs, X)


def of_sweep(spec: SweepSpec, dataset: Dataset, source: Dataset | None = None) -> Work:
    """Return the work of a sweep: its studies, and the final runs of their winners.

    Raises:
        ConfigError: the sweep cannot be carried out.
    """
    studies = sweep_spec.studies(spec, dataset, source)
    chosen = [fold for study in studies for fold in study.folds]
    final = of_runs(
        spec.benchmark, dataset, spec.detector, chosen, spec.seeds or spec.benchmark.seeds
    )
    tasks = [task for study in studies for task in study.data.tasks]
    sizes = [(len(t.train), len(t.judged) * (1 + len(t.proxies))) for t in tasks]
    first = studies[0].data
    X = selection.training_samples(first.tasks[0], first.pool)
    n, how = spec.n_trials, spec.sharing
    return Work(spec.detector, studies, n, sizes, final.runs, X, spec.space, how)


def first_params(spec: SweepSpec, work: Work, n: int) -> list[Params]:
    """Return the params of the ``n`` trials with which a sweep begins, of each study in turn."""
    seeds = [study_seed(spec.seed, study.name) for study in work.studies]
    rounds = math.ceil(n / len(seeds))
    by_study = [
        probed.first(spec.space, rounds, seed=seed, sampler=spec.sampler) for seed in seeds[:n]
    ]
    return [params[i] for i in range(rounds) for params in by_study][:n]


@dataclass(frozen=True)
class Overhead:
    """Seconds until the first training begins (libraries are imported, workers started), and what
    each training costs besides itself (suggestion, records, scores on disk). Rough figures of two
    laptop-like cores.
    """

    start: float
    training: float


LOCAL, RAY = Overhead(4.0, 0.06), Overhead(20.0, 0.2)


@dataclass(frozen=True)
class Cluster:
    """Nodes with their resources, and the memory of one of their GPUs.

    ``measure`` is how a probe is run there; by default in this process.
    """

    nodes: Sequence[Mapping[str, float]]
    gpu_mb: float = shares.UNKNOWN_GPU_MB
    overhead: Overhead = RAY
    measure: Callable[..., Any] = field(default=lambda function, *a, **k: function(*a, **k))


def join(address: str, gpu_mb: float | None, cpus_per_trial: float = 1.0) -> Cluster:
    """Return the Ray cluster at ``address``, on which the probes are run as well.

    Raises:
        BackendError: it cannot be reached.
    """
    from omasgan.backends.ray import cluster

    nodes = cluster.resources(address)
    gpus = 1 if any(node.get("GPU", 0) for node in nodes) else 0
    measure = functools.partial(cluster.call, cpus_per_trial, gpus)
    return Cluster(nodes, gpu_mb or measure(shares.gpu_mb), measure=measure)


@dataclass(frozen=True)
class Spread:
    """The mean over the probed configurations, the cheapest and the dearest of them."""

    expected: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(float(np.mean(values)), min(values), max(values))


@dataclass(frozen=True)
class Forecast:
    """What ``work`` takes.

    ``share`` is what a training gets of a GPU and ``at_once`` how many are trained at once. Hours
    are what the trainings occupy, ``wall_seconds`` is the time from start to end. ``memory_mb``
    (resident) and ``gpu_memory_mb`` are the most that a process took. ``checkpoints_mb`` are on
    disk while trainings run, ``results_mb`` for good. ``probes`` configurations were measured in
    ``probe_seconds``; ``lost`` says of others why they could not be.
    """

    work: Work
    share: float
    at_once: int
    cpu_hours: Spread
    gpu_hours: Spread
    wall_seconds: Spread
    memory_mb: float
    gpu_memory_mb: float
    results_mb: float
    checkpoints_mb: float
    probes: int
    probe_seconds: float
    is_scaled: bool
    lost: list[str]

    @property
    def beginnings(self) -> int | None:
        """How many trials train what is shared, None where nothing is."""
        if self.work.sharing is None:
            return None
        spared = self.work.spared_trials(self.at_once)
        return self.work.trials - len(self.work.studies) * spared


def forecast(
    work: Work,
    configurations: Sequence[Params],
    cluster: Cluster,
    *,
    device: str = "auto",
    cpus_per_trial: float = 1.0,
    gpus_per_trial: float | Literal["auto"] = 0.0,
    at_once: int | None = None,
) -> Forecast:
    """Probe ``configurations`` of the detector and forecast what all of ``work`` takes on
    ``cluster``; with ``auto`` the share of a GPU is measured as the sweep measures it.

    Raises:
        ConfigError: no configuration could be probed, or one does not fit on a GPU.
        BackendError: a trial fits on no node.
    """
    started = time.perf_counter()
    device = shares.device_for(device, 1.0 if gpus_per_trial == "auto" else gpus_per_trial)
    costs, lost = [], []
    for params in configurations:
        try:
            costs.append(_probe(work, params, cluster, device))
        except TrainingDiverged as error:
            lost.append(str(error))
    if not costs:
        raise ConfigError(f"no configuration of {work.detector} could be probed: {lost[-1]}")
    share = gpus_per_trial
    if share == "auto":
        shares.capacity(cluster.nodes, cpus_per_trial, 1.0)
        share = _share(work, costs, cluster, device)
    shares.check_share(cpus_per_trial, share)
    at_once = at_once or shares.capacity(cluster.nodes, cpus_per_trial, share)
    scores = 1 + max(cost.stages for cost in costs)
    hours = [_training_seconds(work, cost, at_once) / 3600 for cost in costs]
    return Forecast(
        work,
        share,
        at_once,
        cpu_hours=Spread.of([cpus_per_trial * each for each in hours]),
        gpu_hours=Spread.of([share * each for each in hours]),
        wall_seconds=Spread.of(
            [_wall_seconds(work, cost, at_once, cluster.overhead) for cost in costs]
        ),
        memory_mb=max(cost.peak_memory_mb for cost in costs),
        gpu_memory_mb=max(cost.gpu_memory_mb for cost in costs),
        results_mb=sum(RUN_BYTES + SCORE_BYTES * scores * n for _, n in work.runs) / MB,
        checkpoints_mb=at_once * max(cost.state_mb for cost in costs),
        probes=len(costs),
        probe_seconds=time.perf_counter() - started,
        is_scaled=any(cost.is_scaled for cost in costs),
        lost=lost,
    )


def _probe(work: Work, params: Params, cluster: Cluster, device: str) -> Cost:
    _, n_score = (work.tasks or work.runs)[0]
    cost: Cost = cluster.measure(
        probe, work.detector, params, work.X, device=device, n_score=n_score
    )
    return cost


def _share(work: Work, costs: Sequence[Cost], cluster: Cluster, device: str) -> float:
    needed = max(cost.gpu_memory_mb for cost in costs)
    if work.space is not None:
        configurations = probed.configurations(work.space)
        needed = cluster.measure(shares.predict, work.detector, configurations, work.X, device)
    return shares.share_for(needed, cluster.gpu_mb)


def _training_seconds(work: Work, cost: Cost, at_once: int) -> float:
    return _search_seconds(work, cost, at_once) + sum(cost.seconds(*size) for size in work.runs)


def _search_seconds(work: Work, cost: Cost, at_once: int) -> float:
    """Return the seconds that the trainings of all trials take together."""
    whole = work.n_trials * sum(cost.seconds(*size) for size in work.tasks)
    if work.sharing is None:
        return whole
    n_spared = work.spared_trials(at_once) * len(work.tasks)
    return whole - n_spared * cost.seconds_until(work.sharing.phase)


def _wall_seconds(work: Work, cost: Cost, at_once: int, overhead: Overhead) -> float:
    """Return the seconds that trials, and after the last of them runs, take in rounds of
    ``at_once``.
    """
    total = overhead.start
    tested = sum(cost.seconds(*size) for size in work.runs)
    for n, n_trainings, seconds in (
        (work.trials, work.trainings, _search_seconds(work, cost, at_once)),
        (len(work.runs), len(work.runs), tested),
    ):
        if n:
            total += math.ceil(n / at_once) * (seconds + n_trainings * overhead.training) / n
    return total
