"""``omasgan run``."""

from __future__ import annotations

from omasgan.cli.options import values
from omasgan.cli.options.data import FoldedData
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
    output: Output,
    save: SaveOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Train a detector with fixed parameters on the folds of a benchmark and test it.

    A finished run is not trained again; an interrupted one goes on from its checkpoint.
    """
    from omasgan.backends.local import LocalBackend
    from omasgan.experiments import ensemble as ensembles
    from omasgan.experiments import versions
    from omasgan.training import environment, labelled
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
    environment.resolve_device(device)
    dataset, folds = data.load(spec, wanted)
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
    with at_work(store, tracker) as watch:
        store.claim_benchmark(spec, dataset.sha256)
        versions.note_others(jobs, spec, watch)
        if ensemble is None:
            rows = LocalBackend().runs(jobs, spec, dataset, watch)
        else:
            rows = ensembles.runs(jobs, ensemble, LocalBackend(), spec, dataset, watch)
    conclude(store, rows)
