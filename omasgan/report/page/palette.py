"""The colours and sizes that all figures share."""

from __future__ import annotations

NORMAL, ANOMALOUS, GREY, INK = "#0072B2", "#D55E00", "#777777", "#000000"
LINES = (NORMAL, ANOMALOUS, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK, "#882255")
"""Colours of series, which also readers with a colour vision deficiency can tell apart."""
OUTCOMES = {
    "ok": NORMAL,
    "pruned": "#E69F00",
    "diverged": ANOMALOUS,
    "out-of-memory": "#CC79A7",
    "failed": INK,
}
FIELD = "cividis"
"""matplotlib's colour map for a quantity over a plane."""
WIDTH = 7.2
"""The width of a figure in inches."""

NAMES = {
    "#0072b2": "blue", "#d55e00": "red", "#009e73": "green", "#cc79a7": "pink",
    "#e69f00": "orange", "#56b4e9": "sky", "#882255": "wine", "#777777": "grey",
    "#000000": "ink", "#b0b0b0": "line",
}  # fmt: skip
"""Colours that a page shows lighter on a dark background, and their names in ``page.css``."""
