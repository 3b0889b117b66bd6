"""The pixel inspector and the histogram: plates over the right side of the picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from imgui_bundle import ImVec2, imgui

from studio.core.color import linear_to_srgb
from studio.gl.inspect import PATCH, TONE_BINS, TONE_END, Inspection, Tones, inspect, surface_pixels, tones
from studio.ui import actions
from studio.ui import widgets as w
from studio.ui.comparing import TITLES
from studio.ui.theme import AXIS_COLORS, Icon, px, roles, u32

if TYPE_CHECKING:
    from studio.ui.panels.viewport import ViewportPanel

WIDTH = 226.0
CELL = 8.0
LINE = 17.0
HISTOGRAM_HEIGHT = 72.0
READ_SECONDS = 0.1
"""A pixel is read back at most this often: it waits for the picture, and draws its triangle."""


class Inspector:
    """Both plates of one viewport panel.

    Attributes:
        seen: what is known of the pixel, or None.
        tones: of the picture, or None while it changes.
    """

    def __init__(self, panel: ViewportPanel) -> None:
        self._panel = panel
        self._state = panel.state
        self.seen: Inspection | None = None
        self.tones: Tones | None = None
        self._key: tuple[Any, ...] = ()
        self._read = -math.inf
        self._tones_key: tuple[Any, ...] = ()

    def draw(self, top: float) -> None:
        """From `top` (screen) downwards, at the right border; inside the viewport's window."""
        view = self._state.view
        x = self._panel.low.x + self._panel.size.x - px(WIDTH + 10)
        if view.histogram:
            self._follow_tones()
            top = self._draw_histogram(ImVec2(x, top)) + px(6)
        if view.inspector:
            self._follow_pixel()
            self._draw_pixel(ImVec2(x, top))

    # The pixel

    def _follow_pixel(self) -> None:
        """Read the pinned pixel, or the one under the mouse, where it or the picture is new."""
        view, gl = self._state.view, self._panel.gl
        place = view.pinned
        if place is None and self._panel.hands.hover is not None:
            place = self._panel.hands.hover[0]
        if place is None or not gl.meshes.parts:
            return
        key = (place, gl.frames_drawn, gl.options)
        now = imgui.get_time()
        if key == self._key:
            return
        if now - self._read < READ_SECONDS:
            self._state.wake()
            return
        self._key, self._read = key, now
        self.seen = inspect(gl, *place)

    def words(self) -> list[tuple[str, str]]:
        """(name, value) of everything known of the pixel."""
        seen = self.seen
        if seen is None:
            return []
        out = [("pixel", f"{seen.x}, {seen.y}")]
        for source, color in seen.colors.items():
            name = TITLES[source].lower() if len(seen.colors) > 1 else "linear"
            if color is None:
                out.append((name, "outside"))
                continue
            out.append((name, _numbers(color, 4)))
            srgb = np.asarray(linear_to_srgb(np.clip(color, 0, None)))
            out.append(("sRGB", "  ".join(f"{round(255 * float(v))}" for v in srgb)))
        info = seen.info
        if info is None:
            return [*out, ("surface", "none")]
        meshes = self._panel.gl.meshes.parts
        name = meshes[info.part].mesh.name if info.part < len(meshes) else ""
        out.append(("object", f"{info.part}  {name}"))
        out.append(("triangle", "" if info.triangle is None else str(info.triangle)))
        out.append(("uv", "none" if seen.uv is None else _numbers(np.array(seen.uv), 4)))
        out.append(("depth", f"{info.depth:.4f}"))
        out.append(("normal", _numbers(info.normal, 3)))
        out.append(("position", _numbers(info.position, 3)))
        out.append(("albedo", _numbers(info.albedo, 3)))
        out.append(("rough, metal", f"{info.roughness:.3f}  {info.metallic:.3f}"))
        return out

    def _draw_pixel(self, at: ImVec2) -> None:
        rows = self.words() or [("pixel", "move over the picture")]
        side = (2 * PATCH + 1) * px(CELL)
        patch = side + px(8) if self.seen is not None else 0.0
        foot = self._panel.low.y + self._panel.size.y - px(44)
        if at.y + px(14) + patch + len(rows) * px(LINE) > foot:
            patch = 0.0  # no room: the numbers come first
        high = ImVec2(at.x + px(WIDTH), at.y + px(14) + patch + len(rows) * px(LINE))
        draw = imgui.get_window_draw_list()
        draw.add_rect_filled(at, high, u32(roles().window, 0.88), px(4))
        y = at.y + px(7)
        if self.seen is not None:
            self._pin_button(ImVec2(at.x + px(WIDTH - 34), y - px(4)))
        if self.seen is not None and patch:
            self._draw_patch(ImVec2(at.x + px(8), y), self.seen.patch)
            y += patch
        for name, value in rows:
            draw.add_text(ImVec2(at.x + px(8), y), u32(roles().muted), name)
            shown = w.elide(value, px(WIDTH - 16 - 78))
            draw.add_text(ImVec2(at.x + px(86), y), u32(roles().text), shown)
            y += px(LINE)
        self._draw_pin()

    def _draw_patch(self, at: ImVec2, patch: np.ndarray) -> None:
        """The pixels around, magnified, the one in the middle framed."""
        draw, cell = imgui.get_window_draw_list(), px(CELL)
        for row, line in enumerate(patch):
            for column, (r, g, b) in enumerate(line):
                low = ImVec2(at.x + column * cell, at.y + row * cell)
                code = 0xFF000000 | int(b) << 16 | int(g) << 8 | int(r)
                draw.add_rect_filled(low, ImVec2(low.x + cell, low.y + cell), code)
        low = ImVec2(at.x + PATCH * cell, at.y + PATCH * cell)
        high = ImVec2(low.x + cell, low.y + cell)
        draw.add_rect(ImVec2(low.x - 1, low.y - 1), ImVec2(high.x + 1, high.y + 1), u32(0x000000))
        draw.add_rect(low, high, u32(0xFFFFFF))

    def _pin_button(self, at: ImVec2) -> None:
        imgui.set_cursor_screen_pos(at)
        pinned = self._state.view.pinned is not None
        if w.quiet_button(
            Icon.pin,
            "pin",
            actions.tip("Follow the mouse", "pin") if pinned else actions.tip("Keep this pixel", "pin"),
            pinned,
        ):
            self._state.act("pin")

    def _draw_pin(self) -> None:
        """Where the pinned pixel is."""
        pinned = self._state.view.pinned
        if pinned is None:
            return
        scale = imgui.get_io().display_framebuffer_scale
        x = self._panel.low.x + (pinned[0] + 0.5) / scale.x
        y = self._panel.low.y + (pinned[1] + 0.5) / scale.y
        draw = imgui.get_window_draw_list()
        for color, width in ((0x000000, 3.0), (roles().accent, 1.5)):
            draw.add_circle(ImVec2(x, y), px(6), u32(color), 0, px(width))

    # The histogram

    def _follow_tones(self) -> None:
        """Count once the picture stands still."""
        gl = self._panel.gl
        key = (gl.frames_drawn, gl.options.exposure)
        if not gl.settled or key == self._tones_key or not gl.meshes.parts:
            return
        self._tones_key, self.tones = key, tones(surface_pixels(gl))

    def _draw_histogram(self, at: ImVec2) -> float:
        """Red, green and blue over each other, and what is clipped; its lower border."""
        draw = imgui.get_window_draw_list()
        high = ImVec2(at.x + px(WIDTH), at.y + px(HISTOGRAM_HEIGHT + 34))
        draw.add_rect_filled(at, high, u32(roles().window, 0.88), px(4))
        left, width = at.x + px(8), px(WIDTH - 16)
        foot = at.y + px(8 + HISTOGRAM_HEIGHT)
        white = left + width / TONE_END
        draw.add_line(ImVec2(white, at.y + px(8)), ImVec2(white, foot), u32(roles().muted, 0.8), px(1))
        found = self.tones
        if found is None:
            draw.add_text(ImVec2(left, foot + px(3)), u32(roles().muted), "…")
            return high.y
        # Roots, so that small counts show; the largest inner bin fills the height.
        inner = found.counts[:, 1:-1]
        scale = px(HISTOGRAM_HEIGHT) / math.sqrt(max(float(inner.max()), 1e-6))
        part = width / TONE_BINS
        for color, counts in zip(AXIS_COLORS, found.counts, strict=True):
            for i in np.flatnonzero(counts):
                tall = min(scale * math.sqrt(float(counts[i])), px(HISTOGRAM_HEIGHT))
                low = ImVec2(left + i * part, foot - tall)
                draw.add_rect_filled(low, ImVec2(low.x + part, foot), u32(color, 0.5))
        y = foot + px(4)
        dark, bright = found.dark > 5e-4, found.bright > 5e-4
        draw.add_text(
            ImVec2(left, y), u32(AXIS_COLORS[2] if dark else roles().muted), f"black {found.dark:.1%}"
        )
        words = f"clipped {found.bright:.1%}"
        x = left + width - imgui.calc_text_size(words).x
        draw.add_text(ImVec2(x, y), u32(roles().fail if bright else roles().muted), words)
        return high.y


def _numbers(values: np.ndarray, digits: int) -> str:
    return "  ".join(f"{float(v):.{digits}f}" for v in values)
