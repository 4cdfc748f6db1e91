"""How tests call the scripts, and import them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
VENV = Path(sys.executable).parent


def call(
    script: str,
    *arguments: object,
    env: Mapping[str, str] | None = None,
    timeout: float = 150,
) -> subprocess.CompletedProcess[str]:
    """Run a script of scripts/ to its end."""
    command = [sys.executable, str(SCRIPTS / script), *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout)


def imported(script: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script as a module, which the end of the test forgets."""
    loader = SourceFileLoader(script.replace("-", "_"), str(SCRIPTS / script))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, loader.name, module)
    loader.exec_module(module)
    return module


def exports(script: str, folder: Path) -> dict[str, str]:
    """What the script's ``env`` sets in a shell that evaluates it."""
    done = call(script, "env", folder)
    assert done.returncode == 0, done.stderr
    shell = ["env", "-i", "bash", "-c", done.stdout + "\nenv -0"]
    read = subprocess.run(shell, capture_output=True, text=True, check=True).stdout
    variables = dict(entry.split("=", 1) for entry in read.split("\0") if entry)
    return {name: variables[name] for name in variables.keys() - {"PWD", "SHLVL", "_"}}


def listening_elsewhere(pids: set[int]) -> list[str]:
    """Addresses of these processes' servers that are off the loopback, as the kernel has them."""
    sockets = set()
    for pid in pids:
        for file in Path(f"/proc/{pid}/fd").iterdir():
            try:
                sockets.add(str(file.readlink()))
            except OSError:
                continue
    lines = [line.split() for name in ("tcp", "tcp6") for line in _lines(f"/proc/net/{name}")]
    listening = {line[1] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in sockets}
    assert listening
    loopback = re.compile(r"(0000000000000000FFFF0000)?0100007F:")
    return [address for address in listening if not loopback.match(address)]


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()[1:]
