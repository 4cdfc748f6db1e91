"""The commands in README and docs: each is checked, and run unless a reason not to stands here."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from PIL import Image

from omasgan import cli
from omasgan.cli.options.output import Output
from omasgan.data import datasets
from omasgan.detectors.neural import NeuralDetector
from omasgan.errors import OmasganError
from tests.test_docs import DOCS, FENCE, INLINE, ROOT, TEXTS, blocks, texts

PROGRAMS = {
    "make": "this is what runs the tests; the targets are those of the Makefile",
    "pip": "it installs from a network",
    "python": "it builds the wheel, as tests/test_wheel.py does",
    "optuna-dashboard": "a package of others, which serves until it is ended",
    "ray": "it needs a cluster",
    "kubectl": "it needs a cluster",
    "docker": "it needs a registry",
    "sbatch": "it needs a cluster",
    "nvidia-cuda-mps-control": "it needs a GPU",
    "scripts/gpu-check": "tests/scripts/test_gpu_check.py runs it",
    "scripts/local-cluster": "tests/scripts/test_local_cluster.py runs it",
    "scripts/services": "tests/scripts/test_services.py runs it",
}
"""Programs that no test of the documentation runs, and why."""

SHELL = {"echo", "eval", "export", "set", "."}

PAGES_LEFT_OUT = {"cluster.md": "it needs a cluster, or PostgreSQL"}

LEFT_OUT = {
    "compare mnist-loo --detectors vae,omasgan --params published --address auto": (
        "it needs a cluster"
    ),
    "plan mnist-loo omasgan --trials 200 --gpus 8": "it needs MNIST",
    "compare digits-loo --detectors pyod.models.ecod:ECOD,pyod.models.hbos:HBOS --folds 1,8": (
        "it needs PyOD"
    ),
    "paper figure-4 figure-8 --budget small": "it takes minutes",
    "paper --all --budget smoke": "it takes minutes",
    "paper selection-regret --budget small --out out/regret": "it takes minutes",
    "paper selection-regret --budget small --trials 12 --out out/regret": "it takes minutes",
    "paper selection-regret-vae --budget small --out out/regret": "it takes hours",
    "paper selection-regret-images --budget small --out out/regret": "it needs MNIST, and hours",
}
"""Commands that no test runs, and why; tests/cli/test_paper.py runs smaller suites."""

SERVES = {"ui"}
"""Verbs that end when they are ended; tests/tracking runs them."""

BEFORE_A_CALL = re.compile(r"[;|&]+|--|[A-Z_]+=.*")
"""What stands before a command that is not the first word of its line."""


def tokens_of(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";|&")
    lexer.whitespace_split = True
    return list(lexer)


def programs(line: str) -> Iterator[list[str]]:
    """The programs that a line of shell calls, each with its arguments and redirections."""
    call: list[str] = []
    for token in [*tokens_of(line), ";"]:
        if token[0] in ";|&":
            call, ended = [], call
            while ended and re.match(r"[A-Z_]+=", ended[0]):
                ended = ended[1:]
            if ended:
                yield ended
        else:
            call.append(token)


def calls(line: str) -> Iterator[list[str]]:
    """The arguments of each call of omasgan in a line of shell, with a redirection at the end;
    also in a quoted argument.
    """
    tokens = tokens_of(line)
    for i, token in enumerate(tokens):
        if token == "omasgan" and (i == 0 or BEFORE_A_CALL.fullmatch(tokens[i - 1])):
            rest = tokens[i + 1 :]
            end = next((j for j, other in enumerate(rest) if other[0] in ";|&"), len(rest))
            yield rest[:end]
        elif " omasgan " in token:
            yield from calls(token)


def lines(shell: str) -> list[str]:
    return shell.replace("\\\n", " ").splitlines()


def arguments(call: Sequence[str]) -> list[str]:
    """A call without its redirection."""
    return list(call[: call.index(">")] if ">" in call else call)


def commands(text: str) -> list[list[str]]:
    """The arguments of each call of omasgan in a text's blocks of shell commands."""
    shell = [content for language, content in blocks(text) if language == "bash"]
    return [arguments(call) for block in shell for line in lines(block) for call in calls(line)]


def verbs() -> dict[str, Any]:
    """The verbs of the command line, as typer parses them."""
    found: dict[str, Any] = typer.main.get_command(cli._app()).commands  # type: ignore[attr-defined]
    return found


def parse(verb: str, *arguments: str) -> None:
    """Parse a call as the command line does, without carrying it out."""
    known = verbs()[verb]
    if list(arguments) != ["--help"]:
        known.make_context(verb, list(arguments), resilient_parsing=False)


def unknown_flags(text: str) -> list[str]:
    """The calls in a text's inline code whose verb or flags don't exist."""
    unknown = []
    for code in INLINE.findall(FENCE.sub("", text)):
        if match := re.match(r"omasgan ([a-z]+)\b(.*)", code, re.DOTALL):
            verb, rest = match.groups()
            known = verbs().get(verb)
            options = {flag for param in known.params for flag in param.opts} if known else set()
            if not {"--help", *options} >= set(re.findall(r"--[a-z-]+", rest)) or not known:
                unknown.append(code)
    return unknown


PARTS = """name = "parts-loo"
version = 1
protocol = "leave-one-out"
dataset = "./parts"
"""


def first_block(page: str, language: str) -> str:
    found = (content for kind, content in blocks((DOCS / page).read_text()) if kind == language)
    return next(found)


def draw(folder: Path, X: np.ndarray) -> None:
    """Save images ``(n, 1, h, w)``."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(X):
        Image.fromarray(image[0]).save(folder / f"{i}.png")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands of the documentation are given."""
    folder = tmp_path_factory.mktemp("place")
    digits = datasets.load("digits").train
    for name, digit in (("bolt", 0), ("nut", 1), ("screw", 4)):
        draw(folder / "parts" / name, digits.X[digits.classes == digit][:30])
    draw(folder / "normals", digits.X[digits.classes == 0][:40])
    draw(folder / "new", digits.X[:9].repeat(2, 2).repeat(2, 3))
    draw(folder / "images", digits.X[:9])
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(90, 3)), columns=["a", "b", "c"])
    table.to_csv(folder / "normals.csv", index=False)
    table.to_csv(folder / "new.csv", index=False)
    table.assign(kind=["genuine", "genuine", "fraud"] * 30).to_csv(
        folder / "payments.csv", index=False
    )
    table.assign(health=["other", "other", "poor"] * 30).to_csv(folder / "health.csv", index=False)
    table.assign(label=["benign", "benign", "other"] * 30).to_parquet(folder / "cells.parquet")
    (folder / "middle.py").write_text(first_block("own-detector.md", "python"))
    (folder / "middle.toml").write_text(first_block("own-detector.md", "toml"))
    (folder / "digits-odd.toml").write_text(first_block("data.md", "toml"))
    (folder / "winner.toml").write_text("mu = 5.0\n")
    (folder / "parts.toml").write_text(PARTS)
    return folder


class BegunError(OmasganError):
    """What a call would come to if it were allowed to begin."""


def checked(call: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a call says before it would train, with all of its values read and checked."""
    code = cli.main(call)
    said = capsys.readouterr().err.strip()
    return "" if code == 2 and said == "omasgan: begun" else f"{shlex.join(call)}: {code}, {said}"


def can_be_checked(call: Sequence[str]) -> bool:
    """Whether a call trains, and neither needs what is missing here nor what another has left."""
    verb, *rest = call
    needs = any(
        value.startswith("out/") and flag not in ("--out", "--save")
        for flag, value in pairwise(call)
    )
    trains = verb in ("run", "sweep", "compare", "sensitivity") and rest != ["--help"]
    return trains and not needs and shlex.join(call) not in LEFT_OUT


@texts
def test_commands_are_valid(
    path: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def begin(self: Output) -> None:
        raise BegunError("begun")

    monkeypatch.chdir(place)
    monkeypatch.setattr(Output, "open", begin)
    for call in commands(path.read_text()):
        parse(*call)
        if path.name not in PAGES_LEFT_OUT and can_be_checked(call):
            assert checked(call, capsys) == ""
    assert unknown_flags(path.read_text()) == []


def strange_programs(text: str) -> set[str]:
    """The programs in a text's blocks of shell commands that nothing here knows."""
    shell = [content for language, content in blocks(text) if language == "bash"]
    called = {call[0] for block in shell for line in lines(block) for call in programs(line)}
    return called - PROGRAMS.keys() - SHELL - {"omasgan"}


@texts
def test_every_program_is_run_or_has_a_reason(path: Path) -> None:
    assert strange_programs(path.read_text()) == set()


def test_every_reason_is_needed() -> None:
    text = "".join(path.read_text() for path in TEXTS)
    called = {shlex.join(call) for call in commands(text)}
    assert {shlex.join(shlex.split(left_out)) for left_out in LEFT_OUT} <= called
    shell = [content for language, content in blocks(text) if language == "bash"]
    used = {call[0] for block in shell for line in lines(block) for call in programs(line)}
    assert used == PROGRAMS.keys() | SHELL & used | {"omasgan"}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("omasgan run x knn --folds 0  # a comment", ["run", "x", "knn", "--folds", "0"]),
        ("A=1 omasgan list; ls omasgan", ["list"]),
        ("omasgan benchmark init x > x.toml", ["benchmark", "init", "x"]),
        ("ray exec a.yaml --tmux 'set -a; omasgan report out'", ["report", "out"]),
        ("ray job submit -- \\\n    omasgan list", ["list"]),
    ],
)
def test_commands_are_found(line: str, found: list[str]) -> None:
    assert commands(f"```bash\n{line}\n```\n") == [found]


def test_a_wrong_command_is_refused() -> None:
    with pytest.raises(Exception, match="No such option: --trails"):
        parse("sweep", "digits-loo", "vae", "--trails", "3")
    with pytest.raises(Exception, match="Missing parameter: detector"):
        parse("sweep", "digits-loo", "--trials", "3")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("run digits-loo vae --set stage=elbow", "stage"),
        ("sweep digits-loo vae --trials 2 --sampler TPE", "TPE"),
        ("compare digits-loo --detectors vae,knnn", "knnn"),
    ],
)
def test_a_wrong_value_is_noticed(
    line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in checked(line.split(), capsys)


def test_wrong_flags_and_unknown_programs_are_noticed() -> None:
    assert unknown_flags("`omasgan sweep --trails 3`, `omasgan sweep ... --trials 3`") == [
        "omasgan sweep --trails 3"
    ]
    assert unknown_flags("`omasgan weep`, `omasgan report DIR`") == ["omasgan weep"]
    assert strange_programs("```bash\nA=1 make x; curl y | python z > a\n```\n") == {"curl"}


# What the commands do


def shortened(call: Sequence[str]) -> list[str]:
    """A call in this process that trains on fewer folds, seeds and trials: of an option that
    stands twice, the last counts.
    """
    verb, data, *_ = call
    fewer = list(call)
    if verb in ("run", "sweep", "compare", "sensitivity"):
        fewer += ["--backend", "local"]
        fewer += [] if "out/demo" in call else ["--tracking-uri", "none"]
        fewer += ["--folds", "1"] if data.startswith("digits-") else []
        fewer += ["--seeds", "0"] if "--from" not in call else []
    if data == "health.csv":
        fewer += ["--max-train", "300", "--max-test", "150"]
    for flag in {"--trials", "--tune", "--ensemble", "--share-stages"} & set(call):
        fewer += [flag, "2"]
    if "--winner" in call:
        fewer += ["--winner", "top-2"]
    return fewer


class Reader:
    """Who reads the documentation and types what stands there, in one folder."""

    def __init__(self) -> None:
        self._read: set[Path] = set()

    def read(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Carry out the commands of a page, and before them of those whose results it uses."""
        if path in self._read:
            return
        self._read.add(path)
        for folder, page in WRITES.items():
            if folder in path.read_text():
                self.read(page, capsys)
        folder = Path(path.stem if path.name in IN_AN_EMPTY_FOLDER else ".")
        folder.mkdir(exist_ok=True)
        with contextlib.chdir(folder):
            self._carry_out(path, capsys)

    def _carry_out(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        names: dict[str, Any] = {}
        for language, content in blocks(path.read_text()):
            if language == "python" and path.name not in PYTHON_ELSEWHERE:
                names |= {"X_train": np.zeros((20, 4)), "X_test": np.zeros((2, 4))}
                exec(compile(content, path.name, "exec"), names)
            for line in lines(content) if language == "bash" else ():
                for call in calls(line):
                    self._run(call, capsys)

    def _run(self, call: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        line = arguments(call)
        if line[0] in SERVES or shlex.join(line) in LEFT_OUT:
            return
        code = cli.main(shortened(line) if len(line) > 1 else line)
        out, err = capsys.readouterr()
        assert code == 0, f"{shlex.join(line)}: {code}, {err}"
        if ">" in call:
            Path(call[-1]).write_text(out)


WRITES = {"out/demo": ROOT / "README.md", "out/tutorial": DOCS / "report.md"}
"""The pages whose results others use."""

IN_AN_EMPTY_FOLDER = {"tutorial.md"}

PYTHON_ELSEWHERE = {"detectors.md", "own-detector.md", "searching.md", "results.md"}
"""Pages whose Python tests/test_docs.py runs."""


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "path",
    [path for path in TEXTS if path.name not in PAGES_LEFT_OUT and commands(path.read_text())],
    ids=lambda path: path.name,
)
def test_every_command_runs(
    path: Path,
    reader: Reader,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    one_step = NeuralDetector._schedule
    monkeypatch.chdir(place)
    monkeypatch.setattr(
        NeuralDetector,
        "_schedule",
        lambda self: list({phase: (phase, 1) for phase, _ in one_step(self)}.values()),
    )
    reader.read(path, capsys)
