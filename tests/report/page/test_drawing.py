from __future__ import annotations

from importlib.resources import files
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from omasgan.report.page import palette
from omasgan.report.page.drawing import Drawn, mark
from omasgan.report.page.palette import LINES, NORMAL, OUTCOMES


def figure(n_points: int = 5, n_tips: int = 5) -> Figure:
    drawn = Figure(figsize=(4, 3), layout="constrained")
    axes = drawn.subplots()
    dots = axes.scatter(range(n_points), range(n_points), color=NORMAL)
    mark(dots, series="dots", tips=[f"point <{i}>" for i in range(n_tips)])
    (line,) = axes.plot([0, 4], [4, 0], color="#000000")
    mark(line, series="line", tips=["the line"])
    axes.set_xlabel("the x")
    return drawn


def test_a_picture_in_a_page_responds_and_has_the_pages_colours() -> None:
    svg = ElementTree.fromstring(Drawn(figure(), "name").svg)
    assert svg.tag == "svg" and svg.get("class") == "plot"
    series = {e.get("data-series"): e for e in svg.iter() if e.get("data-series")}
    assert set(series) == {"dots", "line"}
    tips = [title.text for title in series["dots"].iter("title")]
    assert tips == [f"point <{i}>" for i in range(5)]
    assert [title.text for title in series["line"].iter("title")] == ["the line"]
    text = ElementTree.tostring(svg, encoding="unicode")
    assert "the x" in text, "texts stay texts"
    assert "var(--blue)" in text and "var(--ink)" in text
    assert "#ffffff" not in text and "<style" not in text


def test_ids_begin_with_the_pictures_name_and_resolve() -> None:
    svg = ElementTree.fromstring(Drawn(figure(), "name").svg)
    ids = [e.get("id") for e in svg.iter() if e.get("id")]
    assert ids and all(str(i).startswith("name-") for i in ids)
    used = {v.partition("#")[2].rstrip(")") for e in svg.iter() for v in e.attrib.values()
            if v.startswith(("#", "url(#"))}  # fmt: skip
    assert used <= set(ids)


def test_files_are_the_same_every_time_and_contain_no_date() -> None:
    first, second = Drawn(figure(), "name"), Drawn(figure(), "name")
    assert (first.svg, first.png, first.pdf) == (second.svg, second.png, second.pdf)
    assert first.png.startswith(b"\x89PNG") and first.pdf.startswith(b"%PDF")
    assert b"CreationDate" not in first.pdf and b"/Type3" not in first.pdf


def test_the_order_of_formats_changes_none_of_them() -> None:
    first, second = Drawn(figure(), "name"), Drawn(figure(), "name")
    assert (first.svg, first.png, first.pdf) == (second.pdf, second.png, second.svg)[::-1]


def test_tips_without_a_point_are_refused() -> None:
    with pytest.raises(ValueError, match="4 tips for 5 points"):
        _ = Drawn(figure(n_tips=4), "name").svg


def test_the_colours_of_figures_have_names_that_the_style_knows() -> None:
    css = files("omasgan.report.page").joinpath("page.css").read_text(encoding="utf-8")
    drawn = (*LINES, *OUTCOMES.values(), palette.GREY)
    assert {colour.lower() for colour in drawn} <= set(palette.NAMES)
    for name in palette.NAMES.values():
        assert css.count(f"--{name}: ") == 2, f"{name}: on a light and on a dark background"
