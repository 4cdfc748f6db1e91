"""The audit of every detector on the device, and what TF32 would make of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

import torch

from gpu_checks.rows import Options, Row, Value, judged
from gpu_checks.running import described
from gpu_checks.samples import build, neural, samples
from omasgan.checks.audit import Audit
from omasgan.checks.audit import audit as run_audit
from omasgan.nn import batches

SLOW = frozenset({"anogan"})
"""Detectors that search for the score of each sample: fewer are scored one by one."""


def audit(options: Options) -> Iterator[Row]:
    steps, n = (5, 48) if options.small else (60, 512)
    X, test = samples("digits" if options.small else "mnist", 2000, n)
    for name in neural():
        singles = 2 if options.small or name in SLOW else 40
        try:
            detector = build(name, steps, options).fit(X)
            found = run_audit(detector, test, singles=singles)
            values: dict[str, Value] = {"largest movement": _largest(found)}
            if not found.passed:
                values["moved"] = found.moved()
            if options.on_gpu and name not in SLOW:
                with _tf32():
                    values["with TF32"] = _largest(run_audit(detector, test, singles=8))
            yield judged("audit", name, found.passed, values)
        except Exception as error:
            yield Row("audit", name, "failed", {"error": described(error)})


def _largest(found: Audit) -> float:
    return max(finding.deviation for finding in found.findings)


@contextlib.contextmanager
def _tf32() -> Iterator[None]:
    """Return a context in which scores are computed as torch does it by default."""

    @contextlib.contextmanager
    def as_torch_does(device: torch.device) -> Iterator[None]:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=True):
            yield

    with mock.patch.object(batches, "full_precision", as_torch_does):
        yield
