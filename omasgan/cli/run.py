"""``omasgan run``."""

from __future__ import annotations

from omasgan.cli.options import values
from omasgan.cli.options.data import FoldedData
from omasgan.cli.options.groups import (
    BenchmarkArgument,
    DetectorArgument,
    DeviceOption,
    ParamsOption,
    SaveOption,
    SeedsOption,
    SetOption,
)
from omasgan.cli.options.output import Output, at_work, conclude


def run(  # noqa: PLR0913 - typer reads an option from each
    benchmark: BenchmarkArgument,
    detector: DetectorArgument,
    *,
    set_: SetOption = None,
    params: ParamsOption = None,
    data: FoldedData,
    seeds: SeedsOption = None,
    output: Output,
    save: SaveOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Train a detector with fixed parameters on the folds of a benchmark and test it.

    A finished run is not trained again; an interrupted one goes on from its checkpoint.
    """
    from omasgan.backends.local import LocalBackend
    from omasgan.experiments import versions
    from omasgan.training import environment, labels
    from omasgan.training.jobs import RunJob

    spec = data.benchmark(benchmark)
    run_params = values.params(detector, params, set_)
    labels.check_detector(detector, spec)
    run_seeds = values.seeds(seeds) or spec.seeds
    wanted = data.wanted()
    data.check(spec)
    store, tracker = output.open()
    environment.resolve_device(device)
    dataset, folds = data.load(spec, wanted)
    jobs = [
        RunJob(
            fold=fold.index,
            detector=detector,
            params=run_params,
            seed=seed,
            selection="fixed",
            store=store,
            device=device,
            save=save,
        )
        for fold in folds
        for seed in run_seeds
    ]
    with at_work(store, tracker) as watch:
        store.claim_benchmark(spec, dataset.sha256)
        versions.note_others(jobs, spec, watch)
        rows = LocalBackend().runs(jobs, spec, dataset, watch)
    conclude(store, rows)
