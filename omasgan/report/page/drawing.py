"""A matplotlib figure as files for a paper and as SVG within a page, the same bytes every time."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

COLOURS = {
    "#0072b2": "blue", "#d55e00": "red", "#009e73": "green", "#cc79a7": "pink",
    "#e69f00": "orange", "#56b4e9": "sky", "#882255": "wine", "#777777": "grey",
    "#000000": "ink", "#b0b0b0": "line",
}  # fmt: skip
"""Colours that a page shows lighter on a dark ground, and their names in its style."""

PDF_DATES = ("CreationDate", "Creator", "Producer")
"""What would tell one making of a PDF from another."""
DPI = 150
REFERENCE = re.compile(r"#([\w-]+)")


@dataclass(frozen=True)
class Drawn:
    """One picture: ``svg`` is an element for a page, ``png`` and ``pdf`` are files' bytes."""

    svg: str
    png: bytes
    pdf: bytes


def mark(artist: Artist, *, series: str = "", tips: Sequence[str] = ()) -> None:
    """Make ``artist`` answer in a page: a ``series`` can be hidden and shown by its name, and each
    point of a scatter (or the whole, if there is one tip) tells its tip.
    """
    # the id is the only thing about an artist that matplotlib carries over to an SVG
    artist.set_gid(json.dumps({"series": series, "tips": list(tips)}))


def render(figure: Figure, name: str) -> Drawn:
    """The figure in all forms; ids in the SVG begin with ``name``."""
    figure.draw_without_rendering()
    # laid out once for all three; savefig would draw each twice
    figure.set_layout_engine("none")
    figure.set_dpi(DPI)
    svg, png, pdf = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcParams["svg.fonttype"] = "none"  # texts stay texts
        matplotlib.rcParams["svg.hashsalt"] = "omasgan"  # ids follow from what is drawn
        matplotlib.rcParams["pdf.fonttype"] = 42  # which journals take
        agg: Any = FigureCanvasAgg(figure)
        agg.print_png(png, metadata={"Software": None})
        vector: Any = FigureCanvasSVG(figure)
        vector.print_svg(svg, metadata={"Date": None})
        paper: Any = FigureCanvasPdf(figure)
        paper.print_pdf(pdf, metadata=dict.fromkeys(PDF_DATES))
    return Drawn(_for_page(svg.getvalue(), name), png.getvalue(), pdf.getvalue())


def _for_page(svg: bytes, name: str) -> str:
    """An ``<svg>`` element without style sheet and namespaces, in the colours of the page."""
    root = ElementTree.fromstring(svg)
    _drop(root, "metadata", "style")
    used = {match for e in root.iter() for v in e.attrib.values() for match in _references(v)}
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        told = element.attrib.pop("id", None)
        attributes = {key.rpartition("}")[2]: v for key, v in element.attrib.items()}
        element.attrib.clear()
        element.attrib.update({k: _in_page(v, name, used) for k, v in attributes.items()})
        if told in used:
            element.set("id", f"{name}-{told}")
        elif told and told.startswith("{"):
            _answer(element, **json.loads(told))
    width = float(root.attrib.pop("width").removesuffix("pt"))
    del root.attrib["height"], root.attrib["version"]
    root.set("class", "plot")
    root.set("style", f"--width: {width * 4 / 3:.0f}px")
    return ElementTree.tostring(root, encoding="unicode")


def _drop(root: ElementTree.Element, *names: str) -> None:
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.rpartition("}")[2] in names:
                parent.remove(child)


def _references(value: str) -> list[str]:
    return REFERENCE.findall(value) if value.startswith("#") or "url(#" in value else []


def _in_page(value: str, name: str, used: set[str]) -> str:
    """An attribute with ids of this page and colours of its style."""
    if any(reference in used for reference in _references(value)):
        value = re.sub(r"(^|url\()#", rf"\1#{name}-", value)
    value = value.replace("fill: #ffffff", "fill: none")
    for colour, told in COLOURS.items():
        value = value.replace(colour, f"var(--{told})")
    return value


def _answer(element: ElementTree.Element, series: str, tips: Sequence[str]) -> None:
    """Give an element the name of its series, and its points their tips."""
    if series:
        element.set("data-series", series)
    points = [element] if len(tips) == 1 else [e for e in element.iter() if _is_point(e)]
    if tips and len(points) != len(tips):
        raise ValueError(f"{len(tips)} tips for {len(points)} points")
    for point, tip in zip(points, tips, strict=False):
        title = ElementTree.Element("title")
        title.text = tip
        point.insert(0, title)


def _is_point(element: ElementTree.Element) -> bool:
    return element.tag.rpartition("}")[2] == "use"
