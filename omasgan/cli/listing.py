"""``omasgan list``."""

from __future__ import annotations

from collections.abc import Mapping


def listing() -> None:
    """List benchmarks, detectors, data sets and selection rules."""
    from omasgan import config, detectors
    from omasgan.data import datasets, selection

    specs = [config.load_benchmark(name) for name in config.benchmark_names()]
    _print_section("Benchmarks", {s.name: f"{s.protocol:14}  {s.description}" for s in specs})
    _print_section("Detectors", {name: detectors.summary(name) for name in detectors.names()})
    _print_section("Data sets", dict.fromkeys(datasets.names(), ""))
    _print_section("Selection rules", dict.fromkeys(selection.RULES, ""))


def _print_section(title: str, lines: Mapping[str, str]) -> None:
    width = max(map(len, lines), default=0)
    print(f"{title}:")
    for name, text in lines.items():
        print(f"  {name:{width}}  {text}".rstrip())
    print()
