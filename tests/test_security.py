"""Secrets are neither said nor stored, nothing is unpickled, names stay in their folders."""

from __future__ import annotations

import ast
import logging
from pathlib import Path

import pytest

import omasgan
from omasgan.cli import main
from omasgan.config import load_benchmark
from omasgan.errors import ConfigError

SECRET = "geheim"
SMALL = ["--max-folds", "2", "--max-train", "100", "--max-test", "60", "--folds", "0"]
SWEEP = ["sweep", "digits-loo", "pca", *SMALL, "--trials", "1", "--backend", "local"]


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_tracking_server_away_tells_no_secret_and_none_is_stored(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    uri = f"http://ann:{SECRET}@127.0.0.1:1"
    out = str(tmp_path / "out")
    arguments = ["digits-loo", "knn", *SMALL, "--seeds", "0", "--out", out, "--tracking-uri", uri]
    with caplog.at_level(logging.DEBUG):
        assert main(["run", *arguments]) == 0
    said = capfd.readouterr()
    assert "MLflow at http://***@127.0.0.1:1 cannot be used" in said.err + caplog.text
    assert SECRET not in said.out + said.err + caplog.text
    assert SECRET.encode() not in everything_in(tmp_path)


@pytest.mark.parametrize(
    "storage",
    [
        f"postgresql+psycopg2://ann:{SECRET}@127.0.0.1:1/optuna",
        f"postgresql+psycopg2://127.0.0.1:1/optuna?user=ann&password={SECRET}",
        f"no-such-database://ann:{SECRET}@127.0.0.1/optuna",
    ],
)
def test_a_storage_that_cannot_be_used_tells_no_secret(
    storage: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    code = main([*SWEEP, "--storage", storage, "--tracking-uri", "none", "--out", out])
    said = capfd.readouterr()
    assert code == 2
    assert said.err.startswith("omasgan: cannot use the storage '")
    assert SECRET not in said.out + said.err
    assert SECRET.encode() not in everything_in(tmp_path)


def test_a_secret_in_a_database_uri_that_works_reaches_no_file(tmp_path: Path) -> None:
    # sqlite takes a query that it does not know
    storage = f"sqlite:///file:{tmp_path}/optuna.db?uri=true&password={SECRET}"
    code = main([*SWEEP, "--storage", storage, "--out", str(tmp_path / "out")])
    assert code == 0
    assert (tmp_path / "optuna.db").exists()
    assert SECRET.encode() not in everything_in(tmp_path)


UNPICKLING = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}


@pytest.mark.parametrize(
    "path", sorted(Path(omasgan.__file__).parent.rglob("*.py")), ids=lambda path: path.name
)
def test_nothing_is_unpickled(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & UNPICKLING
        elif isinstance(node, ast.ImportFrom):
            assert str(node.module).split(".")[0] not in UNPICKLING
        elif isinstance(node, ast.Call):
            assert ast.unparse(node.func) != "torch.load"
            assert all(keyword.arg != "allow_pickle" for keyword in node.keywords)


@pytest.mark.parametrize("name", ["../away", "a/b", "", ".hidden", "a b", "x" * 300])
def test_a_benchmark_whose_name_leaves_its_folder_is_refused(name: str, tmp_path: Path) -> None:
    shipped = Path(omasgan.__file__).parents[1] / "benchmarks/digits-loo.toml"
    own = tmp_path / "own.toml"
    own.write_text(shipped.read_text().replace('name = "digits-loo"', f'name = "{name}"'))
    assert own.read_text() != shipped.read_text()
    with pytest.raises(ConfigError, match="name"):
        load_benchmark(str(own))
