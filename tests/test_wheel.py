"""An installed wheel works from an empty folder: benchmarks and spaces travel with it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_what_a_wheel_carries(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("benchmarks", "benchmarks/paper", "benchmarks/paper/budgets", "search_spaces"):
        shipped = {f"omasgan/_data/{folder}/{p.name}" for p in (ROOT / folder).glob("*.toml")}
        assert shipped <= names
    assert "omasgan/_data/benchmarks/digits-loo.toml" in names
    assert "omasgan/_data/benchmarks/published.csv" in names
    assert {f"omasgan/report/page/page.{kind}" for kind in ("html.j2", "css", "js")} <= names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "scripts"))]


def test_an_installed_wheel_lists_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    install = ["install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, capture_output=True)
    env = os.environ | {"PYTHONPATH": str(site)}

    def run(*command: str | Path) -> str:
        done = subprocess.run(
            [sys.executable, *command], cwd=empty, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run("-c", "import omasgan; print(omasgan.__file__)")
    assert Path(where.strip()).is_relative_to(site)
    listed = run(site / "bin" / "omasgan", "list")
    assert "digits-loo" in listed and "omasgan" in listed
    assert list(empty.iterdir()) == []
