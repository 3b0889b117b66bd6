"""Tables and picture of the primitives' benchmark."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Result:
    """One mesh at one size.

    Attributes:
        walls: milliseconds of every run, by name of the call.
    """

    model: str
    triangles: int
    size: int
    walls: dict[str, list[float]]

    def ms(self, name: str) -> float:
        """Median."""
        return statistics.median(self.walls[name])

    def ratio(self, name: str, to: str) -> float | None:
        """How many times as long as `to`, or None if either was not measured."""
        return self.ms(name) / self.ms(to) if name in self.walls and to in self.walls else None


def one_thread(name: str, alone: bool = True) -> str:
    """Names of the runs that tell what the second thread is worth."""
    return f"{name}, 1 thread" if alone else f"{name}, all threads"


def _grid(results: list[Result], cell: Callable[[Result], str]) -> str:
    """Meshes down, sizes across."""
    sizes = sorted({r.size for r in results})
    found = {(r.model, r.size): r for r in results}
    lines = ["| mesh | " + " | ".join(f"{s}²" for s in sizes) + " |", "|---" * (len(sizes) + 1) + "|"]
    for model in dict.fromkeys(r.model for r in results):
        cells = [cell(found[model, s]) if (model, s) in found else "–" for s in sizes]
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _number(ms: float) -> str:
    return f"{ms:.1f}" if ms < 100 else f"{ms:.0f}"


def _beside(name: str, *peers: str) -> Callable[[Result], str]:
    """Milliseconds, and in brackets how many times as long as the peers."""

    def cell(result: Result) -> str:
        ratios = [result.ratio(name, peer) for peer in peers]
        known = [f"{r:.2f}" for r in ratios if r is not None]
        return _number(result.ms(name)) + (f" ({' · '.join(known)})" if known else "")

    return cell


def _worth(result: Result) -> str:
    names = ("raster", "draw + gradient", "three ops + gradient")
    ratios = [result.ratio(one_thread(n), one_thread(n, alone=False)) for n in names]
    return " · ".join("–" if r is None else f"{r:.2f}" for r in ratios)


def _soft_table(results: list[Result]) -> str:
    names = [n for n in ("draw", "softras", "nmr") if n in results[0].walls]
    head = " | ".join(f"{n} | + gradient" for n in names)
    lines = [f"| mesh | pixels | {head} |", "|---" * (2 + 2 * len(names)) + "|"]
    for r in results:
        cells = " | ".join(f"{_number(r.ms(n))} | {_number(r.ms(f'{n} + gradient'))}" for n in names)
        lines.append(f"| {r.model} | {r.size}² | {cells} |")
    return "\n".join(lines)


def page(hard: list[Result], soft: list[Result]) -> str:
    """Markdown for the documentation."""
    parts = [
        "Forward rasterization, ms (times Mesa's · times Mesa's with the copy into host memory):",
        _grid(hard, _beside("raster", "Mesa", "Mesa + copy")),
        "`draw` forward and gradient, ms (times DEODR's render and backward):",
        _grid(hard, _beside("draw + gradient", "DEODR + gradient")),
        "`draw` forward, ms (times DEODR's render):",
        _grid(hard, _beside("draw", "DEODR")),
        "`rasterize`, `interpolate`, `antialias` one by one, forward and gradient, ms (times DEODR's):",
        _grid(hard, _beside("three ops + gradient", "DEODR + gradient")),
    ]
    if any(one_thread("raster") in r.walls for r in hard):
        parts += [
            "What the second thread is worth, time on one thread over time on all: rasterization · `draw` "
            "and gradient · the three ops and gradient:",
            _grid(hard, _worth),
        ]
    if soft:
        parts += [
            "SoftRas (sigma and gamma 1e-4) and NMR beside `draw`, ms; meshes above 21k triangles and images "
            "above 512² are not measured:",
            _soft_table(soft),
        ]
    return "\n\n".join(parts)


# Readable on white and on black alike.
_INK, _FAINT = "#7d8590", "#7d859040"
_BLUE, _ORANGE, _GREEN = "#3b8eea", "#e8833a", "#2da44e"


def plot(hard: list[Result], soft: list[Result], path: Path) -> None:
    """Times over triangles and over pixels, ours against each peer; background transparent."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update(
        {
            "text.color": _INK,
            "axes.labelcolor": _INK,
            "xtick.color": _INK,
            "ytick.color": _INK,
            "font.size": 9,
        }
    )
    figure, axes = pyplot.subplots(1, 3 if soft else 2, figsize=(12.6 if soft else 8.6, 4.2))
    _by_triangles(axes[0], hard, "raster", "Mesa", "Rasterization, forward")
    _by_triangles(axes[1], hard, "draw + gradient", "DEODR + gradient", "Antialiased image and gradient")
    if soft:
        _by_pixels(axes[2], soft)
    figure.tight_layout(w_pad=2.5)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=160, transparent=True)
    pyplot.close(figure)


def _style(axis: Any, title: str, xlabel: str) -> None:
    axis.set(xscale="log", yscale="log", xlabel=xlabel, ylabel="ms")
    axis.set_title(title, fontsize=10.5, color=_INK, loc="left", fontweight="bold")
    for ticks in (axis.xaxis, axis.yaxis):
        ticks.set_major_formatter(lambda value, _: f"{value:g}" if value < 1000 else f"{value / 1000:g}k")
    axis.grid(True, which="major", color=_FAINT, linewidth=0.6)
    axis.minorticks_off()
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color(_FAINT)
    axis.tick_params(length=0)


def _by_triangles(axis: Any, results: list[Result], name: str, peer: str, title: str) -> None:
    """One pair of lines per size."""
    sizes = sorted({r.size for r in results})
    for size in sizes:
        here = sorted((r for r in results if r.size == size), key=lambda r: r.triangles)
        x = [r.triangles for r in here]
        ours = [r.ms(name) for r in here]
        axis.plot(x, ours, color=_BLUE, linewidth=1.8, marker="o", markersize=2.8)
        if all(peer in r.walls for r in here):
            axis.plot(
                x, [r.ms(peer) for r in here], color=_ORANGE, linewidth=1.2, linestyle=(0, (4, 2)), zorder=1
            )
        place = {"xytext": (-6, 0), "textcoords": "offset points", "ha": "right", "va": "center"}
        axis.annotate(f"{size}²", (x[0], ours[0]), fontsize=8, **place)
    _style(axis, title, "triangles")
    axis.set_xlim(75, max(r.triangles for r in results) * 1.5)
    axis.plot([], [], color=_BLUE, linewidth=1.8, marker="o", markersize=2.8, label="ours")
    axis.plot([], [], color=_ORANGE, linewidth=1.2, linestyle=(0, (4, 2)), label=peer.split(" +")[0])
    axis.legend(frameon=False, loc="lower right", fontsize=8.5, labelcolor=_INK, borderaxespad=0.2)


def _by_pixels(axis: Any, results: list[Result]) -> None:
    """The three ways to a gradient, on the mesh that has about 5k triangles."""
    model = min(results, key=lambda r: abs(r.triangles - 5120)).model
    here = sorted((r for r in results if r.model == model), key=lambda r: r.size)
    for name, color, label in (
        ("softras", _GREEN, "SoftRas"),
        ("nmr", _ORANGE, "NMR"),
        ("draw", _BLUE, "antialias"),
    ):
        if name not in here[0].walls:
            continue
        x, y = [r.size for r in here], [r.ms(f"{name} + gradient") for r in here]
        axis.plot(x, y, color=color, linewidth=1.8, marker="o", markersize=2.8)
        axis.annotate(
            label, (x[-1], y[-1]), (6, 0), textcoords="offset points", va="center", color=color, fontsize=8.5
        )
    _style(axis, f"Image and gradient, {model}", "pixels a side")
    axis.set_xticks([r.size for r in here], [f"{r.size}" for r in here])
    axis.set_xlim(here[0].size * 0.9, here[-1].size * 1.7)
