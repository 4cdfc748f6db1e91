"""A matplotlib figure as SVG for a page, and as PNG and PDF files: the same bytes every time."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from omasgan.report.page.palette import NAMES

PDF_DATES = ("CreationDate", "Creator", "Producer")
"""Metadata that would differ between two renderings of the same figure."""
DPI = 150
REFERENCE = re.compile(r"#([\w-]+)")


def mark(artist: Artist, *, series: str = "", tips: Sequence[str] = ()) -> None:
    """Make ``artist`` respond to a pointer in a page.

    Args:
        artist: a line, a scatter, a bar, ...
        series: the name by which a reader hides and shows it.
        tips: a text for each point of a scatter, or one for the whole artist.
    """
    # the id is the only thing about an artist that matplotlib carries over to an SVG
    artist.set_gid(json.dumps({"series": series, "tips": list(tips)}))


def set_title(figure: Figure, title: str) -> None:
    """Give the figure a title, which takes room only if it is not empty."""
    if title:
        figure.suptitle(title, fontsize=11)


def png(figure: Figure, dpi: int = 100) -> bytes:
    """The bytes of a PNG file alone."""
    buffer = io.BytesIO()
    # a tight bounding box would draw everything twice, and the layout leaves no margin to cut off
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


class Drawn:
    """A figure in several formats, each of which is rendered when it is first asked for."""

    def __init__(self, figure: Figure, name: str) -> None:
        """Take ``figure`` over; the ids in its SVG begin with ``name``."""
        self._figure, self._name = figure, name
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
        # one layout for all formats: savefig would draw each figure twice
        figure.set_layout_engine("none")
        figure.set_dpi(DPI)

    @cached_property
    def svg(self) -> str:
        """An element for a page."""
        canvas: Any = FigureCanvasSVG(self._figure)
        content = io.BytesIO()
        # texts remain texts, and ids depend on the content alone
        with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "omasgan"}):
            canvas.print_svg(content, metadata={"Date": None})
        return _for_page(content.getvalue(), self._name)

    @cached_property
    def png(self) -> bytes:
        """The bytes of a file."""
        canvas: Any = FigureCanvasAgg(self._figure)
        content = io.BytesIO()
        canvas.print_png(content, metadata={"Software": None})
        return content.getvalue()

    @cached_property
    def pdf(self) -> bytes:
        """The bytes of a file, with fonts of the type that journals accept."""
        # few reports have such files, and what cuts fonts takes long to import
        from matplotlib.backends.backend_pdf import FigureCanvasPdf

        canvas: Any = FigureCanvasPdf(self._figure)
        content = io.BytesIO()
        with matplotlib.rc_context({"pdf.fonttype": 42}):
            canvas.print_pdf(content, metadata=dict.fromkeys(PDF_DATES))
        return content.getvalue()


def _for_page(svg: bytes, name: str) -> str:
    """An ``<svg>`` element without style sheet and namespaces, in the colours of the page."""
    root = ElementTree.fromstring(svg)
    _drop(root, "metadata", "style")
    used = {match for e in root.iter() for v in e.attrib.values() for match in _references(v)}
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        gid = element.attrib.pop("id", None)
        attributes = {key.rpartition("}")[2]: v for key, v in element.attrib.items()}
        element.attrib.clear()
        element.attrib.update({k: _adapted(v, name, used) for k, v in attributes.items()})
        if gid in used:
            element.set("id", f"{name}-{gid}")
        elif gid and gid.startswith("{"):
            _add_response(element, **json.loads(gid))
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


def _adapted(value: str, name: str, used: set[str]) -> str:
    """The value of an attribute, with the ids of this page and the colours of its style."""
    if any(reference in used for reference in _references(value)):
        value = re.sub(r"(^|url\()#", rf"\1#{name}-", value)
    value = value.replace("fill: #ffffff", "fill: none")
    for colour, variable in NAMES.items():
        value = value.replace(colour, f"var(--{variable})")
    return value


def _add_response(element: ElementTree.Element, series: str, tips: Sequence[str]) -> None:
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
