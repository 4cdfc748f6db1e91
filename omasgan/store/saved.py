"""A trained detector on disk, without pickle: its state, what it is, and its calibration.

``model.safetensors`` holds the state. ``model.json``, which is written last, holds detector,
params and seed, the shape and type of a sample, the run that it comes from, the SHA-256 of the
state, the scaling of a table's columns, and the calibration: the scores of the fold's validation
samples. These are normal and nothing was trained on them; but a sweep may have chosen the params
by them, which makes p-values after a sweep a little too small.

A folder may come from anyone, so loading executes nothing that the folder names: only detectors
of this package are built, and what does not fit is refused in one line.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    field_validator,
    model_validator,
)

from omasgan import detectors
from omasgan.data.scaling import Scaling
from omasgan.detectors.inputs import Fitted
from omasgan.detectors.notes import Notes, recall
from omasgan.errors import ConfigError, StoreError, TrainingDiverged
from omasgan.store import files
from omasgan.store.files import AnyPath
from omasgan.store.journal import write_json
from omasgan.store.states import load_state, save_state

if TYPE_CHECKING:
    from omasgan.detectors.base import IterativeDetector

STATE = "model.safetensors"
DESCRIPTION = "model.json"
MAX_DESCRIPTION_BYTES = 64 * 2**20
MAX_VALUES = 2**22
"""How many values a sample may have; a larger shape is an attack or damage."""

SMALL_SIZE = 256
"""Networks of this width are small: such a width is allowed whatever the state holds."""

Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Index: TypeAlias = Annotated[int, Field(ge=0)]
Side: TypeAlias = Annotated[int, Field(ge=1)]
Name: TypeAlias = Annotated[str, Field(pattern=r"^\w+$")]
Text: TypeAlias = Annotated[str, Field(max_length=200, pattern=r"^[\w.:+-]+$")]
ColumnName: TypeAlias = Annotated[str, Field(max_length=4096)]
DetectorName: TypeAlias = Annotated[str, Field(max_length=4096, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Columns(BaseModel):
    """A table's columns: their names, and the least and the largest training value of each."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    names: tuple[ColumnName, ...]
    low: tuple[FiniteFloat, ...]
    high: tuple[FiniteFloat, ...]


class Description(BaseModel):
    """The content of ``model.json``; ``shape`` and ``dtype`` are those of one sample, as the
    detector takes it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1]
    detector: DetectorName
    params: dict[Name, Any]
    seed: Index
    shape: tuple[Side, ...]
    dtype: Literal["uint8", "float32"]
    benchmark: Text
    fold: Index
    data_sha256: Sha256 | None = None
    code_version: Text
    state_sha256: Sha256
    calibration: tuple[FiniteFloat, ...]
    training_scores: tuple[FiniteFloat, ...] = ()
    feature_names: tuple[ColumnName, ...] = ()
    contamination: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    columns: Columns | None = None

    @field_validator("shape")
    @classmethod
    def _bounded(cls, shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(shape) not in (1, 3) or math.prod(shape) > MAX_VALUES:
            raise ValueError(f"must be (d,) or (c, h, w) with at most {MAX_VALUES} values")
        return shape

    @model_validator(mode="after")
    def _consistent(self) -> Description:
        c = self.columns
        if c is not None and {(len(c.names),), (len(c.low),), (len(c.high),)} != {self.shape}:
            raise ValueError(f"columns must have a name, low and high for each of {self.shape}")
        return self


@dataclass(frozen=True, eq=False)
class Saved:
    """A detector that can score; ``calibration`` holds the sorted scores, float32 ``(m,)``.
    ``scaling`` brings the rows of a table to what the detector takes, None of other samples.
    """

    detector: IterativeDetector
    description: Description
    calibration: NDArray[np.float32]
    scaling: Scaling | None = None


def save(
    folder: AnyPath,
    detector: IterativeDetector,
    row: Mapping[str, Any],
    normals: NDArray[Any],
    scaling: Scaling | None = None,
) -> None:
    """Save a trained detector in ``folder``.

    Args:
        folder: of a run.
        detector: trained to its end.
        row: of the run, with benchmark, fold, detector, params, seed, data_sha256, code_version.
        normals: normal samples that it was not trained on, which calibrate it.
        scaling: which brought the rows of a table to what the detector takes.

    Raises:
        TrainingDiverged: a score of ``normals`` is not finite.
        StoreError: the folder cannot be written.
    """
    scores = detector.decision_function(normals) if len(normals) else np.empty(0, np.float32)
    if not np.isfinite(scores).all():
        raise TrainingDiverged("the scores of the validation samples are not finite")
    names = ("detector", "params", "seed", "benchmark", "fold", "data_sha256", "code_version")
    about = {name: row[name] for name in names}
    if scaling is not None:
        ends = {"low": scaling.low.tolist(), "high": scaling.high.tolist()}
        about["columns"] = {"names": scaling.columns, **ends}
    fitted = Fitted(normals.shape[1:], normals.dtype == np.uint8)
    write(folder, detector, about, Notes(fitted, calibration=scores))


def write(
    folder: AnyPath, detector: IterativeDetector, row: Mapping[str, Any], notes: Notes
) -> None:
    """Save a trained detector in ``folder``; ``row`` holds what ``Description`` has besides what
    ``notes`` say.

    Raises:
        StoreError: the folder cannot be written.
    """
    save_state(folder / STATE, detector.state_dict())
    description = {
        **row,
        "format": 1,
        "shape": notes.fitted.shape,
        "dtype": "uint8" if notes.fitted.uint8 else "float32",
        "state_sha256": _sha256(folder / STATE),
        "calibration": np.sort(notes.calibration).tolist(),
        "training_scores": notes.training_scores.tolist(),
        "feature_names": notes.feature_names,
    }
    write_json(folder / DESCRIPTION, description)


def find(folder: AnyPath) -> AnyPath:
    """Return ``folder`` if it holds a saved detector, else the one folder beneath it that does.

    Raises:
        StoreError: there is none, or more than one.
    """
    if not files.is_folder(folder):
        raise StoreError(f"no folder '{folder}'; give the folder of a run with a saved detector")
    if files.exists(folder / DESCRIPTION) or files.exists(folder / STATE):
        return folder
    folders = [path.parent for path in files.find(folder, f"**/{DESCRIPTION}")]
    if len(folders) == 1:
        return folders[0]
    if not folders:
        raise StoreError(
            f"no saved detector in '{folder}'; train one with omasgan run ... --save "
            "(into a new --out, since a run that is done is not trained again)"
        )
    names = ", ".join(files.relative(path, folder) for path in folders[:20])
    more = f" and {len(folders) - 20} more" if len(folders) > 20 else ""
    raise StoreError(f"'{folder}' holds {len(folders)} saved detectors, give one: {names}{more}")


def load(folder: AnyPath, *, device: str = "auto", foreign: bool = False) -> Saved:
    """Rebuild the detector that ``save`` wrote to ``folder``.

    Args:
        folder: of a saved detector.
        device: where it is to score.
        foreign: whether a detector named ``package.module:Class`` may be imported. That executes
            code which the folder chooses: only for folders of your own.

    Raises:
        StoreError: a file is missing, damaged, foreign or does not belong to the other.
        ConfigError: no such detector or params.
    """
    description = describe(folder)
    name = description.detector
    if ":" in name and not foreign:
        raise ConfigError(
            f"'{folder}' names the detector '{name}', which is not of this package; its code is "
            "not imported from here: use omasgan.load(..., foreign=True) in Python"
        )
    cls = detectors.load(name)
    params = detectors.check_params(cls, description.params)
    path = folder / STATE
    if not files.exists(path):
        raise StoreError(f"'{path}' is missing; train again with omasgan run ... --save")
    if _sha256(path) != description.state_sha256:
        raise StoreError(
            f"'{path}' is damaged or not the one that {DESCRIPTION} describes (its SHA-256 "
            "differs); train again with omasgan run ... --save"
        )
    try:
        state = load_state(path)
        _check_sizes(params, state)
        run = {"seed": description.seed, "device": device}
        detector: IterativeDetector = cls(**params, **run)
        detector.contamination = description.contamination
        detector.load_state_dict(state)
        _check_scores(detector, description)
        recall(detector, _notes(description))
    except Exception as error:  # whatever a state from anywhere can lead to
        raise StoreError(
            f"'{path}' cannot be used: {_reason(error)}; train again with omasgan run ... --save"
        ) from error
    calibration = _notes(description).calibration
    return Saved(detector, description, calibration, _scaling(description.columns))


def _notes(description: Description) -> Notes:
    return Notes(
        Fitted(description.shape, description.dtype == "uint8"),
        np.array(description.training_scores, dtype=np.float32),
        np.sort(np.array(description.calibration, dtype=np.float32)),
        description.feature_names,
    )


def describe(folder: AnyPath) -> Description:
    """Return what ``model.json`` says of the detector in ``folder``; its state is not read.

    Raises:
        StoreError: there is no such file, or it is damaged.
    """
    path = folder / DESCRIPTION
    content = files.read(path, MAX_DESCRIPTION_BYTES)
    if content is None:
        raise StoreError(f"'{path}' is missing; train again with omasgan run ... --save")
    try:
        return Description.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ascii(".".join(str(part) for part in first["loc"][:2]))[1:-1]
        reason = " ".join(first["msg"].removeprefix("Value error, ").split())[:200]
        raise StoreError(
            f"'{path}' does not describe a saved detector: {key + ': ' if key else ''}{reason}"
        ) from error


def _scaling(columns: Columns | None) -> Scaling | None:
    if columns is None:
        return None
    return Scaling(np.array(columns.low), np.array(columns.high), columns.names)


def _check_sizes(params: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Refuse sizes that no tensor of the state has, before so large a network is built."""
    largest = max([SMALL_SIZE, *_dimensions(state)])
    for name, value in params.items():
        if name.endswith(("width", "_dim")) and isinstance(value, int) and value > largest:
            raise ConfigError(
                f"{name} is {value}, but no tensor of the state is larger than {largest}"
            )


def _dimensions(value: Any) -> list[int]:
    if isinstance(value, Mapping):
        return [size for item in value.values() for size in _dimensions(item)]
    return [int(size) for size in getattr(value, "shape", ())]


def _check_scores(detector: IterativeDetector, description: Description) -> None:
    """Score one grey sample: only a whole training's state that fits the shape can do so."""
    sample = np.zeros((1, *description.shape), description.dtype)
    scores = detector.decision_function(sample)
    if scores.shape != (1,):
        raise StoreError(f"a sample must have one score, got {scores.shape}")


def _sha256(path: AnyPath) -> str:
    return hashlib.sha256(files.read(path) or b"").hexdigest()


def _reason(error: BaseException) -> str:
    """Return the cause in one line; of a damaged state without the remedy for a checkpoint."""
    cause = error.__cause__ if isinstance(error, StoreError) and error.__cause__ else error
    return " ".join((str(cause) or type(cause).__name__).split())[:300]
