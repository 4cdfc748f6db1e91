"""Imports run one way; see the layout in CONTRIBUTING.md."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import omasgan
from omasgan import detectors

ROOT = Path(omasgan.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

DATA = {
    "errors",
    "files",
    "image_files",
    "synthetic",
    "datasets",
    "config",
    "protocols",
    "metrics",
}
RUNNING = DATA | {"selection", "states", "store", "detectors", "saved", "evaluate"}
MAY_IMPORT = {
    "__init__": {"detectors"},
    "errors": set(),
    "files": {"errors"},
    "states": {"errors", "files"},
    "nn": {"errors"},
    "detectors": {"errors", "nn"},
    "image_files": {"errors"},
    "synthetic": {"errors"},
    "metrics": {"errors"},
    "config": {"errors"},
    "datasets": {"errors", "image_files", "synthetic"},
    "protocols": {"errors", "config", "datasets"},
    "selection": DATA,
    "store": {"errors", "config", "files"},
    "audit": {"errors", "detectors"},
    "saved": {"errors", "files", "states", "store", "detectors"},
    "scoring": {"errors", "datasets", "saved"},
    "stages": {"errors", "files", "states", "config", "detectors", "nn"},
    "evaluate": RUNNING | {"nn", "stages"},
    "probe": {"errors", "detectors", "nn", "evaluate"},
    "lock": {"errors", "files", "store"},
    "geometry": {"errors", "metrics", "store"},
    "search": RUNNING | {"geometry", "nn", "probe", "stages"},
    "sensitivity": RUNNING | {"search", "report", "stages"},
    "paper": RUNNING | {"search", "report", "sensitivity"},
    "report": DATA | {"selection", "store", "geometry", "detectors"},
    "tracking": DATA | {"store", "report"},
    "progress": {"errors", "files", "store", "search", "tracking"},
    "ui": {"errors", "store", "tracking"},
    "cli": RUNNING
    | {"audit", "scoring", "lock", "probe", "search", "report", "tracking", "progress", "ui"}
    | {"sensitivity", "paper"},
}
"""What each part may import of this package, besides itself and the version."""

ONLY_IN = {
    "mlflow": {"tracking"},
    "ray": {"search"},
    "optuna": {"search"},
    "typer": {"cli"},
    "torchvision": {"image_files"},
    "PIL": {"scoring"},
    "matplotlib": {"report", "sensitivity", "paper"},
}
"""Which part alone may import a library, at whatever level of the file."""

HEAVY = {"torch", "torchvision", "ray", "mlflow", "optuna", "sklearn", "pandas", "matplotlib"}


def part(path: Path) -> str:
    """The part of the package that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every dotted name that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_every_part_has_its_rule() -> None:
    assert {part(path) for path in FILES} - {"_data"} == set(MAY_IMPORT)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    names = [name.split(".") for name in imports(path)]
    own = {name[1] for name in names if name[0] == "omasgan"} - {"__version__"}
    assert own <= MAY_IMPORT.get(part(path), set()) | {part(path)}
    libraries = {name[0] for name in names}
    for library in libraries & ONLY_IN.keys():
        assert part(path) in ONLY_IN[library], f"{path} imports {library}"


@pytest.mark.parametrize(
    "module", ["omasgan", "omasgan.cli", "omasgan.errors", "omasgan.detectors"]
)
def test_what_help_imports_is_light(module: str) -> None:
    code = f"import {module}, sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())


@pytest.mark.parametrize("module", ["omasgan.evaluate", "omasgan.search.local", "omasgan.report"])
def test_what_workers_import_knows_no_cluster_and_no_tracking(module: str) -> None:
    code = f"import {module}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"ray", "mlflow"} & set(done.stdout.split())


def test_the_detector_of_the_name_is_there_for_python() -> None:
    from omasgan import OMASGAN

    assert detectors.load("omasgan") is OMASGAN
    assert set(omasgan.__all__) == {"OMASGAN", "__version__"}
    with pytest.raises(AttributeError, match="no attribute 'NoSuchGAN'"):
        omasgan.NoSuchGAN  # noqa: B018
