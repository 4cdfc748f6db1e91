"""Ensembles: a detector trained several times with seeds of its own, whose scores are combined.

Source: Choi, Jang, Alemi, "WAIC, but Why? Generative Ensembles for Robust Anomaly Detection"
(2018), whose scores are those of K densities. Here s_1 to s_K are the members' scores of a sample,
in the units that the detector's score has (nats where it is -log p), higher for more anomalous:

- ``mean``: the mean of s, which is the ensemble's score;
- ``variance``: their variance, divided by K;
- ``waic``: mean + variance, which is minus the paper's E[log p] - Var[log p]. The two terms have
  different units, and the larger decides;
- ``tails``: the mean of minus the logarithms of the members' tail probabilities among held-out
  normals (``nn/tails.py``): what a mean of ranks is for, and independent of the other samples.

Every member is a run of its own, in the store ``<out>/members``, with the trained detector and its
held-out scores beside it; a member that is done is not trained again. The members of the ensemble
with the seed s have the seeds 1000 s, 1000 s + 1 and so on, so that ensembles of several sizes
share theirs, and those of several seeds share none.

An ensemble whose members have params of their own, which is that of a study's best trials, has the
score ``tails``: units differ from member to member. Beside it stands ``best``, its first member's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from omasgan.backends.contract import Backend
from omasgan.config import BenchmarkSpec
from omasgan.data.datasets import Dataset
from omasgan.data.selection import ENSEMBLE, TRIAL_SEEDS
from omasgan.errors import ConfigError
from omasgan.nn import tails
from omasgan.progress import EpochEnded, Event, OnEvent, RunEnded
from omasgan.store import saved
from omasgan.store.journal import Row
from omasgan.store.results import RunKey, Store
from omasgan.training import evaluate
from omasgan.training.jobs import RunJob

if TYPE_CHECKING:
    import pandas as pd

MAX_MEMBERS = 1_000
"""The most members of an ensemble: the seeds of members are apart by so much for neighbouring
seeds of ensembles."""

MEMBERS = "members"
"""The folder, under the root of the ensembles' store, that is the store of their members."""

MIN_HELD_OUT = 2

Scores = NDArray[np.float64]


def check(size: int, seeds: Sequence[int]) -> None:
    """Refuse ensembles whose members would share seeds with others, or with trials.

    Raises:
        ConfigError: ``size`` or one of ``seeds`` is too large.
    """
    if size > MAX_MEMBERS:
        raise ConfigError(f"an ensemble may have {MAX_MEMBERS} members, got {size}; take fewer")
    limit = TRIAL_SEEDS // MAX_MEMBERS - 1
    if max(seeds, default=0) > limit:
        raise ConfigError(
            f"an ensemble's seed must be at most {limit}, got {max(seeds)}: its members' are "
            f"{MAX_MEMBERS} times as large, and trials have those from {TRIAL_SEEDS}"
        )


def rule(size: int) -> str:
    """Return what stands for the selection of an ensemble of ``size`` members."""
    return f"{ENSEMBLE}{size}"


def members(job: RunJob, size: int) -> list[RunJob]:
    """Return the runs of the ``size`` members of the ensemble whose run is ``job``."""
    member = replace(job, store=Store(job.store.root / MEMBERS), selection="fixed", save=True)
    return [
        replace(member, params=params, members=(), about={}, seed=MAX_MEMBERS * job.seed + i)
        for i, params in enumerate(job.members or [job.params] * size)
    ]


def runs(
    jobs: Sequence[RunJob],
    size: int,
    backend: Backend,
    spec: BenchmarkSpec,
    dataset: Dataset,
    on_event: OnEvent,
) -> list[Row]:
    """Train the members of ensembles of ``size``; return the ensembles' rows, in their order.

    ``jobs`` are runs whose selection is ``rule(size)``, or that name their ``members``. The row of
    one that is done is returned as it is stored.

    Raises:
        StoreError: the store cannot be read or written.
    """
    waiting = [job for job in jobs if not job.store.is_done(evaluate.run_key(job, spec))]
    by_job = {evaluate.run_key(job, spec): members(job, size) for job in waiting}
    if waiting:
        Store(waiting[0].store.root / MEMBERS).claim_benchmark(spec, dataset.sha256)
    parts = [part for of_job in by_job.values() for part in of_job]
    backend.runs(parts, spec, dataset, _as_members(on_event))
    rows: list[Row] = []
    for job in jobs:
        key = evaluate.run_key(job, spec)
        if key in by_job:
            rows.append(_write(job, by_job[key], spec, dataset))
        else:
            rows.append(job.store.read_result(key) or {})
        on_event(RunEnded(rows[-1], len(rows), len(jobs)))
    return rows


def combine_unlike(
    scores: Scores, held_out: Sequence[NDArray[Any]]
) -> dict[str, NDArray[np.float32]]:
    """Return the scores of an ensemble whose members' units differ; arguments as ``combine``.

    Raises:
        ConfigError: a member has fewer than two held-out scores.
    """
    combined = combine(scores, held_out)
    if "tails" not in combined:
        raise ConfigError(
            f"an ensemble of several params needs at least {MIN_HELD_OUT} validation samples, got "
            f"{min(map(len, held_out))}; choose with --winner best"
        )
    return {"score": combined["tails"], "best": scores[0].astype(np.float32)}


def combine(scores: Scores, held_out: Sequence[NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    """Return the ensemble's scores by name, each ``(n,)``.

    Args:
        scores: the members', ``(k, n)``.
        held_out: each member's scores of normal samples that it was not trained on; without
            two of them there are no ``tails``.
    """
    mean, variance = scores.mean(0), scores.var(0)
    combined = {"score": mean, "mean": mean, "variance": variance, "waic": mean + variance}
    if min(map(len, held_out)) >= MIN_HELD_OUT:
        surprises = [tails.surprise(h, s) for h, s in zip(held_out, scores, strict=True)]
        combined["tails"] = np.mean(surprises, axis=0)
    return {name: values.astype(np.float32) for name, values in combined.items()}


def _as_members(on_event: OnEvent) -> OnEvent:
    """Return a handler that tells of members' ends as of progress: they are no results."""

    def tell(event: Event) -> None:
        if isinstance(event, RunEnded):
            row = event.row
            text = f"{row['detector']}, fold {row['fold']}, member with seed {row['seed']}: ended"
            on_event(EpochEnded(text, event.done, event.total))
        else:
            on_event(event)

    return tell


def _write(job: RunJob, parts: Sequence[RunJob], spec: BenchmarkSpec, dataset: Dataset) -> Row:
    """Store and return the row of an ensemble whose members have ended."""
    keys = [evaluate.run_key(part, spec) for part in parts]
    store = parts[0].store
    ended = [store.read_result(key) or {} for key in keys]
    row = evaluate.identity(job, spec, dataset, evaluate.fold_of(job, spec, dataset))
    row |= {name: ended[0].get(name) for name in ("device", "device_class")}
    row |= dict(job.about) | {"members": len(parts)} | _costs(ended)
    frame = None
    failed = next((part for part in ended if part.get("outcome") != "ok"), None)
    if failed is None:
        known = [_held_out(store, key) for key in keys]
        together = combine_unlike if job.members else combine
        frame = _frame([store.scores(key) for key in keys], partial(together, held_out=known))
        row |= evaluate.judge(spec, {str(name): frame[name].to_numpy() for name in frame})
    else:
        error = f"the member with seed {failed['seed']}: {failed['error']}"
        row |= {"outcome": failed["outcome"], "error": error}
    return job.store.write_run(evaluate.run_key(job, spec), frame, row | evaluate.now())


def _frame(
    scores: Sequence[pd.DataFrame], together: Callable[[Scores], dict[str, NDArray[np.float32]]]
) -> pd.DataFrame:
    """Return the columns of the ensemble's ``scores.parquet``; the members share their samples."""
    matrix = np.stack([of_member["score"].to_numpy(np.float64) for of_member in scores])
    samples = scores[0][["sample_id", "class", "label"]]
    return samples.assign(**together(matrix))


def _held_out(store: Store, key: RunKey) -> NDArray[np.float64]:
    return np.array(saved.describe(store.run_dir(key)).calibration)


def _costs(ended: Sequence[Row]) -> Row:
    """Return what all members together took, and the most memory that one of them needed."""
    costs: Row = {name: sum(row.get(name) or 0 for row in ended) for name in ("epochs", "seconds")}
    for name in ("peak_memory_mb", "gpu_peak_memory_mb"):
        peaks = [row[name] for row in ended if row.get(name) is not None]
        costs |= {name: max(peaks)} if peaks else {}
    return costs
