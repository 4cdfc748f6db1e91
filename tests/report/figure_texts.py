"""The words on a figure."""

from __future__ import annotations

from matplotlib.figure import Figure


def texts(figure: Figure) -> str:
    """Every word of the figure: labels, ticks, legends and titles."""
    words = [figure.get_suptitle(), figure.get_supxlabel(), figure.get_supylabel()]
    for axes in figure.axes:
        words += [axes.get_xlabel(), axes.get_ylabel(), axes.get_title()]
        words += [text.get_text() for text in (*axes.texts, *axes.get_yticklabels())]
        legend = axes.get_legend()
        words += [text.get_text() for text in legend.get_texts()] if legend else []
    return "\n".join(words)
