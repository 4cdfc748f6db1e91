"""The command line: each verb is a file here, and ``VERBS`` gives it its name.

A verb reads its arguments once, checks them before any work starts and passes them on whole.
Options that several verbs take are in ``options/``. These files import nothing heavy at their top,
so that ``--help`` is quick; each verb imports what it needs.
"""

from __future__ import annotations

import functools
import logging
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from omasgan import __version__
from omasgan.cli import (
    audit,
    benchmark,
    compare,
    fit,
    listing,
    paper,
    plan,
    report,
    run,
    score,
    sensitivity,
    sweep,
    ui,
)
from omasgan.cli.options.groups import flat
from omasgan.cli.options.help import EXAMPLES, GroupedCommand
from omasgan.errors import ConfigError, OmasganError, without_secrets

INTERRUPTED = 130
GO_ON = frozenset({"run", "sweep", "compare", "sensitivity", "paper"})
"""Verbs whose interrupted work the same command carries on."""

TRAINING = GO_ON | {"plan", "audit", "fit"}
"""Verbs that import for seconds before they can say anything."""

# typer carries its own copy of click and exports only this subclass of click's usage errors.
UsageError: type[Any] = typer.BadParameter.__mro__[1]

VERBS: dict[str, Callable[..., None]] = {
    "list": listing.listing,
    "run": run.run,
    "sweep": sweep.sweep,
    "compare": compare.compare,
    "plan": plan.plan,
    "sensitivity": sensitivity.sensitivity,
    "paper": paper.paper,
    "audit": audit.audit,
    "benchmark": benchmark.benchmark,
    "fit": fit.fit,
    "score": score.score,
    "report": report.report,
    "ui": ui.ui,
}
"""In the order of ``--help``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0 for success, 1 for failed runs, 2 for wrong input, 130 for
    an interruption.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    handler = logging.StreamHandler()
    handler.setFormatter(_Discreet("omasgan: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    try:
        _refuse_empty(arguments)
        code = int(_app()(args=arguments, prog_name="omasgan", standalone_mode=False) or 0)
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


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Refuse an empty argument, such as the shell makes of a variable that is not set.

    Raises:
        ConfigError: there is one.
    """
    for before, argument in zip(("", *arguments), arguments, strict=False):
        option = before if not argument else argument.removesuffix("=")
        if argument and not re.fullmatch(r"--[\w-]+=", argument):
            continue
        what = option if option.startswith("--") else "an argument"
        raise ConfigError(f"{what} is empty; give it a value, or leave it out")


class _Discreet(logging.Formatter):
    """Hides the credentials in URIs, of which other libraries' messages know nothing."""

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


def _app() -> typer.Typer:
    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_about)
    for name, verb in VERBS.items():
        announced = _announced(verb) if name in TRAINING else verb
        app.command(name, cls=GroupedCommand, epilog=EXAMPLES[name])(flat(announced))
    return app


def _announced(verb: Callable[..., None]) -> Callable[..., None]:
    """Return ``verb`` with a first line for who looks on and waits."""

    @functools.wraps(verb)
    def announced(**options: Any) -> None:
        if sys.stderr.isatty():
            print("omasgan: loading", file=sys.stderr, flush=True)
        verb(**options)

    return announced


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"omasgan {__version__}")
        raise typer.Exit


def _about(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    """Search, train and compare GAN-based anomaly detectors without fooling yourself."""


def _how_to_go_on(arguments: Sequence[str]) -> str:
    if not arguments or arguments[0] not in GO_ON:
        return ""
    return without_secrets(f"; to go on: {shlex.join(['omasgan', *arguments])}")


def _refuse(message: str) -> int:
    print(f"omasgan: {without_secrets(message)}", file=sys.stderr)
    return 2
