"""How a sweep judges a trial: rules that choose params without seeing the test classes.

A rule turns folds into studies. Each study carries the samples that its trials may see, copied
from the data set, and the tasks that judge a trial: train on some rows, score others. Only
``oracle`` looks at the benchmark's own test samples, to measure what looking is worth.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omasgan.config import BenchmarkSpec
from omasgan.data import metrics, protocols
from omasgan.data.datasets import Dataset
from omasgan.data.protocols import Fold, Rows
from omasgan.data.scaling import Scaling, scaled
from omasgan.errors import ConfigError, unknown

RULES = ("nested", "nested-shared", "proxy", "transfer", "oracle")
SENSITIVITY = "sensitivity"
"""Not a rule that chooses: runs under it only show how the test AUROC moves with the params."""
ENSEMBLE = "ensemble-"
"""Not a rule that chooses either: before the number of trainings whose scores are combined."""
TOP = "-top-"
"""Between a rule and how many of its best trials are an ensemble, where several are."""
PROXIES = ("patch-shuffle", "half-swap", "noise")
NEGATIVES_LIKE_PROXIES = {"patch-shuffle": "patch-shuffle", "noise": "noise"}
"""Kinds of negatives that a detector may train against, and the pseudo-anomaly each resembles."""
TRIAL_SEEDS = 1_000_000
"""Trials use seeds from here up, above all seeds of a benchmark: the winner's are fresh."""


@dataclass(frozen=True, eq=False)
class Task:
    """Train on rows ``train`` of a pool, then score rows ``judged``, whose labels are known.

    With ``proxies`` the judged rows are all normal, and pseudo-anomalies are computed from them.
    """

    name: str
    train: Rows
    judged: Rows
    labels: NDArray[np.int64]
    proxies: tuple[str, ...] = ()


class TrialData:
    """All that a trial receives: samples ``pool``, its tasks, and the seed of the first task.

    Where it is made the samples are copied from the data set whenever they are asked for, so that
    a driver with many studies holds them once; where it is sent to, it has a copy of its own.
    """

    def __init__(
        self, pool: NDArray[Any] | Callable[[], NDArray[Any]], tasks: tuple[Task, ...], seed: int
    ) -> None:
        self._pool, self.tasks, self.seed = pool, tasks, seed

    @property
    def pool(self) -> NDArray[Any]:
        """The samples, read-only; the tasks' rows point into them."""
        return self._pool() if callable(self._pool) else self._pool

    def in_memory(self) -> TrialData:
        """Return the same with a copy of its own, for who asks for the samples more than once."""
        return TrialData(self.pool, self.tasks, self.seed)

    def __reduce__(self) -> Any:
        return TrialData, (self.pool, self.tasks, self.seed)


@dataclass(frozen=True, eq=False)
class Study:
    """One search: its name, the indices of the folds that it chooses for, and its data."""

    name: str
    folds: tuple[int, ...]
    data: TrialData


def studies(
    rule: str,
    spec: BenchmarkSpec,
    dataset: Dataset,
    fold_indices: Iterable[int] | None = None,
    *,
    inner: int = 2,
    seed: int = 0,
    source: tuple[BenchmarkSpec, Dataset] | None = None,
) -> list[Study]:
    """Return the studies that choose params for some folds (all with None).

    Args:
        rule: ``nested`` (in each fold ``inner`` normal classes play the anomaly in turn),
            ``nested-shared`` (one study, one such task in each of ``inner`` folds),
            ``proxy`` (pseudo-anomalies, computed from validation samples), ``transfer`` (one
            study on the first ``inner`` folds of another benchmark) or ``oracle`` (the test
            samples).
        spec: the benchmark to choose for.
        dataset: its data.
        fold_indices: the folds to choose for.
        inner: how many tasks a trial has at most, where the rule leaves a choice.
        seed: of the choice of classes and samples; the trials' seeds follow from it.
        source: the other benchmark and its data; with ``transfer``, and only then.

    Raises:
        ConfigError: an unknown rule, or one that this benchmark does not allow.
    """
    if rule not in RULES:
        raise unknown("selection rule", rule, RULES)
    if inner < 1:
        raise ConfigError(f"inner must be at least 1, got {inner}")
    if (source is not None) != (rule == "transfer"):
        raise ConfigError(
            "selection 'transfer' needs another benchmark to choose on (--transfer-from), "
            f"and only it takes one, got '{rule}'"
        )
    folds = protocols.choose(protocols.folds(spec, dataset), fold_indices)
    indices = tuple(fold.index for fold in folds)
    if source is not None:
        return [Study("shared", indices, _pack(source[1], _transfer(spec, source, inner), seed))]
    if rule == "nested-shared":
        tasks = _nested_shared(dataset, folds, inner, seed)
        return [Study("shared", indices, _pack(dataset, tasks, seed))]
    return [
        Study(
            f"fold-{f.index}",
            (f.index,),
            _pack(dataset, _of_fold(rule, dataset, f, inner, seed), seed),
        )
        for f in folds
    ]


def label(rule: str, top: int) -> str:
    """Return what stands for the selection of params by ``rule``, of the ``top`` best trials.

    >>> label("nested", 1), label("nested", 5)
    ('nested', 'nested-top-5')
    """
    return rule if top == 1 else f"{rule}{TOP}{top}"


def check_negatives(rule: str, space: Mapping[str, Any]) -> None:
    """Refuse to choose a detector's negatives by pseudo-anomalies of the same kind.

    A detector that trains against what it is judged by wins whatever it learns of real anomalies.

    Args:
        rule: by which params are chosen.
        space: what ``Space.to_dict`` returns.

    Raises:
        ConfigError: the rule is ``proxy``, and ``negatives`` varies among kinds of which one
            resembles a pseudo-anomaly.
    """
    entry = space.get("negatives")
    if rule != "proxy" or not isinstance(entry, Mapping):
        return
    kinds = entry.get("choices", [entry.get("value")])
    alike = [kind for kind in kinds if kind in NEGATIVES_LIKE_PROXIES]
    if alike and (len(kinds) > 1 or "when" in entry):
        raise ConfigError(
            f"selection 'proxy' must not choose negatives that resemble its pseudo-anomalies, "
            f"got {', '.join(alike)} among the negatives of the space; leave them out, or use "
            "--selection nested"
        )


def training_samples(task: Task, pool: NDArray[Any]) -> NDArray[Any]:
    """Return what a detector trains on in a task; a table is scaled by these samples alone."""
    return scaled(Scaling.of(pool, task.train), pool[task.train])


def values(
    task: Task,
    score_fn: Callable[[NDArray[Any]], Mapping[str, NDArray[Any]]],
    pool: NDArray[Any],
) -> dict[str, float]:
    """Return a trained detector's AUROC on one task in [0, 1], for each stage of its scores; with
    proxies it is the mean over their kinds.

    Args:
        task: what is judged.
        score_fn: returns the scores of ``n`` samples by stage, each ``(n,)``, higher = more
            anomalous.
        pool: the samples that the task's rows point into.

    Raises:
        DataError: a score is not finite.
    """
    X = scaled(Scaling.of(pool, task.train), pool[task.judged])
    scores = score_fn(X)
    if not task.proxies:
        return {stage: metrics.auroc(task.labels, scores[stage]) for stage in scores}
    labels = np.repeat([0, 1], len(X))
    by_kind = [score_fn(pseudo_anomalies(kind, X)) for kind in task.proxies]
    return {
        stage: float(
            np.mean(
                [
                    metrics.auroc(labels, np.concatenate([scores[stage], anomalous[stage]]))
                    for anomalous in by_kind
                ]
            )
        )
        for stage in scores
    }


def pseudo_anomalies(kind: str, X: NDArray[Any]) -> NDArray[Any]:
    """Compute as many pseudo-anomalies as there are samples, of the same shape and dtype.

    ``patch-shuffle`` puts the 16 patches of an image in random order, ``half-swap`` replaces its
    right half by that of another image, ``noise`` adds Gaussian noise of sd 0.3 (the range being
    [-1, 1], or that of the samples where it is wider). They depend on ``kind`` and ``X`` alone, so
    that all trials are judged by the same.
    """
    draw = np.random.RandomState(zlib.crc32(kind.encode()))
    if kind == "patch-shuffle":
        return _patch_shuffle(X, draw)
    if kind == "half-swap":
        return _half_swap(X, draw)
    if kind == "noise":
        return _noise(X, draw)
    raise unknown("pseudo-anomaly", kind, PROXIES)


def _patch_shuffle(X: NDArray[Any], draw: np.random.RandomState) -> NDArray[Any]:
    n, c, h, w = X.shape
    ph, pw = h // 4, w // 4
    patches = X[:, :, : 4 * ph, : 4 * pw].reshape(n, c, 4, ph, 4, pw).transpose(0, 2, 4, 1, 3, 5)
    order = draw.random_sample((n, 16)).argsort(axis=1)
    shuffled = patches.reshape(n, 16, c, ph, pw)[np.arange(n)[:, None], order]
    images = X.copy()
    images[:, :, : 4 * ph, : 4 * pw] = (
        shuffled.reshape(n, 4, 4, c, ph, pw)
        .transpose(0, 3, 1, 4, 2, 5)
        .reshape(n, c, 4 * ph, 4 * pw)
    )
    return images


def _half_swap(X: NDArray[Any], draw: np.random.RandomState) -> NDArray[Any]:
    order = draw.permutation(len(X))
    half = X.shape[-1] // 2
    images = X.copy()
    images[order, ..., half:] = X[np.roll(order, 1), ..., half:]
    return images


def _noise(X: NDArray[Any], draw: np.random.RandomState) -> NDArray[Any]:
    noise = 0.3 * draw.standard_normal(X.shape)
    if X.dtype == np.uint8:
        return np.clip(np.rint(X + 127.5 * noise), 0, 255).astype(np.uint8)
    low, high = np.minimum(X.min(axis=0), -1), np.maximum(X.max(axis=0), 1)
    return np.clip(X + noise, low, high).astype(np.float32)


def _of_fold(rule: str, dataset: Dataset, fold: Fold, inner: int, seed: int) -> list[Task]:
    if rule == "oracle":
        return [_test_task(dataset, fold)]
    if rule == "proxy":
        # Half of a 2-D point or a patch of it means nothing; noise does.
        proxies = PROXIES if dataset.train.X.ndim == 4 else ("noise",)
        zeros = np.zeros(len(fold.validation), dtype=np.int64)
        return [Task("proxy", fold.train, fold.validation, zeros, proxies)]
    draw = np.random.RandomState([seed, fold.index])
    return [_inner(dataset, fold, c, draw) for c in _pretenders(fold, inner, draw)]


def _nested_shared(dataset: Dataset, folds: Sequence[Fold], inner: int, seed: int) -> list[Task]:
    draw = np.random.RandomState(seed)
    chosen = sorted(draw.permutation(len(folds))[:inner].tolist())
    tasks = []
    for fold in (folds[i] for i in chosen):
        (c,) = _pretenders(fold, 1, draw)
        tasks.append(_inner(dataset, fold, c, draw, prefix=f"fold-{fold.index}-"))
    return tasks


def _pretenders(fold: Fold, inner: int, draw: np.random.RandomState) -> list[int]:
    """Return the normal classes that play the anomaly."""
    if len(fold.normal_classes) < 2:
        raise ConfigError(
            "nested selection needs at least 2 normal classes in a fold, got "
            f"{len(fold.normal_classes)} in fold {fold.index}; use --selection proxy"
        )
    return sorted(draw.permutation(fold.normal_classes)[:inner].tolist())


def _inner(
    dataset: Dataset, fold: Fold, c: int, draw: np.random.RandomState, prefix: str = ""
) -> Task:
    """Return the task in which class ``c`` of the normal ones plays the anomaly: it is left out of
    the training, and the validation samples of the others play the normals.

    It has at most as many samples as they have: more would cost time and tell little.
    """
    classes = dataset.train.classes
    train = fold.train[classes[fold.train] != c]
    normal = fold.validation[classes[fold.validation] != c]
    unseen = np.concatenate([fold.validation, fold.train])
    unseen = unseen[classes[unseen] == c]
    anomalous = np.sort(draw.permutation(unseen)[: len(normal)])
    labels = np.repeat([0, 1], [len(normal), len(anomalous)])
    return Task(f"{prefix}class-{c}", train, np.concatenate([normal, anomalous]), labels)


def _transfer(
    spec: BenchmarkSpec, source: tuple[BenchmarkSpec, Dataset], inner: int
) -> list[Task]:
    other, dataset = source
    shared = {spec.dataset, spec.anomalies} & {other.dataset, other.anomalies} - {None}
    if shared:
        raise ConfigError(
            f"transfer must choose on other data, but '{spec.name}' and '{other.name}' "
            f"both use {', '.join(sorted(map(str, shared)))}; use another --transfer-from"
        )
    return [_test_task(dataset, fold) for fold in protocols.folds(other, dataset)[:inner]]


def _test_task(dataset: Dataset, fold: Fold) -> Task:
    labels = protocols.labels(fold, dataset.test.classes[fold.test])
    judged = fold.test + len(dataset.train.X)
    return Task(f"fold-{fold.index}", fold.train, judged, labels)


def _pack(dataset: Dataset, tasks: Sequence[Task], seed: int) -> TrialData:
    """Keep to the samples that the tasks need; their rows count through train, then test."""
    used = np.unique(np.concatenate([rows for t in tasks for rows in (t.train, t.judged)]))
    packed = tuple(
        replace(
            t,
            train=np.searchsorted(used, t.train),
            judged=np.searchsorted(used, t.judged),
        )
        for t in tasks
    )
    return TrialData(functools.partial(_copy, dataset, used), packed, TRIAL_SEEDS + seed)


def _copy(dataset: Dataset, used: Rows) -> NDArray[Any]:
    n_train = len(dataset.train.X)
    pool = dataset.train.X[used[used < n_train]]
    if used[-1] >= n_train:
        pool = np.concatenate([pool, dataset.test.X[used[used >= n_train] - n_train]])
    pool.flags.writeable = False
    return pool
