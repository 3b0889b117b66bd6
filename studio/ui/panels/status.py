"""The status bar: what the run does, long work with its cancel, and on what machine."""

from __future__ import annotations

import math

from imgui_bundle import ImVec2, imgui

from studio.ui import widgets as w
from studio.ui.state import AppState
from studio.ui.theme import Icon, px, roles, u32

HEIGHT = 32.0

_PHASES = {
    "idle": ("ready", "muted"),
    "preparing": ("preparing", "accent"),
    "running": ("converging", "good"),
    "paused": ("paused", "warn"),
    "done": ("done", "good"),
    "stopped": ("stopped", "muted"),
    "failed": ("failed", "fail"),
}


def draw(state: AppState) -> None:
    """Fills the status bar's window."""
    low = imgui.get_window_pos()
    size = imgui.get_window_size()
    draw_list = imgui.get_window_draw_list()
    draw_list.add_rect_filled(low, ImVec2(low.x + size.x, low.y + size.y), u32(roles().window))
    imgui.set_cursor_pos(ImVec2(px(14), (size.y - imgui.get_frame_height()) / 2))
    imgui.dummy(ImVec2(0, imgui.get_frame_height()))
    imgui.same_line(0, 0)
    imgui.align_text_to_frame_padding()
    _phase(state, draw_list)
    _jobs(state)
    _machine(state, size.x)


def _phase(state: AppState, draw_list: imgui.ImDrawList) -> None:
    status = state.run.status
    title, role = _PHASES[status.phase]
    if not state.ready:
        title, role = "loading", "accent"
    elif status.phase == "running" and state.run.plateau is not None:
        title = "converged"
    elif state.run.shown is not None:
        title, role = f"looking at step {state.run.shown.step}", "accent"
    at = imgui.get_cursor_screen_pos()
    center = ImVec2(at.x + px(4), at.y + imgui.get_frame_height() / 2)
    draw_list.add_circle_filled(center, px(4), u32(getattr(roles(), role)))
    imgui.set_cursor_screen_pos(ImVec2(at.x + px(14), at.y))
    imgui.align_text_to_frame_padding()
    w.text(title)
    for part in parts(state):
        _separator()
        w.muted(part)
    if state.run.plateau is not None and status.phase == "running":
        imgui.same_line(0, px(8))
        if w.quiet_button(Icon.stop, "stop_converged", "Stop; the result stays"):
            state.act("stop")
    if status.phase == "preparing":
        imgui.same_line(0, px(12))
        _bar(status.progress, px(120))


def parts(state: AppState) -> list[str]:
    """Facts about the run, in order."""
    status = state.run.status
    if not state.ready:
        return [state.starting_note]
    if status.phase == "idle":
        triangles = state.scene.triangle_count()
        photos = len(state.photos.photos) if state.photos is not None else 0
        return [f"{triangles:,} triangles".replace(",", " "), f"{photos} photos"]
    if status.phase == "preparing":
        return [status.note] if status.note else []
    if status.phase == "failed":
        at = [f"at step {status.step}"] if status.step else []
        kept = [] if state.run.snapshot is None else [f"step {state.run.snapshot.step} is kept"]
        return [*at, *([status.note] if status.note else []), *kept]
    out = [f"step {status.step} / {status.steps}"]
    stage = next((part for part in status.parts if status.step < part.end), None)
    if stage is not None and len(status.parts) > 1:
        out.append(f"{stage.name}, {stage.resolution} px")
    if status.rate > 0 and status.phase == "running":
        out.append(f"{status.rate:.0f} it/s" if status.rate >= 10 else f"{status.rate:.1f} it/s")
        if math.isfinite(status.left):
            out.append(f"about {duration(status.left)} left")
    if state.run.plateau is not None and status.phase == "running":
        out.append(f"no better since step {state.run.plateau}")
    snapshot = state.run.visible
    if snapshot is not None and math.isfinite(snapshot.psnr):
        out.append(f"PSNR {snapshot.psnr:.1f} dB")
    if status.note:
        out.append(status.note)
    return out


def _separator() -> None:
    imgui.same_line(0, px(12))
    w.muted("·")
    imgui.same_line(0, px(12))


def _bar(fraction: float, width: float) -> None:
    start = imgui.get_cursor_screen_pos()
    y = start.y + imgui.get_frame_height() / 2 - px(2)
    draw_list = imgui.get_window_draw_list()
    draw_list.add_rect_filled(
        ImVec2(start.x, y), ImVec2(start.x + width, y + px(4)), u32(roles().control), px(2)
    )
    if fraction < 0:  # nobody knows how long: a third of the bar wanders
        at = (imgui.get_time() * 0.5) % 1.3 - 0.3
        low, high = max(at, 0.0), min(at + 0.3, 1.0)
    else:
        low, high = 0.0, min(max(fraction, 0.02), 1.0)
    draw_list.add_rect_filled(
        ImVec2(start.x + width * low, y),
        ImVec2(start.x + width * high, y + px(4)),
        u32(roles().accent),
        px(2),
    )
    imgui.dummy(ImVec2(width, imgui.get_frame_height()))


def _jobs(state: AppState) -> None:
    for i, job in enumerate(state.jobs.running[:2]):
        _separator()
        w.muted(f"{job.title}  {job.note}".strip())
        imgui.same_line(0, px(10))
        _bar(job.fraction, px(90))
        imgui.same_line(0, px(4))
        if w.quiet_button(Icon.close, f"cancel{i}", f"Cancel: {job.title.lower()}"):
            job.cancel()


def _machine(state: AppState, width: float) -> None:
    resting = state.idle and state.run.status.phase not in ("preparing", "running")
    speed = "idle" if resting else f"{state.fps:.0f} fps"
    device = state.compute or "…"
    shown = f"{speed}   ·   {device} · {state.renderer}"
    imgui.same_line(width - imgui.calc_text_size(shown).x - px(14))
    imgui.align_text_to_frame_padding()
    w.muted(shown)
    w.tooltip(
        f"Frames a second · where fits run · what draws the picture\nPictures of fits: {state.pictures}"
    )


def duration(seconds: float) -> str:
    """74 as "1 min 14 s"."""
    total = round(max(seconds, 0.0))
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60:02d} s"
    return f"{total // 3600} h {total % 3600 // 60:02d} min"
