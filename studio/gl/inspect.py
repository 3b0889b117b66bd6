"""What a person wants to know of a pixel, and of the tones of a whole picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from studio.core.color import linear_to_srgb
from studio.core.scene import Camera, Mesh, Photo
from studio.gl.options import PixelInfo, Source
from studio.gl.photos import placement
from studio.gl.sides import shown_sides

if TYPE_CHECKING:
    from studio.gl.viewport import Viewport

PATCH = 5
"""Pixels around the middle of a magnified patch."""


@dataclass(frozen=True, eq=False)
class Inspection:
    """One pixel of the view.

    Attributes:
        x, y: of the view, from its upper left corner.
        colors: linear RGB of what is shown or compared; None outside of a picture.
        info: of the surface, None where nothing is.
        uv: texture coordinates there; None without.
        patch: [2 * PATCH + 1, same, 3] uint8 around it as displayed, row 0 at the top.
    """

    x: int
    y: int
    colors: dict[Source, np.ndarray | None]
    info: PixelInfo | None
    uv: tuple[float, float] | None
    patch: np.ndarray


def inspect(viewport: Viewport, x: int, y: int) -> Inspection | None:
    """All about a pixel of the last picture; draws the geometry once more, for one pixel.

    None outside of the picture.
    """
    place = viewport.locate(x, y)
    if place is None:
        return None
    column, row = place
    left, right = shown_sides(viewport.options, viewport.stills)
    if viewport.options.mode == "render":
        right = None
    colors = {s: _color(viewport, s, column, row) for s in (left, right) if s is not None}
    info = viewport.pixel(x, y, triangle=True)
    uv = None
    if info is not None and info.triangle is not None and info.part < len(viewport.meshes.parts):
        uv = uv_at(viewport.meshes.parts[info.part].mesh, info.triangle, info.position)
    return Inspection(x, y, colors, info, uv, displayed_patch(viewport, x, y, PATCH))


def _color(viewport: Viewport, source: Source, column: int, row: int) -> np.ndarray | None:
    if source in ("render", "effects"):
        return viewport.live_color(source, column, row)
    photo = viewport.stills.picture(source, viewport.options.photo)
    if photo is None or viewport.camera is None:
        return None
    color = color_of(photo, viewport.camera, column, row)
    return None if color is None else color * np.float32(2.0**viewport.options.exposure)


def displayed_patch(viewport: Viewport, x: int, y: int, radius: int) -> np.ndarray:
    """[2 radius + 1, same, 3] uint8 sRGB around a point of the view, row 0 at the top; black outside."""
    side = 2 * radius + 1
    out = np.zeros((side, side, 3), np.uint8)
    display, scale = viewport.display, viewport.options.resolution_scale
    if display is None:
        return out
    width, height = display.size
    column, top = int((x + 0.5) * scale) - radius, int((y + 0.5) * scale) - radius
    x0, x1 = max(column, 0), min(column + side, width)
    y0, y1 = max(top, 0), min(top + side, height)
    if x0 < x1 and y0 < y1:
        box = (x0, height - y1, x1 - x0, y1 - y0)
        data = np.frombuffer(display.read(box, components=3, alignment=1), np.uint8)
        part = data.reshape(y1 - y0, x1 - x0, 3)[::-1]
        out[y0 - top : y1 - top, x0 - column : x1 - column] = part
    return out


def surface_pixels(viewport: Viewport) -> np.ndarray:
    """[N, 3] float32 sRGB values, not clipped, of the surfaces in the render as last drawn."""
    picture = viewport.still("tones")
    assert picture.mask is not None
    return np.asarray(linear_to_srgb(np.clip(picture.image[picture.mask > 0.5], 0, None)))


def color_of(photo: Photo, camera: Camera, column: int, row: int) -> np.ndarray | None:
    """[3] linear colour of the texel of a photo that a pixel of the view shows, or None beside it."""
    sx, sy, ox, oy = placement(camera, photo.camera)
    height, width = photo.image.shape[:2]
    u = (column + 0.5) / camera.width * sx + ox
    v = (row + 0.5) / camera.height * sy + oy
    if not (0 <= u < 1 and 0 <= v < 1):
        return None
    color: np.ndarray = photo.image[int(v * height), int(u * width), :3]
    return color


def uv_at(mesh: Mesh, triangle: int, position: np.ndarray) -> tuple[float, float] | None:
    """Texture coordinates of a point of a face; None if the mesh has none or the face no area."""
    if mesh.uvs is None or triangle >= len(mesh.faces):
        return None
    face = mesh.faces[triangle]
    a, b, c = mesh.vertices[face].astype(np.float64)
    normal = np.cross(b - a, c - a)
    area = float(normal @ normal)
    if area <= 0.0:
        return None
    point = np.asarray(position, np.float64)
    first = float(np.cross(c - b, point - b) @ normal) / area
    second = float(np.cross(a - c, point - c) @ normal) / area
    u, v = np.array([first, second, 1 - first - second]) @ mesh.uvs[face]
    return float(u), float(v)


@dataclass(frozen=True, eq=False)
class Tones:
    """How often the tones of a picture occur.

    Attributes:
        counts: [3, B] share of the pixels, of red, green and blue, in bins of sRGB values from 0 to
            TONE_END; the last bin has all beyond.
        dark, bright: share of the pixels whose colours are all black, and of those of which one
            is brighter than the screen shows.
    """

    counts: np.ndarray
    dark: float
    bright: float


TONE_END = 1.2
TONE_BINS = 96
DARKEST = 0.5 / 255
"""sRGB value below which a byte is 0."""


def tones(srgb: np.ndarray) -> Tones:
    """Tones of pixels.

    Args:
        srgb: [N, 3] sRGB values, not clipped.
    """
    counts = np.zeros((3, TONE_BINS))
    if len(srgb) == 0:
        return Tones(counts, 0.0, 0.0)
    index = np.clip(srgb * (TONE_BINS / TONE_END), 0, TONE_BINS - 1).astype(np.int64)
    for channel in range(3):
        counts[channel] = np.bincount(index[:, channel], minlength=TONE_BINS) / len(srgb)
    brightest = srgb.max(axis=1)
    return Tones(counts, float((brightest < DARKEST).mean()), float((brightest > 1 + 1e-4).mean()))
