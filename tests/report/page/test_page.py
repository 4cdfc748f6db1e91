from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure as Drawing

from omasgan.report.page import files, html, latex, plain
from omasgan.report.page.blocks import Command, Details, Figure, Page, Section, Table
from omasgan.store.files import AnyPath, find, read, relative
from tests.report.page.html import read_page

FRAME = pd.DataFrame(
    {"entry": ["a_b & <c>", "d|e"], "auroc": [0.91239, float("nan")], "n": ["1/2", "10/20"]}
)


def drawing() -> Drawing:
    figure = Drawing(figsize=(2, 2))
    figure.subplots().plot([0, 1], [0, 1])
    return figure


@pytest.fixture
def section() -> Section:
    table = Table("A table", "About 5 % & more.", FRAME, commands=((0, 1), ()))
    inner = (Figure("s-b", "Inner", "caption", "a line", drawing),)
    figure = Figure("s-a", "Outer", "caption <1>", "a line\nthat rises", drawing)
    commands = (
        Command("omasgan run x y --folds 0 --seeds 1", ("y",), {"params/a.toml": "k = '<1>'\n"}),
        Command("omasgan sweep x y"),
    )
    empty = Table("Nothing", "", FRAME.head(0))
    return Section("s", "S <1>", ("Prose.",), (table, empty, figure, Details("More", inner)),
                   commands)  # fmt: skip


def test_a_page_is_well_formed(section: Section) -> None:
    text = html.render(Page("A & B", ("Made.",), (section,)))
    page = read_page(text)
    assert page.wrong == []
    assert page.links <= page.ids
    assert page.headings["h2"] == ["Contents", "S <1>"]
    assert page.headings["h3"] == ["A table", "Outer", "Inner", "Commands"]
    assert page.pictures == ["Outer. a line\nthat rises", "Inner. a line"]
    assert page.commands == {("s-a-table", "a_b & <c>"): "s-command-1"}
    assert page.text["s-command-1"] == "omasgan run x y --folds 0 --seeds 1"
    assert 'data-value="0.91239"' in text, "sorted finer than it reads"
    assert "Nothing" not in text


def test_headings_of_tables_are_buttons_and_boxes_scroll_by_keyboard(section: Section) -> None:
    text = html.render(Page("A", (), (section,)))
    assert text.count("<button") == len(FRAME.columns)
    assert text.count('role="region" tabindex="0"') == 3


@settings(max_examples=20)
@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1))
def test_any_text_appears_as_it_is_and_as_text_alone(text: str) -> None:
    table = Table("A table", text, pd.DataFrame({text: [text]}))
    command = Command(f"omasgan {text} --folds 0", (text,), {text: text})
    section = Section("s", text, (text,), (table,), (command,))
    page = read_page(html.render(Page(text, (text,), (section,))))
    assert page.wrong == []
    assert page.headings["h1"] == [text] and page.cells == [text]
    assert page.text["s-command-1"] == f"omasgan {text} --folds 0"


def test_repeated_anchors_are_refused(section: Section) -> None:
    with pytest.raises(ValueError, match="got twice: s, s-a-table"):
        html.render(Page("A", (), (section, section)))


def test_a_table_as_markdown(section: Section) -> None:
    text = plain.markdown(next(iter(section.tables)), section)
    assert "| a_b & <c> | 0.912 | 1/2 |\n| d/e | - | 10/20 |" in text
    assert "omasgan run x y --folds 0 --seeds 1\nomasgan sweep x y" in text
    summary = plain.summary(Page("A", (), (section,)))
    assert "| d/e | - | 10/20 |  |" in summary
    assert "| a_b & <c> | 0.912 | 1/2 | 1 2 |" in summary
    assert "1. `omasgan run x y --folds 0 --seeds 1`\n2. `omasgan sweep x y`" in summary


def test_a_table_as_latex(section: Section) -> None:
    text = latex.latex(next(iter(section.tables)), section)
    lines = text.splitlines()
    assert lines[:2] == ["% omasgan run x y --folds 0 --seeds 1", "% omasgan sweep x y"]
    assert r"\caption{S \textless{}1\textgreater{}: A table. About 5 \% \& more.}" in lines
    assert r"\begin{tabular}{lrl}" in lines
    assert r"a\_b \& \textless{}c\textgreater{} & 0.912 & 1/2 \\" in lines
    assert r"d|e & - & 10/20 \\" in lines


def test_a_section_has_files_with_fixed_names(section: Section) -> None:
    names = ["params/a.toml", "tables/s-a-table.md", "tables/s-a-table.tex"]
    assert sorted(files.of_section(section)) == names
    written = files.of_section(section, ["png", "pdf"])
    assert sorted(written) == [
        "figures/s-a.pdf", "figures/s-a.png", "figures/s-b.pdf", "figures/s-b.png", *names,
    ]  # fmt: skip
    assert written["figures/s-a.pdf"].startswith(b"%PDF")
    assert written["figures/s-b.png"].startswith(b"\x89PNG")


def test_figures_of_an_earlier_page_go(root: AnyPath) -> None:
    files.write(
        root, {"figures/old.png": b"old", "figures/same.png": b"old", "tables/t.md": b"old"}
    )
    files.write(root, {"figures/same.png": b"new", "index.html": b"new"})
    left = {relative(path, root): read(path) for path in find(root, "**/*")}
    assert left == {"figures/same.png": b"new", "index.html": b"new", "tables/t.md": b"old"}
