from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, fields, is_dataclass
from typing import get_type_hints

import pytest
import typer

from omasgan.cli import VERBS, _app
from omasgan.cli.options.execution import unused_gpus
from omasgan.cli.options.groups import DeviceOption, SaveOption, flat
from omasgan.experiments.compare import CompareSpec
from omasgan.experiments.sweep import SweepSpec


@dataclass(frozen=True, kw_only=True)
class Light:
    device: DeviceOption
    save: SaveOption = False


calls: list[tuple[int, Light]] = []


def shine(n: int, *, light: Light, times: int = 1) -> None:
    """Note the arguments."""
    calls.append((n * times, light))


def test_a_group_is_spread_out_and_put_together_again() -> None:
    verb = flat(shine)
    parameters = inspect.signature(verb).parameters
    assert list(parameters) == ["n", "device", "save", "times"]
    assert parameters["device"].annotation == DeviceOption
    assert parameters["device"].default is inspect.Parameter.empty
    assert parameters["save"].default is False and parameters["times"].default == 1
    assert verb.__doc__ == "Note the arguments."
    verb(n=2, device="cpu", save=True, times=3)
    assert calls == [(6, Light(device="cpu", save=True))]


@pytest.mark.parametrize("verb", VERBS)
def test_no_option_hides_another(verb: str) -> None:
    hints = get_type_hints(VERBS[verb])
    names = [name for name, hint in hints.items() if not is_dataclass(hint) and name != "return"]
    for group in filter(is_dataclass, hints.values()):
        names += [field.name for field in fields(group)]
    assert sorted(names) == sorted(inspect.signature(flat(VERBS[verb])).parameters)
    assert len(names) == len(set(names))


def help_of(verb: str, option: str) -> str:
    command = typer.main.get_command(_app()).commands[verb]  # type: ignore[attr-defined]
    (parameter,) = (p for p in command.params if option in p.opts)
    return str(parameter.help)


@pytest.mark.parametrize(
    ("verb", "option", "default"),
    [
        ("sweep", "--sampler", SweepSpec.sampler),
        ("sweep", "--pruner", SweepSpec.pruner),
        ("sweep", "--inner", SweepSpec.inner),
        ("compare", "--inner", CompareSpec.inner),
        ("compare", "--selection", ",".join(CompareSpec.rules)),
    ],
)
def test_the_default_that_a_help_text_names_is_the_one_that_holds(
    verb: str, option: str, default: object
) -> None:
    assert re.findall(r"\[default: (.*)\]", help_of(verb, option)) == [str(default)]


@pytest.mark.parametrize(
    ("option", "argument", "unit"),
    [
        ("--cpus-per-trial", "cpus_per_trial", 1),
        ("--gpus-per-trial", "gpus_per_trial", 1),
        ("--stall-timeout", "stall_seconds", 60),
    ],
)
def test_the_default_of_a_ray_option_is_the_backends(
    option: str, argument: str, unit: float
) -> None:
    from omasgan.backends.ray.backend import RayBackend

    (default,) = re.findall(r"\[default: (.*)\]", help_of("sweep", option))
    assert float(default) * unit == inspect.signature(RayBackend).parameters[argument].default


@pytest.mark.parametrize(
    ("n", "share", "note"),
    [
        (0, None, None),
        (1, "0", None),
        (1, "auto", None),
        (1, None, "1 GPU is here and unused; --gpus-per-trial 1 (or a share, or auto) uses it"),
        (
            4,
            None,
            "4 GPUs are here and unused; --gpus-per-trial 1 (or a share, or auto) uses them",
        ),
    ],
)
def test_gpus_that_nobody_asked_for_are_told(n: int, share: str | None, note: str | None) -> None:
    assert unused_gpus(n, share) == note
