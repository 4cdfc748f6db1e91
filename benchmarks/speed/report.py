"""Seconds that ``omasgan report`` takes on a store of many made-up runs.

The store is a comparison of 20 entries on 10 folds with 50 seeds, written as ``omasgan compare``
writes it: scores of 200 test samples, five stages and pictures of OMASGAN's runs, and a study with
trials of every outcome.

    python benchmarks/speed/report.py [--seeds 50] [--out DIR]
"""

from __future__ import annotations

import argparse
import json
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

from omasgan.config import load_benchmark
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
TRIALS = ("ok", "pruned", "ok", "diverged", "out-of-memory", "failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--out", type=Path, help="where the store is kept; what is there is used")
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
    """Return the seconds and CPU seconds of the command, its imports included."""
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
        chosen = params_id(params)
        entries.append({"detector": detector, "selection": "fixed", "params_id": chosen})
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
    """Yield an entry's runs, of which one in 97 has diverged: key, scores and row."""
    rng = np.random.default_rng(number)
    label = (np.arange(SAMPLES) % 4 == 0).astype(np.int64)
    names = ("score", *(STAGES if detector == "omasgan" else ()))
    for fold in range(FOLDS):
        for seed in range(seeds):
            key = RunKey(benchmark, detector, "fixed", params_id(params), seed, fold)
            row: dict[str, Any] = {
                "benchmark": benchmark, "benchmark_version": 1, "protocol": "leave-one-out",
                "dataset": "digits", "data_sha256": "ab" * 32, "detector": detector,
                "params": params, "params_id": key.params_id, "selection": "fixed", "seed": seed,
                "fold": fold, "anomalous_classes": [fold], "n_folds": FOLDS, "n_train": 1000,
                "n_test": SAMPLES, "n_anomalous": int(label.sum()), "epochs": 10,
                "code_version": "0.1.0", "torch_version": "2.14.0", "device": "cpu",
                "outcome": "ok", "error": None, "seconds": float(rng.uniform(1, 5)),
                "peak_memory_mb": 500.0, "finished_at": "2026-01-02T03:04:05+00:00",
            }  # fmt: skip
            if (seed * FOLDS + fold) % 97 == 96:
                error = f"loss_g is nan at step {seed}"
                yield key, None, row | {"outcome": "diverged", "error": error}
                continue
            columns: dict[str, Any] = {
                "sample_id": np.arange(SAMPLES), "class": label + fold, "label": label
            }  # fmt: skip
            for position, name in enumerate(names):
                shift = 0.5 + 0.1 * (number % 7) + 0.1 * fold - 0.1 * position
                values = (rng.normal(size=SAMPLES) + shift * label).astype(np.float32)
                columns[name] = values
                end = "" if name == "score" else f".{name}"
                row[f"auroc{end}"] = metrics.auroc(label, values)
                row[f"average_precision{end}"] = metrics.average_precision(label, values)
                row[f"fpr95{end}"] = metrics.fpr95(label, values)
            yield key, pd.DataFrame(columns), row


def pictures(number: int) -> bytes:
    """Return four rows of ten images, as OMASGAN keeps them."""
    rng = np.random.default_rng(number)
    buffer = BytesIO()
    shape = (10, 1, 8, 8)
    np.savez_compressed(
        buffer,
        **{n: rng.uniform(-1, 1, shape).astype(np.float32) for n in ("real", "G", "B", "G'")},
    )
    return buffer.getvalue()


def add_study(store: Store, spec: Any) -> None:
    """Add a study of 120 trials that has no winner yet."""
    folder = store.study_dir(spec.id, "omasgan", "nested", "fold-0")
    space = Space.from_dict({"mu": {"low": 0.1, "high": 1.0}})
    about = {
        "detector": "omasgan", "selection": "nested", "benchmark": spec.identity(),
        "data_sha256": "ab" * 32, "sampler": "RandomSampler", "pruner": "NopPruner", "seed": 0,
        "inner": 2, "space": space.to_dict(), "n_trials": 120, "folds": [0], "status": "running",
    }  # fmt: skip
    write_json(folder / "study.json", json.loads(json.dumps(about)))
    guide, rng = Guide(space, folder, sampler="RandomSampler"), np.random.default_rng(0)
    for number in range(120):
        outcome = TRIALS[number % len(TRIALS)]
        objective = float(rng.uniform(0.5, 0.9)) if outcome == "ok" else None
        error = None if outcome == "ok" else "as it says"
        ending = Ending(outcome, objective, error, seconds=3.0, peak_memory_mb=400.0)
        guide.tell(guide.ask().number, ending)


if __name__ == "__main__":
    main()
