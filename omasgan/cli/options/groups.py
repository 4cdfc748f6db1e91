"""Options that several verbs share, and groups of options.

A verb takes a single option as a parameter of one of these types. Options that belong together
are a group: a frozen dataclass whose fields are options, with the methods that work on them. Typer
wants each option as a parameter of its own, so ``flat`` spreads the groups out.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from omasgan.detectors import full_name

NO_TRACKING = "none"
MAX_SEED = 2**32 - 1
"""The largest seed that all of numpy's generators take."""

BenchmarkArgument = Annotated[
    str,
    typer.Argument(metavar="BENCHMARK", help="A name of 'omasgan list', a TOML file, or data."),
]
DetectorArgument = Annotated[
    str,
    typer.Argument(
        metavar="DETECTOR",
        help="A name of 'omasgan list', package.module:Class or ./file.py:Class.",
        callback=full_name,
    ),
]
StoreArgument = Annotated[str, typer.Argument(metavar="DIR", help="The --out folder, or its URI.")]
LabelOption = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="For data at a path that have columns: that of the classes.  [default: the one named "
        "class, label or target]",
    ),
]
NormalOption = Annotated[
    str | None,
    typer.Option(
        metavar="CLASS",
        help="For data at a path: the only normal class, all others are anomalous.  "
        "[default: leave-one-out]",
    ),
]
SeedsOption = Annotated[
    str | None, typer.Option(metavar="0,1", help="Seeds to train on.  [default: the benchmark's]")
]
EnsembleOption = Annotated[
    int | None,
    typer.Option(
        metavar="K",
        min=2,
        help="Train K members with seeds of their own; combine scores.",
    ),
]
SaveOption = Annotated[bool, typer.Option("--save", help="Save the trained detectors.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<n>.")]
ParamsOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Parameters as TOML; --set wins over it.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="K=V", help="A parameter; may be repeated.")
]
CpusPerTrialOption = Annotated[
    float | None, typer.Option(metavar="N", help="Ray: CPUs for each trial.  [default: 1]")
]
GpusPerTrialOption = Annotated[
    str | None,
    typer.Option(
        metavar="F", help="Ray: share of a GPU for each trial; auto measures it.  [default: 0]"
    ),
]
AtOnceOption = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, help="Ray: trials at once.  [default: as many as there is room for]"
    ),
]
AddressOption = Annotated[
    str | None, typer.Option(help="Ray cluster, host:port or auto.  [default: start one]")
]
InnerOption = Annotated[
    int | None, typer.Option(min=1, help="Tasks a trial is judged by.  [default: 2]")
]
HoursOption = Annotated[
    float | None,
    typer.Option(help="Begin no more trials after so many hours.  [default: no limit]"),
]
ShareStagesOption = Annotated[
    int | None,
    typer.Option(
        metavar="K",
        min=2,
        help="Up to K trials share all phases but the last.  [default: none do]",
    ),
]
FiguresOption = Annotated[
    str | None,
    typer.Option(
        metavar="pdf,png",
        help="Write the page's figures as files of these kinds as well.  [default: none]",
    ),
]
TrackingOption = Annotated[
    str | None,
    typer.Option(
        metavar="URI",
        envvar="MLFLOW_TRACKING_URI",
        help=f"MLflow's tracking URI; '{NO_TRACKING}' tracks nothing.  [default: sqlite in --out]",
    ),
]


def flat(verb: Callable[..., None]) -> Callable[..., None]:
    """Return ``verb`` with the fields of its groups as parameters of their own, for typer."""
    hints = get_type_hints(verb, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}

    @functools.wraps(verb)
    def flat_verb(**options: Any) -> None:
        grouped = {
            name: group(**{field.name: options.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        verb(**grouped, **options)

    parameters: list[Parameter] = []
    for name, own in inspect.signature(verb).parameters.items():
        if name in groups:
            parameters += _parameters(groups[name])
        else:
            kind = Parameter.KEYWORD_ONLY
            parameters.append(Parameter(name, kind, default=own.default, annotation=hints[name]))
    flat_verb.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    flat_verb.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flat_verb


def _parameters(group: Any) -> list[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]
