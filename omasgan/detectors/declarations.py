"""What a detector's class states of itself, read without importing what it computes with.

The fields of a detector are its params, its constants what it is built on. These lines of its file
and of its bases' are executed alone, with the names that they use. So who only reads or checks
params, such as a sweep's driver or a report, does without torch, which takes seconds and hundreds
of megabytes.
"""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import importlib.util
from pathlib import Path
from typing import Any

ROOT = "omasgan.detectors.base"
"""Its classes are imported as they are: it computes nothing."""


@functools.cache
def stated(module: str, name: str | None = None) -> type[Any]:
    """Return the class ``name`` of a module, by default its detector, with its fields and its
    constants alone.

    Raises:
        LookupError: there is no such class, or these lines use more than what the module imports
            from others.
    """
    cls: type[Any]
    if module == ROOT:
        cls = _imported(module, str(name))
        return cls
    tree = ast.parse(Path(_origin(module)).read_text(encoding="utf-8"))
    origins = {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    found = _class(tree, name, origins)
    bases = {base.id for base in found.bases if isinstance(base, ast.Name)}
    found.body = [line for line in found.body if isinstance(line, ast.AnnAssign | ast.Assign)]
    found.body = found.body or [ast.Pass()]
    names = [node for node in ast.walk(found) if isinstance(node, ast.Name)]
    used = {node.id for node in names} - {n.id for n in names if isinstance(n.ctx, ast.Store)}
    space: dict[str, Any] = {"__name__": module}
    for each in used - vars(builtins).keys():
        space[each] = (stated if each in bases else _imported)(*origins[each])
    lines = ast.fix_missing_locations(ast.Module([found], []))
    # the types are wanted themselves, not their texts
    exec(compile(lines, module, "exec", dont_inherit=True), space)
    cls = space[found.name]
    return cls


def _class(
    tree: ast.Module, name: str | None, origins: dict[str, tuple[str, str]]
) -> ast.ClassDef:
    """Return the class of that name; by default the public one with a base from this folder."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
            folders = {origins.get(base, ("", ""))[0].rpartition(".")[0] for base in bases}
            if node.name == name or (name is None and ROOT.rpartition(".")[0] in folders):
                return node
    raise LookupError(f"no class {name or 'with a base'} among the detectors")


def _origin(module: str) -> str:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise LookupError(f"no file of {module}")
    return spec.origin


def _imported(module: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError as error:
        raise LookupError(f"no {name} in {module}") from error
