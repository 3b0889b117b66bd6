"""Curves over the steps of a run: loss by term, PSNR; hovering reads all of them at one step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from imgui_bundle import ImVec2, imgui, implot

from studio.core.optim.messages import HistoryRow
from studio.ui import theme
from studio.ui import widgets as w
from studio.ui.state import AppState
from studio.ui.theme import LOSS_COLOR, PSNR_COLOR, mix, px, roles, u32, vec
from studio.ui.timeline import smoothed, thin

POINTS = 600
"""Points a curve is drawn with at most: about one per pixel of a plot."""

DECADES = 2.5
"""How far below the total a term still shows: smaller ones decide nothing."""

# Okabe and Ito 2008 again; terms that seldom meet share a colour.
TERM_COLORS = {
    "color": 0xD55E00,
    "mask": 0xCC79A7,
    "ssim": 0xE6D84A,
    "laplacian": 0x8C9EFF,
    "normal_consistency": 0x009E73,
    "edge_length": 0xB08D57,
    "albedo_smoothness": 0x9AA0A6,
    "texture_smoothness": 0x9AA0A6,
    "material_smoothness": 0x009E73,
    "flat_normals": 0x8C9EFF,
    "sign_changes": 0xB08D57,
    "carving": 0xE6D84A,
    "light_white": 0xC9B79C,
    "light_smoothness": 0xC9B79C,
}

_PLOT = (
    implot.Flags_.no_legend
    | implot.Flags_.no_menus
    | implot.Flags_.no_mouse_text
    | implot.Flags_.no_box_select
)
AXIS = implot.AxisFlags_.no_label | implot.AxisFlags_.no_highlight | implot.AxisFlags_.no_menus
_LABEL = 96.0
"""Room for the names and last values of the curves, right of them."""


@dataclass(frozen=True, eq=False)
class Curve:
    """One quantity: its name, last value as words, colour, and values at the plot's steps."""

    name: str
    last: str
    color: int
    values: np.ndarray
    weight: float = 1.3


def ink(color: int) -> int:
    """A plot colour with enough contrast to be read on the theme's ground."""
    return mix(color, roles().text, 0.1 if roles() is theme.DARK else 0.4)


def title(name: str, value: str = "", color: int = 0) -> None:
    theme.bold()
    w.text(name)
    imgui.pop_font()
    if value:
        imgui.same_line(0, px(8))
        w.text(value, ink(color))


def begin(id: str, size: ImVec2) -> bool:
    plot = ImVec2(size.x, size.y - imgui.get_text_line_height_with_spacing() - px(2))
    return bool(implot.begin_plot(id, plot, _PLOT))


def loss(state: AppState, rows: Sequence[HistoryRow], size: ImVec2) -> None:
    """Total and terms, log scale, smoothed by the slider in the title's line."""
    steps = _steps(rows)
    totals = _term(rows, "total")
    good = np.isfinite(totals) & (totals > 0)
    title("Loss", f"{totals[good][-1]:.4f}" if good.any() else "–", LOSS_COLOR)
    _smoothing(state, size.x)
    if not begin("##loss", size):
        return
    weight = state.view.smoothing
    curves = [Curve("total", "", LOSS_COLOR, smoothed(totals, weight), 1.6)]
    names = sorted({name for row in rows[-1:] for name, value in row.losses.items() if value > 0} - {"total"})
    for name in names if len(names) > 1 else ():
        values = smoothed(_term(rows, name), weight)
        shown = name.replace("_", " ")
        curves.append(Curve(shown, "", TERM_COLORS.get(name, roles().muted), values))
    last = _step_axis(steps[-1], size.x if len(curves) > 1 else 0.0)
    implot.setup_axis(implot.ImAxis_.y1, "", AXIS | implot.AxisFlags_.lock)
    implot.setup_axis_scale(implot.ImAxis_.y1, implot.Scale_.log10)
    shown_values = curves[0].values[np.isfinite(curves[0].values) & (curves[0].values > 0)]
    if len(shown_values):
        _log_axis([c.values for c in curves], float(shown_values.min()), float(shown_values.max()), size.y)
    _earlier(state, lambda row: row.losses.get("total", math.nan))
    if weight > 0:  # what the mean is of
        _line("raw", steps, totals, LOSS_COLOR, 1.0, 0.22)
    for curve in curves:
        _line(curve.name, steps, np.where(curve.values > 0, curve.values, np.nan), curve.color, curve.weight)
    if len(curves) > 1:
        _labels(curves, last)
    _marks(state, steps)
    implot.end_plot()


def psnr(state: AppState, rows: Sequence[HistoryRow], size: ImVec2) -> None:
    """PSNR of each step's photos."""
    steps = _steps(rows)
    raw = np.array([row.psnr for row in rows], np.float64)
    values = smoothed(raw, state.view.smoothing)
    good = np.isfinite(values)
    title("PSNR", f"{values[good][-1]:.1f} dB" if good.any() else "–", PSNR_COLOR)
    if not begin("##psnr", size):
        return
    _step_axis(steps[-1], 0.0)
    implot.setup_axis(implot.ImAxis_.y1, "", AXIS | implot.AxisFlags_.lock)
    if good.any():
        low, high = float(np.nanmin(raw)) - 0.5, float(np.nanmax(raw)) + 0.5
        implot.setup_axis_limits(implot.ImAxis_.y1, low, high, imgui.Cond_.always)
        ticks = linear_ticks(low, high, min(4, ticks_in(size.y)))
        implot.setup_axis_ticks(implot.ImAxis_.y1, ticks, [f"{t:g}" for t in ticks], False)
    _earlier(state, lambda row: row.psnr)
    if state.view.smoothing > 0:
        _line("raw", steps, raw, PSNR_COLOR, 1.0, 0.22)
    _line("psnr", steps, values, PSNR_COLOR, 1.6)
    _marks(state, steps)
    implot.end_plot()


def _steps(rows: Sequence[HistoryRow]) -> np.ndarray:
    return np.array([row.step for row in rows], np.float64)


def _term(rows: Sequence[HistoryRow], name: str) -> np.ndarray:
    return np.array([row.losses.get(name, math.nan) for row in rows], np.float64)


def _smoothing(state: AppState, width: float) -> None:
    imgui.same_line(width - px(74))
    imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(px(4), 0))
    value = w.slider("##smoothing", state.view.smoothing, 0.0, 0.98, "", width=px(74))
    imgui.pop_style_var()
    w.tooltip(
        f"Smoothing {state.view.smoothing:.2f}: how much of the past counts. 0 shows every step as it was."
    )
    if value is not None:
        state.view.smoothing = value


def _line(name: str, x: np.ndarray, y: np.ndarray, color: int, weight: float, alpha: float = 1.0) -> None:
    good = np.isfinite(y)
    spec = implot.Spec(line_color=vec(ink(color), alpha), line_weight=px(weight))
    implot.plot_line(f"##{name}", np.ascontiguousarray(x[good]), np.ascontiguousarray(y[good]), spec)


def _earlier(state: AppState, of: Callable[[HistoryRow], float]) -> None:
    """The runs before this one, grey, behind it."""
    for number, history in enumerate(state.earlier):
        rows = thin(history, POINTS)
        values = smoothed(np.array([of(row) for row in rows], np.float64), state.view.smoothing)
        _line(f"earlier{number}", _steps(rows), values, roles().muted, 1.0, 0.35 + 0.2 * number)


def _step_axis(last: float, width: float) -> float:
    """Steps from 0; with a width there is room for labels at the right. Returns the last step shown."""
    implot.setup_axis(implot.ImAxis_.x1, "", AXIS | implot.AxisFlags_.lock | implot.AxisFlags_.no_grid_lines)
    last = max(float(last), 10.0)
    room = px(_LABEL) / max(width - 1.6 * px(_LABEL), px(60)) if width > 0 else 0.0
    implot.setup_axis_limits(implot.ImAxis_.x1, 0.0, last * (1 + room), imgui.Cond_.always)
    ticks = linear_ticks(0.0, last, 5)
    implot.setup_axis_ticks(implot.ImAxis_.x1, ticks, [f"{t:g}" for t in ticks], False)
    return last


def _log_axis(curves: list[np.ndarray], low: float, high: float, height: float) -> None:
    smallest = min(float(np.nanmin(np.where(v > 0, v, np.nan), initial=high)) for v in curves)
    low = max(smallest, low / 10**DECADES) / 1.15
    high = max(high * 1.15, low * 1.5)
    implot.setup_axis_limits(implot.ImAxis_.y1, low, high, imgui.Cond_.always)
    ticks = log_ticks(low, high)
    ticks = ticks[:: max(1, -(-len(ticks) // ticks_in(height)))]
    implot.setup_axis_ticks(implot.ImAxis_.y1, ticks, [f"{t:g}" for t in ticks], False)


def _labels(curves: list[Curve], last: float) -> None:
    """Name and last value beside the end of each curve, moved apart where they would overlap."""
    low, size = implot.get_plot_pos(), implot.get_plot_size()
    line = 0.82 * imgui.get_text_line_height()
    ends = []
    for curve in curves:
        value = curve.values[np.isfinite(curve.values)][-1] if np.isfinite(curve.values).any() else math.nan
        if value > 0:
            y = implot.plot_to_pixels(last, float(value)).y
            if y < low.y + size.y + line:
                ends.append((y, f"{curve.name} {value:.2g}", curve.color))
    ends.sort()
    places = spread([y for y, _, _ in ends], line, low.y, low.y + size.y)
    draw = implot.get_plot_draw_list()
    x = implot.plot_to_pixels(last, 1.0).x + px(5)
    implot.push_plot_clip_rect()
    for place, (_, words, color) in zip(places, ends):
        imgui.push_font(None, 0.82 * theme.FONT_SIZE)
        draw.add_text(ImVec2(x, place - 0.6 * line), u32(ink(color)), words)
        imgui.pop_font()
    implot.pop_plot_clip_rect()


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending places at least `gap` apart, moved as little as that takes, within low and high."""
    out: list[float] = []
    for place in places:
        out.append(max(place, out[-1] + gap) if out else max(place, low + 0.6 * gap))
    bound = high - 0.5 * gap
    for i in range(len(out) - 1, -1, -1):
        out[i] = min(out[i], bound)
        bound = out[i] - gap
    return out


def _marks(state: AppState, steps: np.ndarray) -> None:
    """Lines at the step shown and at the hovered one; all values at that, a click goes there."""
    run = state.run
    if run.shown is not None:
        spec = implot.Spec(line_color=vec(roles().text, 0.8), line_weight=px(1))
        implot.plot_inf_lines("##shown", np.array([float(run.shown.step)]), spec)
    if run.plateau is not None:
        spec = implot.Spec(line_color=vec(roles().good, 0.7), line_weight=px(1))
        implot.plot_inf_lines("##plateau", np.array([float(run.plateau)]), spec)
    if not implot.is_plot_hovered() or not run.history:
        return
    x = implot.get_plot_mouse_pos().x
    row = min(run.history, key=lambda r: abs(r.step - x))
    spec = implot.Spec(line_color=vec(roles().muted, 0.6), line_weight=px(1))
    implot.plot_inf_lines("##hover", np.array([float(row.step)]), spec)
    _reading(row)
    if imgui.is_mouse_clicked(0):
        state.act("go_to_step", row.step)


def _reading(row: HistoryRow) -> None:
    """Everything that was measured at one step, in the curves' colours."""
    imgui.begin_tooltip()
    w.text(f"step {row.step}")
    imgui.same_line(0, px(10))
    w.text(f"{row.psnr:.2f} dB", ink(PSNR_COLOR))
    named = [(name, value) for name, value in row.losses.items() if value]
    for name, value in sorted(named, key=lambda entry: -entry[1]):
        color = LOSS_COLOR if name == "total" else TERM_COLORS.get(name, roles().muted)
        w.text(f"{value:.5f}", ink(color))
        imgui.same_line(px(70))
        w.text(name.replace("_", " "))
    imgui.end_tooltip()


def log_ticks(low: float, high: float) -> list[float]:
    """1 and 3 times powers of ten inside the range; 1, 2, 5 where it spans less than a decade."""
    steps = (1, 3) if high / low > 10 else (1, 2, 3, 5)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [m * 10.0**e for e in exponents for m in steps if low <= m * 10.0**e <= high]


def ticks_in(height: float) -> int:
    """How many numbers beside a plot, its title included, have room above each other."""
    return max(1, int(height / (1.2 * imgui.get_text_line_height_with_spacing())) - 2)


def linear_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers, about `count` of them, inside the range."""
    raw = max((high - low) / count, 1e-12)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]
