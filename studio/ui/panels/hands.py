"""The hands on the picture: orbit, pan, zoom, fly, pivot, the wipe, cameras to click."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from imgui_bundle import imgui

from studio.core.scene import PhotoSet
from studio.gl.options import AOVS
from studio.gl.overlay import FRUSTUM_SHARE, frustum_corners
from studio.ui import widgets as w
from studio.ui.theme import px

if TYPE_CHECKING:
    from studio.ui.panels.viewport import ViewportPanel

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


class Hands:
    """Mouse and keys over the picture of a viewport panel.

    Attributes:
        hover: ((x, y), PixelInfo or None) of the pixel under the cursor, or None away from it.
        color: [3] linear colour of the render there, or None.
        dragging_wipe: the divider has the mouse.
    """

    def __init__(self, panel: ViewportPanel) -> None:
        self._panel = panel
        self._state = panel.state
        self.hover: Any = None
        self.color: np.ndarray | None = None
        self.dragging_wipe = False
        self._hover_time = 0.0
        self._corners_of: PhotoSet | None = None
        self._corners = np.zeros((0, 4, 3))

    def take_input(self, busy: bool = False) -> None:
        """The picture as one button that takes all mouse input; `busy` if a handle has it."""
        self._aov_keys()
        if busy:
            self.hover = None
            return
        imgui.set_next_item_allow_overlap()
        buttons = (
            imgui.ButtonFlags_.mouse_button_left
            | imgui.ButtonFlags_.mouse_button_right
            | imgui.ButtonFlags_.mouse_button_middle
        )
        imgui.invisible_button("canvas", self._panel.size, buttons)
        hovered, active = imgui.is_item_hovered(), imgui.is_item_active()
        if hovered:
            imgui.set_item_key_owner(imgui.Key.mouse_wheel_y)
        io = imgui.get_io()
        width, height = self._panel.pixels
        if self._panel.brush.take_input(hovered, active):
            self.hover = None
            return
        if self._wipe_drag(hovered, active):
            return
        if hovered and io.mouse_wheel:
            self._leave_photo_view()
            self._panel.camera.zoom(io.mouse_wheel, self._cursor(), width / max(height, 1))
        if hovered and imgui.is_mouse_double_clicked(0):
            self._pivot_to_cursor()
        elif active:
            self._drag(io)
        if hovered:
            self._things()
        if hovered and not active:
            self._read_hover()
        elif not hovered:
            self.hover = None

    def _drag(self, io: imgui.IO) -> None:
        dx, dy = io.mouse_delta.x, io.mouse_delta.y
        if imgui.is_mouse_dragging(1, 0.0) or imgui.is_mouse_down(1):
            moves = [float(imgui.is_key_down(p)) - float(imgui.is_key_down(n)) for p, n in FLY_KEYS]
            if any(moves):
                self._leave_photo_view()
                self._panel.camera.fly(moves[0], moves[1], moves[2], io.delta_time)
            if dx or dy:
                self._leave_photo_view()
                self._panel.camera.look(dx, dy)
            self._state.wake()
        elif (dx or dy) and (imgui.is_mouse_down(2) or (imgui.is_mouse_down(0) and io.key_shift)):
            self._leave_photo_view()
            self._panel.camera.pan(dx, dy, round(self._panel.size.y))
        elif (dx or dy) and imgui.is_mouse_dragging(0):
            self._leave_photo_view()
            self._panel.camera.orbit(dx, dy)

    def _leave_photo_view(self) -> None:
        """Moving the camera leaves the photo; a comparison with it ends then, too."""
        view = self._state.view
        if view.photo is not None:
            if "photo" in (self._state.left, self._state.right):
                view.mode = "render"
            view.photo, view.truth, self._panel.lens = None, False, None

    def _cursor(self) -> tuple[float, float]:
        mouse = imgui.get_mouse_pos()
        x = 2 * (mouse.x - self._panel.low.x) / self._panel.size.x - 1
        return x, 1 - 2 * (mouse.y - self._panel.low.y) / self._panel.size.y

    def _pixel(self) -> tuple[int, int]:
        """Pixel under the cursor, counted from the upper left."""
        mouse, scale = imgui.get_mouse_pos(), imgui.get_io().display_framebuffer_scale
        return int((mouse.x - self._panel.low.x) * scale.x), int((mouse.y - self._panel.low.y) * scale.y)

    def _pivot_to_cursor(self) -> None:
        info = self._panel.gl.pixel(*self._pixel())
        if info is not None:
            self._leave_photo_view()
            self._panel.camera.focus(info.position)

    def _wipe_drag(self, hovered: bool, active: bool) -> bool:
        """Drag the divider; True while it has the mouse."""
        view = self._state.view
        if view.mode != "wipe" or not self._state.comparing():
            self.dragging_wipe = False
            return False
        mouse = imgui.get_mouse_pos()
        near = hovered and abs(mouse.x - (self._panel.low.x + view.wipe * self._panel.size.x)) < px(10)
        if near or self.dragging_wipe:
            imgui.set_mouse_cursor(imgui.MouseCursor_.resize_ew)
        if near and imgui.is_mouse_clicked(0):
            self.dragging_wipe = True
        if not (active and imgui.is_mouse_down(0)):
            self.dragging_wipe = False
        if self.dragging_wipe:
            view.wipe = min(max((mouse.x - self._panel.low.x) / self._panel.size.x, 0.02), 0.98)
        return self.dragging_wipe or near

    def _read_hover(self) -> None:
        now = imgui.get_time()
        if now - self._hover_time >= HOVER_SECONDS and not self._panel.gl.empty:
            self._hover_time = now
            self.hover = (self._pixel(), self._panel.gl.pixel(*self._pixel()))
            place = self._panel.gl.locate(*self._pixel())
            self.color = None if place is None else self._panel.gl.live_color("render", *place)

    def _aov_keys(self) -> None:
        for key, aov in zip(AOV_KEYS, AOVS):
            if imgui.shortcut(int(key), imgui.InputFlags_.route_global):
                self._state.act("aov", aov)

    def _things(self) -> None:
        """A click selects a light or an object, or looks through a camera; those say their names."""
        camera = self._panel.camera.camera(*self._panel.pixels)
        light = self._panel.lamps.under_mouse(camera)
        frustum = self._frustum_under_cursor() if light is None else None
        if light is not None:
            lamp = self._state.lighting().lights[light]
            w.tooltip(lamp.name or lamp.kind)
        elif frustum is not None and self._state.photos is not None:
            w.tooltip(self._state.photos.photos[frustum].name)
        if light is not None or frustum is not None:
            imgui.set_mouse_cursor(imgui.MouseCursor_.hand)
        if not self._clicked():
            return
        if light is not None:
            self._state.act("select", f"light:{light}")
        elif frustum is not None:
            self._state.act("look_through", frustum)
        else:
            part = self._panel.gl.pick(*self._pixel())
            self._state.act("select", "" if part is None else self._name(part))

    def _name(self, part: int) -> str:
        """What the scene tree calls a part of the picture: volume and points come after the meshes."""
        beyond = part - self._panel.gl.meshes.own
        return f"mesh:{part}" if beyond < 0 else ("volume", "points")[beyond]

    def _clicked(self) -> bool:
        """The left button went up where it had gone down, over the picture."""
        if not imgui.is_mouse_released(0) or not imgui.is_item_deactivated():
            return False
        drag = imgui.get_mouse_drag_delta(0, 0.0)
        far = imgui.get_io().mouse_drag_max_distance_sqr[0]
        return abs(drag.x) + abs(drag.y) < px(4) and far < px(4) ** 2

    def _frustum_under_cursor(self) -> int | None:
        """Index of the nearest photo camera whose image plane is under the cursor."""
        view, photos = self._state.view, self._state.photos
        if photos is None or not view.cameras or view.picture_only or view.photo is not None:
            return None
        if photos is not self._corners_of:
            self._corners_of, self._corners = photos, frustum_planes(photos)
        camera = self._panel.camera.camera(*self._panel.pixels)
        clip = self._corners @ camera.world_to_clip[:, :3].T + camera.world_to_clip[:, 3]
        depth = clip[..., 3]
        points = clip[..., :2] / np.maximum(depth, 1e-6)[..., None]
        inside = in_convex(points, np.array(self._cursor())) & (depth > 0).all(axis=1)
        if self.hover is not None and self.hover[1] is not None:
            inside &= depth.mean(axis=1) < self.hover[1].depth  # behind the object
        hit = np.flatnonzero(inside)
        return int(hit[np.argmin(depth[hit].mean(axis=1))]) if len(hit) else None


def frustum_planes(photos: PhotoSet) -> np.ndarray:
    """[N, 4, 3] world corners of the image planes that the viewport draws for the photos' cameras."""
    center = np.asarray(photos.object_center)
    distance = float(np.median([np.linalg.norm(p.camera.position - center) for p in photos.photos]))
    length = FRUSTUM_SHARE * distance
    return np.stack([frustum_corners(photo.camera, length)[1:] for photo in photos.photos])


def in_convex(polygons: np.ndarray, point: np.ndarray) -> np.ndarray:
    """[N] bool: whether a point lies in convex polygons [N, K, 2] of either orientation."""
    edge = np.roll(polygons, -1, axis=1) - polygons
    to_point = point - polygons
    side = edge[..., 0] * to_point[..., 1] - edge[..., 1] * to_point[..., 0]
    return np.asarray((side > 0).all(axis=1) | (side < 0).all(axis=1))
