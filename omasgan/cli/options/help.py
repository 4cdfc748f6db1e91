"""What ``--help`` shows: options in groups, an example for each verb, within 80 columns."""

from __future__ import annotations

from typing import Any

import typer.core

PANELS = {
    "Detector": (
        *("detector", "detectors", "params", "set_", "controls", "ensemble", "seeds", "fold"),
        *("save", "device", "around", "design", "points", "budget", "from_", "all_"),
    ),
    "Search": (
        *("trials", "hours", "tune", "space", "selection", "transfer_from", "inner", "sampler"),
        *("pruner", "seed", "prune_collapsed", "replay", "enqueue", "winner"),
        *("share_stages", "share_until", "storage", "probes"),
    ),
    "Data": (
        *("folds", "max_folds", "max_train", "max_test", "labelled", "label", "normal"),
        *("data_root", "download", "resize"),
    ),
    "Ray": (
        *("backend", "address", "cpus_per_trial", "gpus_per_trial", "at_once", "stall_timeout"),
        *("cpus", "gpus", "gpu_memory"),
    ),
    "Checkpoints": ("checkpoint_seconds", "checkpoint_budget", "keep_checkpoints"),
    "Output and MLflow": (
        *("out", "tracking_uri", "html", "figures", "sync_mlflow", "port", "open_"),
    ),
}
"""The options of each group, by the names of their parameters."""
OTHERS = "Options"
EXAMPLES = {
    "list": "omasgan list",
    "run": "omasgan run digits-loo knn --folds 1,8\n"
    "omasgan run digits-loo omasgan --folds 1 --set zeta=0.5 --out out/mine",
    "sweep": "omasgan sweep digits-loo vae --folds 1 --trials 6 --out out/vae\n"
    "omasgan sweep digits-loo omasgan --trials 20 --gpus-per-trial 0.25",
    "compare": "omasgan compare digits-loo --detectors omasgan,vae --folds 1,3,8\n"
    "omasgan compare digits-loo --tune 20",
    "plan": "omasgan plan digits-loo omasgan,vae\n"
    "omasgan plan digits-loo omasgan --trials 20 --cpus 16",
    "sensitivity": "omasgan sensitivity digits-loo omasgan --params mu,nu,zeta\n"
    "omasgan sensitivity --from out/vae",
    "paper": "omasgan paper\nomasgan paper --all --budget smoke",
    "audit": "omasgan audit omasgan digits-loo --fold 1",
    "benchmark": "omasgan benchmark init my-images/ > mine.toml",
    "fit": "omasgan fit normals/ --detector omasgan --save trained",
    "score": "omasgan score trained new-images/ --resize --out scores.csv",
    "report": "omasgan report out/vae",
    "ui": "omasgan ui out/vae --open",
}
"""By verb, one command a line."""


class GroupedCommand(typer.core.TyperCommand):
    """A verb whose help has its options in groups."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, each group below its own heading."""
        of_name = {name: panel for panel, names in PANELS.items() for name in names}
        panels: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        panels |= {panel: [] for panel in (*PANELS, OTHERS)}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                is_option = param.param_type_name == "option"
                panel = of_name.get(param.name or "", OTHERS) if is_option else "Arguments"
                panels[panel].append(record)
        for panel, records in panels.items():
            if records:
                with formatter.section(panel):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples as they are: a command that is wrapped cannot be copied."""
        if self.epilog:
            with formatter.section("Examples"):
                formatter.write("".join(f"  {line}\n" for line in self.epilog.splitlines()))
