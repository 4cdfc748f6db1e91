"""Suites: the trainings and drawings behind one of the paper's figures or tables, from TOML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from omasgan import config
from omasgan.config import Cap, Seed
from omasgan.errors import ConfigError, unknown

BudgetName: TypeAlias = Literal["smoke", "small", "full"]
BUDGETS: tuple[BudgetName, ...] = get_args(BudgetName)
Kind: TypeAlias = Literal[
    "folds", "stages", "divergences", "seeds", "benchmarks", "properties",
    "plane", "boundaries", "evolution", "losses", "grid", "thresholds", "regret",
]  # fmt: skip
SAVING: frozenset[Kind] = frozenset({"plane", "boundaries", "evolution", "thresholds", "regret"})
"""Drawings that need the trained detectors themselves."""
DEFAULTS = "defaults"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Arm(_Table):
    """A detector at its settings, and the ``source``s of ``published.csv`` whose numbers are shown
    beside it.

    ``settings`` is ``defaults`` or a folder of ``benchmarks/params``; without it the budget's
    apply. The budget's params override these, ``params`` override both, and each combination of
    the values in ``vary`` is a variant of the arm. With ``ensemble`` it is an ensemble of so many
    members (``omasgan.experiments.ensemble``).
    """

    detector: str
    settings: str | None = None
    params: Mapping[str, Any] = {}
    vary: Mapping[str, tuple[Any, ...]] = {}
    ensemble: Annotated[int, Field(ge=2)] | None = None
    published: tuple[str, ...] = ()


class Pool(_Table):
    """Configurations of one detector, from which each of ``rules`` chooses.

    The first are its defaults, the others are drawn at random from its search space, in which
    ``space`` replaces params. ``inner`` is the most tasks that ``nested`` judges by, ``top`` how
    many of the best are an ensemble, and ``stages`` are the scores that are looked at, where the
    detector has several.
    """

    detector: str
    stages: tuple[str, ...] = ()
    space: Mapping[str, Any] = {}
    rules: tuple[Literal["nested", "proxy"], ...] = ("nested", "proxy")
    inner: Annotated[int, Field(ge=1)] = 2
    top: Annotated[int, Field(ge=2)] = 5


class Budget(_Table):
    """How much is trained: folds, seeds, samples of a fold, and by detector the params that
    shorten its training. A pool has so many ``trials`` as configurations; ``space`` replaces
    params of its space.
    """

    trials: Annotated[int, Field(ge=2)] = 30
    space: Mapping[str, Any] = {}
    folds: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    seeds: tuple[Seed, ...] = Field(min_length=1)
    max_train: Cap = None
    max_test: Cap = None
    settings: str = DEFAULTS
    params: Mapping[str, Mapping[str, Any]] = {}

    @property
    def is_capped(self) -> bool:
        return self.max_train is not None or self.max_test is not None


class Drawing(_Table):
    """One figure or table of ``arms`` (none means all); ``stages`` are those that it compares."""

    kind: Kind
    title: str
    caption: str = ""
    arms: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()


class Quote(_Table):
    """A statement of the paper that is no number of ``published.csv``."""

    what: str
    value: str
    source: str
    trust: str


class Suite(_Table):
    """One figure or table of the paper; ``about`` says in our words what it shows."""

    name: str
    title: str
    about: str
    benchmarks: tuple[str, ...] = ()
    arms: Mapping[str, Arm] = {}
    pool: Pool | None = None
    budgets: Mapping[BudgetName, Budget]
    drawings: tuple[Drawing, ...] = Field(min_length=1)
    quotes: tuple[Quote, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Suite:
        if missing := [name for name in BUDGETS if name not in self.budgets]:
            raise ValueError(f"budgets must hold {', '.join(BUDGETS)}, got no '{missing[0]}'")
        if bool(self.arms or self.pool) != bool(self.benchmarks):
            raise ValueError("arms (or a pool) and benchmarks must be given together, or neither")
        if any(drawing.kind == "regret" for drawing in self.drawings) != bool(self.pool):
            raise ValueError("a pool is drawn as 'regret', and nothing else is")
        for drawing in self.drawings:
            for name in drawing.arms:
                if name not in self.arms:
                    raise ValueError(str(unknown("arm", name, self.arms)))
        ensembles = [name for name, arm in self.arms.items() if arm.ensemble]
        if self.saves and ensembles:
            raise ValueError(
                "a suite that draws trained detectors cannot have ensembles, got "
                f"'{ensembles[0]}'; draw it in a suite of its own"
            )
        return self

    @property
    def saves(self) -> bool:
        """Whether the trained detectors are saved beside their rows."""
        return any(drawing.kind in SAVING for drawing in self.drawings)


def names() -> list[str]:
    """The shipped suites, in the paper's order, then those of other sources.

    >>> names()[:2], names()[-2:]
    (['figure-3', 'figure-4'], ['selection-regret-vae', 'waic'])
    """
    stems = [path.stem for path in config.paper_suites().glob("*.toml")]
    parts = {stem: stem.partition("-")[::2] for stem in stems}
    numbered = [stem for stem in stems if parts[stem][1].isdigit()]
    others = sorted(set(stems) - set(numbered))
    return sorted(numbered, key=lambda stem: (parts[stem][0], int(parts[stem][1]))) + others


def load(name_or_path: str) -> Suite:
    """A shipped suite by name, or one's own by the path of its TOML.

    ``budget = "images"`` includes the budgets of ``budgets/images.toml``; the suite's own
    ``budgets`` override them, key by key.

    Raises:
        ConfigError: no such suite, or a TOML that does not describe one.
    """
    is_path = name_or_path.endswith(".toml") or "/" in name_or_path
    if not is_path and name_or_path not in names():
        raise unknown("suite", name_or_path, names())
    path = Path(name_or_path) if is_path else config.paper_suites() / f"{name_or_path}.toml"
    tables = config.load_toml(path)
    common = tables.pop("budget", None)
    shared = {} if common is None else _budgets(path, common)
    own = tables.get("budgets", {})
    merged = {name: {**shared.get(name, {}), **own.get(name, {})} for name in {**shared, **own}}
    try:
        return Suite.model_validate({**tables, "name": path.stem, "budgets": merged})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = "no such key"
        raise ConfigError(f"{path}: {key + ': ' if key else ''}{message}") from error


def _budgets(path: Path, name: str) -> dict[str, Any]:
    folder = config.paper_suites() / "budgets"
    valid = sorted(file.stem for file in folder.glob("*.toml"))
    if name not in valid:
        raise ConfigError(f"{path}: {unknown('budget file', name, valid)}")
    return config.load_toml(folder / f"{name}.toml")
