"""Params from the record of an earlier study, to be handed out again in its order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omasgan.config import digest
from omasgan.errors import ConfigError
from omasgan.store.journal import read_json
from omasgan.study.record import FILE, read_trials
from omasgan.study.space import Space

if TYPE_CHECKING:
    from omasgan.study.space import Params


def read_replay(path: Path, study: str, space: Space, *, alone: bool) -> list[Params]:
    """Return the params of a study's record, by the number of their trials.

    Args:
        path: a study's folder or record, or the folder that holds the folders of several.
        study: the name of the study that is to repeat them.
        space: that study's, which must hold them.
        alone: whether it is the only one, so that ``path`` may be one study.

    Raises:
        ConfigError: no such record, or params that ``space`` does not hold.
        DamagedError: the record is damaged.
    """
    folder = _folder(path, study)
    if folder != path / study and not alone:
        raise ConfigError(
            f"--replay '{path}' is one study, but the sweep has several; "
            "give the folder that holds their folders, or one fold"
        )
    if not (folder / FILE).exists():
        raise ConfigError(f"'{path}' holds no trials to replay; give a study's folder")
    earlier = Space.from_dict(read_json(folder / "study.json")["space"])
    trials = read_trials(folder, earlier)
    if not trials:
        raise ConfigError(f"'{path}' holds no trials to replay; give a study's folder")
    for trial in trials:
        if not space.contains(trial.params):
            raise ConfigError(
                f"'{path}' cannot be replayed: trial {trial.number} has {dict(trial.params)}, "
                "which is not in the search space; give the space that the study had"
            )
    return [dict(trial.params) for trial in trials]


def has_record(path: Path) -> bool:
    """Return whether ``path`` is a study's folder or record, or holds folders of studies."""
    own = path if path.name == FILE else path / FILE
    return own.is_file() or any(path.glob(f"*/{FILE}"))


def digest_of(path: Path) -> str:
    """Return what stands for the params that ``path`` has to replay, whatever else its records
    say.
    """
    folders = [path] if (path / FILE).exists() else [f.parent for f in path.glob(f"*/{FILE}")]
    folders = [path.parent] if path.name == FILE else sorted(folders)
    params = []
    for folder in folders:
        space = Space.from_dict(read_json(folder / "study.json")["space"])
        params.append([dict(trial.params) for trial in read_trials(folder, space)])
    return digest(params)


def _folder(path: Path, study: str) -> Path:
    if path.name == FILE:
        return path.parent
    return path if (path / FILE).exists() else path / study
