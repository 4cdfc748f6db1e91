"""Seconds that ``omasgan report`` takes on a store of many made-up runs.

The store is a comparison of 20 entries on 10 folds with 50 seeds, written as ``omasgan compare``
writes it: scores of 200 test samples, five stages and pictures of OMASGAN's runs, and a study with
trials of every outcome.

    python benchmarks/speed/report.py [--seeds 50] [--out DIR]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from omasgan.config import BenchmarkSpec, load_benchmark
from omasgan.data import metrics
from omasgan.store.files import write_atomic
from omasgan.store.journal import write_json
from omasgan.store.results import RunKey, Store, params_id
from omasgan.study.guide import Guide
from omasgan.study.space import Space
from omasgan.training.trials import Ending

FOLDS = 10
SAMPLES = 200
STAGES = ("task1", "task3", "j", "neighbours", "combined")
ENTRIES = [
    *(("omasgan", {"mu": mu}) for mu in (0.1, 0.2, 0.5)),
    *(("knn", {"k": k}) for k in (1, 5, 15)),
    *(("gmm", {"components": n}) for n in (10, 30)),
    *(("vae", {"latent_dim": n}) for n in (2, 8, 32)),
    *((name, {}) for name in ("pca", "isolation-forest", "ocsvm", "anogan", "egbad", "ganomaly")),
    *((name, {}) for name in ("adae", "aed", "deep-svdd")),
]
ALIKE = ("knn", "pca", "ocsvm")
"""Detectors that give the same scores with each seed."""
OUTCOMES = ("ok", "pruned", "ok", "diverged", "out-of-memory", "failed")
TRIALS = 120


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--out", type=Path, help="the store's folder; one that is there is used")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.out or Path(folder)
        if not root.exists() or not any(root.iterdir()):
            fill(Store(root), arguments.seeds)
        runs = len(Store(root).results())
        seconds, cpu = timed(root)
    print(f"runs               {runs:8d}")
    print(f"seconds            {seconds:8.1f}")
    print(f"CPU seconds        {cpu:8.1f}")
    print(f"CPU ms per run     {1000 * cpu / runs:8.2f}")


def timed(root: Path) -> tuple[float, float]:
    """Seconds and CPU seconds of the command, including its start with all imports."""
    start = "from omasgan.cli import main; main()"
    command = [sys.executable, "-c", start, "report", str(root)]
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begun, cpu


def fill(store: Store, seeds: int) -> None:
    """Write every run, the comparison and a study."""
    spec = load_benchmark("digits-loo").model_copy(update={"seeds": tuple(range(seeds))})
    store.claim_benchmark(spec, "ab" * 32)
    entries = []
    for number, (detector, params) in enumerate(ENTRIES):
        entry = {"detector": detector, "selection": "fixed", "params_id": params_id(params)}
        entries.append(entry)
        for key, scores, row in runs(spec.id, detector, params, number, seeds):
            if detector == "omasgan" and key.seed == 0:
                write_atomic(store.run_dir(key) / "pictures.npz", pictures(number))
            store.write_run(key, scores, row)
    write_json(
        store.root / spec.id / "comparison.json", {"status": "complete", "entries": entries}
    )
    add_study(store, spec)


def runs(
    benchmark: str, detector: str, params: dict[str, Any], number: int, seeds: int
) -> Iterator[tuple[RunKey, pd.DataFrame | None, dict[str, Any]]]:
    """An entry's runs; one in 97 has diverged."""
    for fold in range(FOLDS):
        for seed in range(seeds):
            rng = np.random.default_rng([number, fold, 0 if detector in ALIKE else 1 + seed])
            key = RunKey(benchmark, detector, "fixed", params_id(params), seed, fold)
            row = about(key, params) | {"seconds": float(rng.uniform(1, 5))}
            if (seed * FOLDS + fold) % 97 == 96:
                error = f"loss_g is nan at step {seed}"
                yield key, None, row | {"outcome": "diverged", "error": error}
            else:
                scores = made_up_scores(key, number, rng)
                yield key, scores, row | computed(scores)


def about(key: RunKey, params: dict[str, Any]) -> dict[str, Any]:
    """The row of a run that ended ok, without its metrics."""
    return {
        "benchmark": key.benchmark, "benchmark_version": 1, "protocol": "leave-one-out",
        "dataset": "digits", "data_sha256": "ab" * 32, "detector": key.detector,
        "params": params, "params_id": key.params_id, "selection": "fixed", "seed": key.seed,
        "fold": key.fold, "anomalous_classes": [key.fold], "n_folds": FOLDS, "n_train": 1000,
        "n_test": SAMPLES, "n_anomalous": SAMPLES // 4, "epochs": 10, "code_version": "0.1.0",
        "torch_version": "2.14.0", "device": "cpu", "outcome": "ok", "error": None,
        "peak_memory_mb": 500.0, "finished_at": "2026-01-02T03:04:05+00:00",
    }  # fmt: skip


def made_up_scores(key: RunKey, number: int, rng: np.random.Generator) -> pd.DataFrame:
    """Scores of a run, those of anomalies shifted by the entry's ``number`` and the fold."""
    label = (np.arange(SAMPLES) % 4 == 0).astype(np.int64)
    columns = {"sample_id": np.arange(SAMPLES), "class": label + key.fold, "label": label}
    for rank, name in enumerate(("score", *(STAGES if key.detector == "omasgan" else ()))):
        shift = 0.5 + 0.1 * (number % 7) + 0.1 * key.fold - 0.1 * rank
        columns[name] = (rng.normal(size=SAMPLES) + shift * label).astype(np.float32)
    return pd.DataFrame(columns)


def computed(scores: pd.DataFrame) -> dict[str, float]:
    """The metrics of scores, by column of a row."""
    label = scores["label"].to_numpy()
    row = {}
    for name in scores.columns.drop(["sample_id", "class", "label"]):
        values, end = scores[name].to_numpy(), "" if name == "score" else f".{name}"
        row[f"auroc{end}"] = metrics.auroc(label, values)
        row[f"average_precision{end}"] = metrics.average_precision(label, values)
        row[f"fpr95{end}"] = metrics.fpr95(label, values)
    return row


def pictures(number: int) -> bytes:
    """Four rows of ten images, as OMASGAN stores them."""
    rng = np.random.default_rng(number)
    buffer = BytesIO()
    shape = (10, 1, 8, 8)
    np.savez_compressed(
        buffer,
        **{n: rng.uniform(-1, 1, shape).astype(np.float32) for n in ("real", "G", "B", "G'")},
    )
    return buffer.getvalue()


def add_study(store: Store, spec: BenchmarkSpec) -> None:
    """A study of ``TRIALS`` trials that has no winner yet."""
    folder = store.study_dir(spec.id, "omasgan", "nested", "fold-0")
    space = Space.from_dict({"mu": {"low": 0.1, "high": 1.0}})
    identity = {
        "detector": "omasgan", "selection": "nested", "benchmark": spec.identity(),
        "data_sha256": "ab" * 32, "sampler": "RandomSampler", "pruner": "NopPruner", "seed": 0,
        "inner": 2, "space": space.to_dict(), "tasks": ["class-1"], "n_trials": TRIALS,
        "folds": [0], "status": "running",
    }  # fmt: skip
    write_json(folder / "study.json", identity)
    guide = Guide(space, folder, sampler="RandomSampler")
    rng = np.random.default_rng(0)
    for number in range(TRIALS):
        guide.ask()
        outcome, value = OUTCOMES[number % len(OUTCOMES)], float(rng.uniform(0.5, 0.9))
        if outcome == "ok":
            guide.report(number, 0, {"score": value})
            guide.tell(number, Ending(outcome, value, seconds=3.0, peak_memory_mb=400.0))
        else:
            guide.tell(number, Ending(outcome, None, error="see the log", seconds=3.0))


if __name__ == "__main__":
    main()
