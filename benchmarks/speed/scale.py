"""What a sweep's driver pays for each trial, as the study grows, and how long a slot waits for it.

The trials are of a detector with OMASGAN's search space that trains nothing; judged on five tasks
after a fifth of the epochs each, they report about as often as a training of 30 s. Two sweeps:

1. The driver alone: as many trials open at once as there are slots, all in this process, their
   rows fed to the driver one batch at a time, as Ray Tune does. Every part of it is timed.
2. On a local Ray with one slot, trial after trial: what Ray costs, and how long the slot waits
   from one trial to the next.

Then studies that are longer than a sweep here could be, with random objectives: what a suggestion
costs in them. With ``--from`` the first sweep goes on with such a study, and sends nothing to
MLflow, which would first have to hear of its trials.

Judge by the CPU columns where others use the machine, too.

    python benchmarks/speed/scale.py [--trials 1000] [--slots 64] [--epochs 50] [--folds 1]
        [--from 0] [--ray-trials 300] [--histories 1000,3000,10000]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from memory import resident_mb
from numpy.typing import NDArray

from omasgan import config
from omasgan.backends.local import LocalBackend
from omasgan.backends.ray.backend import RayBackend
from omasgan.backends.ray.driver import Driver
from omasgan.backends.ray.needs import Need
from omasgan.backends.ray.room import Room
from omasgan.cli.watch import Watch
from omasgan.data import protocols
from omasgan.detectors.base import Epoch
from omasgan.detectors.omasgan import OMASGAN
from omasgan.experiments.sweep import SweepSpec, sweep
from omasgan.progress import Event, OnEvent, TrialEnded
from omasgan.report.results.inputs import read_study
from omasgan.store.files import AnyPath
from omasgan.store.results import Store
from omasgan.study.guide import Guide
from omasgan.study.record import FILE, Journal
from omasgan.study.samplers import open_study
from omasgan.study.search import Search
from omasgan.study.space import Space, load_space
from omasgan.study.trial_log import TrialLog
from omasgan.tracking.tracker import Tracker
from omasgan.training import evaluate
from omasgan.training.measuring import peak_resident_mb
from omasgan.training.trials import Ending, EpochRow, Trial

TRIAL_SECONDS = 30.0
"""How long the trials are of which the shares speak."""

TASKS = 5
SIZES = (100, 200, 300, 500, 1000, 2000, 5000, 10000)
ASKS = 10
DIFFERENT = 500
WINDOW = 50
"""Costs at a size are means over so many trials of each study before it."""

EPOCHS = "SCALE_EPOCHS"
"""The environment variable that tells workers the epochs of a task."""

PARTS = {
    "ask": "suggestion (ask)",
    "report": "report, prune",
    "tell": "tell",
    "log": "log",
    "screen": "progress lines",
    "mirror": "MLflow (own thread)",
}


class Known(OMASGAN):
    """OMASGAN's params without its training: what it reaches is a closed form of two of them."""

    def fit_epochs(self, X: NDArray[Any]) -> Iterator[Epoch]:
        self.centre_ = _vectors(X).mean(axis=0)
        for index in range(getattr(self, "epoch_", 0), int(os.environ[EPOCHS])):
            self.epoch_ = index + 1
            yield Epoch(index, "known", dict.fromkeys("gdbj", 1 / self.epoch_))

    def stage_scores(self, X: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Return the distance to the mean, the more drowned in noise the farther the params are
        off.
        """
        off = np.log10(self.gan_lr / 3e-4) ** 2 + np.log10(self.mu) ** 2 / 4
        vectors = _vectors(X)
        noise = (1e3 * vectors.sum(axis=1)) % 1.0
        distance = np.abs(vectors - self.centre_).mean(axis=1)
        score = np.exp(-off) * distance + (1 - np.exp(-off)) * noise
        return {self.stage: score.astype(np.float32)}

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch_, "centre": self.centre_}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.epoch_, self.centre_ = state["epoch"], state["centre"]


def _vectors(X: NDArray[Any]) -> NDArray[Any]:
    return X.reshape(len(X), -1) / 127.5 - 1


@dataclass(frozen=True)
class Moment:
    """What was spent up to the end of a trial: seconds by part, of CPU and of the clock."""

    time: float
    cpu: Counter[str]
    clock: Counter[str]
    resident_mb: float


@dataclass(frozen=True)
class Measured:
    """A sweep: a moment for each trial that ended, how long each took by itself, and what there
    was of memory and of the record. Each study had ``begun`` trials before.
    """

    folds: int
    begun: int
    moments: list[Moment]
    seconds: list[float]
    peak_mb: float
    record_bytes: float

    def sizes(self) -> list[int]:
        """Return the sizes that each study has come to."""
        sizes = [s for s in SIZES if WINDOW < (s - self.begun) * self.folds <= len(self.moments)]
        return sizes or [self.begun + len(self.moments) // self.folds]

    def at(self, size: int) -> Moment:
        """Return the moment at which each study held so many trials."""
        return self.moments[(size - self.begun) * self.folds - 1]

    def a_trial(self, size: int, kind: str, part: str) -> float:
        """Return the milliseconds that a trial costs when each study holds ``size`` of them."""
        before = max(self.begun + 1, size - WINDOW)
        spent = [getattr(self.at(n), kind)[part] for n in (before, size)]
        return 1000 * float(spent[1] - spent[0]) / ((size - before) * self.folds)


class Meter:
    """A clock for each part, which counts what calls of that part spend, parts within excepted."""

    def __init__(self) -> None:
        self.cpu: Counter[str] = Counter()
        self.clock: Counter[str] = Counter()
        self.moments: list[Moment] = []
        self._within = [[0.0, 0.0]]

    def timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``call``, timed; by the driver's thread only."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            self._within.append([0.0, 0.0])
            started = time.thread_time(), time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                spent = time.thread_time() - started[0], time.perf_counter() - started[1]
                inner = self._within.pop()
                self.cpu[part] += spent[0] - inner[0]
                self.clock[part] += spent[1] - inner[1]
                for i in (0, 1):
                    self._within[-1][i] += spent[i]

        return timed

    def watch(self, searches: Sequence[Search], on_event: OnEvent) -> OnEvent:
        """Time the guides and the screen; note a moment whenever a trial ends."""
        calls = {"ask": "ask", "report": "report", "should_prune": "report", "tell": "tell"}
        for search in searches:
            for name, part in calls.items():
                setattr(search.guide, name, self.timed(part, getattr(search.guide, name)))
        show = self.timed("screen", on_event)

        def pass_on(event: Event) -> None:
            show(event)
            if isinstance(event, TrialEnded):
                self._note()

        return pass_on

    def _note(self) -> None:
        if len(self.moments) % WINDOW == WINDOW - 1:
            # Now and then only: it takes longer than a trial's log.
            self.cpu["daemons"] = ray_daemons()
        self.cpu["process"] = time.process_time()
        moment = time.monotonic(), self.cpu.copy(), self.clock.copy(), resident_mb()
        self.moments.append(Moment(*moment))


class TimedTracker(Tracker):
    """Counts what its thread spends on trials."""

    def __init__(self, store: Store, meter: Meter) -> None:
        super().__init__(None, store)
        self._meter = meter
        self.sent = 0

    def trial(self, study_dir: AnyPath, trial: Trial) -> None:
        started = time.thread_time(), time.perf_counter()
        super().trial(study_dir, trial)
        self._meter.cpu["mirror"] += time.thread_time() - started[0]
        self._meter.clock["mirror"] += time.perf_counter() - started[1]
        self.sent += 1


class DriverAlone(LocalBackend):
    """Keeps trials open in this process, and feeds their rows to a driver as Ray Tune does."""

    def __init__(self, slots: int, meter: Meter, tracker: TimedTracker | None) -> None:
        self._slots, self._meter, self._tracker = slots, meter, tracker

    def search(self, searches: Sequence[Search], on_event: OnEvent) -> None:
        """Let a trial chosen at random report its next batch, again and again."""
        on_event = self._meter.watch(searches, on_event)
        logs = [TrialLog(search, on_event) for search in searches]
        room = Room(1, 0, self._slots)
        driver = Driver(logs, room, 3600.0, on_event, Need(0.0))
        suggest, enter, end = (
            self._meter.timed("log", act) for act in (driver.suggest, driver.enter, driver.end)
        )
        running: dict[str, Iterator[dict[str, Any]]] = {}
        draw, begun, ended = random.Random(0), 0, 0
        while not driver.is_finished:
            while (config := suggest(str(begun))) is not None:
                running[str(begun)] = batches(searches[config["search"]], config)
                begun += 1
            trial = draw.choice(list(running))
            result = next(running[trial])
            if enter(trial, result) or isinstance((result["rows"] or [None])[-1], Ending):
                del running[trial]
                end(trial)
                ended += 1
                # MLflow hears of one trial at a time: it must not fall behind here.
                while self._tracker is not None and self._tracker.sent < ended:
                    time.sleep(1e-4)
        if driver.error is not None:
            raise driver.error

    def runs(self, *args: Any) -> list[dict[str, Any]]:
        """Do nothing: what comes after the search is not measured."""
        return []


def batches(search: Search, config: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what a worker reports of a trial."""
    yield {"batch": 0, "rows": []}
    batch: list[Any] = []
    number = 1
    for row in evaluate.run_trial(config["job"], search.data):
        batch.append(row)
        if not isinstance(row, EpochRow):
            yield {"batch": number, "rows": batch}
            number, batch = number + 1, []


class OnRay(RayBackend):
    """Ray's backend, with the driver's parts timed."""

    def __init__(self, slots: int, meter: Meter) -> None:
        super().__init__(num_cpus=slots)
        self._meter = meter

    def search(self, searches: Sequence[Search], on_event: OnEvent) -> None:
        acts = {name: getattr(TrialLog, name) for name in ("begin", "enter", "end")}
        for name, act in acts.items():
            setattr(TrialLog, name, self._meter.timed("log", act))
        super().search(searches, self._meter.watch(searches, on_event))
        for name, act in acts.items():
            setattr(TrialLog, name, act)

    def runs(self, *args: Any) -> list[dict[str, Any]]:
        """Do nothing: what comes after the search is not measured."""
        return []


def measure(
    trials: int, slots: int, epochs: int, folds: int, *, begun: int = 0, on_ray: bool
) -> Measured:
    """Carry out a sweep until each study holds so many trials, while all slots are taken; each
    study has ``begun`` trials before, of which MLflow does not know.
    """
    os.environ[EPOCHS] = str(epochs // TASKS)
    benchmark = config.load_benchmark("digits-loo", max_train=100, max_test=60)
    spec = SweepSpec(
        benchmark=benchmark,
        detector="scale:Known",
        space=load_space("omasgan", Known),
        rule="nested",
        n_trials=trials + -(-slots // folds),
        folds=tuple(range(folds)),
        # It is asked after each task and ends no trial: all are of one length.
        pruner="WilcoxonPruner(p_threshold=1e-9)",
        inner=TASKS,
        device="cpu",
    )
    dataset = protocols.load_data(benchmark, root=None, download=False)
    meter = Meter()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        store = Store(Path(folder))
        tracker = None if begun else TimedTracker(store, meter)
        if begun:
            # In a process of its own, whose memory is not the driver's.
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as writer:
                writer.submit(fill, store, spec, begun).result()
        backend = OnRay(slots, meter) if on_ray else DriverAlone(slots, meter, tracker)
        with contextlib.closing(backend), Watch(tracker) as watch:
            sweep([spec], store, backend, dataset, on_event=watch)
        ended = [trial for study in map(read_study, store.studies()) for trial in study.ended]
        seconds = [trial.ending.seconds or 0.0 for trial in ended if trial.ending]
        size = sum(Path(study / FILE).stat().st_size for study in store.studies())
    return Measured(folds, begun, meter.moments, seconds, peak_resident_mb(), size / len(ended))


def fill(store: Store, spec: SweepSpec, trials: int) -> None:
    """Write the records of studies that hold so many trials, at random params."""
    ended = random_trials(spec.space, trials)
    for fold in spec.folds or ():
        parts = spec.benchmark.id, spec.detector, spec.rule, f"fold-{fold}"
        storage = optuna.storages.JournalStorage(Journal(store.study_dir(*parts) / FILE))
        study = open_study(storage, "/".join(parts), optuna.pruners.NopPruner())
        study.add_trials(ended)


def random_trials(space: Space, trials: int) -> Sequence[optuna.trial.FrozenTrial]:
    """Return ended trials at random params, with random objectives; ``DIFFERENT`` of them, again
    and again.
    """
    guide, draw = Guide(space, None, sampler="RandomSampler"), random.Random(0)
    for number in range(min(trials, DIFFERENT)):
        guide.ask()
        value = draw.random()
        for step in range(TASKS):
            guide.report(number, step, {"unlike": value})
        ending = Ending("ok", value, stage="unlike", seconds=TRIAL_SECONDS, peak_memory_mb=900.0)
        guide.tell(number, ending)
    return [guide.stored()[number % DIFFERENT] for number in range(trials)]


def suggestion(trials: int) -> float:
    """Return the milliseconds of CPU that a suggestion takes after so many ended trials."""
    space = load_space("omasgan", Known)
    with tempfile.TemporaryDirectory() as folder:
        storage = optuna.storages.JournalStorage(Journal(Path(folder) / FILE))
        study = open_study(storage, "study", optuna.pruners.NopPruner())
        study.add_trials(random_trials(space, trials))
        guide = Guide(space, Path(folder))
        started = time.thread_time()
        for _ in range(ASKS):
            guide.ask()
        return 1000 * (time.thread_time() - started) / ASKS


def ray_daemons() -> float:
    """Return the CPU seconds of the processes that this one has started and that are no workers of
    Ray.
    """
    family, seconds = {os.getpid()}, 0.0
    for pid in sorted(int(path.name) for path in Path("/proc").glob("[0-9]*")):
        with contextlib.suppress(OSError):
            line = Path(f"/proc/{pid}/stat").read_text()
            name, fields = line[line.index("(") + 1 : line.rindex(")")], line.rsplit(")")[-1]
            _, parent, *rest = fields.split()
            if int(parent) in family and not name.startswith("ray::"):
                family.add(pid)
                seconds += (int(rest[9]) + int(rest[10])) / os.sysconf("SC_CLK_TCK")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000, help="of each study")
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=50, help="of a trial")
    parser.add_argument("--folds", type=int, default=1, help="studies, one a fold")
    parser.add_argument("--from", type=int, default=0, dest="begun", help="trials before")
    parser.add_argument("--ray-trials", type=int, default=300, help="of each study; 0 leaves out")
    parser.add_argument("--histories", default="1000,3000,10000", help="studies' sizes")
    arguments = parser.parse_args()
    folds, epochs = arguments.folds, arguments.epochs
    print(f"{os.cpu_count()} cores; studies: {folds}, epochs a trial: {epochs}")
    # A process for each, whose memory is nobody else's.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, max_tasks_per_child=1) as pool:
        slots = arguments.slots
        alone = pool.submit(
            measure,
            arguments.trials,
            slots,
            epochs,
            folds,
            begun=arguments.begun,
            on_ray=False,
        )
        print_alone(alone.result(), slots)
        if arguments.ray_trials:
            on_ray = pool.submit(measure, arguments.ray_trials, 1, epochs, folds, on_ray=True)
            print_ray(on_ray.result())
        print("\nSuggestion (ask) in a longer study; CPU ms")
        for size in map(int, filter(None, arguments.histories.split(","))):
            print_row(f"{size:,} trials", [pool.submit(suggestion, size).result()])


def print_alone(measured: Measured, slots: int) -> None:
    """Print what each part costs, how it grows, and what share of the time it takes."""
    sizes = measured.sizes()
    print(f"\nThe driver alone, {slots} trials open at once; ms a trial at a study's size")
    print_row("CPU", [*sizes, growth(sizes), "clock"])
    parts = [[measured.a_trial(size, "cpu", part) for size in sizes] for part in PARTS]
    clocks = [measured.a_trial(sizes[-1], "clock", part) for part in PARTS]
    for name, costs, clock in zip(PARTS.values(), parts, clocks, strict=True):
        print_row(name, [*costs, growth(costs), clock])
    total = [sum(costs) for costs in zip(*parts, strict=True)]
    print_row("together", [*total, growth(total), sum(clocks)])
    seconds, pace = total[-1] / 1000, TRIAL_SECONDS / slots
    print(
        f"That is {seconds / TRIAL_SECONDS:.1%} of a trial of {TRIAL_SECONDS:.0f} s. With {slots} "
        f"slots one ends every {pace:.2f} s: the driver keeps one core {seconds / pace:.0%} busy."
    )
    print(f"The record takes {measured.record_bytes / 1024:.1f} KiB a trial.")
    print_memory(measured)


def print_ray(measured: Measured) -> None:
    """Print what Ray costs, and how long the slot waits."""
    sizes = measured.sizes()
    print("\nOn Ray, one slot; ms a trial at a study's size")
    print_row("CPU", [*sizes, growth(sizes)])
    whole = [measured.a_trial(size, "cpu", "process") for size in sizes]
    ours = [sum(measured.a_trial(size, "cpu", part) for part in PARTS) for size in sizes]
    for name, costs in {
        "the driver's parts": ours,
        "Ray in the driver": [a - b for a, b in zip(whole, ours, strict=True)],
        "Ray's own processes": [measured.a_trial(size, "cpu", "daemons") for size in sizes],
    }.items():
        print_row(name, [*costs, growth(costs)])
    cycles = np.diff([moment.time for moment in measured.moments[WINDOW:]])
    if len(cycles):
        wait = float(np.median(cycles) - np.median(measured.seconds))
        print(
            f"Between two trials the slot waits {wait:.2f} s: {wait / TRIAL_SECONDS:.1%} of a "
            f"trial of {TRIAL_SECONDS:.0f} s."
        )
    print_memory(measured)


def print_memory(measured: Measured) -> None:
    """Print the peak, and what a trial adds."""
    last = measured.sizes()[-1]
    first = min(measured.begun + WINDOW, last - 1)
    added = measured.at(last).resident_mb - measured.at(first).resident_mb
    kib = 1024 * added / ((last - first) * measured.folds)
    print(f"Memory of the driver: peak {measured.peak_mb:.0f} MiB, {kib:.0f} KiB more a trial.")


def growth(costs: Sequence[float]) -> str:
    """Return how many times the first the last is."""
    return f"x{costs[-1] / costs[0]:.1f}" if costs[0] else "-"


def print_row(name: str, cells: Sequence[float | str]) -> None:
    """Print a line of a table; floats with one digit."""
    texts = (f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in cells)
    print(f"{name:20}" + "".join(f"{text:>9}" for text in texts))


if __name__ == "__main__":
    main()
