"""What a report reads from a store besides the scores: benchmarks, studies and their trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omasgan.store import Row, read_json


@dataclass(frozen=True)
class Benchmark:
    """A benchmark as the store has it; ``n_folds`` is None where no row tells it."""

    id: str
    about: Mapping[str, Any]
    n_folds: int | None

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(self.about.get("seeds", ()))

    def held(self, folds: int, seeds: int, runs: int) -> dict[str, str]:
        """How much of the benchmark is there: "held/all" for folds, seeds and runs.

        >>> Benchmark("b-v1", {"seeds": [0, 1, 2]}, 10).held(2, 1, 2)
        {'folds': '2/10', 'seeds': '1/3', 'runs': '2/30'}
        """
        everything = None if self.n_folds is None else self.n_folds * len(self.seeds)
        return {
            "folds": f"{folds}/{self.n_folds or '?'}",
            "seeds": f"{seeds}/{len(self.seeds) or '?'}",
            "runs": f"{runs}/{everything or '?'}",
        }


@dataclass(frozen=True)
class Study:
    """What a study's folder says: its identity, state, trials and winner, if there is one."""

    folder: Path
    benchmark: str
    detector: str
    selection: str
    name: str
    about: Mapping[str, Any]
    trials: tuple[Row, ...]
    winner: Row | None

    @property
    def label(self) -> str:
        return f"{self.detector} · {self.selection} · {self.name}"

    @property
    def status(self) -> str:
        """``complete``, or ``running`` also when the driver has died."""
        return str(self.about.get("status", "running"))


def read_benchmark(root: Path, benchmark: str, rows: Sequence[Mapping[str, Any]]) -> Benchmark:
    """The benchmark with the id ``benchmark``; ``rows`` are its result rows."""
    path = root / benchmark / "benchmark.json"
    told = [int(row["n_folds"]) for row in rows if row.get("n_folds")]
    return Benchmark(benchmark, read_json(path) if path.exists() else {}, max(told, default=None))


def read_study(folder: Path) -> Study:
    """The study in ``<root>/<benchmark>/<detector>/<selection>/studies/<name>``.

    Trials that have not ended are left out.

    Raises:
        StoreError: a file of the study is damaged.
    """
    benchmark, detector, selection, _, name = folder.parts[-5:]
    about = read_json(folder / "study.json")
    winner = folder / "winner.json"
    trials = (read_json(path) for path in sorted(folder.glob("trials/*/trial.json")))
    return Study(
        folder=folder,
        benchmark=benchmark,
        detector=str(about.get("detector", detector)),
        selection=selection,
        name=name,
        about=about,
        trials=tuple(trial for trial in trials if trial.get("outcome")),
        winner=read_json(winner) if winner.exists() else None,
    )
