"""``omasgan plan``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omasgan.cli.options import values
from omasgan.cli.options.data import FoldedData
from omasgan.cli.options.execution import (
    BackendName,
    BackendOption,
    check_address,
    check_device,
    check_shares,
)
from omasgan.cli.options.groups import (
    AddressOption,
    AtOnceOption,
    BenchmarkArgument,
    CpusPerTrialOption,
    DeviceOption,
    GpusPerTrialOption,
    ParamsOption,
    SeedsOption,
    SetOption,
)
from omasgan.cli.options.output import print_tables
from omasgan.cli.options.searching import Searching, load_source
from omasgan.errors import ConfigError

if TYPE_CHECKING:
    from omasgan.experiments.plan import Cluster, Forecast, Spread


@dataclass(frozen=True, kw_only=True)
class Room:
    """The cluster to plan for, and what it gives a trial."""

    backend: BackendOption = BackendName.ray
    address: AddressOption = None
    cpus: Annotated[
        int | None, typer.Option(min=1, help="CPUs to plan for.  [default: this machine's]")
    ] = None
    gpus: Annotated[int | None, typer.Option(min=1, help="GPUs to plan for.")] = None
    gpu_memory: Annotated[
        str | None,
        typer.Option(metavar="80GB", help="Memory of a GPU.  [default: as seen, else 16 GiB]"),
    ] = None
    cpus_per_trial: CpusPerTrialOption = None
    gpus_per_trial: GpusPerTrialOption = None
    at_once: AtOnceOption = None

    def check(self, device: str) -> None:
        """Check the options before any work starts.

        Raises:
            ConfigError: options exclude each other, a number is out of its range, or this machine
                has no such device.
            BackendError: nobody answers at the address.
        """
        if self.backend == BackendName.local and self != Room(backend=self.backend):
            raise ConfigError("--backend local has one trial at a time; leave out Ray's options")
        if self.address and (self.cpus or self.gpus):
            raise ConfigError("--address says which cluster; leave out --cpus and --gpus")
        check_shares(self.cpus_per_trial, self.gpus_per_trial)
        values.size("--gpu-memory", self.gpu_memory)
        check_device(device, may_be_elsewhere=self.address is not None)
        check_address(self.address)

    def cluster(self) -> Cluster:
        """Return the cluster, joined if it has an address."""
        from omasgan.backends import shares
        from omasgan.experiments import plan as planning

        if self.backend == BackendName.local:
            return planning.Cluster([{"CPU": 1}], overhead=planning.LOCAL)
        gpu_bytes = values.size("--gpu-memory", self.gpu_memory)
        gpu_mb = None if gpu_bytes is None else gpu_bytes / 2**20
        if self.address:
            cpus = values.present(cpus_per_trial=self.cpus_per_trial)
            return planning.join(self.address, gpu_mb, **cpus)
        node = {"CPU": self.cpus or len(os.sched_getaffinity(0)), "GPU": self.gpus or 0}
        return planning.Cluster([node], gpu_mb or shares.gpu_mb())

    def per_trial(self) -> dict[str, Any]:
        """Return what a trial gets, as arguments of ``forecast``."""
        return values.present(
            cpus_per_trial=self.cpus_per_trial,
            gpus_per_trial=values.share(self.gpus_per_trial),
            at_once=self.at_once,
        )


def plan(  # noqa: PLR0913 - typer reads an option from each
    benchmark: BenchmarkArgument,
    detectors: Annotated[
        str, typer.Argument(metavar="DETECTORS", help="One, or several with commas between them.")
    ],
    *,
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="Plan a sweep of so many trials a study.  [default: runs]"),
    ] = None,
    searching: Searching,
    set_: SetOption = None,
    params: ParamsOption = None,
    data: FoldedData,
    seeds: SeedsOption = None,
    room: Room,
    probes: Annotated[int, typer.Option(min=1, help="Configurations of a space to measure.")] = 3,
    device: DeviceOption = "auto",
) -> None:
    """Say how long runs or a sweep would take; nothing is written.

    With --trials it plans a sweep. The configurations that a sweep begins with are trained for a
    few steps: on the cluster with --address, else on this machine, which then stands for one with
    --cpus and --gpus.
    """
    from omasgan.experiments import plan as planning

    names = values.detector_names("DETECTORS", detectors)
    if trials is None and searching != Searching():
        raise ConfigError(
            "--space, --selection, --inner and --share-stages say how a sweep searches; add "
            "--trials"
        )
    if trials is not None and (params or set_):
        raise ConfigError("--params and --set are for runs; a sweep (--trials) searches them")
    searching.check()
    wanted, run_seeds = data.wanted(), values.seeds(seeds)
    spec = data.benchmark(benchmark)
    sweeps, fixed = {}, {}
    for name in names:
        if trials is None:
            fixed[name] = values.params(name, params, set_)
        else:
            sweeps[name] = searching.spec(spec, name, trials, wanted, seeds=run_seeds)
    data.check(spec, *(sweep.source for sweep in sweeps.values()))
    room.check(device)
    dataset, _ = data.load(spec, wanted)
    cluster = room.cluster()
    forecasts = []
    for name in names:
        if name in fixed:
            work = planning.of_runs(spec, dataset, name, wanted, run_seeds or spec.seeds)
            configurations = [fixed[name]]
        else:
            sweep = sweeps[name]
            work = planning.of_sweep(sweep, dataset, load_source(sweep, data))
            configurations = planning.first_params(sweep, work, min(probes, work.trials))
        forecasts.append(
            planning.forecast(work, configurations, cluster, device=device, **room.per_trial())
        )
    what = f"sweep, selection {searching.selection}" if trials else "runs"
    print(f"{spec.id}, {what}:")
    _print(forecasts)
    for note in _notes(forecasts, "on the cluster" if room.address else "on this machine"):
        print(note)


def _print(forecasts: list[Forecast]) -> None:
    from rich.table import Table

    by_gpu = any(f.share for f in forecasts)
    names = ["detector", "trials", "trainings", "final\nruns", "at\nonce", "CPU-hours"]
    names += ["GPU-hours", "GPU\nmemory", "GPU\nshare"] if by_gpu else []
    table = Table()
    for name in (*names, "wall time", "memory", "disk"):
        table.add_column(name, no_wrap=True)
    for f in forecasts:
        searched = f"{len(f.work.studies)} x {f.work.n_trials}" if f.work.studies else "-"
        of_gpu = [_hours(f.gpu_hours), _size(f.gpu_memory_mb), f"{f.share:g}"]
        table.add_row(
            f.work.detector,
            searched,
            *map(str, (f.work.trainings or "-", len(f.work.runs), f.at_once)),
            _hours(f.cpu_hours),
            *((of_gpu if f.share else ["-"] * 3) if by_gpu else ()),
            _wall(f.wall_seconds),
            _size(f.memory_mb),
            _size(f.results_mb + f.checkpoints_mb),
        )
    print_tables([table])


def _notes(forecasts: list[Forecast], where: str) -> Iterator[str]:
    n, seconds = sum(f.probes for f in forecasts), sum(f.probe_seconds for f in forecasts)
    configurations = "1 configuration" if n == 1 else f"{n} configurations"
    if forecasts[0].work.studies:
        yield "Trials are studies x trials of each; trainings are those of all trials together."
    yield "Memory is that of one process; disk holds results, and checkpoints during the work."
    yield (
        f"Measured {where} with {configurations} in {_duration(seconds)}; in brackets: if all "
        "were like the cheapest, and like the most expensive of them."
    )
    for f in forecasts:
        if f.beginnings is not None and f.work.sharing is not None:
            yield (
                f"About {f.beginnings} of {f.work.trials} trials of {f.work.detector} train their "
                f"phases up to '{f.work.sharing.phase}'; the others share these."
            )
        if f.is_scaled:
            yield f"{f.work.detector} was trained on a part of the samples; its hours are scaled."
        for reason in f.lost:
            yield f"{f.work.detector}: one configuration could not be measured: {reason}"


def _hours(spread: Spread) -> str:
    return _range(spread, 1.0, "")


def _wall(spread: Spread) -> str:
    return _range(spread, *_unit(spread.expected))


def _range(spread: Spread, length: float, unit: str) -> str:
    """Return the mean and, where they differ from it, the lowest and the highest value.

    >>> from omasgan.experiments.plan import Spread
    >>> _range(Spread(120, 60, 240), 60, " min")
    '2 (1-4) min'
    """
    mean, low, high = (_two_digits(x / length) for x in (spread.expected, spread.low, spread.high))
    return mean + (f" ({low}-{high})" if low != high else "") + unit


def _duration(seconds: float) -> str:
    """Return a duration with two digits and a unit.

    >>> _duration(9.4), _duration(100), _duration(9_000), _duration(1_000_000)
    ('9.4 s', '1.7 min', '2.5 h', '12 d')
    """
    length, unit = _unit(seconds)
    return _two_digits(seconds / length) + unit


def _unit(seconds: float) -> tuple[float, str]:
    units = ((86400.0, " d"), (3600.0, " h"), (60.0, " min"))
    return next(((length, unit) for length, unit in units if seconds >= 1.5 * length), (1.0, " s"))


def _size(mb: float) -> str:
    """Return a size in megabytes with two digits and a unit.

    >>> _size(0.31), _size(900), _size(16_384)
    ('0.31 MB', '900 MB', '16 GB')
    """
    return f"{_two_digits(mb / 1024)} GB" if mb >= 1000 else f"{_two_digits(mb)} MB"


def _two_digits(x: float) -> str:
    if x < 0.01:
        return "<0.01"
    return f"{x:.0f}" if x >= 10 else f"{x:.2g}"
