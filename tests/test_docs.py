"""What the documentation says exists: links, pages, commands, files and detectors."""

from __future__ import annotations

import ast
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from omasgan import cli, detectors
from omasgan.detectors.base import IterativeDetector
from tests import test_layering

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]

MOST_README_LINES = 130

FENCE = re.compile(r"^(`{3,})(\S*)[^\n]*\n(.*?)^\1 *$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^()\s]+)\)")
INLINE = re.compile(r"`([^`]+)`")
PATH = re.compile(
    r"(?<![\w/.:*-])(?:omasgan|benchmarks|search_spaces|scripts|tests|docs)/[\w./-]*[\w/]"
)

texts = pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))


def prose(text: str) -> str:
    """The text without its blocks of code and its inline code."""
    return INLINE.sub("", FENCE.sub("", text))


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and content of each block of code."""
    return [(language, content) for _, language, content in FENCE.findall(text)]


def anchors(path: Path) -> set[str]:
    """The anchors that mkdocs and GitHub give to the headings of a page."""
    headings = re.findall(r"^#+ +(.+?) *$", FENCE.sub("", path.read_text()), re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings)
    return {re.sub(r"\s", "-", heading) for heading in plain}


def dead_links(path: Path, text: str) -> list[str]:
    """The relative links of a text whose file or heading is missing."""
    dead = []
    for link in LINK.findall(prose(text)):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


def missing_files(text: str) -> list[str]:
    """The paths of the repository in a text, bare or in code, at which nothing lies."""
    return [found for found in PATH.findall(text) if not (ROOT / found).exists()]


def missing_targets(text: str) -> list[str]:
    """The targets of the Makefile in a text's code that it doesn't have."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    code = [*INLINE.findall(FENCE.sub("", text)), *(content for _, content in blocks(text))]
    called = [name for part in code for name in re.findall(r"^make ([\w-]+)", part, re.MULTILINE)]
    return [name for name in called if name not in targets]


@texts
def test_links_lead_somewhere(path: Path) -> None:
    assert dead_links(path, path.read_text()) == []


@texts
def test_files_and_targets_exist(path: Path) -> None:
    assert missing_files(path.read_text()) == []
    assert missing_targets(path.read_text()) == []


@texts
def test_blocks_of_code_say_their_language(path: Path) -> None:
    assert {language for language, _ in blocks(path.read_text())} <= {
        "bash", "text", "python", "toml", "json",
    }  # fmt: skip


def pages(nav: Any) -> set[str]:
    """The files of a nav, however deep."""
    if isinstance(nav, str):
        return {nav}
    parts = nav.values() if isinstance(nav, dict) else nav
    return set().union(*(pages(part) for part in parts))


def config() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    return loaded


def test_every_page_stands_in_the_nav() -> None:
    assert pages(config()["nav"]) == {str(path.relative_to(DOCS)) for path in PAGES}


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= MOST_README_LINES


def test_every_detector_is_described() -> None:
    text = (DOCS / "detectors.md").read_text()
    tables = re.findall(r"^\| detector \|[^\n]*\n((?:\|[^\n]*\n)+)", text, re.MULTILINE)
    rows = re.findall(r"^\| \[?`([\w-]+)`", "".join(tables), re.MULTILINE)
    assert sorted(rows) == detectors.names()


def test_every_network_has_a_section() -> None:
    text = (DOCS / "detectors.md").read_text()
    _, sections = text.split("## Each network in short\n")
    named = re.findall(r"^### ([\w-]+)$", sections.split("\n## ")[0], re.MULTILINE)
    assert sorted(named) == sorted(re.findall(r"^\| \[`([\w-]+)`\]\(#", text, re.MULTILINE))


def test_the_picture_of_the_rooms_is_the_one_that_is_tested() -> None:
    (_, picture), *_ = blocks((DOCS / "architecture.md").read_text())
    rooms = [re.split(r" {2,}", line)[0] for line in picture.splitlines()]
    floors = [set(re.findall(r"[a-z]+(?=/|\.py)", named)) for named in rooms]
    assert floors == list(test_layering.FLOORS)
    rows = re.findall(
        r"^\| (`omasgan/[^|]*) \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE
    )
    assert [set(re.findall(r"omasgan/([a-z]+)", row)) for row in rows] == floors


def test_functions_in_the_picture_of_the_architecture_exist() -> None:
    rooms = "|".join(sorted(set().union(*test_layering.FLOORS)))
    code = INLINE.findall(FENCE.sub("", (DOCS / "architecture.md").read_text()))
    named = [name for name in code if re.fullmatch(rf"({rooms})(\.\w+)+", name)]
    named = [name for name in named if not name.endswith((".py", ".json", ".jsonl"))]
    assert len(named) > 20
    for name in named:
        pkgutil.resolve_name(f"omasgan.{name}")


def test_documented_modules_exist() -> None:
    named = re.findall(r"^::: ([\w.]+)$", "".join(p.read_text() for p in PAGES), re.MULTILINE)
    assert named
    for name in named:
        path = ROOT / name.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__init__.py").exists(), name


def python_of(page: str) -> list[str]:
    """The blocks of Python of a page."""
    text = (DOCS / page).read_text()
    return [content for language, content in blocks(text) if language == "python"]


@pytest.mark.parametrize("at", [0, 1])
def test_the_examples_of_a_detector_work(at: int, tmp_path: Path) -> None:
    example = python_of("own-detector.md")[at]
    assert at or len([line for line in example.splitlines() if line]) <= 10
    (name,) = (node.name for node in ast.parse(example).body if isinstance(node, ast.ClassDef))
    (tmp_path / "middle.py").write_text(example)
    cls = detectors.load(f"{tmp_path}/middle.py:{name}")
    assert list(detectors.parameters(cls)) == ["power"]
    detector: IterativeDetector = cls()
    draw = np.random.default_rng(0)
    normals = draw.normal(0, 0.1, (50, 4)).astype(np.float32)
    far = np.ones((5, 4), np.float32)
    scores = detector.fit(normals).decision_function(np.concatenate([normals, far]))
    assert scores[50:].min() > scores[:50].max()


def test_the_example_of_python_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = python_of("detectors.md")
    draw = np.random.default_rng(0)
    names = {name: draw.normal(0, 0.1, (50, 4)) for name in ("X_train", "X_held_out", "X_test")}
    exec(compile(example.replace("500", "5"), "detectors.md", "exec"), names)
    loaded: Any = names["detector"]
    assert (loaded.train_steps, loaded.contamination) == (5, 0.05)
    assert loaded.p_values(names["X_test"]).shape == loaded.predict(names["X_test"]).shape


@pytest.mark.parametrize(
    ("check", "wrong", "right"),
    [
        (lambda text: dead_links(DOCS / "index.md", text), "[x](nowhere.md)", "[x](index.md)"),
        (lambda text: dead_links(DOCS / "index.md", text), "[x](#no-such)", "`[x](#no-such)`"),
        (missing_files, "see omasgan/nothing.py", "see `omasgan/config.py`, s3://omasgan/x"),
        (missing_targets, "```bash\nmake nothing\n```", "`make demo` or make do"),
    ],
)
def test_what_is_wrong_would_be_noticed(check: Any, wrong: str, right: str) -> None:
    assert check(wrong) and not check(right)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a small sweep, of a saved run and of a report."""
    folder = tmp_path_factory.mktemp("docs") / "out"
    small = ["--max-folds", "2", "--max-train", "60", "--max-test", "40"]
    small += ["--folds", "0", "--tracking-uri", "none", "--out", str(folder)]
    search = ["--trials", "1", "--backend", "local"]
    assert cli.main(["sweep", "digits-loo", "pca", *small, *search]) == 0
    few = [f"--set={phase}_steps=2" for phase in ("gan", "boundary", "retrain", "detector")]
    saved = ["--seeds", "0", "--save", *few]
    assert cli.main(["run", "digits-loo", "omasgan", *small, *saved]) == 0
    assert cli.main(["report", str(folder)]) == 0
    return folder


def described(heading: str) -> set[str]:
    """The fields in the first column of the tables below a heading of the page of results."""
    text = (DOCS / "results.md").read_text()
    section = re.split(r"^## ", text.split(f"## {heading}")[1], flags=re.MULTILINE)[0]
    cells = re.findall(r"^\| ([^|]*) \|", section, re.MULTILINE)
    return {name for cell in cells for name in INLINE.findall(cell)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("heading", "pattern"),
    [
        ("result.json", "*/omasgan/*/*/*/*/result.json"),
        ("epochs.jsonl", "*/omasgan/*/*/*/*/epochs.jsonl"),
        ("study.json", "*/*/*/studies/*/study.json"),
        ("winner.json", "*/*/*/studies/*/winner.json"),
        ("model.json", "*/*/*/*/*/*/model.json"),
    ],
)
def test_every_field_is_described(out: Path, heading: str, pattern: str) -> None:
    paths = list(out.glob(pattern))
    assert paths
    # Losses are named by each detector, and stages stand behind a dot.
    losses = {"d", "g"} if heading == "epochs.jsonl" else set()
    for path in paths:
        text = path.read_text()
        fields = json.loads(text.splitlines()[0] if path.suffix == ".jsonl" else text).keys()
        assert {name for name in fields if "." not in name} - losses <= described(heading)


@pytest.mark.slow
def test_every_file_is_described(out: Path) -> None:
    text = (DOCS / "results.md").read_text()
    files = [path.relative_to(out) for path in out.rglob("*") if path.is_file()]
    parts = {path.name if path.parts[0] != "report" else f"`{path.parts[1]}" for path in files}
    assert {name for name in parts if name not in text} == set()


@pytest.mark.slow
def test_every_column_is_described(out: Path) -> None:
    (header, *_) = (out / "report" / "runs.csv").read_text().splitlines()
    columns = {name for name in header.split(",") if "." not in name}
    assert columns <= described("result.json") | described("report/")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"), [("searching.md", "components"), ("results.md", "omasgan 0 0")]
)
def test_examples_in_python_work(
    out: Path,
    name: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (study, *_) = out.glob("*/pca/nested/studies/fold-0")
    monkeypatch.chdir(study)
    page = blocks((DOCS / name).read_text())
    (example,) = (content for language, content in page if language == "python")
    exec(compile(example.replace("out/demo", str(out)), name, "exec"), {})
    assert said in capsys.readouterr().out


@pytest.mark.slow
def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loads = re.compile(r"<(?:script|img|iframe)[^>]*\ssrc=.?https?:|<link[^>]*stylesheet[^>]*//")
    built = list(tmp_path.rglob("*.html"))
    assert len(built) >= len(PAGES)
    assert [page.name for page in built if loads.search(page.read_text())] == []
