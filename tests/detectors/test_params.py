"""Params: read from the constructor, checked, and never out of their range."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter

from omasgan import config, detectors
from omasgan.detectors import check_params, parameters, parse_params
from omasgan.detectors.neural import NeuralDetector
from omasgan.detectors.params import Phase
from omasgan.detectors.ranges import Positive, Share
from omasgan.errors import ConfigError
from tests.toy import CurveDetector


class Plain(CurveDetector):
    """A class that is no dataclass of its own."""

    def __init__(  # noqa: PLR0913 - a param of each kind
        self,
        *,
        rate: Annotated[float, Field(gt=0, le=1)] = 0.1,
        sizes: list[int] | None = None,
        mode: Literal["slow", "fast"] = "fast",
        level: int | None = None,
        wide: bool = False,
        note: str = "",
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        super().__init__(seed=seed, device=device)
        self.rate, self.sizes, self.mode = rate, sizes, mode
        self.level, self.wide, self.note = level, wide, note


@dataclass(kw_only=True, eq=False, repr=False)
class Inheriting(CurveDetector):
    """Its inherited fields have types that are not imported here."""

    share: Share = 0.5
    needed: int


class Opaque:
    """A class of which pydantic knows nothing."""


TYPES: dict[str, type[Any]] = {
    name: detectors.load(name) for name in ("omasgan", "vae", "anogan", "ocsvm", "pca")
} | {"plain": Plain}


def test_a_plain_constructor_says_what_it_takes() -> None:
    assert list(parameters(Plain)) == ["rate", "sizes", "mode", "level", "wide", "note"]
    assert check_params(Plain, {"sizes": [3, 4], "mode": "slow", "level": 2}) == {
        "rate": 0.1, "sizes": [3, 4], "mode": "slow", "level": 2, "wide": False, "note": "",
    }  # fmt: skip
    assert parameters(Plain)["mode"].choices == ("slow", "fast")
    assert parameters(Plain)["wide"].choices == (False, True)
    assert parameters(Plain)["rate"].choices == ()


def test_inherited_fields_are_read_where_they_were_written() -> None:
    assert parameters(Inheriting)["lr"].annotation == Positive
    assert check_params(Inheriting, {"needed": 3})["epochs"] == 3
    with pytest.raises(ConfigError, match="Inheriting: lr: Input should be greater than 0, got 0"):
        check_params(Inheriting, {"needed": 3, "lr": 0})


def test_a_missing_value_is_named() -> None:
    with pytest.raises(ConfigError, match="Inheriting: needed has no default; give it a value"):
        check_params(Inheriting, {})


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"rate": math.inf}, "rate: Input should be a finite number, got inf"),
        ({"rate": math.nan}, "rate: Input should be a finite number, got nan"),
        ({"rate": "0.5"}, "rate: must be float, got the text '0.5'; leave the quotes out"),
        ({"rate": "fast"}, "rate: Input should be a valid number, .*, got 'fast'"),
        ({"rate": True}, "rate: must be float, got True; give a number"),
        ({"rate": 2}, "rate: Input should be less than or equal to 1, got 2"),
        ({"level": "1"}, "level: must be int, got the text '1'"),
        ({"level": 1.5}, "level: Input should be a valid integer, .*, got 1.5"),
        ({"wide": "yes"}, "wide: must be bool, got the text 'yes'"),
        ({"mode": "medium"}, "mode: Input should be 'slow' or 'fast', got 'medium'"),
        ({"note": 5}, "note: Input should be a valid string, got 5"),
        ({"rat": 5}, "unknown parameter of Plain 'rat'; did you mean 'rate'"),
        ({"seed": 5}, "unknown parameter of Plain 'seed'"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_by_name(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        check_params(Plain, params)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["inf", "nan", "-inf", "'1'", "true", "-1"])
def test_a_toml_file_is_checked_as_strictly(value: str, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(f"mu = {value}\n")
    with pytest.raises(ConfigError, match="OMASGAN: mu: "):
        check_params(TYPES["omasgan"], config.load_params(tmp_path / "p.toml"))


def test_the_texts_of_a_command_line_mean_values() -> None:
    texts = {"rate": "5e-1", "level": "7", "wide": "true", "note": "1", "mode": "slow"}
    values = {"rate": 0.5, "level": 7, "wide": True, "note": "1", "mode": "slow"}
    assert parse_params(Plain, texts) == values
    assert check_params(Plain, values) == values | {"sizes": None}
    for text in ("inf", "nan", "1e999", "0", "-1", "2", "half", ""):
        with pytest.raises(ConfigError, match="Plain: rate: "):
            parse_params(Plain, {"rate": text})


TEXTS = st.one_of(
    st.text(),
    st.floats().map(repr),
    st.integers().map(str),
    st.sampled_from(["inf", "-inf", "nan", "1e999", "1_0", " 3 ", "0x1", "true", "no", "١", "½"]),
)


def is_in_range(annotation: Any, value: Any) -> bool:
    """Whether pydantic, without conversion, takes ``value``, and JSON can hold it."""
    json.dumps(value, allow_nan=False)
    return bool(TypeAdapter(annotation).validate_python(value, strict=True) == value)


@given(data=st.data(), text=TEXTS)
def test_whatever_is_assigned_ends_in_range_or_in_one_line(data: st.DataObject, text: str) -> None:
    cls = TYPES[data.draw(st.sampled_from(sorted(TYPES)))]
    params = parameters(cls)
    name = data.draw(st.sampled_from(sorted(params)))
    try:
        values = parse_params(cls, {name: text})
    except ConfigError as error:
        assert name in str(error) and len(str(error).splitlines()) == 1
    else:
        assert is_in_range(params[name].annotation, values[name])
        assert check_params(cls, values)[name] == values[name]


@given(
    data=st.data(),
    value=st.one_of(TEXTS, st.none(), st.booleans(), st.floats(), st.integers(), st.binary()),
)
def test_whatever_a_file_holds_does_too(data: st.DataObject, value: Any) -> None:
    cls = TYPES[data.draw(st.sampled_from(sorted(TYPES)))]
    params = parameters(cls)
    name = data.draw(st.sampled_from(sorted(params)))
    try:
        checked = check_params(cls, {name: value})[name]
    except ConfigError as error:
        assert name in str(error) and len(str(error).splitlines()) == 1
        assert not params[name].takes(value)
    else:
        assert is_in_range(params[name].annotation, checked)
        assert params[name].takes(value)


def unannotated() -> type[Any]:
    class Bare(CurveDetector):
        def __init__(self, *, mu=1.0, seed=0, device="cpu"):  # type: ignore[no-untyped-def]
            self.mu = mu

    return Bare


def unnamed() -> type[Any]:
    class Open(CurveDetector):
        def __init__(self, *, seed: int = 0, device: str = "cpu", **more: Any) -> None: ...

    return Open


def seedless() -> type[Any]:
    class Seedless(CurveDetector):
        def __init__(self, *, mu: float = 1.0, device: str = "cpu") -> None: ...

    return Seedless


def misspelt() -> type[Any]:
    class Misspelt(CurveDetector):
        def __init__(self, *, mu: Flaot = 1.0, seed: int = 0, device: str = "cpu") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    return Misspelt


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (unannotated, "Bare: the constructor must annotate 'mu' with its type, for instance mu:"),
        (unnamed, r"Open: the constructor must take each param by its name, got '\*\*more: "),
        (seedless, "Seedless: the constructor must take seed and device, got no seed; add seed"),
        (misspelt, "Misspelt: an annotation of the constructor cannot be understood: .*'Flaot'"),
    ],
)
def test_a_constructor_that_does_not_say_what_it_takes_is_refused(
    build: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_params(build(), {"mu": 1.0})
    with pytest.raises(ConfigError, match=message):
        check_params(build(), {})


def test_a_type_that_no_text_means_is_refused_by_name() -> None:
    class Odd(CurveDetector):
        def __init__(
            self, *, mu: Opaque | None = None, seed: int = 0, device: str = "cpu"
        ) -> None: ...

    with pytest.raises(ConfigError, match="Odd: mu: its annotation must be a type such as int"):
        parse_params(Odd, {"mu": "1"})


def test_a_value_that_json_cannot_hold_is_refused() -> None:
    class Far(CurveDetector):
        def __init__(
            self, *, mu: Any = 1, root: Path = Path(), seed: int = 0, device: str = "cpu"
        ) -> None: ...

    for params in ({"mu": math.inf}, {"mu": {1, 2}}, {"root": "there"}):
        with pytest.raises(ConfigError, match="must be finite numbers, texts, bools, or lists"):
            check_params(Far, params)


@dataclass(kw_only=True, eq=False, repr=False)
class Phased(NeuralDetector):
    """States phases beside some of its params; it is never trained."""

    first: Annotated[int, Phase("one")] = 1
    second: Annotated[Positive, Phase("two")] = 2.0
    third: Annotated[float, Phase("three")] = 3.0
    steps: int = 100

    def _phases(self) -> Mapping[str, int]:
        return {"one": self.steps, "two": 100, "three": 100}

    def _enter(self, phase: str) -> None: ...

    def _new(self, name: str) -> Any: ...

    def _step(self, phase: str, normals: Any) -> dict[str, Any]:
        return {}

    def _scores(self, x: Any) -> dict[str, Any]:
        return {}


def test_a_beginning_depends_on_the_phases_up_to_its_own_and_on_params_without_one() -> None:
    one, two = Phased(seed=5).beginnings()
    assert (one.phase, one.epochs, two.phase, two.epochs) == ("one", 2, "two", 4)
    base = set(parameters(NeuralDetector)) | {"steps"}
    assert set(one.params) == base | {"first"}
    assert set(two.params) == base | {"first", "second"}
    assert [b.phase for b in Phased(steps=0).beginnings()] == ["two"]


def test_a_range_survives_the_phase_beside_it() -> None:
    assert parameters(Phased)["second"].phase == "two"
    with pytest.raises(ConfigError, match="second: Input should be greater than 0"):
        check_params(Phased, {"second": -1.0})
