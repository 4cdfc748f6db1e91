"""Labelled anomalies: only where a benchmark has them, and only for who takes them."""

from __future__ import annotations

from omasgan import detectors
from omasgan.config import BenchmarkSpec
from omasgan.errors import ConfigError


def check_detector(detector: str, spec: BenchmarkSpec) -> None:
    """See that a detector takes the labelled anomalies that a benchmark shows it, if any.

    Raises:
        ConfigError: it takes none.
    """
    if spec.labelled and not getattr(detectors.declared(detector), "takes_anomalies", False):
        *others, last = [n for n in detectors.names() if detectors.declared(n).takes_anomalies]
        raise ConfigError(
            f"'{detector}' takes no labelled anomalies, and '{spec.name}' has labelled = "
            f"{spec.labelled}; use {', '.join(others)} or {last}, or --labelled 0"
        )


def check_unlabelled(spec: BenchmarkSpec | None) -> None:
    """See that a sweep may search on a benchmark: its tasks have no labelled anomalies.

    Raises:
        ConfigError: it is semi-supervised.
    """
    if spec is not None and spec.labelled is not None:
        raise ConfigError(
            f"a sweep trains without labelled anomalies, and '{spec.name}' is semi-supervised; "
            "search on a benchmark without them, and give what was found to run with --params"
        )
