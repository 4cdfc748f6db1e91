from __future__ import annotations

import inspect
from dataclasses import dataclass, fields, is_dataclass
from typing import get_type_hints

import pytest

from omasgan.cli import VERBS
from omasgan.cli.options.groups import DeviceOption, SaveOption, flat


@dataclass(frozen=True, kw_only=True)
class Light:
    device: DeviceOption
    save: SaveOption = False


seen: list[tuple[int, Light]] = []


def shine(n: int, *, light: Light, times: int = 1) -> None:
    """Note what there is."""
    seen.append((n * times, light))


def test_a_group_is_spread_out_and_put_together_again() -> None:
    verb = flat(shine)
    parameters = inspect.signature(verb).parameters
    assert list(parameters) == ["n", "device", "save", "times"]
    assert parameters["device"].annotation == DeviceOption
    assert parameters["device"].default is inspect.Parameter.empty
    assert parameters["save"].default is False and parameters["times"].default == 1
    assert verb.__doc__ == "Note what there is."
    verb(n=2, device="cpu", save=True, times=3)
    assert seen == [(6, Light(device="cpu", save=True))]


@pytest.mark.parametrize("verb", VERBS)
def test_no_option_hides_another(verb: str) -> None:
    hints = get_type_hints(VERBS[verb])
    names = [name for name, hint in hints.items() if not is_dataclass(hint) and name != "return"]
    for group in filter(is_dataclass, hints.values()):
        names += [field.name for field in fields(group)]
    assert sorted(names) == sorted(inspect.signature(flat(VERBS[verb])).parameters)
    assert len(names) == len(set(names))
