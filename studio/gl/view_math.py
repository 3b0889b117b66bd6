"""Small matrices and rays that several passes need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from studio.core.scene import Camera


def rays(camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """World directions of unit depth: (lower left corner, across the width, up the height)."""
    rotation = camera.view_to_world[:3, :3]
    corner = np.array([-camera.cx / camera.fx, -(camera.height - camera.cy) / camera.fy, -1.0])
    right = np.array([camera.width / camera.fx, 0.0, 0.0])
    up = np.array([0.0, camera.height / camera.fy, 0.0])
    return rotation @ corner, rotation @ right, rotation @ up


def orthographic_up(box: tuple[float, float, float, float], bottom: float, depth: float) -> np.ndarray:
    """[4, 4] world_to_clip that looks straight up (+Y) at a square of the xz plane.

    Args:
        box: x and z of the lower corner, and 1 / side twice.
        bottom: height at which the view begins. depth: how far up it reaches.
    """
    x, z, inverse_x, inverse_z = box
    out = np.zeros((4, 4))
    out[0, 0], out[0, 3] = 2 * inverse_x, -2 * x * inverse_x - 1
    out[1, 2], out[1, 3] = 2 * inverse_z, -2 * z * inverse_z - 1
    out[2, 1], out[2, 3] = 2 / depth, -2 * bottom / depth - 1
    out[3, 3] = 1
    return out


def tiles(camera: Camera, size: int) -> Iterator[tuple[int, int, Camera]]:
    """The picture cut into pieces of at most `size` pixels each way.

    Yields:
        x, y: of the tile's lower left pixel; the camera that sees just that tile.
    """
    for y in range(0, camera.height, size):
        for x in range(0, camera.width, size):
            width, height = min(size, camera.width - x), min(size, camera.height - y)
            top = camera.height - y - height
            yield x, y, replace(camera, width=width, height=height, cx=camera.cx - x, cy=camera.cy - top)


def widened(camera: Camera, x: int, y: int, part: Camera, margin: int) -> tuple[Camera, int, int]:
    """A tile of `tiles` with up to `margin` pixels more on every side, as far as the picture goes.

    Returns:
        the camera that sees it; pixels added on the left and below.
    """
    left, low = min(margin, x), min(margin, y)
    right = min(margin, camera.width - x - part.width)
    high = min(margin, camera.height - y - part.height)
    wide = replace(
        part,
        width=part.width + left + right,
        height=part.height + low + high,
        cx=part.cx + left,
        cy=part.cy + high,
    )
    return wide, left, low


def window_of(part: Camera, whole: Camera) -> tuple[float, float, float, float]:
    """Where a tile's picture lies in the whole one: uv of the whole = uv of the tile * zw + xy."""
    left, top = whole.cx - part.cx, whole.cy - part.cy
    low = whole.height - top - part.height
    size = (whole.width, whole.height)
    return left / size[0], low / size[1], part.width / size[0], part.height / size[1]
