"""``omasgan run``."""

from __future__ import annotations

from omasgan.cli.options import values
from omasgan.cli.options.data import FoldedData
from omasgan.cli.options.execution import HereOrOnRay
from omasgan.cli.options.groups import (
    BenchmarkArgument,
    DetectorArgument,
    DeviceOption,
    EnsembleOption,
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
    ensemble: EnsembleOption = None,
    execution: HereOrOnRay,
    output: Output,
    save: SaveOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Train and test a detector at fixed parameters.

    It is trained and tested on each fold of the benchmark, with each seed. A finished run is not
    trained again; an interrupted one goes on from its checkpoint.
    """
    from omasgan.experiments import ensemble as ensembles
    from omasgan.experiments import versions
    from omasgan.training import labelled
    from omasgan.training.jobs import RunJob

    spec = data.benchmark(benchmark)
    run_params = values.params(detector, params, set_)
    labelled.check_detector(detector, spec)
    run_seeds = values.seeds(seeds) or spec.seeds
    if ensemble is not None:
        ensembles.check(ensemble, run_seeds)
    wanted = data.wanted()
    data.check(spec)
    store, tracker = output.open()
    execution.check(device)
    with (
        execution.opened(device, lambda: data.load(spec, wanted)) as (backend, (dataset, folds)),
        at_work(store, tracker) as watch,
    ):
        jobs = [
            RunJob(
                fold=fold.index,
                detector=detector,
                params=run_params,
                seed=seed,
                selection="fixed" if ensemble is None else ensembles.rule(ensemble),
                store=store,
                device=device,
                save=save,
            )
            for fold in folds
            for seed in run_seeds
        ]
        backend.check_out(store.root)
        store.claim_benchmark(spec, dataset.sha256)
        versions.note_others(jobs, spec, watch)
        if ensemble is None:
            rows = backend.runs(jobs, spec, dataset, watch)
        else:
            rows = ensembles.runs(jobs, ensemble, backend, spec, dataset, watch)
    conclude(store, rows, tracker)
