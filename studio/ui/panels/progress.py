"""Progress: loss, PSNR and error per photo, and the timeline of snapshots."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from imgui_bundle import ImVec2, imgui, implot

from studio.core.optim.messages import HistoryRow
from studio.ui import theme
from studio.ui import widgets as w
from studio.ui.state import AppState
from studio.ui.theme import LOSS_COLOR, PSNR_COLOR, VIEW_COLOR, Icon, mix, px, roles, u32, vec

POINTS = 600
"""Points a curve is drawn with at most: about one per pixel of a plot."""

_PLOT = (
    implot.Flags_.no_legend
    | implot.Flags_.no_menus
    | implot.Flags_.no_mouse_text
    | implot.Flags_.no_box_select
)
_AXIS = implot.AxisFlags_.no_label | implot.AxisFlags_.no_highlight | implot.AxisFlags_.no_menus


def draw(state: AppState) -> None:
    """The panel's body."""
    if not state.run.history:
        ready = state.ready and state.photos is not None and not state.run.active
        message = "Loss and PSNR appear here once a fit runs."
        if w.empty(Icon.chart, message, f"{Icon.play}  Start" if ready else "", "start_progress"):
            state.act("toggle_run")
        return
    rows = thin(state.run.history)
    space = imgui.get_content_region_avail()
    timeline = px(46)
    gap = px(14)
    width = (space.x - 2 * gap) / 3
    size = ImVec2(width, max(px(60), space.y - timeline - imgui.get_style().item_spacing.y))
    steps = np.array([row.step for row in rows], np.float64)
    loss = np.array([row.losses.get("total", math.nan) for row in rows], np.float64)
    psnr = np.array([row.psnr for row in rows], np.float64)
    imgui.begin_group()
    _loss_plot(state, steps, loss, size)
    imgui.end_group()
    imgui.same_line(0, gap)
    imgui.begin_group()
    _psnr_plot(state, steps, psnr, size)
    imgui.end_group()
    imgui.same_line(0, gap)
    imgui.begin_group()
    _views_plot(state, size)
    imgui.end_group()
    _timeline(state, space.x, timeline)


def thin(rows: Sequence[HistoryRow]) -> list[HistoryRow]:
    """At most about POINTS rows, evenly chosen, with the last."""
    stride = max(1, len(rows) // POINTS)
    chosen = list(rows[::stride])
    if rows and chosen[-1] is not rows[-1]:
        chosen.append(rows[-1])
    return chosen


def _title(name: str, value: str, color: int) -> None:
    theme.bold()
    w.text(name)
    imgui.pop_font()
    imgui.same_line(0, px(8))
    # The curves' colours are made for dark ground; on light they need more ink to be read as text.
    w.text(value, mix(color, roles().text, 0.15 if roles() is theme.DARK else 0.5))


def _begin(id: str, size: ImVec2) -> bool:
    plot = ImVec2(size.x, size.y - imgui.get_text_line_height_with_spacing() - px(2))
    return bool(implot.begin_plot(id, plot, _PLOT))


def _loss_plot(state: AppState, steps: np.ndarray, loss: np.ndarray, size: ImVec2) -> None:
    good = np.isfinite(loss) & (loss > 0)
    last = loss[good][-1] if good.any() else math.nan
    _title("Loss", f"{last:.4f}", LOSS_COLOR)
    if not _begin("##loss", size):
        return
    _step_axis(steps)
    implot.setup_axis(implot.ImAxis_.y1, "", _AXIS | implot.AxisFlags_.lock)
    implot.setup_axis_scale(implot.ImAxis_.y1, implot.Scale_.log10)
    if good.any():
        low, high = float(loss[good].min()), float(loss[good].max())
        low, high = low / 1.15, max(high * 1.15, low * 1.5)
        implot.setup_axis_limits(implot.ImAxis_.y1, low, high, imgui.Cond_.always)
        room = max(1, int(size.y / (1.2 * imgui.get_text_line_height_with_spacing())) - 1)
        ticks = log_ticks(low, high)
        ticks = ticks[:: max(1, -(-len(ticks) // room))]
        implot.setup_axis_ticks(implot.ImAxis_.y1, ticks, [f"{t:g}" for t in ticks], False)
    spec = implot.Spec(line_color=vec(LOSS_COLOR), line_weight=px(1.3))
    implot.plot_line("loss", np.ascontiguousarray(steps[good]), np.ascontiguousarray(loss[good]), spec)
    _hover(state, steps)
    implot.end_plot()


def _psnr_plot(state: AppState, steps: np.ndarray, psnr: np.ndarray, size: ImVec2) -> None:
    good = np.isfinite(psnr)
    last = f"{psnr[good][-1]:.1f} dB" if good.any() else "–"
    _title("PSNR", last, PSNR_COLOR)
    if not _begin("##psnr", size):
        return
    _step_axis(steps)
    implot.setup_axis(implot.ImAxis_.y1, "", _AXIS | implot.AxisFlags_.lock)
    if good.any():
        low, high = float(psnr[good].min()) - 0.5, float(psnr[good].max()) + 0.5
        implot.setup_axis_limits(implot.ImAxis_.y1, low, high, imgui.Cond_.always)
        ticks = linear_ticks(low, high)
        implot.setup_axis_ticks(implot.ImAxis_.y1, ticks, [f"{t:g}" for t in ticks], False)
    spec = implot.Spec(line_color=vec(PSNR_COLOR), line_weight=px(1.3))
    implot.plot_line("psnr", np.ascontiguousarray(steps[good]), np.ascontiguousarray(psnr[good]), spec)
    _hover(state, steps)
    implot.end_plot()


def _views_plot(state: AppState, size: ImVec2) -> None:
    snapshot = state.run.snapshot
    names = [photo.name for photo in state.photos.photos] if state.photos else []
    errors = [snapshot.view_errors.get(name, math.nan) if snapshot else math.nan for name in names]
    known = [error for error in errors if math.isfinite(error)]
    _title("Error per photo", f"{len(names)} photos", VIEW_COLOR)
    if not _begin("##views", size):
        return
    implot.setup_axis(implot.ImAxis_.x1, "", _AXIS | implot.AxisFlags_.lock | implot.AxisFlags_.no_grid_lines)
    implot.setup_axis(implot.ImAxis_.y1, "", _AXIS | implot.AxisFlags_.lock)
    implot.setup_axis_limits(implot.ImAxis_.x1, -0.6, len(names) - 0.4, imgui.Cond_.always)
    top = max(known, default=0.01) * 1.15
    implot.setup_axis_limits(implot.ImAxis_.y1, 0.0, top, imgui.Cond_.always)
    every = max(1, math.ceil(len(names) / 10))
    places = [float(i) for i in range(0, len(names), every)]
    implot.setup_axis_ticks(implot.ImAxis_.x1, places, [f"{p:.0f}" for p in places], False)
    ticks = linear_ticks(0.0, top)
    implot.setup_axis_ticks(implot.ImAxis_.y1, ticks, [f"{t:g}" for t in ticks], False)
    if known:
        values = np.nan_to_num(np.array(errors, np.float64))
        spec = implot.Spec(fill_color=vec(VIEW_COLOR), line_color=vec(VIEW_COLOR, 0))
        implot.plot_bars("views", np.arange(len(values), dtype=np.float64), values, 0.68, spec)
    if implot.is_plot_hovered():
        index = round(implot.get_plot_mouse_pos().x)
        if 0 <= index < len(names):
            error = f"{errors[index]:.4f}" if math.isfinite(errors[index]) else "not compared yet"
            imgui.set_tooltip(f"{names[index]}\nmean error {error}")
            if imgui.is_mouse_clicked(0):
                state.act("look_through", index)
    implot.end_plot()


def _step_axis(steps: np.ndarray) -> None:
    implot.setup_axis(implot.ImAxis_.x1, "", _AXIS | implot.AxisFlags_.lock | implot.AxisFlags_.no_grid_lines)
    last = max(float(steps[-1]), 10.0)
    implot.setup_axis_limits(implot.ImAxis_.x1, 0.0, last, imgui.Cond_.always)
    ticks = linear_ticks(0.0, last, 6)
    implot.setup_axis_ticks(implot.ImAxis_.x1, ticks, [f"{t:g}" for t in ticks], False)


def _hover(state: AppState, steps: np.ndarray) -> None:
    """A line at the hovered step with the values of all curves; a click goes to that snapshot."""
    if not implot.is_plot_hovered():
        return
    x = implot.get_plot_mouse_pos().x
    row = min(state.run.history, key=lambda r: abs(r.step - x))
    spec = implot.Spec(line_color=vec(roles().muted, 0.6), line_weight=px(1))
    implot.plot_inf_lines("##hover", np.array([float(row.step)]), spec)
    lines = [f"step {row.step}", f"loss {row.losses.get('total', math.nan):.5f}", f"PSNR {row.psnr:.2f} dB"]
    lines += [
        f"   {name.replace('_', ' ')} {value:.5f}"
        for name, value in row.losses.items()
        if name != "total" and value
    ]
    imgui.set_tooltip("\n".join(lines))
    if imgui.is_mouse_clicked(0):
        state.act("go_to_step", row.step)


def _timeline(state: AppState, width: float, height: float) -> None:
    """Stages along a line, snapshots as dots on it; a click shows one, the right end follows the run."""
    run = state.run
    total = max(run.status.steps, run.status.step, 1)
    start = imgui.get_cursor_screen_pos()
    pressed = imgui.invisible_button("timeline", ImVec2(width, height))
    y = start.y + height * 0.7
    left, right = start.x + px(8), start.x + width - px(8)

    def x_of(step: int) -> float:
        return left + (right - left) * min(step / total, 1.0)

    draw = imgui.get_window_draw_list()
    now = run.status.step
    draw.add_line(ImVec2(left, y), ImVec2(right, y), u32(roles().hover), px(2))
    draw.add_line(ImVec2(left, y), ImVec2(x_of(now), y), u32(roles().accent), px(2))
    for part in run.status.parts:
        low, high = x_of(part.begin), x_of(part.end)
        if part.begin > 0:
            draw.add_line(ImVec2(low, y - px(6)), ImVec2(low, y + px(6)), u32(roles().muted), px(1))
        there = part.begin <= now < part.end
        if imgui.calc_text_size(part.name).x < high - low - px(8):
            ink = roles().text if there else roles().muted
            draw.add_text(ImVec2(low + px(4) * (part.begin > 0), start.y), u32(ink), part.name)
    for snapshot in run.timeline:
        draw.add_circle_filled(ImVec2(x_of(snapshot.step), y), px(4), u32(roles().accent))
    visible = run.visible
    shown = visible.step if visible is not None else now
    draw.add_circle_filled(ImVec2(x_of(shown), y), px(6.5), u32(roles().text))
    if imgui.is_item_hovered() and run.timeline:
        step = (imgui.get_mouse_pos().x - left) / max(right - left, 1.0) * total
        nearest = min((s.step for s in run.timeline), key=lambda s: abs(s - step))
        latest = step > now
        w.tooltip(f"Follow the run (step {now})" if latest else f"Look at step {nearest}")
        if pressed:
            state.act("go_to_step", now if latest else nearest)


def log_ticks(low: float, high: float) -> list[float]:
    """1 and 3 times powers of ten inside the range; 1, 2, 5 where it spans less than a decade."""
    steps = (1, 3) if high / low > 10 else (1, 2, 3, 5)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [m * 10.0**e for e in exponents for m in steps if low <= m * 10.0**e <= high]


def linear_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers, about `count` of them, inside the range."""
    raw = max((high - low) / count, 1e-12)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]
