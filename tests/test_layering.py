"""Imports run one way; see docs/architecture.md."""

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

FLOORS = (
    {"cli"},
    {"tracking"},
    {"report"},
    {"experiments"},
    {"backends"},
    {"study"},
    {"progress"},
    {"training"},
    {"checks"},
    {"store"},
    {"detectors"},
    {"data", "nn"},
    {"config"},
    {"errors"},
)
"""From the top down: a room imports only from floors below its own."""

ONLY_IN = {
    "mlflow": "tracking/client.py",
    "ray": "backends/ray/",
    "optuna": "study/",
    "typer": "cli/",
    "torchvision": "data/image_files.py",
    "PIL": "data/sample_files.py",
    "matplotlib": "report/",
}
"""Where alone a library may be imported, at whatever level of the file."""

NOT_IN = {
    "training": {"ray", "mlflow"},
    "detectors": {"config", "store"},
}
"""What a room does without although a floor below might offer it."""

HEAVY = {"torch", "torchvision", "ray", "mlflow", "optuna", "sklearn", "pandas", "matplotlib"}
HEAVY |= {"numpy", "pydantic"}


def room(path: Path) -> str:
    """The room that a file belongs to: a folder, or a file of the package's own."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every dotted name that a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def below(name: str) -> set[str]:
    """The rooms on the floors below ``name``'s."""
    (floor,) = (i for i, rooms in enumerate(FLOORS) if name in rooms)
    return set().union(*FLOORS[floor + 1 :])


def test_every_room_has_its_floor() -> None:
    assert {room(path) for path in FILES} - {"_data", "__init__"} == set().union(*FLOORS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    names = [name.split(".") for name in imports(path)]
    own = {name[1] for name in names if name[0] == "omasgan"} - {"__version__"}
    inside = room(path)
    allowed = below(inside) if inside != "__init__" else {"detectors", "store"}
    assert own <= allowed | {inside}
    libraries = {name[0] for name in names}
    for library in libraries & ONLY_IN.keys():
        assert str(path.relative_to(ROOT)).startswith(ONLY_IN[library]), library
    assert not (own | libraries) & NOT_IN.get(inside, set())


def imported_by(*modules: str) -> set[str]:
    """The packages that a fresh process has once it has imported all of these."""
    code = (
        f"import {', '.join(modules)}, sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_what_help_imports_is_light() -> None:
    light = ("omasgan", "omasgan.cli", "omasgan.errors", "omasgan.detectors")
    assert not HEAVY & imported_by(*light)


def test_what_a_sweep_imports_before_ray_starts_is_light() -> None:
    """Params are read without torch; what Tune needs is imported while Ray starts."""
    before = ("omasgan.cli", "omasgan.experiments.sweep", "omasgan.tracking.tracker")
    assert not (HEAVY - {"numpy", "optuna", "pydantic"}) & imported_by(*before)


def test_what_workers_import_knows_no_cluster_and_no_tracking() -> None:
    of_workers = ("omasgan.training.evaluate", "omasgan.backends.local")
    assert not {"ray", "mlflow"} & imported_by(*of_workers, "omasgan.report.results.write")


def test_the_detector_of_the_name_is_there_for_python() -> None:
    from omasgan import OMASGAN

    assert detectors.load("omasgan") is OMASGAN
    assert set(omasgan.__all__) == {*omasgan.DETECTORS, *omasgan.OTHERS, "__version__"}
    with pytest.raises(AttributeError, match="no attribute 'NoSuchGAN'"):
        omasgan.NoSuchGAN  # noqa: B018
