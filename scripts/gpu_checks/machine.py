"""What the checks run on, and what one card cannot show."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime

import torch

from gpu_checks.rows import Options, Row
from omasgan.training.environment import code_version


def machine(options: Options) -> Iterator[Row]:
    versions = {
        "omasgan": code_version(),
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cores": len(os.sched_getaffinity(0)),
    }
    yield Row("machine", "host", "told", versions)
    if not options.on_gpu:
        return
    card = torch.cuda.get_device_properties(options.device)
    free, total = torch.cuda.mem_get_info(options.device)
    libraries = {
        "CUDA": str(torch.version.cuda),
        "cuDNN": str(torch.backends.cudnn.version()),
        "driver": _driver(),
        "bf16": torch.cuda.is_bf16_supported(including_emulation=False),
    }
    yield Row("machine", "libraries", "told", libraries)
    figures = {
        "cards": torch.cuda.device_count(),
        "capability": f"{card.major}.{card.minor}",
        "multiprocessors": card.multi_processor_count,
        "total_mib": total / 2**20,
        "free_mib": free / 2**20,
    }
    yield Row("machine", card.name, "told", figures)


def _driver() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return "unknown: no nvidia-smi"
    command = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return told.stdout.split("\n")[0].strip() or "unknown"


def two_cards(options: Options) -> Iterator[Row]:
    """Final runs each see the card that Ray gave them: tests/backends has two fake cards."""
    cards = torch.cuda.device_count() if options.on_gpu else 0
    why = f"{cards} card(s) here: that final runs spread over two cards is not checked"
    yield Row("two-cards", "", "skipped", {"why": why})
