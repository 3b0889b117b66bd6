"""The tools over the picture: modes and channels, gizmo, wipe knob, numbers, legend, exposure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from imgui_bundle import ImVec2, imgui

from studio.core.channels import CHANNELS
from studio.core.scene import Camera
from studio.gl.colormap import DIFFERENCE_MAP, colormap
from studio.gl.options import ViewOptions
from studio.gl.photos import same_pose
from studio.ui import widgets as w
from studio.ui.panels import gizmo
from studio.ui.theme import Icon, mix, px, roles, u32, vec

if TYPE_CHECKING:
    from studio.ui.panels.viewport import ViewportPanel

MODE_ITEMS = (
    ("render", "Render", "The scene as it is rendered"),
    ("target", "Target", "The photo  (T)"),
    ("wipe", "Wipe", "Render and photo with a divider to drag  (W)"),
    ("split", "Split", "Left half render, right half photo"),
    ("difference", "Difference", "Where render and photo differ  (O)"),
    ("flicker", "Flicker", "Render and photo in turn"),
)
EFFECT_ITEMS = (
    ("render", "A", "The scene with these effects"),
    ("target", "B", "The scene with the effects of set B  (B)"),
    ("wipe", "Wipe", "A and B with a divider to drag  (W)"),
    ("split", "Split", "Left half A, right half B"),
    ("difference", "Difference", "Where A and B differ  (O)"),
    ("flicker", "Flicker", "A and B in turn"),
)
AGAINST_ITEMS = (
    ("photo", "Photo", "Compare with the photo"),
    ("effects", "Set B", "Compare with the effects of set B"),
    ("reference", "Reference", "Compare with the path-traced picture"),
)
REFERENCE_ITEMS = tuple((mode, title, tip.replace("photo", "reference")) for mode, title, tip in MODE_ITEMS)
ITEMS = {"photo": MODE_ITEMS, "effects": EFFECT_ITEMS, "reference": REFERENCE_ITEMS}
SIDES = {"photo": ("render", "photo"), "effects": ("A", "B"), "reference": ("render", "reference")}


class Tools:
    """Draws over the picture of a viewport panel.

    Attributes:
        exposure_open: the exposure popup opens in the next frame.
        error: the mean difference that the legend shows, None while it is not known.
    """

    def __init__(self, panel: ViewportPanel) -> None:
        self._panel = panel
        self._state = panel.state
        self.exposure_open = False
        self.error: float | None = None
        self._measured: tuple[Any, ...] = ()

    def draw(self, camera: Camera) -> None:
        """Everything over the picture; inside the viewport's window."""
        view, panel = self._state.view, self._panel
        if view.mode == "wipe" and self._state.comparing():
            self._wipe_knob()
        if view.picture_only:
            return
        imgui.set_cursor_screen_pos(ImVec2(panel.low.x + px(10), panel.low.y + px(8)))
        self._tool_bar()
        if view.gizmo:
            center = ImVec2(panel.low.x + panel.size.x - px(48), panel.low.y + px(46))
            side = gizmo.draw(camera, center)
            if side is not None:
                self._state.act("look", side)
        if view.mode in ("wipe", "split") and self._state.comparing():
            self._side_labels(view.wipe if view.mode == "wipe" else 0.5)
        if view.mode == "difference" and self._state.comparing():
            self._measure()
            self._legend()
        else:
            self._hover_line()
        self._caption()
        self._exposure_popup()
        if not panel.gl.meshes.parts and self._state.ready and not self._state.jobs.running:
            self._invitation()

    def _tool_bar(self) -> None:
        view = self._state.view
        against = self._state.against
        imgui.begin_disabled(not against)
        chosen = w.segmented("mode", view.mode, ITEMS[against or "photo"])
        imgui.end_disabled()
        if chosen is not None and chosen != view.mode:
            self._state.act("mode", chosen)
        there = {
            "photo": self._state.photos,
            "effects": self._state.document.other,
            "reference": self._state.reference,
        }
        choices = [item for item in AGAINST_ITEMS if there[item[0]] is not None]
        if len(choices) > 1:
            imgui.same_line(0, px(8))
            if (what := w.segmented("against", against, choices)) is not None:
                self._state.act("against", what)
        imgui.same_line(0, px(8))
        imgui.set_next_item_width(px(150))
        imgui.push_style_color(imgui.Col_.frame_bg, vec(roles().panel, 0.92))
        aovs = self._state.channels
        titles = [CHANNELS[aov].title for aov in aovs]
        aov = w.combo("##aov", view.aov if view.aov in aovs else "color", aovs, titles)
        imgui.pop_style_color()
        w.tooltip("Channel shown  (1 … 8)")
        if aov is not None:
            self._state.act("aov", aov)
        if view.exposure:
            imgui.same_line(0, px(8))
            imgui.align_text_to_frame_padding()
            w.text(f"{Icon.sun} {view.exposure:+.1f} EV", roles().accent)

    def _wipe_knob(self) -> None:
        x = self._panel.low.x + self._state.view.wipe * self._panel.size.x
        y = self._panel.low.y + self._panel.size.y / 2
        draw = imgui.get_window_draw_list()
        draw.add_line(
            ImVec2(x, self._panel.low.y),
            ImVec2(x, self._panel.low.y + self._panel.size.y),
            u32(0xFFFFFF, 0.75),
            px(1.5),
        )
        color = roles().accent if self._panel.hands.dragging_wipe else 0xFFFFFF
        draw.add_circle_filled(ImVec2(x, y), px(11), u32(color))
        for side in (-1, 1):
            tip = x + side * px(7)
            base = x + side * px(3)
            draw.add_triangle_filled(
                ImVec2(tip, y), ImVec2(base, y - px(4)), ImVec2(base, y + px(4)), u32(0x1C1F23)
            )

    def _side_labels(self, at: float) -> None:
        x = self._panel.low.x + at * self._panel.size.x
        y = self._panel.low.y + self._panel.size.y - px(34)
        left, right = SIDES[self._state.against or "photo"]
        self._chip(left, ImVec2(x - px(12), y), right=True)
        self._chip(right, ImVec2(x + px(12), y))

    def _chip(self, string: str, at: ImVec2, right: bool = False) -> None:
        """Text on a translucent plate."""
        size = imgui.calc_text_size(string)
        x = at.x - size.x - px(16) if right else at.x
        draw = imgui.get_window_draw_list()
        low, high = ImVec2(x, at.y), ImVec2(x + size.x + px(16), at.y + size.y + px(8))
        draw.add_rect_filled(low, high, u32(roles().window, 0.8), px(4))
        draw.add_text(ImVec2(x + px(8), at.y + px(4)), u32(mix(roles().muted, roles().text, 0.4)), string)

    def _hover_line(self) -> None:
        if self._panel.hands.hover is None or self._state.view.mode in ("wipe", "split"):
            return
        (x, y), info = self._panel.hands.hover
        words = f"x {x}  y {y}"
        if info is not None:
            r, g, b = (float(v) for v in info.albedo)
            words += f"    albedo {r:.2f} {g:.2f} {b:.2f}"
            words += f"    roughness {info.roughness:.2f}    depth {info.depth:.2f}"
        self._chip(words, ImVec2(self._panel.low.x + px(10), self._panel.low.y + self._panel.size.y - px(34)))

    def _legend(self) -> None:
        """The colours of the difference, from none to what saturates."""
        draw = imgui.get_window_draw_list()
        x, y = self._panel.low.x + px(10), self._panel.low.y + self._panel.size.y - px(34)
        draw.add_rect_filled(ImVec2(x, y), ImVec2(x + px(352), y + px(24)), u32(roles().window, 0.8), px(4))
        draw.add_text(ImVec2(x + px(8), y + px(4)), u32(roles().text), "difference  0")
        colors = colormap(DIFFERENCE_MAP, np.linspace(0, 1, 32))
        left, width = x + px(96), px(110)
        part = width / len(colors)
        for i, (r, g, b) in enumerate(colors):
            low = ImVec2(left + i * part, y + px(7))
            color = imgui.get_color_u32((float(r), float(g), float(b), 1.0))
            draw.add_rect_filled(low, ImVec2(low.x + part + 0.5, y + px(17)), color)
        top = f"{1 / ViewOptions().difference_gain:g}"
        draw.add_text(ImVec2(left + width + px(8), y + px(4)), u32(roles().text), top)
        words = "mean …" if self.error is None else f"mean {self.error:.4f}"
        draw.add_text(ImVec2(x + px(256), y + px(4)), u32(roles().text), words)

    def _measure(self) -> None:
        """The mean difference, once the picture stands still: it is read back from the GPU."""
        gl, view = self._panel.gl, self._state.view
        key = (gl.frames_drawn, view.exposure, view.photo, self._state.against)
        if not gl.settled:
            self.error = None
        elif key != self._measured or self.error is None:
            self._measured, self.error = key, gl.mean_error()

    def _caption(self) -> None:
        """What is looked at instead of the present scene, lower right, with the way out."""
        view, photos, shown = self._state.view, self._state.photos, self._state.run.shown
        if self._state.against == "reference" and view.mode != "render":
            self._reference_caption()
            return
        if view.photo is not None and photos is not None and view.photo < len(photos.photos):
            photo = photos.photos[view.photo]
            error = self._state.view_error(photo.name)
            words = photo.name if error is None else f"{photo.name}    error {error:.3f}"
            if self._closable(words, "leave_photo", "Leave the photo  (Esc)"):
                self._state.act("leave_photo")
        elif shown is not None and self._closable(f"step {shown.step}", "follow", "Follow the run again"):
            self._state.act("go_to_step", self._state.run.status.step)

    def _reference_caption(self) -> None:
        """Whether the reference is of this view, and the way out."""
        reference = self._state.reference
        pixels = self._panel.pixels
        here = reference is not None and same_pose(reference.camera, self._panel.camera.camera(*pixels))
        words = "path-traced reference" if here else "reference of another view"
        if self._closable(words, "drop_reference", "Remove the reference"):
            self._state.act("drop_reference")

    def _closable(self, words: str, id: str, hint: str) -> bool:
        """A chip at the lower right with a cross; True if that was pressed."""
        width = imgui.calc_text_size(words).x
        x = self._panel.low.x + self._panel.size.x - width - px(60)
        y = self._panel.low.y + self._panel.size.y - px(34)
        self._chip(words, ImVec2(x, y))
        imgui.set_cursor_screen_pos(ImVec2(x + width + px(20), y - px(1)))
        return w.quiet_button(Icon.close, id, hint)

    def _exposure_popup(self) -> None:
        if self.exposure_open:
            self.exposure_open = False
            imgui.open_popup("exposure")
        imgui.set_next_window_pos(ImVec2(self._panel.low.x + px(10), self._panel.low.y + px(46)))
        if imgui.begin_popup("exposure"):
            view = self._state.view
            imgui.align_text_to_frame_padding()
            w.text("Exposure")
            imgui.same_line()
            value = w.slider("##exposure", view.exposure, -6.0, 6.0, "%+.1f EV", width=px(180))
            if value is not None:
                view.exposure = round(value, 1)
            if imgui.is_item_hovered() and imgui.is_mouse_double_clicked(0):
                view.exposure = 0.0
            imgui.end_popup()

    def _invitation(self) -> None:
        middle = self._panel.low.y + self._panel.size.y / 2 - px(60)
        imgui.set_cursor_screen_pos(ImVec2(self._panel.low.x + self._panel.size.x / 2 - px(150), middle))
        imgui.begin_child("invitation", ImVec2(px(300), px(150)))
        if w.empty(Icon.mesh, "Drop a mesh or a folder of photos here.", "Open mesh…", "open_mesh"):
            self._state.act("open_mesh")
        imgui.end_child()
