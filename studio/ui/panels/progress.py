"""Progress: loss, PSNR and error per photo, and the timeline of snapshots."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from imgui_bundle import ImVec2, imgui, implot

from studio.ui import widgets as w
from studio.ui.panels import curves
from studio.ui.panels.curves import AXIS, linear_ticks, ticks_in
from studio.ui.state import AppState
from studio.ui.theme import VIEW_COLOR, Icon, px, roles, u32, vec
from studio.ui.timeline import thin


def draw(state: AppState) -> None:
    """The panel's body."""
    if not state.run.history:
        ready = state.ready and state.photos is not None and not state.run.active
        message = "Loss and PSNR appear here once a fit runs."
        if w.empty(Icon.chart, message, f"{Icon.play}  Start" if ready else "", "start_progress"):
            state.act("toggle_run")
        return
    rows = thin(state.run.history, curves.POINTS)
    space = imgui.get_content_region_avail()
    timeline = px(46)
    gap = px(14)
    wide = 0.42 * (space.x - 2 * gap)
    narrow = (space.x - 2 * gap - wide) / 2
    height = max(px(60), space.y - timeline - imgui.get_style().item_spacing.y)
    imgui.begin_group()
    curves.loss(state, rows, ImVec2(wide, height))
    imgui.end_group()
    imgui.same_line(0, gap)
    imgui.begin_group()
    curves.psnr(state, rows, ImVec2(narrow, height))
    imgui.end_group()
    imgui.same_line(0, gap)
    imgui.begin_group()
    _views_plot(state, ImVec2(narrow, height))
    imgui.end_group()
    _timeline(state, space.x, timeline)


def order_of(errors: list[float], worst_first: bool) -> list[int]:
    """Photos in the order of their bars; those that were not compared yet come last."""
    order = list(range(len(errors)))
    if worst_first:
        order.sort(key=lambda i: -errors[i] if math.isfinite(errors[i]) else math.inf)
    return order


def _views_plot(state: AppState, size: ImVec2) -> None:
    """One bar per photo; a click looks through it."""
    visible = state.run.visible
    names = [photo.name for photo in state.photos.photos] if state.photos else []
    errors = [visible.view_errors.get(name, math.nan) if visible else math.nan for name in names]
    known = [error for error in errors if math.isfinite(error)]
    order = order_of(errors, state.view.worst_first)
    name, worst = "Error per photo", f"{max(known):.3f}" if known else ""
    long = f"{worst} at worst"
    fits = imgui.calc_text_size(f"{name}  {long}").x < size.x - px(40)
    curves.title(name, long if known and fits else worst, VIEW_COLOR)
    _sort_button(state, size.x)
    if not curves.begin("##views", size):
        return
    implot.setup_axis(implot.ImAxis_.x1, "", AXIS | implot.AxisFlags_.lock | implot.AxisFlags_.no_grid_lines)
    implot.setup_axis(implot.ImAxis_.y1, "", AXIS | implot.AxisFlags_.lock)
    implot.setup_axis_limits(implot.ImAxis_.x1, -0.6, len(names) - 0.4, imgui.Cond_.always)
    top = max(known, default=0.01) * 1.15
    implot.setup_axis_limits(implot.ImAxis_.y1, 0.0, top, imgui.Cond_.always)
    every = max(1, math.ceil(len(names) / 8))
    places = list(range(0, len(names), every))
    implot.setup_axis_ticks(
        implot.ImAxis_.x1, [float(p) for p in places], [f"{order[p]}" for p in places], False
    )
    ticks = linear_ticks(0.0, top, min(3, ticks_in(size.y)))
    implot.setup_axis_ticks(implot.ImAxis_.y1, ticks, [f"{t:g}" for t in ticks], False)
    if known:
        values = np.nan_to_num(np.array([errors[i] for i in order], np.float64))
        color = vec(curves.ink(VIEW_COLOR))
        x = np.arange(len(values), dtype=np.float64)
        implot.plot_bars("views", x, values, 0.55, implot.Spec(fill_color=color, line_color=vec(0, 0)))
        _looked_through(state, order, values)
    if implot.is_plot_hovered():
        place = round(implot.get_plot_mouse_pos().x)
        if 0 <= place < len(names):
            index = order[place]
            error = f"{errors[index]:.4f}" if math.isfinite(errors[index]) else "not compared yet"
            imgui.set_tooltip(f"{names[index]}\nerror {error}\nClick to look through it.")
            if imgui.is_mouse_clicked(0):
                state.act("look_through", index)
    implot.end_plot()


def _looked_through(state: AppState, order: list[int], values: np.ndarray) -> None:
    """The bar of the photo that is looked through, in the accent."""
    if state.view.photo in order:
        place = order.index(state.view.photo)
        spec = implot.Spec(fill_color=vec(roles().accent), line_color=vec(0, 0))
        implot.plot_bars("own", np.array([float(place)]), values[place : place + 1], 0.55, spec)


def _sort_button(state: AppState, width: float) -> None:
    imgui.same_line(width - px(24))
    imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(px(4), 0))
    hint = "In order" if state.view.worst_first else "Worst first"
    if w.quiet_button(Icon.sort, "sort_bars", hint, state.view.worst_first):
        state.act("toggle", "worst_first")
    imgui.pop_style_var()


def _timeline(state: AppState, width: float, height: float) -> None:
    """Stages along a line, snapshots as dots on it; drag to scrub, the right end follows the run."""
    run = state.run
    total = max(run.status.steps, run.status.step, 1)
    start = imgui.get_cursor_screen_pos()
    imgui.invisible_button("timeline", ImVec2(width, height))
    y = start.y + height * 0.7
    left, right = start.x + px(8), start.x + width - px(8)

    def x_of(step: int) -> float:
        return left + (right - left) * min(step / total, 1.0)

    draw = imgui.get_window_draw_list()
    now = run.status.step
    failed = run.status.phase == "failed"
    draw.add_line(ImVec2(left, y), ImVec2(right, y), u32(roles().hover), px(2))
    draw.add_line(ImVec2(left, y), ImVec2(x_of(now), y), u32(roles().accent), px(2))
    _stages(state, draw, x_of, start.y, y)
    for snapshot in run.timeline:
        draw.add_circle_filled(ImVec2(x_of(snapshot.step), y), px(3), u32(roles().accent))
    if run.plateau is not None:
        draw.add_circle_filled(ImVec2(x_of(run.plateau), y), px(4), u32(roles().good))
    if failed:
        draw.add_circle_filled(ImVec2(x_of(now), y), px(5), u32(roles().fail))
    visible = run.visible
    shown = visible.step if visible is not None else now
    draw.add_circle_filled(ImVec2(x_of(shown), y), px(6.5), u32(roles().text))
    scrubbing = imgui.is_item_active()
    if (imgui.is_item_hovered() or scrubbing) and run.timeline:
        step = (imgui.get_mouse_pos().x - left) / max(right - left, 1.0) * total
        nearest = min((s.step for s in run.timeline), key=lambda s: abs(s - step))
        latest = step > now or abs(step - now) < abs(step - nearest)
        w.tooltip(
            f"Follow the run (step {now})"
            if latest
            else f"Look at step {nearest}. Arrow keys go on from there."
        )
        target = now if latest else nearest
        if scrubbing and target != shown:
            state.act("go_to_step", target)


def _stages(
    state: AppState, draw: imgui.ImDrawList, x_of: Callable[[int], float], top: float, y: float
) -> None:
    """Borders and names of the stages."""
    now = state.run.status.step
    for part in state.run.status.parts:
        low, high = x_of(part.begin), x_of(part.end)
        if part.begin > 0:
            draw.add_line(ImVec2(low, y - px(6)), ImVec2(low, y + px(6)), u32(roles().muted), px(1))
        there = part.begin <= now < part.end
        if imgui.calc_text_size(part.name).x < high - low - px(8):
            tone = roles().text if there else roles().muted
            draw.add_text(ImVec2(low + px(4) * (part.begin > 0), top), u32(tone), part.name)
