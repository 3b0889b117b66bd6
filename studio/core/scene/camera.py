"""Pinhole cameras with OpenGL axes: the camera looks along -Z, +Y is up."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from studio.core.errors import InputError


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera.

    Attributes:
        width, height: pixels.
        fx, fy: focal lengths in pixels; unequal for non-square pixels.
        cx, cy: principal point in pixels from the *top-left corner* of the image, as photo
            files count; the centre of the first pixel is (0.5, 0.5).
        view_to_world: [4, 4] float64, rigid, OpenGL axes.
        near, far: clip distances in world units.
        name: what the user sees, e.g. the photo's stem.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    view_to_world: np.ndarray = field(repr=False)
    near: float = 0.01
    far: float = 100.0
    name: str = ""

    @property
    def world_to_view(self) -> np.ndarray:
        """[4, 4] float64."""
        rotation = self.view_to_world[:3, :3]
        out = np.eye(4)
        out[:3, :3] = rotation.T
        out[:3, 3] = -rotation.T @ self.view_to_world[:3, 3]
        return out

    @property
    def view_to_clip(self) -> np.ndarray:
        """[4, 4] float64 OpenGL projection, z/w in [-1, 1] from near to far."""
        w, h, n, f = self.width, self.height, self.near, self.far
        return np.array(
            [
                [2 * self.fx / w, 0, 1 - 2 * self.cx / w, 0],
                [0, 2 * self.fy / h, 2 * self.cy / h - 1, 0],
                [0, 0, (f + n) / (n - f), 2 * f * n / (n - f)],
                [0, 0, -1, 0],
            ]
        )

    @property
    def world_to_clip(self) -> np.ndarray:
        """[4, 4] float64."""
        return self.view_to_clip @ self.world_to_view

    @property
    def position(self) -> np.ndarray:
        """[3] float64, world space."""
        return self.view_to_world[:3, 3]

    def resized(self, width: int, height: int) -> Camera:
        """The same view on another pixel grid; the intrinsics scale with it."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=self.cx * sx,
            cy=self.cy * sy,
        )

    def cropped(self, width: int) -> Camera:
        """The same view with columns cut off or added at both sides."""
        return replace(self, width=width, cx=self.cx + (width - self.width) / 2)

    def windowed(self, rows: slice, columns: slice) -> Camera:
        """The same view through a part of the picture; rows count from the bottom, as in images."""
        return replace(
            self,
            width=columns.stop - columns.start,
            height=rows.stop - rows.start,
            cx=self.cx - columns.start,
            cy=self.cy - (self.height - rows.stop),
        )

    def moved(self, view_to_world: np.ndarray) -> Camera:
        return replace(self, view_to_world=view_to_world)


FAR_AWAY = 500.0
"""Radii of the scene that a camera without perspective stands off: over the scene sizes differ by a
fifth of a percent, a pixel or two, and distances in single precision still tell a ten-thousandth of it."""


BEFORE, BEHIND = 5.0, 3.0
"""Radii of the scene that such a camera sees before and behind its middle."""


def orthographic(camera: Camera, distance: float, radius: float) -> Camera:
    """The camera without perspective: from far away through as narrow a lens.

    What lies `distance` before the camera keeps its size, and all that draws and measures
    stays the same, as it is still a pinhole camera.

    Args:
        radius: of the scene, world units.
    """
    back = FAR_AWAY * radius
    zoom = (distance + back) / distance
    view_to_world = camera.view_to_world.copy()
    view_to_world[:3, 3] += back * view_to_world[:3, 2]
    there = distance + back
    return replace(
        camera,
        fx=camera.fx * zoom,
        fy=camera.fy * zoom,
        view_to_world=view_to_world,
        near=there - BEFORE * radius,
        far=there + BEHIND * radius,
    )


def check_rigid(matrix: np.ndarray, where: str, tolerance: float = 1e-3) -> np.ndarray:
    """The [4, 4] matrix with its rotation orthonormalised; InputError if it is not rigid.

    The tolerance forgives poses printed with four digits, not scale or shear.
    """
    m = np.asarray(matrix, dtype=np.float64)
    if m.shape == (3, 4):
        m = np.vstack([m, [0, 0, 0, 1]])
    if m.shape != (4, 4) or not np.isfinite(m).all():
        raise InputError(f"{where}: expected a finite 4x4 camera matrix, got shape {m.shape}")
    rotation = m[:3, :3]
    error = np.abs(rotation.T @ rotation - np.eye(3)).max()
    if error > tolerance or np.linalg.det(rotation) < 0:
        raise InputError(
            f"{where}: camera matrix is not rigid (rotation off by {error:.2g}, "
            f"determinant {np.linalg.det(rotation):.3g}, expected a rotation of determinant 1)"
        )
    u, _, vt = np.linalg.svd(rotation)
    out = m.copy()
    out[:3, :3] = u @ vt
    out[3] = (0, 0, 0, 1)
    return out


def look_at(eye: np.ndarray, target: np.ndarray, up: tuple[float, float, float] = (0, 1, 0)) -> np.ndarray:
    """[4, 4] float64 view_to_world of a camera at `eye` looking at `target`."""
    eye = np.asarray(eye, dtype=np.float64)
    back = eye - np.asarray(target, dtype=np.float64)
    back /= np.linalg.norm(back)
    right = np.cross(np.asarray(up, dtype=np.float64), back)
    if np.linalg.norm(right) < 1e-8:  # looking along `up`: any right vector will do
        right = np.cross((0.0, 0.0, 1.0) if abs(back[2]) < 0.9 else (1.0, 0.0, 0.0), back)
    right /= np.linalg.norm(right)
    out = np.eye(4)
    out[:3, 0], out[:3, 1], out[:3, 2], out[:3, 3] = right, np.cross(back, right), back, eye
    return out


def framing_camera(
    bounds: tuple[np.ndarray, np.ndarray],
    width: int,
    height: int,
    azimuth: float = 30.0,
    elevation: float = 20.0,
    distance: float | None = None,
    fov: float = 40.0,
) -> Camera:
    """A camera that looks at the middle of a box.

    Args:
        bounds: (low, high) of the box, each [3].
        azimuth, elevation: degrees; azimuth 0 looks from +Z, 90 from +X.
        distance: in radii of the box's sphere; None fits the box into the picture.
        fov: vertical field of view, degrees.
    """
    low, high = (np.asarray(b, np.float64) for b in bounds)
    center, radius = (low + high) / 2, max(float(np.linalg.norm(high - low)) / 2, 1e-6)
    slope = np.tan(np.radians(fov) / 2)
    a, e = np.radians((azimuth, elevation))
    offset = np.array([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)])
    if distance is None:
        corners = np.array(np.meshgrid(*zip(low, high))).reshape(3, 8).T - center
        x, y, z = (corners @ look_at(offset, np.zeros(3))[:3, :3]).T
        needed = z + np.maximum(np.abs(x) * height / width, np.abs(y)) / slope
        far_away = max(1.05 * float(needed.max()), 1.1 * radius)  # five per cent of air
    else:
        far_away = distance * radius
    focal = 0.5 * height / slope
    return Camera(
        width,
        height,
        focal,
        focal,
        width / 2,
        height / 2,
        look_at(center + far_away * offset, center),
        near=max(far_away - 2 * radius, 0.01 * radius),
        far=far_away + 2 * radius,
    )
