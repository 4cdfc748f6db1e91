"""What a worker's process must not pay for."""

from __future__ import annotations

import subprocess
import sys


def test_a_worker_imports_neither_optuna_nor_mlflow() -> None:
    code = "import omasgan.backends.ray.worker, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"optuna", "mlflow"} & {name.split(".")[0] for name in done.stdout.split()}
