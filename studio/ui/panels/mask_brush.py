"""The tool "Mask": strokes over a photo say what is the object and what is not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from imgui_bundle import ImVec2, imgui

from studio.core.scene import Camera, Photo, PhotoSet
from studio.ui.jobs import Job
from studio.ui.panels import compare_bar
from studio.ui.theme import px, roles, u32

if TYPE_CHECKING:
    from studio.ui.panels.viewport import ViewportPanel

OBJECT, REST = 0x4CD07D, 0xFF5D5D
WORDS = "Left: object    Right: not the object    Wheel: brush"
SMALLEST, LARGEST = 2.0, 120.0
"""Radius of the brush, interface pixels."""


@dataclass
class Strokes:
    """What was painted over one photo: [N, 2] pixel positions from the bottom left each.

    Attributes:
        mask: the photo's mask that the strokes were painted on or have made; another one makes
            them void.
    """

    mask: np.ndarray | None
    foreground: list[np.ndarray] = field(default_factory=list)
    background: list[np.ndarray] = field(default_factory=list)


class MaskBrush:
    """Paints on the photo that is looked through; each stroke cuts the mask anew in the background.

    Attributes:
        radius: of the brush, interface pixels.
    """

    def __init__(self, panel: ViewportPanel) -> None:
        self._panel = panel
        self._state = panel.state
        self.radius = 12.0
        self._path: list[tuple[float, float]] = []
        self._background = False
        self._strokes: dict[str, Strokes] = {}
        self._job: Job | None = None
        self._outline: tuple[np.ndarray, list[np.ndarray]] | None = None

    @property
    def photo(self) -> Photo | None:
        """The photo under the brush; None while the tool rests."""
        view, photos = self._state.view, self._state.photos
        if view.tool != "mask" or view.photo is None or photos is None or self._panel.camera.moving:
            return None
        return photos.photos[view.photo] if view.photo < len(photos.photos) else None

    # Painting

    def take_input(self, hovered: bool, active: bool) -> bool:
        """The mouse over the picture; False if it is not the brush's."""
        photo = self.photo
        if photo is None:
            self._path = []
            return False
        io = imgui.get_io()
        if hovered and io.mouse_wheel:
            self.radius = min(max(self.radius * 1.15**io.mouse_wheel, SMALLEST), LARGEST)
        pressed = imgui.is_mouse_down(0) or imgui.is_mouse_down(1)
        if active and pressed:
            if not self._path:
                self._background = imgui.is_mouse_down(1) or io.key_ctrl
            mouse = imgui.get_mouse_pos()
            if not self._path or self._path[-1] != (mouse.x, mouse.y):
                self._path.append((mouse.x, mouse.y))
        elif self._path:
            self._finish(photo)
        return True

    def _finish(self, photo: Photo) -> None:
        """A stroke is done: from the screen to the photo, and on to the cut."""
        strokes = self._strokes.get(photo.name)
        if strokes is None or strokes.mask is not photo.mask:
            strokes = self._strokes[photo.name] = Strokes(photo.mask)
        points = self._to_photo(np.array(self._path), photo.camera)
        self._path = []
        (strokes.background if self._background else strokes.foreground).append(points)
        if photo.mask is None and not strokes.foreground:
            return  # nothing yet to cut out
        self._cut(photo, strokes)

    def _cut(self, photo: Photo, strokes: Strokes) -> None:
        if self._job in self._state.jobs.quiet:
            return  # what follows this cut takes the new stroke along
        foreground, background = list(strokes.foreground), list(strokes.background)
        brush = self.radius * self._scale(photo.camera)

        def work(job: Job) -> np.ndarray:
            from studio.core.io.cutout import cut_out

            return cut_out(photo.image, foreground, background, photo.mask, brush)

        def then(mask: np.ndarray) -> None:
            photos = self._state.photos
            if photos is None or photo not in photos.photos:
                return  # others were opened, or the last stroke was undone
            done = len(foreground) + len(background) == len(strokes.foreground) + len(strokes.background)
            strokes.mask = mask
            changed = replace(photo, mask=mask, painted=True)
            self._state.set(("photos",), exchanged(photos, photo, changed), f"Mask of {photo.name}")
            if not done:
                self._cut(changed, strokes)

        self._job = self._state.jobs.start(f"Cutting out {photo.name}", work, then, quiet=True)

    # Screen and photo

    def _scale(self, camera: Camera) -> float:
        """Photo pixels per interface pixel; both cameras stand at the same place."""
        shown = self._panel.camera.camera(*self._panel.pixels)
        return camera.fx / shown.fx * imgui.get_io().display_framebuffer_scale.x

    def _to_photo(self, points: np.ndarray, camera: Camera) -> np.ndarray:
        """[N, 2] screen positions to pixels of the photo, from its bottom left."""
        shown, low = self._panel.camera.camera(*self._panel.pixels), self._panel.low
        dpi = imgui.get_io().display_framebuffer_scale
        x = ((points[:, 0] - low.x) * dpi.x - shown.cx) / shown.fx * camera.fx + camera.cx
        y = ((points[:, 1] - low.y) * dpi.y - shown.cy) / shown.fy * camera.fy + camera.cy
        return np.stack([x, camera.height - y], axis=1)

    def _to_screen(self, points: np.ndarray, camera: Camera) -> list[Any]:
        """The other way round."""
        shown, low = self._panel.camera.camera(*self._panel.pixels), self._panel.low
        dpi = imgui.get_io().display_framebuffer_scale
        x = ((points[:, 0] - camera.cx) / camera.fx * shown.fx + shown.cx) / dpi.x + low.x
        y = ((camera.height - points[:, 1] - camera.cy) / camera.fy * shown.fy + shown.cy) / dpi.y + low.y
        return [ImVec2(float(a), float(b)) for a, b in zip(x, y, strict=True)]

    # Drawing

    def draw(self) -> None:
        """The outline of the mask, the stroke under way, the brush, and what the buttons do."""
        photo = self.photo
        if photo is None:
            return
        draw = imgui.get_window_draw_list()
        closed = imgui.ImDrawFlags_.closed
        for contour in self._outlines(photo.mask):
            points = self._to_screen(contour, photo.camera)
            draw.add_polyline(points, u32(0x000000, 0.6), px(3), closed)
            draw.add_polyline(points, u32(roles().accent), px(1.5), closed)
        color = u32(REST if self._background else OBJECT, 0.5)
        if self._path:
            draw.add_polyline(list(self._path), color, 2 * self.radius, 0)
        mouse = imgui.get_mouse_pos()
        low, high = self._panel.rectangle()
        if low.x <= mouse.x < high.x and low.y <= mouse.y < high.y:
            draw.add_circle(mouse, self.radius, u32(0xFFFFFF, 0.9), 0, px(1.5))
        words = WORDS if photo.mask is not None or self._strokes.get(photo.name) else f"No mask yet.  {WORDS}"
        if self._job in self._state.jobs.quiet:
            words = f"Cutting out …  {WORDS}"
        width = imgui.calc_text_size(words).x
        compare_bar.chip(words, ImVec2((low.x + high.x - width) / 2, high.y - px(66)))

    def _outlines(self, mask: np.ndarray | None) -> list[np.ndarray]:
        """[N, 2] contours in photo pixels from the bottom left; found once for each mask."""
        if mask is None:
            return []
        if self._outline is None or self._outline[0] is not mask:
            import cv2

            found, _ = cv2.findContours((mask > 0.5).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            kept = [cv2.approxPolyDP(c, 0.6, True)[:, 0] + 0.5 for c in found if len(c) > 8]
            self._outline = mask, kept
        return self._outline[1]


def exchanged(photos: PhotoSet, old: Photo, new: Photo) -> PhotoSet:
    """The set with another photo in place of one."""
    return replace(photos, photos=[new if photo is old else photo for photo in photos.photos])
