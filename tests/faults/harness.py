"""Sweeps in driver processes of their own, and all that must hold once one has ended."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest

from omasgan import cli
from omasgan.store.journal import read_json, read_rows
from omasgan.store.results import Store
from omasgan.study.record import FILE, read_trials
from omasgan.study.space import Space
from omasgan.training.trials import Trial
from tests.faults.processes import wait_for
from tests.toy import HURRY

ROOT = Path(__file__).parents[2]

SLOW = "tests.toy:SlowDetector"
SPACE = """
lr = { low = 1e-4, high = 0.5, log = true }
epochs = { low = 2, high = 5 }
seconds = 0.15
"""
SMALL = ("--max-folds", "1", "--max-test", "60", "--folds", "0")
SEEDS = 3
"""How many final runs the benchmark's winner has in its one fold."""

ON_RAY = ("--backend", "ray", "--tracking-uri", "none")
"""On a Ray of its own, without MLflow."""

# A shell may have started the tests with SIGINT ignored, which children inherit.
DRIVER = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from omasgan.cli import main; sys.exit(main())"
)
TIMINGS = ("seconds", "peak_memory_mb", "gpu_peak_memory_mb")


@dataclass
class Sweep:
    """``omasgan sweep`` on 100 digits, in a folder of its own.

    Another ``max_train`` makes it another study, for servers that keep several.
    """

    folder: Path
    max_train: int = 100
    n_trials: int = 10
    detector: str = SLOW
    space: str = SPACE
    options: tuple[str, ...] = ("--backend", "local", "--tracking-uri", "none")
    environment: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    driver: subprocess.Popen[bytes] | None = None
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "space.toml").write_text(self.space)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def log(self) -> Path:
        """What the drivers have printed."""
        return self.folder / "driver.log"

    @property
    def study(self) -> Path:
        """The folder of its one study."""
        (folder,) = self.out.glob("*/*/*/studies/*")
        return folder

    def trials(self) -> list[Trial]:
        """Return the trials in the record of its study; none before it has begun."""
        folders = list(self.out.glob("*/*/*/studies/*"))
        return (
            read_trials(folders[0], Space.from_dict(tomllib.loads(self.space))) if folders else []
        )

    def arguments(self, *more: str | Path, out: Path | None = None) -> list[str]:
        """Return those of the command; ``more`` options win over the sweep's own."""
        space = ("--space", self.folder / "space.toml", "--trials", self.n_trials)
        size = (*SMALL, "--max-train", self.max_train)
        arguments = ("sweep", "digits-loo", self.detector, *size, *space, "--out", out or self.out)
        return [str(argument) for argument in (*arguments, *more)]

    def start(self, *more: str) -> None:
        """Start a driver, in a session of its own so that no signal reaches it by accident."""
        command = [*self.prefix, sys.executable, "-c", DRIVER]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **self.environment}
        with self.log.open("ab") as log:
            self.driver = subprocess.Popen(
                [*command, *self.arguments(*self.options, *more)],
                env=environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def ended(self) -> int:
        """How many trials and final runs are recorded."""
        n_runs = len(list(self.out.glob("*/*/*/*/seed-*/fold-*/result.json")))
        return n_runs + sum(trial.ending is not None for trial in self.trials())

    def wait_until(self, n: int, seconds: float = 120) -> None:
        """Return once ``n`` trials and final runs are recorded, while the driver still works.

        With 0, once the first trial has begun: a driver without its servers does not start.
        """

        def look() -> bool:
            assert self.driver is not None and self.driver.poll() is None, self.tail()
            return bool(self.trials()) and self.ended >= n

        wait_for(f"{n} ended trials and runs, of {self.ended}: {self.tail()}", look, seconds)

    def finish(self, code: int = 0, seconds: float = 180) -> str:
        """Wait for the driver to end with ``code``; return what the drivers have printed."""
        assert self.driver is not None
        try:
            actual = self.driver.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s: {self.tail()}") from None
        assert actual == code, f"exit code {actual}: {self.tail()}"
        return self.log.read_text()

    def interrupt(self) -> None:
        """Ctrl-C: the driver must stop within 10 s and say how to go on."""
        assert self.driver is not None
        command = shlex.join(["omasgan", *self.arguments(*self.options)])
        started = time.monotonic()
        self.driver.send_signal(signal.SIGINT)
        text = self.finish(130, seconds=30)
        assert time.monotonic() - started < 10
        assert text.splitlines()[-1].endswith(f"interrupted; to go on: {command}")
        assert "Traceback" not in text

    def note(self, text: str) -> None:
        """Put a line among what the drivers print."""
        with self.log.open("a") as log:
            log.write(f"--- {text}\n")

    def close(self) -> None:
        """End the driver, if it has not ended."""
        if self.driver is not None and self.driver.poll() is None:
            self.driver.kill()
            self.driver.wait()

    def tail(self) -> str:
        """Return the end of what the drivers have printed."""
        return "\n" + "\n".join(self.log.read_text().splitlines()[-30:])

    def here(self, *more: str | Path, out: Path | None = None, hurry: bool = True) -> int:
        """Carry on the sweep in this process with the local backend; return the exit code."""
        arguments = self.arguments("--backend", "local", "--tracking-uri", "none", *more, out=out)
        with pytest.MonkeyPatch.context() as patch:
            if hurry:
                patch.setenv(HURRY, "1")
            return cli.main(arguments)

    def report(self, *options: str) -> str:
        """Return what ``omasgan report`` prints of the folder."""
        command = [sys.executable, "-c", DRIVER, "report", str(self.out), *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **self.environment}
        return subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True
        ).stdout


@dataclass
class Findings:
    """What is not as it must be after a sweep."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    running: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def refuse_any(self) -> None:
        assert self == Findings(), f"\n{self}"

    def __str__(self) -> str:
        return "\n".join([*self.lost, *self.doubled, *self.running, *self.wrong])


def audit(sweep: Sweep, *, storage: str | None = None, tracking: str | None = None) -> Findings:
    """Look at everything that a sweep of ``sweep.n_trials`` trials leaves behind."""
    findings = Findings()
    _record(sweep, findings)
    if storage is not None:
        _copy(sweep, storage, findings)
    if tracking is not None:
        _mlflow(sweep, tracking, findings)
    _files(sweep.out, findings)
    _compare(sweep, findings)
    return findings


def _record(sweep: Sweep, findings: Findings) -> None:
    """Check that each trial and final run has ended, and that Optuna reads the same trials."""
    study = read_json(sweep.study / "study.json")
    if (study["status"], study["n_trials"]) != ("complete", sweep.n_trials):
        findings.wrong.append(f"study is {study['status']} with {study['n_trials']} trials")
    trials = sweep.trials()
    findings.running += [f"trial {t.number} runs" for t in trials if t.ending is None]
    findings.lost += [
        f"trial {t.number}: {t.outcome}: {t.error}"
        for t in trials
        if t.outcome not in ("ok", None)
    ]
    n_missing = sweep.n_trials - len(trials)
    findings.lost += [f"{n_missing} trials are not recorded"] if n_missing > 0 else []
    findings.doubled += [f"{-n_missing} trials are too many"] if n_missing < 0 else []
    rows = Store(sweep.out).results()
    findings.lost += [f"run: {row['error']}" for row in rows if row["outcome"] != "ok"]
    if len(rows) != SEEDS:
        findings.wrong.append(f"{len(rows)} final runs")
    if [(t.number, t.value) for t in _by_optuna(sweep)] != [
        (t.number, t.objective) for t in trials
    ]:
        findings.wrong.append("Optuna reads other trials in the record")


def _by_optuna(sweep: Sweep) -> list[optuna.trial.FrozenTrial]:
    """Return the trials that Optuna's own reader sees in the record."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    backend = optuna.storages.journal.JournalFileBackend(str(sweep.study / FILE))
    storage = optuna.storages.JournalStorage(backend)
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False)


def _copy(sweep: Sweep, url: str, findings: Findings) -> None:
    """Check that the copy in a storage holds the same trials."""
    benchmark = sweep.study.relative_to(sweep.out).parts[0]
    (name,) = (n for n in optuna.get_all_study_names(url) if n.split("/")[0] == benchmark)
    copied = optuna.load_study(study_name=name, storage=url).get_trials(deepcopy=False)

    def facts(trial: optuna.trial.FrozenTrial) -> tuple[Any, ...]:
        return trial.number, trial.state, trial.values, trial.params, trial.intermediate_values

    own = _by_optuna(sweep)
    if len(copied) < len(own):
        findings.lost.append(f"the copy lacks {len(own) - len(copied)} trials")
    elif len(copied) > len(own):
        findings.doubled.append(f"the copy has {len(copied) - len(own)} trials too many")
    elif list(map(facts, copied)) != list(map(facts, own)):
        findings.wrong.append("the copy holds other trials")


def _mlflow(sweep: Sweep, uri: str, findings: Findings) -> None:
    """Check that MLflow shows sweep, study, each trial and the winner once, none as running."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    store = read_json(sweep.out / "tracking.json")["store_id"]
    runs = client.search_runs(
        [e.experiment_id for e in client.search_experiments()],
        f"tags.`omasgan.store` = '{store}'",
        max_results=1000,
    )
    findings.running += [
        f"{run.data.tags['omasgan.key']} is RUNNING"
        for run in runs
        if run.info.status == "RUNNING"
    ]
    keys = Counter(run.data.tags["omasgan.key"] for run in runs)
    study = sweep.study.relative_to(sweep.out).as_posix()
    winner = read_json(sweep.study / "winner.json")["params_id"]
    trials = {f"{study}/trials/{trial.number:04d}": trial for trial in sweep.trials()}
    parent = f"{sweep.study.parent.parent.relative_to(sweep.out).as_posix()}/sweep"
    expected = {parent, study, f"{study}/winner/{winner}", *trials}
    findings.doubled += [f"{key} is {n} MLflow runs" for key, n in keys.items() if n > 1]
    findings.lost += [f"{key} is not in MLflow" for key in sorted(expected - keys.keys())]
    findings.wrong += [f"{key} is in MLflow" for key in sorted(keys.keys() - expected)]
    for run in runs:
        trial = trials.get(run.data.tags["omasgan.key"])
        if trial is not None and run.data.metrics.get("objective") != trial.objective:
            findings.wrong.append(f"trial {trial.number} is {run.data.metrics} in MLflow")


def _files(out: Path, findings: Findings) -> None:
    """Check that no file is half-written, and that no checkpoint is left."""
    for path in out.rglob("*"):
        if path.suffix in (".tmp", ".safetensors"):
            findings.wrong.append(f"{path} is left")
        try:
            if path.suffix == ".json":
                json.loads(path.read_bytes())
            elif path.suffix == ".jsonl":
                [json.loads(line) for line in path.read_bytes().splitlines()]
            elif path.suffix == ".parquet":
                pd.read_parquet(path)
        except (ValueError, OSError) as error:
            findings.wrong.append(f"{path} is damaged: {error}")


def _compare(sweep: Sweep, findings: Findings) -> None:
    """Check that an undisturbed sweep of the same params, in one process, comes to the same."""
    calm = Sweep(sweep.folder / "calm", space=sweep.space)
    assert sweep.here("--replay", sweep.study, out=calm.out) == 0
    for one, other in zip(sweep.trials(), calm.trials(), strict=True):
        if _without_costs(one) != _without_costs(other):
            findings.wrong.append(f"trial {one.number} is not that of an undisturbed sweep")
    for path in sorted(calm.out.rglob("*")):
        twin = sweep.out / path.relative_to(calm.out)
        if path.name in ("winner.json", "result.json", "epochs.jsonl"):
            same = twin.exists() and _timeless(path) == _timeless(twin)
        elif path.name in ("scores.parquet", "pictures.npz"):
            same = twin.exists() and path.read_bytes() == twin.read_bytes()
        else:
            continue
        if not same:
            findings.wrong.append(f"{twin} is not what an undisturbed sweep has")


def _without_costs(trial: Trial) -> Trial:
    """Return a trial without what differs from one undisturbed sweep to the next."""
    assert trial.ending is not None
    costs = dict.fromkeys((*TIMINGS, "gpus"))
    return replace(trial, attempts=1, ended_at=None, ending=replace(trial.ending, **costs))


def _timeless(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file, without what differs from one undisturbed sweep to the next."""
    rows = read_rows(path) if path.suffix == ".jsonl" else [read_json(path)]
    left_out = (*TIMINGS, "finished_at", "code_version", "gpus")
    return [{k: v for k, v in row.items() if k not in left_out} for row in rows]


@dataclass
class Line:
    """One line of the table: what kind of fault hit sweeps, and what came of it."""

    rounds: int = 0
    trials: int = 0
    lost: int = 0
    doubled: int = 0
    running: int = 0
    seconds: float = 0.0


class Table:
    """What every kind of fault has done to the sweeps that it hit."""

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}

    def check(
        self,
        fault: str,
        sweep: Sweep,
        rounds: int = 1,
        *,
        storage: str | None = None,
        tracking: str | None = None,
    ) -> None:
        """Audit a sweep that has survived its faults, and enter the findings.

        Raises:
            AssertionError: something is not as it must be.
        """
        findings = audit(sweep, storage=storage, tracking=tracking)
        line = self.lines.setdefault(fault, Line())
        line.rounds += rounds
        line.trials += sweep.n_trials
        line.lost += len(findings.lost)
        line.doubled += len(findings.doubled)
        line.running += len(findings.running)
        line.seconds += time.monotonic() - sweep.began
        findings.refuse_any()

    def __str__(self) -> str:
        """As Markdown."""
        total = Line(*map(sum, zip(*map(astuple, self.lines.values()), strict=True)))
        rows = [("fault", "rounds", "trials", "lost", "doubled", "left RUNNING", "seconds")]
        for name, line in {**self.lines, "all": total}.items():
            rows.append((name, *(f"{value:.0f}" for value in astuple(line))))
        rows.insert(1, tuple("---" for _ in rows[0]))
        width = max(map(len, [*self.lines, "fault"]))
        return "\n".join(
            f"| {name:{width}} | " + " | ".join(f"{cell:>12}" for cell in cells) + " |"
            for name, *cells in rows
        )


class Rounds:
    """Random moments for the faults of one sweep: repeatable, spread over its course."""

    def __init__(self, fault: str, number: int, n: int, trials: int) -> None:
        """``n`` moments of the sweep ``number`` with so many ``trials``."""
        self._random = random.Random(f"{fault}, {number}")
        # Before the last trial has ended, so that all faults come before the end: between two of
        # them the final runs could end as well, and a fault after the end would be none.
        self._after = sorted(self._random.sample(range(trials), n))

    def __iter__(self) -> Iterator[tuple[int, float]]:
        """After how many endings, and how many seconds later."""
        for after in self._after:
            yield after, self._random.uniform(0, 0.6)

    def uniform(self) -> float:
        """A random number in [0, 1)."""
        return self._random.random()

    def choose(self, items: Sequence[Any]) -> Any:
        return self._random.choice(items)


def fill(path: Path) -> None:
    """Take all space that is left."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while os.write(file, bytes(4096)):
            pass
    os.close(file)
