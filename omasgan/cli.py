"""The verbs: ``omasgan list | run | sweep | compare | audit | score | report | ui``.

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
    from omasgan.audit import Audit
    from omasgan.config import BenchmarkSpec
    from omasgan.datasets import Dataset
    from omasgan.protocols import Fold
    from omasgan.search import Backend
    from omasgan.store import Row, Store
    from omasgan.tracking import Tracker

NO_TRACKING = "none"
PUBLISHED = "published"
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
    """Where trials and runs are executed."""

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
ParamsOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Parameters as TOML; --set wins over it.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="K=V", help="A parameter; may be repeated.")
]
BackendOption = Annotated[BackendName, typer.Option(help="Where trials and runs are executed.")]
AddressOption = Annotated[
    str | None, typer.Option(help="Ray cluster, host:port or auto.  [default: start one]")
]
CpusOption = Annotated[
    float | None, typer.Option(metavar="N", help="Ray: CPUs a trial.  [default: 1]")
]
GpusOption = Annotated[
    float | None, typer.Option(metavar="F", help="Ray: share of a GPU a trial.  [default: 0]")
]
InnerOption = Annotated[
    int | None, typer.Option(min=1, help="Tasks a trial is judged by.  [default: 2]")
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on with what was interrupted in DIR.")
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
    _print_section("Detectors", {name: detectors.summary(name) for name in detectors.names()})
    _print_section("Data sets", dict.fromkeys(datasets.names(), ""))
    _print_section("Selection rules", dict.fromkeys(selection.RULES, ""))


@app.command()
def run(
    benchmark: BenchmarkArgument,
    detector: DetectorArgument,
    folds: FoldsOption = None,
    seeds: SeedsOption = None,
    set_: SetOption = None,
    params: ParamsOption = None,
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
    from omasgan import config, evaluate
    from omasgan.progress import Watch
    from omasgan.search import RunJob
    from omasgan.search.local import LocalBackend

    spec = config.load_benchmark(
        benchmark, max_folds=max_folds, max_train=max_train, max_test=max_test
    )
    chosen = _params(detector, params, set_)
    evaluate.resolve_device(device)
    run_seeds = _seeds(seeds) or spec.seeds
    wanted = _integers("--folds", folds)
    store, tracker = _open(out, tracking_uri)
    dataset, run_folds = _load(spec, wanted, data_root, download)
    store.claim_benchmark(spec, dataset.sha256)
    jobs = [
        RunJob(fold.index, detector, chosen, seed, "fixed", store, device, save)
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
    inner: InnerOption = None,
    backend: BackendOption = BackendName.ray,
    address: AddressOption = None,
    cpus_per_trial: CpusOption = None,
    gpus_per_trial: GpusOption = None,
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
    resume: ResumeOption = False,
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

    _check_ray_flags(backend, address, cpus_per_trial, gpus_per_trial)
    _check_flags(selection, transfer_from, inner, sampler, replay)
    wanted = _integers("--folds", folds)
    spec = searching.SweepSpec(
        config.load_benchmark(
            benchmark, max_folds=max_folds, max_train=max_train, max_test=max_test
        ),
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
        result = searching.sweep([spec], store, place, dataset, source=source, on_event=watch)
    _conclude(store, result.rows)


@app.command()
def compare(
    benchmark: BenchmarkArgument,
    detectors: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Besides the yardsticks.  [default: all of them]"),
    ] = None,
    params: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help=f"Folder of <detector>.toml, or '{PUBLISHED}': the papers' settings for "
            "BENCHMARK.  [default: the detectors' defaults]",
        ),
    ] = None,
    controls: Annotated[
        bool, typer.Option("--controls", help="Also OMASGAN with other negatives in B's place.")
    ] = False,
    tune: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Also sweep each detector, N trials a study."),
    ] = None,
    selection: Annotated[
        str | None,
        typer.Option(
            metavar="RULES", help="With --tune: rules, 'nested,oracle'.  [default: nested]"
        ),
    ] = None,
    inner: InnerOption = None,
    folds: FoldsOption = None,
    seeds: SeedsOption = None,
    backend: BackendOption = BackendName.ray,
    address: AddressOption = None,
    cpus_per_trial: CpusOption = None,
    gpus_per_trial: GpusOption = None,
    out: OutOption = Path("out"),
    resume: ResumeOption = False,
    device: DeviceOption = "auto",
    data_root: DataRootOption = None,
    download: DownloadOption = False,
    max_folds: MaxFoldsOption = None,
    max_train: MaxTrainOption = None,
    max_test: MaxTestOption = None,
    tracking_uri: TrackingOption = None,
) -> None:
    """Train and test detectors side by side on the same folds and seeds, with the yardsticks.

    What is done is not trained again: a comparison to which a detector is added trains that one.
    """
    from omasgan import config
    from omasgan import detectors as found
    from omasgan.progress import Watch
    from omasgan.search import compare as comparing

    _check_ray_flags(backend, address, cpus_per_trial, gpus_per_trial)
    rules = _rules(tune, selection, inner)
    names = detectors.split(",") if detectors else found.names()
    wanted, run_seeds = _integers("--folds", folds), _seeds(seeds)
    spec = comparing.CompareSpec(
        config.load_benchmark(
            benchmark, max_folds=max_folds, max_train=max_train, max_test=max_test
        ),
        tuple(names),
        _params_by_detector(params, benchmark, [*comparing.YARDSTICKS, *names]),
        folds=None if wanted is None else tuple(wanted),
        seeds=None if run_seeds is None else tuple(run_seeds),
        controls=controls,
        n_trials=tune,
        rules=rules,
        inner=inner or 2,
        device=device,
        resume=resume,
    )
    comparing.check(spec)
    store, tracker = _open(out, tracking_uri)
    dataset, _ = _load(spec.benchmark, wanted, data_root, download)
    place = _backend(backend, device, address, cpus_per_trial, gpus_per_trial)
    with contextlib.closing(place), Watch(tracker) as watch:
        rows = comparing.compare(spec, store, place, dataset, on_event=watch)
    _conclude(store, rows)


@app.command()
def audit(
    detector: DetectorArgument,
    benchmark: BenchmarkArgument,
    fold: Annotated[int | None, typer.Option(help="Which fold.  [default: the first]")] = None,
    set_: SetOption = None,
    params: ParamsOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the training.")] = 0,
    device: DeviceOption = "auto",
    data_root: DataRootOption = None,
    download: DownloadOption = False,
    max_train: MaxTrainOption = None,
    max_test: MaxTestOption = None,
) -> None:
    """Train a detector on one fold and see whether its scores depend on anything but the sample.

    The test samples are scored together, twice, shuffled, in batches and one by one; the largest
    deviation is in units of the scores' spread. Exits with 1 if a score moves.
    """
    from omasgan import audit as auditing
    from omasgan import config, detectors, evaluate

    spec = config.load_benchmark(benchmark, max_train=max_train, max_test=max_test)
    chosen = _params(detector, params, set_)
    device = evaluate.resolve_device(device)
    wanted = None if fold is None else [fold]
    dataset, (first, *_) = _load(spec, wanted, data_root, download)
    trained = detectors.load(detector)(**chosen, seed=seed, device=device)
    trained.fit(dataset.train.X[first.train])
    found = auditing.audit(trained, dataset.test.X[first.test])
    print(f"{detector} on {spec.id}, fold {first.index}:")
    _print_audit(found)
    if not found.passed:
        print(f"omasgan: scores of {detector} move: {found.moved()}", file=sys.stderr)
        raise typer.Exit(1)


@app.command()
def score(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A run's folder with a saved detector.")
    ],
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGES",
            help="PNG and JPEG files, folders of them, and .npy: uint8 (n,c,h,w), (n,h,w) or "
            "(n,h,w,c), or floats in [-1,1].",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the CSV goes.  [default: stdout]")
    ] = None,
    resize: Annotated[
        bool,
        typer.Option("--resize", help="Resample other sizes, which alone can look anomalous."),
    ] = False,
    device: DeviceOption = "auto",
) -> None:
    """Score images with a detector that 'omasgan run ... --save' kept, as CSV.

    A p-value is the share of held-out normal samples of the BENCHMARK that score at least as
    high: small means unlike those normals. It is valid for a single sample on average, and only
    where normal means what it meant in that benchmark.
    """
    from omasgan import evaluate, saved, scoring
    from omasgan.store import write_atomic

    device = evaluate.resolve_device(device)
    loaded = saved.load(saved.find(folder), device=device)
    text = scoring.to_csv(loaded, scoring.read(images, loaded.description.shape, resize=resize))
    if out is None:
        print(text, end="")
    else:
        write_atomic(out, text.encode())
    what, n = loaded.description, len(loaded.calibration)
    print(
        f"omasgan: p-values are against {n} held-out normals of {what.benchmark}, fold "
        f"{what.fold}; none can be below {1 / (n + 1):.2g}",
        file=sys.stderr,
    )


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


def _params(detector: str, file: Path | None, assigned: list[str] | None) -> dict[str, Any]:
    """All params of a detector, given in a file and one by one."""
    from omasgan import config, detectors

    given = (config.load_params(file) if file else {}) | _assignments(assigned or [])
    return detectors.check_params(detectors.load(detector), given)


def _params_by_detector(
    source: str | None, benchmark: str, names: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """The params that a folder, or the shipped one of the papers' settings, has of ``names``."""
    from omasgan import config

    if source is None:
        return {}
    folder = config.published_params(benchmark) if source == PUBLISHED else Path(source)
    files = {name: folder / f"{name}.toml" for name in names}
    found = {name: config.load_params(file) for name, file in files.items() if file.exists()}
    if not found:
        raise ConfigError(f"--params '{source}' has no <detector>.toml for any of these detectors")
    return found


def _rules(tune: int | None, selection: str | None, inner: int | None) -> tuple[str, ...]:
    """The selection rules of a comparison that is tuned."""
    from omasgan.selection import RULES

    if tune is None and (selection is not None or inner is not None):
        raise ConfigError("--selection and --inner say how --tune chooses; give --tune N as well")
    rules = tuple((selection or "nested").split(","))
    for rule in rules:
        if rule not in RULES:
            raise unknown("selection rule", rule, RULES)
    if "transfer" in rules:
        raise ConfigError("a comparison cannot use --selection transfer; use omasgan sweep for it")
    return rules


def _check_ray_flags(
    backend: BackendName,
    address: str | None,
    cpus_per_trial: float | None,
    gpus_per_trial: float | None,
) -> None:
    flags = {
        "--address": address,
        "--cpus-per-trial": cpus_per_trial,
        "--gpus-per-trial": gpus_per_trial,
    }
    for flag, value in flags.items():
        if value is not None and backend != BackendName.ray:
            raise ConfigError(f"{flag} needs --backend ray, got --backend {backend}")


def _check_flags(
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


def _print_audit(found: Audit) -> None:
    from rich.table import Table

    table = Table("check", "stage", "largest deviation", "verdict")
    for f in found.findings:
        verdict = "stays" if f.passed else "moves"
        table.add_row(f.check, f.stage, f"{f.deviation:.1e}", verdict)
    _print_tables([table])


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
    if verb not in ("run", "sweep", "compare"):
        return ""
    resume = ["--resume"] if verb != "run" and "--resume" not in arguments else []
    return f"; to go on: {shlex.join(['omasgan', *arguments, *resume])}"


def _refuse(message: str) -> int:
    print(f"omasgan: {message}", file=sys.stderr)
    return 2
