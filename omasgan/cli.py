"""The verbs: ``omasgan list | run | sweep | report | ui``.

Arguments are read once, checked before any work starts, and passed on whole. Nothing heavy is
imported here, so that ``--help`` is quick; each verb imports what it needs.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omasgan import __version__
from omasgan.errors import ConfigError, OmasganError, unknown

if TYPE_CHECKING:
    from omasgan.config import BenchmarkSpec
    from omasgan.datasets import Dataset
    from omasgan.protocols import Fold
    from omasgan.search import Backend
    from omasgan.store import Row, Store
    from omasgan.tracking import Tracker

NO_TRACKING = "none"
INTERRUPTED = 130
# typer carries its own copy of click and exports only this subclass of click's usage errors.
UsageError: type[Any] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    help="Search, train and compare anomaly detectors without fooling yourself.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class BackendName(StrEnum):
    """Where the trials of a sweep are executed."""

    local = "local"
    ray = "ray"


BenchmarkArgument = Annotated[
    str, typer.Argument(metavar="BENCHMARK", help="A name of 'omasgan list', or a TOML file.")
]
DetectorArgument = Annotated[
    str,
    typer.Argument(metavar="DETECTOR", help="A name of 'omasgan list', or package.module:Class."),
]
FoldsOption = Annotated[
    str | None, typer.Option(metavar="0,3", help="Only these folds.  [default: all]")
]
SeedsOption = Annotated[
    str | None, typer.Option(metavar="0,1", help="Seeds to train on.  [default: the benchmark's]")
]
OutOption = Annotated[Path, typer.Option(metavar="DIR", help="Where the results go.")]
SaveOption = Annotated[bool, typer.Option("--save", help="Keep the trained detectors.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<n>.")]
DataRootOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        envvar="OMASGAN_DATA",
        help="Folder with the image files, as torchvision lays them out.",
    ),
]
DownloadOption = Annotated[
    bool, typer.Option("--download", help="Fetch missing image files into the data root.")
]
MaxFoldsOption = Annotated[
    int | None, typer.Option(min=1, help="Cap the folds; changes the benchmark's identity.")
]
MaxTrainOption = Annotated[
    int | None, typer.Option(min=1, help="Cap a fold's training samples; as --max-folds.")
]
MaxTestOption = Annotated[
    int | None, typer.Option(min=1, help="Cap a fold's test samples; as --max-folds.")
]
TrackingOption = Annotated[
    str | None,
    typer.Option(
        metavar="URI",
        envvar="MLFLOW_TRACKING_URI",
        help=f"MLflow's tracking URI; '{NO_TRACKING}' tracks nothing.  [default: sqlite in --out]",
    ),
]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 is success, 1 failed runs, 2 bad input, 130 an interruption."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(format="omasgan: %(message)s", level=logging.WARNING)
    try:
        code = int(app(args=arguments, prog_name="omasgan", standalone_mode=False) or 0)
    except UsageError as error:
        return _refuse(f"{error.format_message()} (see --help)")
    except OmasganError as error:
        return _refuse(str(error))
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    # Most versions of typer turn Ctrl-C into this code themselves.
    if code == INTERRUPTED:
        print(f"omasgan: interrupted{_how_to_go_on(arguments)}", file=sys.stderr)
    return code


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"omasgan {__version__}")
        raise typer.Exit


@app.callback()
def _about(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    """Search, train and compare GAN-based anomaly detectors without fooling yourself."""


@app.command("list")
def list_() -> None:
    """Say which benchmarks, detectors, data sets, spaces and selection rules there are."""
    from omasgan import config, datasets, detectors, selection

    specs = [config.load_benchmark(name) for name in config.benchmark_names()]
    _print_section("Benchmarks", {s.name: f"{s.protocol:14}  {s.description}" for s in specs})
    spaces = config.resource_names("search_spaces")
    has_space = {True: "has a search space", False: ""}
    _print_section("Detectors", {name: has_space[name in spaces] for name in detectors.names()})
    _print_section("Data sets", dict.fromkeys(datasets.names(), ""))
    _print_section("Selection rules", dict.fromkeys(selection.RULES, ""))


@app.command()
def run(
    benchmark: BenchmarkArgument,
    detector: DetectorArgument,
    folds: FoldsOption = None,
    seeds: SeedsOption = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="K=V", help="A parameter; may be repeated."),
    ] = None,
    params: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Parameters as TOML; --set wins over it.")
    ] = None,
    out: OutOption = Path("out"),
    save: SaveOption = False,
    device: DeviceOption = "auto",
    data_root: DataRootOption = None,
    download: DownloadOption = False,
    max_folds: MaxFoldsOption = None,
    max_train: MaxTrainOption = None,
    max_test: MaxTestOption = None,
    tracking_uri: TrackingOption = None,
) -> None:
    """Train a detector with given parameters on the folds of a benchmark and test it.

    A run that is done is not trained again; an interrupted one goes on from its checkpoint.
    """
    from omasgan import config, detectors, evaluate
    from omasgan.progress import Watch
    from omasgan.search import RunJob
    from omasgan.search.local import LocalBackend

    caps = {"max_folds": max_folds, "max_train": max_train, "max_test": max_test}
    spec = config.load_benchmark(benchmark, **caps)
    cls = detectors.load(detector)
    given = (config.load_params(params) if params else {}) | _assignments(set_ or [])
    chosen = detectors.check_params(cls, given)
    evaluate.resolve_device(device)
    run_seeds = _seeds(seeds) or spec.seeds
    wanted = _integers("--folds", folds)
    store, tracker = _open(out, tracking_uri)
    dataset, run_folds = _load(spec, wanted, data_root, download)
    store.claim_benchmark(spec, dataset.sha256)
    jobs = [
        RunJob(fold, detector, chosen, seed, "fixed", store, device, save)
        for fold in run_folds
        for seed in run_seeds
    ]
    with Watch(tracker) as watch:
        rows = LocalBackend().runs(jobs, spec, dataset, watch)
    _conclude(store, rows)


@app.command()
def sweep(
    benchmark: BenchmarkArgument,
    detector: DetectorArgument,
    trials: Annotated[int, typer.Option(min=1, help="Trials a study, resumed ones included.")],
    space: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Search space as TOML.  [default: the detector's]"),
    ] = None,
    selection: Annotated[
        str, typer.Option(metavar="RULE", help="How a trial is judged; see 'omasgan list'.")
    ] = "nested",
    transfer_from: Annotated[
        str | None,
        typer.Option(metavar="BENCHMARK", help="With --selection transfer: where to choose."),
    ] = None,
    inner: Annotated[
        int | None, typer.Option(min=1, help="Tasks a trial is judged by.  [default: 2]")
    ] = None,
    backend: Annotated[BackendName, typer.Option(help="Where trials run.")] = BackendName.local,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster, host:port or auto.  [default: start one]")
    ] = None,
    cpus_per_trial: Annotated[
        float | None, typer.Option(metavar="N", help="Ray: CPUs a trial.  [default: 1]")
    ] = None,
    gpus_per_trial: Annotated[
        float | None, typer.Option(metavar="F", help="Ray: share of a GPU a trial.  [default: 0]")
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(help="Any Optuna sampler.  [default: TPESampler]")
    ] = None,
    pruner: Annotated[str, typer.Option(help="Any Optuna pruner.")] = "NopPruner",
    storage: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Optuna storage.  [default: sqlite in the study]"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search.")] = 0,
    prune_collapsed: Annotated[
        bool, typer.Option("--prune-collapsed", help="Stop trials whose boundary collapses.")
    ] = False,
    replay: Annotated[
        Path | None,
        typer.Option(metavar="LOG", help="Repeat the params of a study's log.jsonl in order."),
    ] = None,
    folds: FoldsOption = None,
    out: OutOption = Path("out"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what DIR holds of this sweep.")
    ] = False,
    save: SaveOption = False,
    device: DeviceOption = "auto",
    data_root: DataRootOption = None,
    download: DownloadOption = False,
    max_folds: MaxFoldsOption = None,
    max_train: MaxTrainOption = None,
    max_test: MaxTestOption = None,
    tracking_uri: TrackingOption = None,
) -> None:
    """Search the parameters of a detector, then train and test the winners on fresh seeds."""
    from omasgan import config, detectors
    from omasgan.progress import Watch
    from omasgan.search import sweep as searching
    from omasgan.search.space import load_space

    ray_flags = {
        "--address": address,
        "--cpus-per-trial": cpus_per_trial,
        "--gpus-per-trial": gpus_per_trial,
    }
    _check_flags(backend, ray_flags, selection, transfer_from, inner, sampler, replay)
    caps = {"max_folds": max_folds, "max_train": max_train, "max_test": max_test}
    wanted = _integers("--folds", folds)
    spec = searching.SweepSpec(
        config.load_benchmark(benchmark, **caps),
        detector,
        load_space(space or detector, detectors.load(detector)),
        selection,
        trials,
        folds=None if wanted is None else tuple(wanted),
        sampler=sampler or "TPESampler",
        pruner=pruner,
        seed=seed,
        inner=inner or 2,
        storage=storage,
        device=device,
        prune_collapsed=prune_collapsed,
        resume=resume,
        replay=replay,
        source=config.load_benchmark(transfer_from) if transfer_from else None,
        save=save,
    )
    searching.check(spec)
    store, tracker = _open(out, tracking_uri)
    dataset, _ = _load(spec.benchmark, wanted, data_root, download)
    source = _load(spec.source, None, data_root, download)[0] if spec.source else None
    place = _backend(backend, device, address, cpus_per_trial, gpus_per_trial)
    with contextlib.closing(place), Watch(tracker) as watch:
        result = searching.sweep(spec, store, place, dataset, source=source, on_event=watch)
    _conclude(store, result.rows)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The --out folder.")],
    sync_mlflow: Annotated[
        bool, typer.Option("--sync-mlflow", help="Send everything in DIR to MLflow as well.")
    ] = False,
    tracking_uri: TrackingOption = None,
) -> None:
    """Write DIR/report: tables, figures and one page of everything in DIR."""
    from omasgan.report import write_report
    from omasgan.store import Store

    if sync_mlflow and tracking_uri == NO_TRACKING:
        raise ConfigError(f"--sync-mlflow and --tracking-uri {NO_TRACKING} contradict each other")
    store = Store(folder, create=False)
    files = write_report(store)
    _print_tables(files.tables)
    print(f"The report is {files.page}")
    if sync_mlflow:
        from omasgan.tracking import Tracker

        tracker = Tracker(tracking_uri, store)
        print(f"MLflow at {tracker.uri} shows all {tracker.sync()} of its runs")


@app.command()
def ui(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The --out folder.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 5000,
) -> None:
    """Open the MLflow UI over DIR on this machine, until Ctrl-C."""
    from omasgan.store import Store
    from omasgan.ui import serve

    def ready(address: str) -> None:
        print(f"MLflow shows '{folder}' at {address} (Ctrl-C ends it)", flush=True)

    with contextlib.suppress(KeyboardInterrupt):
        serve(Store(folder, create=False), port, ready)


def _check_flags(
    backend: BackendName,
    ray_flags: Mapping[str, object],
    rule: str,
    transfer_from: str | None,
    inner: int | None,
    sampler: str | None,
    replay: Path | None,
) -> None:
    """Refuse flags that contradict each other, and rules that there are not."""
    from omasgan.selection import RULES

    if rule not in RULES:
        raise unknown("selection rule", rule, RULES)
    for flag, value in ray_flags.items():
        if value is not None and backend != BackendName.ray:
            raise ConfigError(f"{flag} needs --backend ray, got --backend {backend}")
    if (transfer_from is None) != (rule != "transfer"):
        raise ConfigError(
            f"--selection transfer and --transfer-from go together, got --selection {rule} "
            f"{'without' if transfer_from is None else 'with'} --transfer-from"
        )
    if inner is not None and rule in ("proxy", "oracle"):
        raise ConfigError(f"--inner means nothing with --selection {rule}, which has one task")
    if sampler is not None and replay is not None:
        raise ConfigError("--sampler and --replay exclude each other; leave one out")


def _backend(
    name: BackendName,
    device: str,
    address: str | None,
    cpus_per_trial: float | None,
    gpus_per_trial: float | None,
) -> Backend:
    if name == BackendName.local:
        from omasgan.evaluate import resolve_device
        from omasgan.search.local import LocalBackend

        resolve_device(device)
        return LocalBackend()
    from omasgan.search.ray_backend import RayBackend

    cpus = 1.0 if cpus_per_trial is None else cpus_per_trial
    return RayBackend(address=address, cpus_per_trial=cpus, gpus_per_trial=gpus_per_trial or 0.0)


def _open(out: Path, tracking_uri: str | None) -> tuple[Store, Tracker | None]:
    from omasgan.store import Store
    from omasgan.tracking import Tracker

    if "://" in str(out) or ":/" in str(out):
        raise ConfigError(f"--out must be a folder, got '{out}'; mount object stores as folders")
    store = Store(out)
    return store, None if tracking_uri == NO_TRACKING else Tracker(tracking_uri, store)


def _load(
    spec: BenchmarkSpec, wanted: list[int] | None, root: Path | None, download: bool
) -> tuple[Dataset, list[Fold]]:
    from omasgan import protocols

    dataset = protocols.load_data(spec, root=root, download=download)
    return dataset, protocols.choose(protocols.folds(spec, dataset), wanted)


def _assignments(pairs: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise ConfigError(f"--set needs name=value, got '{pair}'")
        if name in found:
            raise ConfigError(f"--set gives {name} twice: '{found[name]}' and '{value}'")
        found[name] = value
    return found


def _integers(flag: str, text: str | None) -> list[int] | None:
    """``0,3`` as numbers without repetitions.

    >>> _integers("--folds", "0,3,0")
    [0, 3]
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ConfigError(f"{flag} must be whole numbers such as 0,3, got '{text}'")
    return list(dict.fromkeys(int(part) for part in parts))


def _seeds(text: str | None) -> list[int] | None:
    from omasgan.selection import TRIAL_SEEDS

    seeds = _integers("--seeds", text)
    if seeds and max(seeds) >= TRIAL_SEEDS:
        raise ConfigError(f"--seeds must be below {TRIAL_SEEDS}, got {max(seeds)}")
    return seeds


def _print_section(title: str, lines: Mapping[str, str]) -> None:
    width = max(map(len, lines), default=0)
    print(f"{title}:")
    for name, text in lines.items():
        print(f"  {name:{width}}  {text}".rstrip())
    print()


def _print_tables(tables: Iterable[Any]) -> None:
    from rich.console import Console

    # Without a terminal there is no width to fit, and a folded table cannot be read.
    console = Console(width=None if sys.stdout.isatty() else 160)
    for table in tables:
        console.print(table)


def _conclude(store: Store, rows: Sequence[Row]) -> None:
    """Say where things stand; exit with 1 if a run has not come to a score."""
    from omasgan.report import terminal_tables

    _print_tables(terminal_tables(store))
    place = shlex.quote(str(store.root))
    print(f"Results: {store.root}  (tables and figures: omasgan report {place})")
    lost = [row for row in rows if row["outcome"] != "ok"]
    for row in lost:
        where = f"fold {row['fold']}, seed {row['seed']}"
        print(f"omasgan: {where}: {row['outcome']}: {row['error']}", file=sys.stderr)
    if lost:
        raise typer.Exit(1)


def _how_to_go_on(arguments: Sequence[str]) -> str:
    verb = arguments[0] if arguments else ""
    if verb not in ("run", "sweep"):
        return ""
    resume = ["--resume"] if verb == "sweep" and "--resume" not in arguments else []
    return f"; to go on: {shlex.join(['omasgan', *arguments, *resume])}"


def _refuse(message: str) -> int:
    print(f"omasgan: {message}", file=sys.stderr)
    return 2
