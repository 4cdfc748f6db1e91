"""Private names of other libraries: each that is used, and what breaks without it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import omasgan

ROOT = Path(omasgan.__file__).parents[1]
FILES = sorted((ROOT / "omasgan").rglob("*.py"))
SCRIPTS = sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file())


class Use(NamedTuple):
    """``get`` reaches for the name in the installed library; ``breaks`` says what it is for."""

    get: Callable[[], Any]
    breaks: str


def ray_worker() -> Any:
    from ray._private import worker

    return worker.print_to_stdstream


def ray_services() -> Any:
    from ray._private import services

    return services.get_node_ip_address


def ray_node() -> Any:
    from ray._private import node

    from omasgan.backends.ray.cluster import SPARED

    return [getattr(node.Node, name) for name in SPARED]


def ray_utils() -> Any:
    from ray._private import utils

    return utils.get_dashboard_dependency_error


def ray_usage() -> Any:
    from ray.air._internal import usage

    return usage.tag_callbacks


def ray_constants() -> Any:
    from ray._private import ray_constants

    return ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, ray_constants.ENABLE_RAY_CLUSTER


def trial_id() -> Any:
    import optuna

    return optuna.trial.create_trial(value=0.5)._trial_id


def dispatch_mode() -> Any:
    from torch.utils._python_dispatch import TorchDispatchMode

    return TorchDispatchMode.__torch_dispatch__


def tree_iter() -> Any:
    from torch.utils._pytree import tree_iter

    return tree_iter


def storage_address() -> Any:
    import torch

    return torch.empty(1).untyped_storage()._cdata


USED = {
    "ray._private.worker": Use(ray_worker, "a dead worker prints pages of its node's state"),
    "ray._private.ray_constants": Use(
        ray_constants, "a local cluster listens on all interfaces instead of the loopback"
    ),
    "ray._private.services": Use(
        ray_services, "scripts/local-cluster cannot stay on the loopback"
    ),
    "ray._private.node": Use(
        ray_node, "a local cluster starts processes that nobody needs, for two seconds"
    ),
    "ray._private.utils": Use(
        ray_utils, "a local cluster's agent imports what only a dashboard needs, for a second"
    ),
    "ray.air._internal.usage": Use(
        ray_usage, "a search imports MLflow before its first trial, for two seconds"
    ),
    "._trial_id": Use(trial_id, "a trial that its driver has left cannot go on"),
    "torch.utils._python_dispatch.TorchDispatchMode": Use(
        dispatch_mode, "a training's memory cannot be measured"
    ),
    "torch.utils._pytree.tree_iter": Use(tree_iter, "a training's memory cannot be measured"),
    "._cdata": Use(storage_address, "tensors that share memory are counted twice"),
}
"""By the name as the package writes it: an imported one in full, an attribute with its dot."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def imported(tree: ast.AST) -> Iterator[str]:
    """The names that are imported from elsewhere and have a private part."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if any(map(is_private, name.split("."))) and not name.startswith("omasgan."):
                yield name


def written(text: str) -> set[str]:
    """The same in a script, which may write Python for another process to run."""
    found = re.findall(r"^from ([\w.]+) import (\w+)$", text, re.MULTILINE)
    names = [f"{module}.{name}" for module, name in found]
    return {name for name in names if any(map(is_private, name.split(".")))}


def attributes(tree: ast.AST) -> set[str]:
    """The private attributes that are read or written on whatever object."""
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return {node.attr for node in nodes if is_private(node.attr)}


def defined(tree: ast.AST) -> Iterator[str]:
    """The private names that functions, classes, fields and ``self`` have here."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and ast.unparse(node.value) == "self"
        ):
            yield node.attr


def test_every_private_name_of_another_library_is_known() -> None:
    trees = [ast.parse(path.read_text()) for path in FILES]
    own = {name for tree in trees for name in defined(tree)}
    foreign = {f".{name}" for tree in trees for name in attributes(tree) - own}
    imports = {name for tree in trees for name in imported(tree)}
    in_scripts = {name for path in SCRIPTS for name in written(path.read_text())}
    assert foreign | imports | in_scripts == USED.keys()


@pytest.mark.parametrize("name", USED)
def test_the_installed_library_has_it(name: str) -> None:
    try:
        USED[name].get()
    except (ImportError, AttributeError) as error:
        pytest.fail(f"{name} is gone ({error}): {USED[name].breaks}")


def test_typer_still_derives_its_errors_from_those_of_its_click() -> None:
    from omasgan.cli import UsageError

    assert UsageError.__name__ == "UsageError"
    assert callable(UsageError.format_message)
