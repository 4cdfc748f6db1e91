"""Small real stores: every file that a run or a study leaves behind, with made-up numbers."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd

from omasgan.config import BenchmarkSpec
from omasgan.data import metrics
from omasgan.store.files import write_atomic
from omasgan.store.journal import append_rows, write_json
from omasgan.store.results import RunKey, Store, params_id
from omasgan.study.guide import Guide
from omasgan.study.space import Space
from omasgan.training.trials import Ending, Trial

SPEC = BenchmarkSpec(
    name="toy-loo", version=1, protocol="leave-one-out", dataset="digits", seeds=(0, 1)
)
STAGES = ("task1", "task3", "j", "neighbours", "combined")
N_FOLDS = 3
TASK = "class-1"
SPACE = Space.from_dict(
    {
        "form": {"choices": ["pixel", "deformation"]},
        "mu": {"low": 0.1, "high": 2.0, "when": {"form": "pixel"}},
        "steps": 100,
    }
)
"""Of the studies; ``trial_params`` are in it."""


def claimed(root: Path) -> Store:
    store = Store(root)
    store.claim_benchmark(SPEC, "ab" * 32)
    return store


def add_run(  # noqa: PLR0913 - what tests vary of a run
    store: Store,
    detector: str = "omasgan",
    params: dict | None = None,
    *,
    selection: str = "fixed",
    seed: int = 0,
    fold: int = 0,
    outcome: str = "ok",
    shift: float = 1.0,
    n: int = 200,
    epochs: int = 4,
    stages: tuple[str, ...] = (),
    pictures: bool = False,
    fold_name: str | None = None,
) -> RunKey:
    """Add a finished run whose anomalies score ``shift`` sd above the normals."""
    params = {"mu": 0.2, "layers": [8, 8], "form": "pixel"} if params is None else params
    key = RunKey(SPEC.id, detector, selection, params_id(params), seed, fold)
    rng = np.random.default_rng([seed, fold, len(detector)])
    label = (np.arange(n) % 4 == 0).astype(np.int64)
    columns = {
        name: (rng.normal(size=n) + label * (shift + 0.2 * i + 0.1 * fold)).astype(np.float32)
        for i, name in enumerate(("score", *stages))
    }
    row = {
        "benchmark": SPEC.id, "benchmark_version": 1, "protocol": SPEC.protocol,
        "dataset": "digits", "n_folds": N_FOLDS, "data_sha256": "ab" * 32, "detector": detector,
        "params": params, "params_id": key.params_id, "selection": selection, "seed": seed,
        "fold": fold, "anomalous_classes": [fold], "outcome": outcome, "error": None,
        "n_train": 50, "n_test": n, "n_anomalous": int(label.sum()), "epochs": epochs,
        "seconds": 12.5, "peak_memory_mb": 512.0, "device": "cpu", "code_version": "0.1.0",
        **({"fold_name": fold_name} if fold_name else {}),
        "torch_version": "2.14.1", "finished_at": f"2026-01-02T03:04:{10 * seed + fold:02d}+00:00",
    }  # fmt: skip
    store.append_epochs(
        key,
        (
            {
                "epoch": e,
                "phase": "gan",
                "seconds": e + 0.5,
                "loss_g": 1 / (e + 1),
                "collapsed": 0.0,
            }
            for e in range(epochs)
        ),
    )
    scores = None
    if outcome == "ok":
        for name, values in columns.items():
            end = "" if name == "score" else f".{name}"
            row |= {
                f"{metric}{end}": value
                for metric, value in metrics.compute(SPEC.metrics, label, values).items()
            }
        scores = pd.DataFrame(
            {"sample_id": np.arange(n), "class": label + fold, "label": label, **columns}
        )
    if pictures:
        buffer = BytesIO()
        ramp = np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 1, 8, 8)
        names = ("real", "G", "B", "G'")
        images = {k: np.roll(ramp.repeat(10, 0), i, axis=3) for i, k in enumerate(names)}
        np.savez_compressed(buffer, **images)
        write_atomic(store.run_dir(key) / "pictures.npz", buffer.getvalue())
    store.write_run(key, scores, row)
    return key


def add_study(
    store: Store,
    *,
    selection: str = "nested",
    fold: int = 0,
    status: str = "complete",
    outcomes: tuple[str, ...] = ("ok", "pruned", "ok", "diverged", "out-of-memory", "failed"),
) -> Path:
    """Add a study with a trial for each outcome; if complete, its last ok trial has won."""
    folder = store.study_dir(SPEC.id, "omasgan", selection, f"fold-{fold}")
    write_json(
        folder / "study.json",
        {
            "detector": "omasgan", "selection": selection, "benchmark": SPEC.identity(),
            "data_sha256": "ab" * 32, "sampler": "TPESampler", "pruner": "NopPruner", "seed": 0,
            "inner": 2, "space": SPACE.to_dict(), "tasks": [TASK],
            "n_trials": len(outcomes), "folds": [fold], "status": status,
        },
    )  # fmt: skip
    for number, outcome in enumerate(outcomes):
        add_trial(folder, number, outcome)
    if status == "complete":
        number = max(i for i, outcome in enumerate(outcomes) if outcome == "ok")
        params = trial_params(number)
        winner = {
            "number": number, "params": params, "params_id": params_id(params),
            "objective": objective(number), "n_trials": len(outcomes), "enqueued": None,
            "lengthened_from": [],
        }  # fmt: skip
        write_json(folder / "winner.json", winner)
    return folder


def add_comparison(store: Store, keys: Sequence[RunKey | str], status: str = "complete") -> None:
    """Write that the params of these runs are compared, and the winners of rules that are named
    ``detector/rule``.
    """
    entries = [
        dict(zip(("detector", "selection", "params_id"), (*key.split("/"), None), strict=True))
        if isinstance(key, str)
        else {n: getattr(key, n) for n in ("detector", "selection", "params_id")}
        for key in keys
    ]
    write_json(store.root / SPEC.id / "comparison.json", {"status": status, "entries": entries})


def trial_params(number: int) -> dict:
    return {"mu": 0.1 * (number + 1), "steps": 100, "form": "pixel"}


def objective(number: int) -> float:
    return 0.6 + 0.05 * (number % 7)


def add_trial(folder: Path, number: int, outcome: str = "ok", epochs: int = 3) -> Trial:
    """Add an ended trial, which must be the study's ``number``-th from 0."""
    rows = [
        {"task": TASK, "step": 0, "epoch": e, "phase": "gan", "loss_g": 1 / (e + number + 1)}
        for e in range(epochs)
    ]
    append_rows(folder / "trials" / f"{number:04d}" / "epochs.jsonl", rows)
    guide = Guide(SPACE, folder, replay=[trial_params(n) for n in range(number + 1)])
    assert guide.ask().number == number
    if outcome == "ok":
        guide.report(number, 0, {"score": objective(number)})
    value = objective(number) if outcome == "ok" else None
    return guide.tell(number, Ending(outcome, value, seconds=3.5, peak_memory_mb=400.0))
