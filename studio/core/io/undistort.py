"""Photos of a bent lens as a pinhole would have taken them."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from studio.core.io.lens import Lens
from studio.core.scene.camera import Camera

_WIDEST = 2.0
"""Largest tangent kept on each side of the axis, 63 degrees: beyond it a pinhole picture is all edge."""

_GRID = 257
"""Rays per side that tell what of the field the photo shows; refined twice."""

_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True, eq=False)
class Undistortion:
    """How the pixels of a pinhole camera are found in a photo.

    Attributes:
        fx, fy, cx, cy: of the pinhole, pixels, origin top left.
        map_x, map_y: [H, W] float32, where each pixel lies in the photo, in cv2.remap's
            coordinates; rows from the bottom, in both pictures.
        valid: [H, W] bool, the photo shows it.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    map_x: np.ndarray
    map_y: np.ndarray
    valid: np.ndarray

    def picture(self, image: np.ndarray) -> np.ndarray:
        """[H, W, C] float32 of a photo; where it shows nothing, its nearest border pixel."""
        import cv2

        out = cv2.remap(image, self.map_x, self.map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(out).reshape(*self.map_x.shape, *image.shape[2:])

    def camera(self, camera: Camera) -> Camera:
        """The pinhole in the place of the photo's camera."""
        return replace(camera, fx=self.fx, fy=self.fy, cx=self.cx, cy=self.cy)


def undistortion(lens: Lens, camera: Camera) -> Undistortion:
    """The pinhole of the photo's size that shows all of the photo, up to 63 degrees from the axis.

    Nothing is cut off, so a strip of pixels at the border may show nothing; they are told by
    `valid`. Photos of one camera share the result.

    Args:
        lens: not straight.
        camera: focal lengths, principal point and size that the lens counts in.
    """
    key = (lens, camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy)
    with _ONE_AT_A_TIME:  # the threads that read photos of one camera wait for one map
        return _undistortion(*key)


@lru_cache(maxsize=2)
def _undistortion(
    lens: Lens, width: int, height: int, fx: float, fy: float, cx: float, cy: float
) -> Undistortion:
    bent = Camera(width, height, fx, fy, cx, cy, np.eye(4))
    radius = _usable_radius(lens)
    low, high = _field(lens, bent, radius)
    scale = float(min(width / (fx * (high[0] - low[0])), height / (fy * (high[1] - low[1]))))
    fx, fy = scale * fx, scale * fy
    cx, cy = (
        float(size / 2 - f * (a + b) / 2) for size, f, a, b in zip((width, height), (fx, fy), low, high)
    )
    # Rows are counted from the bottom, as pictures are here.
    x = (np.arange(width) + 0.5 - cx) / fx
    y = (height - np.arange(height) - 0.5 - cy) / fy
    across, down = np.meshgrid(x, y)
    u, v, valid = _landing(lens, bent, across, down, radius)
    map_x = np.where(np.isfinite(u), u - 0.5, -1).astype(np.float32)
    map_y = np.where(np.isfinite(v), height - v - 0.5, -1).astype(np.float32)
    return Undistortion(fx, fy, cx, cy, map_x, map_y, valid)


def _landing(
    lens: Lens, bent: Camera, x: np.ndarray, y: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(u, v from the top left, bool: inside the photo and the model's reach) of rays."""
    xd, yd = lens.distort(x, y)
    u, v = bent.fx * xd + bent.cx, bent.fy * yd + bent.cy
    inside = (u >= 0) & (u <= bent.width) & (v >= 0) & (v <= bent.height) & (np.hypot(x, y) < radius)
    return u, v, inside


def _usable_radius(lens: Lens) -> float:
    """Tangent up to which rays farther from the axis land farther out, in every direction.

    Polynomials turn back somewhere; what they say from there on is a mirror image.
    """
    angle = np.linspace(0, 2 * math.pi, 32, endpoint=False)[:, None]
    r = np.linspace(0, 1.5 * _WIDEST, 1501)[None]
    x, y = lens.distort(r * np.cos(angle), r * np.sin(angle))
    out = (x - x[:, :1]) * np.cos(angle) + (y - y[:, :1]) * np.sin(angle)
    back = ~(np.diff(out, axis=1) > 0)  # NaN counts as turning back
    return float(r[0, 1:][back.any(axis=0)].min(initial=math.inf))


def _field(lens: Lens, bent: Camera, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """([2] low, [2] high) tangents of the box of rays that the photo shows."""
    reach = 4 * max(bent.cx / bent.fx, (bent.width - bent.cx) / bent.fx, bent.height / bent.fy)
    low, high = np.full(2, -min(reach, _WIDEST)), np.full(2, min(reach, _WIDEST))
    for _ in range(3):
        x, y = (np.linspace(a, b, _GRID) for a, b in zip(low, high, strict=True))
        across, down = np.meshgrid(x, y)
        inside = _landing(lens, bent, across, down, radius)[2]
        if not inside.any():
            break
        columns, rows = np.flatnonzero(inside.any(axis=0)), np.flatnonzero(inside.any(axis=1))
        last = _GRID - 1
        low = np.array([x[max(columns[0] - 1, 0)], y[max(rows[0] - 1, 0)]])
        high = np.array([x[min(columns[-1] + 1, last)], y[min(rows[-1] + 1, last)]])
    return low, high
