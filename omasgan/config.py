"""Read TOML files as frozen, checked specs, and find the shipped ones by name."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from omasgan.errors import ConfigError, unknown

Protocol = Literal["leave-one-out", "one-vs-rest", "out-of-dataset", "semi-supervised"]
Metric = Literal["auroc", "average_precision", "fpr95"]
Kind = Literal["benchmarks", "search_spaces"]
Seed = Annotated[int, Field(ge=0, lt=1_000_000)]
Cap = Annotated[int, Field(ge=1)] | None
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

TABLES = (".csv", ".parquet")
DATA_FILES = (".npz", *TABLES)
"""How the names of files end that are data of the user's own."""


class BenchmarkSpec(BaseModel):
    """What is compared: data, protocol, seeds, metrics and the version of these rules.

    ``dataset`` is a name of ``datasets.names()`` or the path of data that ``data/own.py`` reads;
    only out-of-dataset has ``anomalies``, another such one or one of ``shifts.SETS``.
    ``validation_fraction`` is the share of the normal training samples that no detector trains
    on. ``max_folds`` takes the first folds; ``max_train`` caps a fold's train and validation
    samples together, ``max_test`` its test samples. ``labelled`` is how many samples of the
    anomalous class in the train split a detector is shown as anomalies; only semi-supervised has
    it. These numbers change ``id``. ``label`` is the column of classes of a table at a path.
    ``normal`` is the only class that is ever normal; only one-vs-rest has it, and then one fold.
    ``sha256`` is what the data must have.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=100)
    version: int = Field(ge=1)
    description: str = ""
    protocol: Protocol
    dataset: str
    anomalies: str | None = None
    label: str | None = None
    normal: str | None = None
    sha256: Sha256 | None = None
    seeds: tuple[Seed, ...] = Field(default=(0, 1, 2), min_length=1)
    metrics: tuple[Metric, ...] = Field(
        default=("auroc", "average_precision", "fpr95"), min_length=1
    )
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    split_seed: Seed = 0
    max_folds: Cap = None
    max_train: Cap = None
    max_test: Cap = None
    labelled: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> BenchmarkSpec:
        if (self.anomalies is not None) != (self.protocol == "out-of-dataset"):
            raise ValueError(
                "anomalies must be given with protocol 'out-of-dataset', and only then"
            )
        if (self.labelled is not None) != (self.protocol == "semi-supervised"):
            raise ValueError(
                "labelled must be given with protocol 'semi-supervised', and only then"
            )
        if self.normal is not None and self.protocol != "one-vs-rest":
            raise ValueError("normal must be given with protocol 'one-vs-rest' only")
        if self.label is not None and not is_data_path(self.dataset):
            raise ValueError("label must be given with a table as dataset only")
        if self.anomalies == self.dataset:
            raise ValueError("anomalies must be another data set than dataset")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds must differ from each other")
        return self

    @property
    def id(self) -> str:
        """Name, version and numbers: ``digits-loo-v1``, ``digits-loo-v1-f2-train500-test200`` or
        ``digits-few-labels-v1-labelled10``.
        """
        caps = {"f": self.max_folds, "train": self.max_train, "test": self.max_test}
        numbers = caps | {"labelled": self.labelled}
        parts = (f"-{key}{number}" for key, number in numbers.items() if number is not None)
        return f"{self.name}-v{self.version}" + "".join(parts)

    def identity(self) -> dict[str, Any]:
        """Return everything that the numbers depend on, ready for JSON; of data at a path their
        name, since a folder may be moved and its checksum is compared anyway.
        """
        # Benchmarks that don't say these are the same as before they could.
        absent = {key for key in ("labelled", "normal") if getattr(self, key) is None}
        content = self.model_dump(mode="json", exclude={"description", "label", "sha256"} | absent)
        for key in ("dataset", "anomalies"):
            if content[key] is not None and is_data_path(content[key]):
                content[key] = data_name(Path(content[key]))
        return content


def resource(kind: Kind, name: str) -> Path:
    """Return the path of the shipped TOML ``name``, in a checkout or in an installed wheel.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in resource_names(kind):
        raise unknown(kind.removesuffix("s").replace("_", " "), name, resource_names(kind))
    return _folder(kind) / f"{name}.toml"


def resource_names(kind: Kind) -> list[str]:
    """Return the names of the shipped TOMLs of one kind, sorted."""
    return sorted(path.stem for path in _folder(kind).glob("*.toml"))


def _folder(kind: Kind) -> Path:
    package = Path(__file__).resolve().parent
    installed = package / "_data"
    return (installed if installed.is_dir() else package.parent) / kind


def benchmark_names() -> list[str]:
    """Return the names of the shipped benchmarks.

    >>> "digits-loo" in benchmark_names()
    True
    """
    return resource_names("benchmarks")


def load_benchmark(
    name_or_path: str,
    *,
    max_folds: int | None = None,
    max_train: int | None = None,
    max_test: int | None = None,
    labelled: int | None = None,
    label: str | None = None,
    normal: str | None = None,
) -> BenchmarkSpec:
    """Return a shipped benchmark by name, another one by the path of its TOML, or one of data of
    the user's own by their path. A folder that bears a shipped name is meant by a path with a
    slash, such as ``./digits-loo``.

    The numbers override those of the TOML. ``label`` and ``normal`` are for data at a path: with
    ``normal`` they are one-vs-rest with that class alone, else leave-one-out.

    Raises:
        ConfigError: no such benchmark, or a TOML that does not describe one.
    """
    path = Path(name_or_path)
    caps = {"max_folds": max_folds, "max_train": max_train, "max_test": max_test}
    numbers = caps | {"labelled": labelled}
    is_shipped = name_or_path in benchmark_names()
    if not is_shipped and (path.is_dir() or is_data_file(path)):
        table = _own_benchmark(path, label, normal)
    elif label is not None or normal is not None:
        raise ConfigError(
            f"--label and --normal are for data at a path, but '{name_or_path}' is a benchmark; "
            "write label and normal into a TOML of your own"
        )
    else:
        is_path = path.suffix == ".toml" or "/" in name_or_path
        path = path if is_path else resource("benchmarks", name_or_path)
        table = load_toml(path)
    table |= {key: n for key, n in numbers.items() if n is not None}
    try:
        return BenchmarkSpec.model_validate(table)
    except ValidationError as error:
        raise _one_line(path, error) from error


def is_data_path(name: str) -> bool:
    """Return whether ``name`` is a path to data and not the name of a data set.

    >>> is_data_path("mnist"), is_data_path("my/images"), is_data_path("parts.npz")
    (False, True, True)
    """
    return "/" in name or is_data_file(Path(name))


def is_data_file(path: Path) -> bool:
    """Return whether a file may hold a data set, by its name."""
    return path.suffix.lower() in DATA_FILES


def is_table(path: Path) -> bool:
    """Return whether a file may hold a table, by its name."""
    return path.suffix.lower() in TABLES


def data_name(path: Path) -> str:
    """Return the name of the data at ``path``, as a benchmark may bear it.

    >>> data_name(Path("data/My images/")), data_name(Path("parts_v2.npz"))
    ('my-images', 'parts-v2')
    """
    return _name(path.absolute().stem, 80)


def _name(text: str, most: int) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", text.lower())
    return name.strip("-")[:most].strip("-") or "data"


def _own_benchmark(path: Path, label: str | None, normal: str | None) -> dict[str, Any]:
    """Return the content of a TOML for the data at ``path``."""
    dataset = str(path) if is_data_path(str(path)) else f"./{path}"
    table = {"version": 1, "dataset": dataset, "label": label}
    if normal is None:
        return table | {"name": f"{data_name(path)}-loo", "protocol": "leave-one-out"}
    name = f"{data_name(path)[:50]}-normal-{_name(normal, 30)}"
    return table | {"name": name, "protocol": "one-vs-rest", "normal": normal}


def _one_line(path: Path, error: ValidationError) -> ConfigError:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        valid = BenchmarkSpec.model_fields
        return ConfigError(f"{path}: {unknown('key', key, valid)}")
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing" or not key:
        return ConfigError(f"{path}: {key + ': ' if key else ''}{message}")
    return ConfigError(f"{path}: {key}: {message}, got {first['input']!r}")


def load_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file.

    Raises:
        ConfigError: it cannot be read, or is not TOML; the message names the line.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def load_params(path: Path) -> dict[str, Any]:
    """Return a detector's params from a TOML: its ``[params]`` table, or all of it without one.

    Raises:
        ConfigError: it cannot be read, or ``params`` is no table.
    """
    tables = load_toml(path)
    params = tables.get("params", tables)
    if not isinstance(params, dict):
        raise ConfigError(f"{path}: params must be a table, got {params!r}")
    return params


def published_params(benchmark: str) -> Path:
    """Return the folder of the papers' settings for a benchmark, one ``<detector>.toml`` each.

    Raises:
        ConfigError: there are none for this benchmark.
    """
    folder = _folder("benchmarks") / "params"
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if benchmark not in names:
        raise unknown("benchmark with published params", benchmark, names)
    return folder / benchmark


def paper_suites() -> Path:
    """Return the folder of the paper's studies, one ``<name>.toml`` each."""
    return _folder("benchmarks") / "paper"


def published_numbers() -> Path:
    """Return the path of the CSV with the numbers that the literature prints."""
    return _folder("benchmarks") / "published.csv"


def as_toml(table: Mapping[str, Any]) -> str:
    r"""Return a table of params or a space as TOML.

    >>> as_toml({"lr": 0.1, "layers": [8, 8], "seed": None})
    'lr = 0.1\nlayers = [8, 8]\n'
    """
    # TOML has no null: a param without a value has its default.
    return "".join(f"{name} = {_toml(v)}\n" for name, v in table.items() if v is not None)


def _toml(value: Any) -> str:
    """Return a value as TOML, tables inline. JSON writes all other values as TOML does."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    return json.dumps(value)


def digest(obj: object) -> str:
    """Return the SHA-256 (hex) of the canonical JSON of ``obj``, whatever the order of its keys.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(obj, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return what changed from ``old`` to ``new`` in one line, empty if nothing did.

    >>> difference({"lr": 0.1, "net": {"width": 8}}, {"lr": 0.2, "net": {"width": 8}, "q": 1})
    'lr: 0.1 -> 0.2; q: absent -> 1'
    """
    before, after = _flat(old), _flat(new)
    changes = (
        f"{key}: {before.get(key, 'absent')} -> {after.get(key, 'absent')}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key, "absent") != after.get(key, "absent")
    )
    return "; ".join(changes)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = json.dumps(value, default=str)
    return flat
