"""What a report reads from a store besides the scores: benchmarks, studies and their trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omasgan.store.files import AnyPath
from omasgan.store.journal import Row, find_json, read_json, read_results


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
class StoredStudy:
    """What a study's folder says: its identity, state, trials and winner, if there is one."""

    folder: AnyPath
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


def read_benchmark(root: AnyPath, benchmark: str, rows: Sequence[Mapping[str, Any]]) -> Benchmark:
    """The benchmark with the id ``benchmark``; ``rows`` are its result rows."""
    about = find_json(root / benchmark / "benchmark.json")
    told = [int(row["n_folds"]) for row in rows if row.get("n_folds")]
    return Benchmark(benchmark, about or {}, max(told, default=None))


def read_study(folder: AnyPath, only: int | None = None) -> StoredStudy:
    """The study in ``<root>/<benchmark>/<detector>/<selection>/studies/<name>``.

    Trials that have not ended are left out, and all but the one with the number ``only``.

    Raises:
        StoreError: a file of the study is damaged.
    """
    rule = folder.parent.parent
    about = read_json(folder / "study.json")
    number = "*" if only is None else f"{only:04d}"
    trials = read_results(folder, f"trials/{number}/trial.json")
    return StoredStudy(
        folder=folder,
        benchmark=rule.parent.parent.name,
        detector=str(about.get("detector", rule.parent.name)),
        selection=rule.name,
        name=folder.name,
        about=about,
        trials=tuple(trial for trial in trials if trial.get("outcome")),
        winner=find_json(folder / "winner.json"),
    )
