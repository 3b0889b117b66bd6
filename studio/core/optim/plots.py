"""The look of the project's curves: light ink on a dark page."""

from __future__ import annotations

from typing import Any

BACKGROUND = "#17181b"
INK = "#c9ccd3"
LINES = ("#f2a65a", "#6fb1e0", "#8fcf8b", "#d98bd0", "#d9d27a", "#e07a7a")


def dark_figure(width: float, height: float) -> Any:
    """An empty matplotlib Figure of width x height inches; it needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    return figure


def dress(axes: Any) -> None:
    """Give one plot the page's colours; call it when labels and title are set."""
    axes.set_facecolor(BACKGROUND)
    axes.tick_params(which="both", colors=INK, labelsize=8)
    axes.grid(color=INK, alpha=0.08, lw=0.6)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.title.set_color(INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
