"""The viewport: the picture, the tools over it, and the hands that move the camera."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from imgui_bundle import ImVec2, imgui

from studio.core.errors import StudioError
from studio.core.scene import Camera
from studio.gl.colormap import DIFFERENCE_MAP, colormap
from studio.gl.navigation import OrbitCamera
from studio.gl.options import AOVS, ViewOptions
from studio.gl.viewport import Viewport
from studio.ui import widgets as w
from studio.ui.commands import Path
from studio.ui.panels import gizmo
from studio.ui.panels.scene_tree import selected_mesh
from studio.ui.state import AppState
from studio.ui.theme import Icon, mix, px, roles, u32, vec

MODE_ITEMS = (
    ("render", "Render", "The scene as it is rendered"),
    ("target", "Target", "The photo  (T)"),
    ("wipe", "Wipe", "Render and photo with a divider to drag  (W)"),
    ("split", "Split", "Left half render, right half photo"),
    ("difference", "Difference", "Where render and photo differ  (O)"),
    ("flicker", "Flicker", "Render and photo in turn"),
)
FLICKER_HZ = 1.5
AOV_KEYS = (
    imgui.Key._1,
    imgui.Key._2,
    imgui.Key._3,
    imgui.Key._4,
    imgui.Key._5,
    imgui.Key._6,
    imgui.Key._7,
    imgui.Key._8,
)
FLY_KEYS = ((imgui.Key.d, imgui.Key.a), (imgui.Key.e, imgui.Key.q), (imgui.Key.w, imgui.Key.s))
HOVER_SECONDS = 0.08
"""Numbers under the cursor are read back at most this often: it waits for the picture."""


class ViewportPanel:
    """Draws the Viewport window; owns the renderer and the free camera.

    Attributes:
        resolution_scale: share of the pixels drawn each way, set by the pacing.
        samples: jittered frames that a still picture averages, set by the pacing. At a
            reduced scale they are drawn at once, since the next snapshot is about to come.
        exposure_open: the exposure popup opens in the next frame.
    """

    def __init__(self, ctx: Any, state: AppState) -> None:
        self.gl = Viewport(ctx)
        self.camera = OrbitCamera()
        self.state = state
        self.resolution_scale = 1.0
        self.samples = 8
        self.exposure_open = False
        self._lens: int | None = None
        self._dragging_wipe = False
        self._hover_time = 0.0
        self._hover: Any = None
        self._low = ImVec2(0, 0)
        self._size = ImVec2(1, 1)
        self._pixels = (1, 1)

    # Keeping up with the document

    def sync(self, changes: list[Path], fresh_snapshot: bool) -> None:
        """Bring the renderer up to date; `changes` are the document's paths that changed."""
        state = self.state
        parts = {path[0] for path in changes}
        if "scene" in parts:
            self._sync_scene(changes)
        if fresh_snapshot or "scene" in parts:
            self._sync_snapshot()
        if "photos" in parts:
            self.gl.set_photos(state.photos)
            state.view.photo = None
            state.view.mode = "render"
        if parts & {"effects", "enabled"} and state.document.effects:
            document = state.document
            self.gl.set_effects({n: v for n, v in document.effects.items() if document.enabled[n]})

    def _sync_scene(self, changes: list[Path]) -> None:
        """Everything after a new scene; only the light after an edit of the light."""
        light_only = all(path[:2] == ("scene", "lighting") for path in changes if path[0] == "scene")
        if light_only:
            self.gl.set_lighting(self.state.lighting())
            return
        if all(path[:2] == ("scene", "background") for path in changes if path[0] == "scene"):
            self.gl.set_background(self.state.scene.background)
            return
        self.gl.set_scene(self.state.scene)
        self.camera.set_bounds(*self.gl.bounds())

    def _sync_snapshot(self) -> None:
        snapshot = self.state.run.visible
        if snapshot is None or not (self.state.run.active or self.state.run.shown):
            return
        if not self.gl.meshes.parts:
            self.gl.set_scene(replace(self.state.scene, meshes=[snapshot.mesh]))
        self.gl.update_mesh(0, snapshot.mesh)
        self.gl.set_lighting(self.state.lighting())
        self.camera.set_bounds(*self.gl.bounds())

    # Camera

    def frame(self) -> None:
        """Show the whole object."""
        self.camera.frame(*self.gl.bounds(), self._size.x / max(self._size.y, 1.0))

    def reset_camera(self) -> None:
        """The view that the window opened with."""
        fresh = OrbitCamera()
        fresh.set_bounds(*self.gl.bounds())
        fresh.frame(*self.gl.bounds(), self._size.x / max(self._size.y, 1.0), smooth=False)
        self.camera = fresh
        self._lens = None

    def look_from(self, side: str) -> None:
        self.camera.set_view(side)

    def _follow_photo(self) -> None:
        """Look through the chosen photo, or leave it."""
        index, photos = self.state.view.photo, self.state.photos
        if index is None or photos is None:
            self._lens = None
            return
        if index != self._lens:
            self._lens = index
            self.camera.look_through(photos.photos[index].camera)

    # Drawing

    def draw(self) -> None:
        """The window of the viewport."""
        window_class = imgui.WindowClass()
        private = imgui.internal.DockNodeFlagsPrivate_
        window_class.dock_node_flags_override_set = int(private.no_tab_bar) | int(
            imgui.DockNodeFlags_.no_undocking
        )
        imgui.set_next_window_class(window_class)
        imgui.push_style_var(imgui.StyleVar_.window_padding, ImVec2(0, 0))
        flags = imgui.WindowFlags_.no_scrollbar | imgui.WindowFlags_.no_scroll_with_mouse
        shown = imgui.begin("Viewport", None, flags)[0]
        imgui.pop_style_var()
        if shown:
            self._body()
        imgui.end()

    def _body(self) -> None:
        self._low, self._size = imgui.get_cursor_screen_pos(), imgui.get_content_region_avail()
        if self._size.x < 8 or self._size.y < 8:
            return
        scale = imgui.get_io().display_framebuffer_scale
        self._pixels = max(1, round(self._size.x * scale.x)), max(1, round(self._size.y * scale.y))
        width, height = self._pixels
        self._follow_photo()
        moving = self.camera.update(imgui.get_io().delta_time)
        camera = self.camera.camera(width, height)
        options = self._options(moving)
        self.gl.set_selection(self._selection())
        try:
            texture = self.gl.render(camera, options)
            for _ in range(options.samples - 1 if options.resolution_scale < 1.0 else 0):
                texture = self.gl.render(camera, options)
        except StudioError as error:  # a shader this driver refuses: say so once, keep the window alive
            if not any(notice.text == str(error) for notice in self.state.notices):
                self.state.notify(str(error), "fail", "Run `main.py doctor` to see what this machine has.")
            return
        high = ImVec2(self._low.x + self._size.x, self._low.y + self._size.y)
        draw = imgui.get_window_draw_list()
        draw.add_image(imgui.ImTextureRef(texture.glo), self._low, high, ImVec2(0, 1), ImVec2(1, 0))
        if moving or options.mode == "flicker" or (self.resolution_scale == 1.0 and not self.gl.settled):
            self.state.wake()
        self._canvas(width, height)
        self._tools(camera)

    def _options(self, moving: bool) -> ViewOptions:
        view = self.state.view
        scale = self.resolution_scale
        if (
            self.state.software
            and (moving or imgui.is_any_mouse_down())
            and imgui.is_window_hovered(imgui.HoveredFlags_.allow_when_blocked_by_active_item)
        ):
            scale = 0.5  # a full picture of 40k triangles takes 30 ms on software OpenGL
        return ViewOptions(
            mode=view.mode,  # type: ignore[arg-type]
            aov=view.aov,  # type: ignore[arg-type]
            photo=view.photo,
            wipe=view.wipe,
            flicker=(imgui.get_time() * FLICKER_HZ) % 1.0 if view.mode == "flicker" else 0.0,
            overlay=0.5 if view.truth and view.photo is not None else 0.0,
            grid=view.grid,
            axes=view.grid,
            frusta=view.cameras and view.photo is None,
            exposure=view.exposure,
            resolution_scale=scale,
            samples=1 if scale < self.resolution_scale else self.samples,
            ui_scale=px(1),
        )

    def _selection(self) -> int | None:
        kind = self.state.view.selected.partition(":")[0]
        alone = len(self.state.scene.meshes) < 2  # an outline around the only object says nothing
        return None if kind != "mesh" or alone else selected_mesh(self.state)

    # Hands

    def _canvas(self, width: int, height: int) -> None:
        """The picture as one button that takes all mouse input."""
        imgui.set_next_item_allow_overlap()
        buttons = (
            imgui.ButtonFlags_.mouse_button_left
            | imgui.ButtonFlags_.mouse_button_right
            | imgui.ButtonFlags_.mouse_button_middle
        )
        imgui.invisible_button("canvas", self._size, buttons)
        hovered, active = imgui.is_item_hovered(), imgui.is_item_active()
        if hovered:
            imgui.set_item_key_owner(imgui.Key.mouse_wheel_y)
        io = imgui.get_io()
        if self._wipe_drag(hovered, active):
            return
        if hovered and io.mouse_wheel:
            self._leave_photo_view()
            self.camera.zoom(io.mouse_wheel, self._cursor(), width / height)
        if hovered and imgui.is_mouse_double_clicked(0):
            self._pivot_to_cursor()
        elif active:
            self._drag(io)
        if hovered and not active:
            self._read_hover()
            self._aov_keys()
        elif not hovered:
            self._hover = None

    def _drag(self, io: imgui.IO) -> None:
        dx, dy = io.mouse_delta.x, io.mouse_delta.y
        if imgui.is_mouse_dragging(1, 0.0) or imgui.is_mouse_down(1):
            moves = [float(imgui.is_key_down(p)) - float(imgui.is_key_down(n)) for p, n in FLY_KEYS]
            if any(moves):
                self._leave_photo_view()
                self.camera.fly(moves[0], moves[1], moves[2], io.delta_time)
            if dx or dy:
                self._leave_photo_view()
                self.camera.look(dx, dy)
            self.state.wake()
        elif (dx or dy) and (imgui.is_mouse_down(2) or (imgui.is_mouse_down(0) and io.key_shift)):
            self._leave_photo_view()
            self.camera.pan(dx, dy, round(self._size.y))
        elif (dx or dy) and imgui.is_mouse_dragging(0):
            self._leave_photo_view()
            self.camera.orbit(dx, dy)

    def _leave_photo_view(self) -> None:
        """Moving the camera leaves the photo; a comparison needs its photo, so that ends too."""
        view = self.state.view
        if view.photo is not None:
            view.photo, view.truth, self._lens = None, False, None
            view.mode = "render"

    def _cursor(self) -> tuple[float, float]:
        mouse = imgui.get_mouse_pos()
        x = 2 * (mouse.x - self._low.x) / self._size.x - 1
        return x, 1 - 2 * (mouse.y - self._low.y) / self._size.y

    def _pixel(self) -> tuple[int, int]:
        """Pixel under the cursor, counted from the upper left."""
        mouse, scale = imgui.get_mouse_pos(), imgui.get_io().display_framebuffer_scale
        return int((mouse.x - self._low.x) * scale.x), int((mouse.y - self._low.y) * scale.y)

    def _pivot_to_cursor(self) -> None:
        info = self.gl.pixel(*self._pixel())
        if info is not None:
            self._leave_photo_view()
            self.camera.focus(info.position)

    def _wipe_drag(self, hovered: bool, active: bool) -> bool:
        """Drag the divider; True while it has the mouse."""
        view = self.state.view
        if view.mode != "wipe":
            self._dragging_wipe = False
            return False
        mouse = imgui.get_mouse_pos()
        near = hovered and abs(mouse.x - (self._low.x + view.wipe * self._size.x)) < px(10)
        if near or self._dragging_wipe:
            imgui.set_mouse_cursor(imgui.MouseCursor_.resize_ew)
        if near and imgui.is_mouse_clicked(0):
            self._dragging_wipe = True
        if not (active and imgui.is_mouse_down(0)):
            self._dragging_wipe = False
        if self._dragging_wipe:
            view.wipe = min(max((mouse.x - self._low.x) / self._size.x, 0.02), 0.98)
        return self._dragging_wipe or near

    def _read_hover(self) -> None:
        now = imgui.get_time()
        if now - self._hover_time >= HOVER_SECONDS and self.gl.meshes.parts:
            self._hover_time = now
            self._hover = (self._pixel(), self.gl.pixel(*self._pixel()))

    def _aov_keys(self) -> None:
        for key, aov in zip(AOV_KEYS, AOVS):
            if imgui.shortcut(int(key), imgui.InputFlags_.route_global):
                self.state.act("aov", aov)

    # Tools over the picture

    def _tools(self, camera: Camera) -> None:
        view = self.state.view
        if not view.picture_only:
            imgui.set_cursor_screen_pos(ImVec2(self._low.x + px(10), self._low.y + px(8)))
            self._tool_bar()
        if view.gizmo and not view.picture_only:
            center = ImVec2(self._low.x + self._size.x - px(48), self._low.y + px(46))
            side = gizmo.draw(camera, center)
            if side is not None:
                self.state.act("look", side)
        if view.mode == "wipe" and view.photo is not None:
            self._wipe_knob()
        if view.mode in ("wipe", "split") and view.photo is not None:
            at = view.wipe if view.mode == "wipe" else 0.5
            self._side_labels(at)
        if view.mode == "difference" and view.photo is not None:
            self._legend()
        else:
            self._hover_line()
        self._caption()
        self._exposure_popup()
        if not self.gl.meshes.parts and self.state.ready and not self.state.jobs.running:
            self._invitation()

    def _tool_bar(self) -> None:
        view = self.state.view
        imgui.begin_disabled(self.state.photos is None)
        chosen = w.segmented("mode", view.mode, MODE_ITEMS)
        imgui.end_disabled()
        if chosen is not None and chosen != view.mode:
            self.state.act("mode", chosen)
        imgui.same_line(0, px(8))
        imgui.set_next_item_width(px(108))
        imgui.push_style_color(imgui.Col_.frame_bg, vec(roles().panel, 0.92))
        titles = [aov.capitalize() for aov in AOVS]
        aov = w.combo("##aov", view.aov, AOVS, titles)
        imgui.pop_style_color()
        w.tooltip("Channel shown  (1 … 8)")
        if aov is not None:
            self.state.act("aov", aov)
        if view.exposure:
            imgui.same_line(0, px(8))
            imgui.align_text_to_frame_padding()
            w.text(f"{Icon.sun} {view.exposure:+.1f} EV", roles().accent)

    def _wipe_knob(self) -> None:
        x = self._low.x + self.state.view.wipe * self._size.x
        y = self._low.y + self._size.y / 2
        draw = imgui.get_window_draw_list()
        draw.add_line(
            ImVec2(x, self._low.y), ImVec2(x, self._low.y + self._size.y), u32(0xFFFFFF, 0.75), px(1.5)
        )
        color = roles().accent if self._dragging_wipe else 0xFFFFFF
        draw.add_circle_filled(ImVec2(x, y), px(11), u32(color))
        for side in (-1, 1):
            tip = x + side * px(7)
            base = x + side * px(3)
            draw.add_triangle_filled(
                ImVec2(tip, y), ImVec2(base, y - px(4)), ImVec2(base, y + px(4)), u32(0x1C1F23)
            )

    def _side_labels(self, at: float) -> None:
        x = self._low.x + at * self._size.x
        y = self._low.y + self._size.y - px(34)
        self._chip("render", ImVec2(x - px(12), y), right=True)
        self._chip("photo", ImVec2(x + px(12), y))

    def _chip(self, string: str, at: ImVec2, right: bool = False) -> None:
        """Text on a translucent plate."""
        size = imgui.calc_text_size(string)
        x = at.x - size.x - px(16) if right else at.x
        draw = imgui.get_window_draw_list()
        low, high = ImVec2(x, at.y), ImVec2(x + size.x + px(16), at.y + size.y + px(8))
        draw.add_rect_filled(low, high, u32(roles().window, 0.8), px(4))
        draw.add_text(ImVec2(x + px(8), at.y + px(4)), u32(mix(roles().muted, roles().text, 0.4)), string)

    def _hover_line(self) -> None:
        if self._hover is None or self.state.view.mode in ("wipe", "split"):
            return
        (x, y), info = self._hover
        words = f"x {x}  y {y}"
        if info is not None:
            r, g, b = (float(v) for v in info.albedo)
            words += f"    albedo {r:.2f} {g:.2f} {b:.2f}"
            words += f"    roughness {info.roughness:.2f}    depth {info.depth:.2f}"
        self._chip(words, ImVec2(self._low.x + px(10), self._low.y + self._size.y - px(34)))

    def _legend(self) -> None:
        """The colours of the difference, from none to what saturates."""
        draw = imgui.get_window_draw_list()
        x, y = self._low.x + px(10), self._low.y + self._size.y - px(34)
        draw.add_rect_filled(ImVec2(x, y), ImVec2(x + px(252), y + px(24)), u32(roles().window, 0.8), px(4))
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

    def _caption(self) -> None:
        """Which photo is looked through, at the lower right, with the way out."""
        view, photos = self.state.view, self.state.photos
        if view.photo is None or photos is None or view.photo >= len(photos.photos):
            return
        photo = photos.photos[view.photo]
        error = self.state.view_error(photo.name)
        words = photo.name if error is None else f"{photo.name}    error {error:.3f}"
        width = imgui.calc_text_size(words).x
        x = self._low.x + self._size.x - width - px(60)
        y = self._low.y + self._size.y - px(34)
        self._chip(words, ImVec2(x, y))
        imgui.set_cursor_screen_pos(ImVec2(x + width + px(20), y - px(1)))
        if w.quiet_button(Icon.close, "leave_photo", "Leave the photo  (Esc)"):
            self.state.act("leave_photo")

    def _exposure_popup(self) -> None:
        if self.exposure_open:
            self.exposure_open = False
            imgui.open_popup("exposure")
        imgui.set_next_window_pos(ImVec2(self._low.x + px(10), self._low.y + px(46)))
        if imgui.begin_popup("exposure"):
            view = self.state.view
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
        middle = self._low.y + self._size.y / 2 - px(60)
        imgui.set_cursor_screen_pos(ImVec2(self._low.x + self._size.x / 2 - px(150), middle))
        imgui.begin_child("invitation", ImVec2(px(300), px(150)))
        if w.empty(Icon.mesh, "Drop a mesh or a folder of photos here.", "Open mesh…", "open_mesh"):
            self.state.act("open_mesh")
        imgui.end_child()

    def rectangle(self) -> tuple[ImVec2, ImVec2]:
        """Upper left and lower right corner on the screen."""
        return self._low, ImVec2(self._low.x + self._size.x, self._low.y + self._size.y)

    # Pictures

    def picture(self) -> np.ndarray:
        """[H, W, 3] uint8 sRGB of the present view without frusta and tools, row 0 at the top."""
        options = replace(self._options(False), resolution_scale=1.0, samples=8, frusta=False)
        camera = self.camera.camera(*self._pixels)
        for _ in range(options.samples):
            self.gl.render(camera, options)
        linear = self.gl.read_image()[::-1, :, :3]
        encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        return np.ascontiguousarray((encoded * 255 + 0.5).astype(np.uint8))

    def release(self) -> None:
        """Give the OpenGL objects back."""
        self.gl.release()
