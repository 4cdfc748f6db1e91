"""What a worker's process must not pay for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TRAINING = """
import sys
from pathlib import Path

from omasgan.config import load_benchmark
from omasgan.data import protocols
from omasgan.store.results import Store
from omasgan.training import evaluate
from omasgan.training.jobs import RunJob

spec = load_benchmark("digits-loo", max_folds=1, max_train=100, max_test=60)
data = protocols.load_data(spec, root=None, download=False)
store = Store(Path(sys.argv[1]))
for name in ("knn", "tests.toy:CurveDetector"):
    row = evaluate.run_fold(RunJob(0, name, {}, 0, "fixed", store, device="cpu"), spec, data)
    assert row["outcome"] == "ok", row
"""


MACHINE = """
from omasgan.training import stages
from omasgan.training.environment import compute_on_one_thread

first = stages._machine("cpu")
compute_on_one_thread()
assert stages._machine("cpu") == first, first
"""


def imported_by(code: str, *arguments: str) -> set[str]:
    command = [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_a_worker_imports_only_what_it_needs() -> None:
    assert not {"optuna", "mlflow", "torch"} & imported_by("import omasgan.backends.ray.worker")


def test_a_training_without_networks_does_without_torch(tmp_path: Path) -> None:
    assert "torch" not in imported_by(TRAINING, str(tmp_path))


def test_the_first_training_of_a_process_finds_what_later_ones_have_saved() -> None:
    """Its detector may need no torch, which is then imported to name the machine."""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    subprocess.run([sys.executable, "-c", MACHINE], env=environment, check=True)
