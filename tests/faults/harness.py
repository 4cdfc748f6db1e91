"""Sweeps in driver processes of their own, and all that must hold once one has ended."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from omasgan import cli
from omasgan.store.journal import read_json, read_rows
from omasgan.store.results import Store
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
    trials: int = 10
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
        (found,) = self.out.glob("*/*/*/studies/*")
        return found

    def arguments(self, *more: str | Path, out: Path | None = None) -> list[str]:
        """Of the command; ``more`` options win over the sweep's own."""
        space = ("--space", self.folder / "space.toml", "--trials", self.trials)
        size = (*SMALL, "--max-train", self.max_train)
        place = ("--out", out or self.out)
        given = ("sweep", "digits-loo", self.detector, *size, *space, *place, *more)
        return [str(argument) for argument in given]

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
        patterns = ("*/*/*/studies/*/trials/*/trial.json", "*/*/*/*/seed-*/fold-*/result.json")
        return sum(len(list(self.out.glob(pattern))) for pattern in patterns)

    def wait_until(self, n: int, seconds: float = 120) -> None:
        """Return once ``n`` trials and final runs are recorded, while the driver still works.

        With 0, once the first trial has begun: a driver without its servers does not start.
        """

        def look() -> bool:
            assert self.driver is not None and self.driver.poll() is None, self.tail()
            has_begun = any(self.out.glob("*/*/*/studies/*/log.jsonl"))
            return has_begun and self.ended >= n

        wait_for(f"{n} ended trials and runs, of {self.ended}: {self.tail()}", look, seconds)

    def finish(self, code: int = 0, seconds: float = 180) -> str:
        """Wait for the driver to end with ``code``; what the drivers have printed."""
        assert self.driver is not None
        try:
            ended_with = self.driver.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s: {self.tail()}") from None
        assert ended_with == code, f"exit code {ended_with}: {self.tail()}"
        return self.log.read_text()

    def interrupt(self) -> None:
        """Ctrl-C: the driver must stop within 10 s and say how to go on."""
        assert self.driver is not None
        started = time.monotonic()
        self.driver.send_signal(signal.SIGINT)
        text = self.finish(130, seconds=30)
        assert time.monotonic() - started < 10
        assert "interrupted; to go on: omasgan sweep" in text and text.endswith("--resume\n")
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
        """The end of what the drivers have printed."""
        return "\n" + "\n".join(self.log.read_text().splitlines()[-30:])

    def here(self, *more: str | Path, out: Path | None = None, hurry: bool = True) -> int:
        """Carry on the sweep in this process with the local backend; the exit code."""
        arguments = self.arguments("--backend", "local", "--tracking-uri", "none", *more, out=out)
        with pytest.MonkeyPatch.context() as patch:
            if hurry:
                patch.setenv(HURRY, "1")
            return cli.main(arguments)

    def report(self, *options: str) -> str:
        """What ``omasgan report`` prints of the folder."""
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
    """Look at everything that a sweep of ``sweep.trials`` trials leaves behind."""
    found = Findings()
    _records(sweep, found)
    _storage(sweep, storage or f"sqlite:///{sweep.study / 'optuna.db'}", found)
    if tracking is not None:
        _mlflow(sweep, tracking, found)
    _files(sweep.out, found)
    _compare(sweep, found)
    return found


def _records(sweep: Sweep, found: Findings) -> None:
    """Each trial and final run has ended, each trial was told once."""
    study = read_json(sweep.study / "study.json")
    if (study["status"], study["n_trials"]) != ("complete", sweep.trials):
        found.wrong.append(f"study is {study['status']} with {study['n_trials']} trials")
    names = {path.parent.name for path in sweep.study.glob("trials/*/trial.json")}
    expected = {f"{number:04d}" for number in range(sweep.trials)}
    found.lost += [f"trial {name} is not recorded" for name in sorted(expected - names)]
    found.doubled += [f"trial {name} is one too many" for name in sorted(names - expected)]
    for name in sorted(names):
        row = read_json(sweep.study / "trials" / name / "trial.json")
        if row["outcome"] != "ok":
            found.lost.append(f"trial {name}: {row['outcome']}: {row['error']}")
    log = read_rows(sweep.study / "log.jsonl")
    told = Counter(row["number"] for row in log if row["event"] == "tell")
    found.doubled += [
        f"trial {n} was told {times} times" for n, times in told.items() if times > 1
    ]
    found.lost += [f"trial {n} was not told" for n in range(sweep.trials) if n not in told]
    rows = Store(sweep.out).results()
    found.lost += [f"run: {row['error']}" for row in rows if row["outcome"] != "ok"]
    if len(rows) != SEEDS:
        found.wrong.append(f"{len(rows)} final runs")


def _storage(sweep: Sweep, url: str, found: Findings) -> None:
    """Optuna holds the same trials and no zombie."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    benchmark = sweep.study.relative_to(sweep.out).parts[0]
    (name,) = (n for n in optuna.get_all_study_names(url) if n.split("/")[0] == benchmark)
    trials = optuna.load_study(study_name=name, storage=url).get_trials(deepcopy=False)
    if [trial.number for trial in trials] != list(range(sweep.trials)):
        found.wrong.append(f"Optuna holds {len(trials)} trials")
    found.running += [
        f"trial {trial.number} is {trial.state.name} in Optuna"
        for trial in trials
        if not trial.state.is_finished()
    ]
    for trial in trials:
        record = sweep.study / "trials" / f"{trial.number:04d}" / "trial.json"
        if record.exists() and trial.values != [read_json(record)["objective"]]:
            found.wrong.append(f"trial {trial.number} is {trial.values} in Optuna")


def _mlflow(sweep: Sweep, uri: str, found: Findings) -> None:
    """MLflow shows the study, each trial and the winner once, none as running."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    store = read_json(sweep.out / "tracking.json")["store_id"]
    runs = client.search_runs(
        [e.experiment_id for e in client.search_experiments()],
        f"tags.`omasgan.store` = '{store}'",
        max_results=1000,
    )
    found.running += [
        f"{run.data.tags['omasgan.key']} is RUNNING"
        for run in runs
        if run.info.status == "RUNNING"
    ]
    keys = Counter(run.data.tags["omasgan.key"] for run in runs)
    place = sweep.study.relative_to(sweep.out).as_posix()
    winner = read_json(sweep.study / "winner.json")["params_id"]
    trials = {f"{place}/trials/{number:04d}" for number in range(sweep.trials)}
    expected = {place, f"{place}/winner/{winner}", *trials}
    found.doubled += [f"{key} is {n} MLflow runs" for key, n in keys.items() if n > 1]
    found.lost += [f"{key} is not in MLflow" for key in sorted(expected - keys.keys())]
    found.wrong += [f"{key} is in MLflow" for key in sorted(keys.keys() - expected)]
    for run in runs:
        key = run.data.tags["omasgan.key"]
        if key in trials:
            row = read_json(sweep.out / key / "trial.json")
            if run.data.metrics.get("objective") != row["objective"]:
                found.wrong.append(f"{key} is {run.data.metrics} in MLflow")


def _files(out: Path, found: Findings) -> None:
    """No file is half-written, and no checkpoint is left."""
    for path in out.rglob("*"):
        if path.suffix in (".tmp", ".safetensors"):
            found.wrong.append(f"{path} is left")
        try:
            if path.suffix == ".json":
                json.loads(path.read_bytes())
            elif path.suffix == ".jsonl":
                [json.loads(line) for line in path.read_bytes().splitlines()]
            elif path.suffix == ".parquet":
                pd.read_parquet(path)
        except (ValueError, OSError) as error:
            found.wrong.append(f"{path} is damaged: {error}")


def _compare(sweep: Sweep, found: Findings) -> None:
    """An undisturbed sweep of the same log, in one process, comes to the same in every file."""
    calm = sweep.folder / "calm"
    assert sweep.here("--replay", sweep.study / "log.jsonl", out=calm) == 0
    for path in sorted(calm.rglob("*")):
        twin = sweep.out / path.relative_to(calm)
        if path.name in ("trial.json", "winner.json", "result.json", "epochs.jsonl"):
            same = twin.exists() and _timeless(path) == _timeless(twin)
        elif path.name in ("scores.parquet", "pictures.npz"):
            same = twin.exists() and path.read_bytes() == twin.read_bytes()
        else:
            continue
        if not same:
            found.wrong.append(f"{twin} is not what an undisturbed sweep has")


def _timeless(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, without what differs from one undisturbed sweep to the next."""
    rows = read_rows(path) if path.suffix == ".jsonl" else [read_json(path)]
    left_out = (*TIMINGS, "finished_at", "code_version", "attempts", "gpus")
    return [{k: v for k, v in row.items() if k not in left_out} for row in rows]


@dataclass
class Line:
    """One line of the table: what was done to sweeps, and what came of it."""

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
        """Audit a sweep that has survived its faults, and take down what is found.

        Raises:
            AssertionError: something is not as it must be.
        """
        found = audit(sweep, storage=storage, tracking=tracking)
        line = self.lines.setdefault(fault, Line())
        line.rounds += rounds
        line.trials += sweep.trials
        line.lost += len(found.lost)
        line.doubled += len(found.doubled)
        line.running += len(found.running)
        line.seconds += time.monotonic() - sweep.began
        found.refuse_any()

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
        # The last two endings are left out: a fault after the end would be none.
        self._after = sorted(self._random.sample(range(trials + SEEDS - 2), n))

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
