"""The tools over the picture: modes and channels, gizmo, wipe knob, captions, exposure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from imgui_bundle import ImVec2, imgui

from studio.core.channels import CHANNELS
from studio.core.color import linear_to_srgb
from studio.core.scene import Camera
from studio.gl.photos import same_pose
from studio.ui import actions
from studio.ui import widgets as w
from studio.ui.panels import compare_bar, gizmo, toolbar
from studio.ui.panels.inspector import Inspector
from studio.ui.theme import Icon, px, roles, u32, vec

if TYPE_CHECKING:
    from studio.ui.panels.viewport import ViewportPanel

GIZMO_WIDTH = 96.0
"""What the axes take at the upper right."""


class Tools:
    """Draws over the picture of a viewport panel.

    Attributes:
        exposure_open: the exposure popup opens in the next frame.
    """

    def __init__(self, panel: ViewportPanel) -> None:
        self._panel = panel
        self._state = panel.state
        self.exposure_open = False
        self.inspector = Inspector(panel)

    def draw(self, camera: Camera) -> None:
        """Everything over the picture; inside the viewport's window."""
        view, panel = self._state.view, self._panel
        comparing = self._state.comparing()
        if view.mode == "wipe" and comparing:
            self._wipe_knob()
        if view.picture_only:
            return
        end = self._tool_bar()
        top = panel.low.y + px(14) + 2 * (imgui.get_frame_height() + px(5))
        room = panel.low.y + panel.size.y - px(110) - top
        toolbar.draw(self._state, ImVec2(panel.low.x + px(10), top), room)
        # Where the bar reaches under the axes they stand below it.
        reaches = end.x > panel.low.x + panel.size.x - px(GIZMO_WIDTH)
        axes = end.y if view.gizmo and reaches else panel.low.y
        self.inspector.draw(axes + px(96 if view.gizmo else 10))
        if view.gizmo:
            center = ImVec2(panel.low.x + panel.size.x - px(48), axes + px(46))
            side = gizmo.draw(camera, center)
            if side is not None:
                self._state.act("look", side)
        if comparing and view.mode in ("wipe", "split", "side"):
            self._side_labels(view.wipe if view.mode == "wipe" else 0.5)
        self._foot(self._caption())
        self._exposure_popup()

    def _tool_bar(self) -> ImVec2:
        """Modes and channels; below, while something is compared, what and how. Its lower right corner."""
        view, low = self._state.view, self._panel.low
        imgui.set_cursor_screen_pos(ImVec2(low.x + px(10), low.y + px(8)))
        imgui.begin_disabled(self._state.right is None)
        self._modes()
        imgui.end_disabled()
        imgui.same_line(0, px(8))
        imgui.set_next_item_width(px(124))
        imgui.push_style_color(imgui.Col_.frame_bg, vec(roles().panel, 0.92))
        aovs = self._state.channels
        titles = [CHANNELS[aov].title for aov in aovs]
        aov = w.combo("##aov", view.aov if view.aov in aovs else "color", aovs, titles)
        imgui.pop_style_color()
        w.tooltip("Channel shown  (1 … 8)")
        if aov is not None:
            self._state.act("aov", aov)
        end = imgui.get_item_rect_max()
        if view.mode != "render" or view.left != "render" or view.truth:
            below = low.y + px(12) + imgui.get_frame_height()
            room = self._panel.size.x - px(20)
            right = compare_bar.draw_pickers(self._state, ImVec2(low.x + px(10), below), room)
            end = ImVec2(max(end.x, right), below + imgui.get_frame_height())
        return end

    def _modes(self) -> None:
        """Buttons, or a list where they do not fit."""
        view, items = self._state.view, compare_bar.mode_items(self._state)
        room = self._panel.size.x - px(10 + 8 + 124 + 8 + GIZMO_WIDTH)
        if w.segmented_width(items) <= room:
            chosen = w.segmented("mode", view.mode, items)
        else:
            imgui.set_next_item_width(px(110))
            chosen = w.combo("##mode", view.mode, [i[0] for i in items], [i[1] for i in items])
        if chosen is not None and chosen != view.mode:
            self._state.act("mode", chosen)

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
        y = self._panel.low.y + self._panel.size.y - px(66)
        left, right = compare_bar.short_titles(self._state)
        compare_bar.chip(left, ImVec2(x - px(12), y), right=True)
        compare_bar.chip(right, ImVec2(x + px(12), y))

    def _foot(self, taken: float) -> None:
        """From the lower left upwards: numbers, legend, exposure, and the pixel under the cursor,
        which comes and goes, and so moves nothing else.

        Args:
            taken: pixels at the lower right that the caption has.
        """
        view = self._state.view
        at = ImVec2(self._panel.low.x + px(10), self._panel.low.y + self._panel.size.y - px(10))
        comparing = self._state.comparing() and view.mode != "render"
        if comparing:
            room = self._panel.size.x - taken - px(46)
            at.y -= self._chip_above(compare_bar.numbers(self._state, room), at)
        if comparing and view.mode == "difference":
            at.y -= compare_bar.draw_legend(self._panel, at)
        else:
            at.y -= toolbar.draw_channel_legend(self._panel, at)
        if view.exposure:
            at.y -= self._chip_above(f"{Icon.sun} {view.exposure:+.1f} EV", at)
        if not comparing and self._panel.hands.hover is not None:
            self._chip_above(self._hover_words(), at)

    def _chip_above(self, words: str, at: ImVec2) -> float:
        """A chip whose foot is at `at`; the height taken."""
        height = imgui.get_font_size() + px(8)
        compare_bar.chip(words, ImVec2(at.x, at.y - height))
        return height + px(6)

    def _hover_words(self) -> str:
        (x, y), info = self._panel.hands.hover
        words, color = f"{x}, {y}", self._panel.hands.color
        if color is not None and info is not None:
            srgb = np.asarray(linear_to_srgb(np.clip(color, 0, None)))
            words += "    linear " + " ".join(f"{float(v):.3f}" for v in color)
            words += "    sRGB " + " ".join(str(round(255 * float(v))) for v in srgb)
        if info is not None:
            words += f"    depth {info.depth:.2f}"
        return words

    def _caption(self) -> float:
        """What is looked at instead of the present scene, lower right, with the way out; its width."""
        view, photos, shown = self._state.view, self._state.photos, self._state.run.shown
        if "reference" in (self._state.left, self._state.right) and view.mode != "render":
            words, id, hint = self._reference_words(), "drop_reference", "Remove the reference"
            leave: tuple[Any, ...] = ("drop_reference",)
        elif view.photo is not None and photos is not None and view.photo < len(photos.photos):
            photo = photos.photos[view.photo]
            error = self._state.view_error(photo.name)
            words = photo.name if error is None else f"{photo.name}    error {error:.3f}"
            id, hint = "leave_photo", actions.tip("Leave the photo", "leave_photo")
            leave = ("leave_photo",)
        elif shown is not None:
            words, id, hint = f"step {shown.step}", "follow", "Follow the run again"
            leave = ("go_to_step", self._state.run.status.step)
        else:
            return 0.0
        if self._closable(words, id, hint):
            self._state.act(*leave)
        return float(imgui.calc_text_size(words).x) + px(60)

    def _reference_words(self) -> str:
        """Whether the reference is of this view."""
        reference = self._state.reference
        pixels = self._panel.pixels
        here = reference is not None and same_pose(reference.camera, self._panel.camera.camera(*pixels))
        return "path-traced reference" if here else "reference of another view"

    def _closable(self, words: str, id: str, hint: str) -> bool:
        """A chip at the lower right with a cross; True if that was pressed."""
        width = imgui.calc_text_size(words).x
        x = self._panel.low.x + self._panel.size.x - width - px(60)
        y = self._panel.low.y + self._panel.size.y - px(34)
        compare_bar.chip(words, ImVec2(x, y), room=px(30))  # for the button
        imgui.set_cursor_screen_pos(ImVec2(x + width + px(14), y - px(1)))
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
