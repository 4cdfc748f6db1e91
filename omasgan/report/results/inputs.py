"""What a report reads from a store besides the scores: benchmarks, studies and their trials."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from omasgan.store.files import AnyPath
from omasgan.store.journal import Row, find_json, read_json
from omasgan.study.record import read_trials
from omasgan.study.space import Space
from omasgan.training.trials import Trial


@dataclass(frozen=True)
class Benchmark:
    """A benchmark as the store has it; ``n_folds`` is None where no row says it."""

    id: str
    about: Mapping[str, Any]
    n_folds: int | None

    @property
    def seeds(self) -> tuple[int, ...]:
        """Its seeds; none if the store does not say."""
        return tuple(self.about.get("seeds", ()))

    def counts(self, folds: int, seeds: int, runs: int) -> dict[str, str]:
        """Return how much of the benchmark is there: "stored/all" for folds, seeds and runs.

        >>> Benchmark("b-v1", {"seeds": [0, 1, 2]}, 10).counts(2, 1, 2)
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
    ended: tuple[Trial, ...]
    winner: Row | None

    @functools.cached_property
    def trials(self) -> tuple[Row, ...]:
        """The ended trials as flat rows: values by task, ``enqueued`` says why params were not
        drawn.
        """
        names = tuple(self.about.get("tasks", ()))
        return tuple(_row(trial, names) for trial in self.ended)

    @property
    def label(self) -> str:
        """What tables and figures call it."""
        return f"{self.detector} · {self.selection} · {self.name}"

    @property
    def won(self) -> str:
        """Which trials have won, in words; none if the study has not ended.

        An ensemble's are named best first.
        """
        if self.winner is None:
            return ""
        members = self.winner.get("members")
        if not members:
            return f"trial {self.winner['number']}"
        return f"trials {', '.join(str(member['number']) for member in members)}"

    @property
    def status(self) -> str:
        """``complete``, or ``running`` also when the driver has died."""
        return str(self.about.get("status", "running"))


def _row(trial: Trial, tasks: Sequence[str]) -> Row:
    """Return a trial as a flat row; ``tasks`` are the names of the study's."""
    ending = asdict(trial.ending) if trial.ending else {}
    values = {tasks[step]: max(by_stage.values()) for step, by_stage in trial.values.items()}
    about = {"number": trial.number, "params": dict(trial.params), "values": values}
    return {**about, "attempts": trial.attempts, "enqueued": trial.enqueued, **ending}


def read_benchmark(root: AnyPath, benchmark: str, rows: Sequence[Mapping[str, Any]]) -> Benchmark:
    """Return the benchmark with the id ``benchmark``; ``rows`` are its result rows."""
    about = find_json(root / benchmark / "benchmark.json")
    counts = [int(row["n_folds"]) for row in rows if row.get("n_folds")]
    return Benchmark(benchmark, about or {}, max(counts, default=None))


def read_study(folder: AnyPath, *, with_trials: bool = True) -> StoredStudy:
    """Return the study in ``<root>/<benchmark>/<detector>/<selection>/studies/<name>``.

    Trials that have not ended are left out, and all of them unless ``with_trials``.

    Raises:
        StoreError: a file of the study is damaged.
    """
    rule = folder.parent.parent
    about = read_json(folder / "study.json")
    space = Space.from_dict(about.get("space", {}))
    trials = read_trials(folder, space) if with_trials else []
    return StoredStudy(
        folder=folder,
        benchmark=rule.parent.parent.name,
        detector=str(about.get("detector", rule.parent.name)),
        selection=rule.name,
        name=folder.name,
        about=about,
        ended=tuple(trial for trial in trials if trial.ending is not None),
        winner=find_json(folder / "winner.json"),
    )
