"""The camera under the user's hands: orbit, pan, zoom, fly, frame, look through a photo.

Pure numbers, no GL. Screen positions are (x, y) in [-1, 1], y up, (0, 0) the middle of the
view; movements of the mouse are in pixels, y down, as windows report them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from studio.core.errors import InputError
from studio.core.scene import Camera
from studio.core.scene.camera import BEFORE, BEHIND, orthographic

ORBIT_RATE = math.radians(0.4)
"""Radians per pixel: half a turn is about half the width of a viewport."""

ZOOM_STEP = 0.88
"""Distance left after one notch of the wheel."""

FRAME_MARGIN = 1.2
"""Free space around a framed box, as a factor on its width and height."""

TRANSITION_SECONDS = 0.28
"""Long enough to see where the camera goes, short enough not to wait for it."""

MAX_ELEVATION = math.radians(89.9)
"""Dragging stops short of the pole, where left and right would swap."""

VIEWS = {
    "front": (0.0, 0.0),
    "back": (180.0, 0.0),
    "right": (90.0, 0.0),
    "left": (-90.0, 0.0),
    "top": (0.0, 90.0),
    "bottom": (0.0, -90.0),
}
"""Azimuth and elevation in degrees of the named views."""


@dataclass(frozen=True, eq=False)
class _Pose:
    """Where the camera is: around a pivot, or exactly that of a photo (`lens`)."""

    azimuth: float
    elevation: float
    pivot: np.ndarray
    distance: float
    lens: Camera | None = None

    @property
    def rotation(self) -> np.ndarray:
        if self.lens is not None:
            return np.asarray(self.lens.view_to_world[:3, :3])
        ca, sa = math.cos(self.azimuth), math.sin(self.azimuth)
        ce, se = math.cos(self.elevation), math.sin(self.elevation)
        return np.array([[ca, -sa * se, sa * ce], [0.0, ce, se], [-sa, -ca * se, ca * ce]])

    @property
    def eye(self) -> np.ndarray:
        if self.lens is not None:
            return np.asarray(self.lens.position)
        return np.asarray(self.pivot + self.rotation[:, 2] * self.distance)


def fit_camera(photo: Camera, width: int, height: int) -> Camera:
    """The photo's camera with its whole image fitted, centred, into another picture size.

    Focal lengths and principal point scale together, so the photo lies in the picture
    undistorted, with free bars at two sides where the aspect differs.
    """
    zoom = min(width / photo.width, height / photo.height)
    return replace(
        photo,
        width=width,
        height=height,
        fx=photo.fx * zoom,
        fy=photo.fy * zoom,
        cx=photo.cx * zoom + (width - photo.width * zoom) / 2,
        cy=photo.cy * zoom + (height - photo.height * zoom) / 2,
    )


class OrbitCamera:
    """A camera that turns around a pivot with +Y up.

    Attributes:
        fov_y: vertical field of view, radians; of the free camera, photos bring their own.
        fly_speed: scene radii per second.
        orthographic: the free camera sees without perspective.
    """

    def __init__(self, azimuth: float = 30.0, elevation: float = 20.0, fov_y: float = 40.0):
        self.fov_y = math.radians(fov_y)
        self.fly_speed = 1.5
        self.orthographic = False
        self._radius = 1.0
        self._center = np.zeros(3)
        self._pose = _Pose(math.radians(azimuth), math.radians(elevation), np.zeros(3), 3.0)
        self._from: _Pose | None = None
        self._progress = 1.0

    # State

    @property
    def moving(self) -> bool:
        """A transition is under way: call `update` each frame."""
        return self._from is not None

    @property
    def photo(self) -> Camera | None:
        """The photo camera looked through, or None."""
        return self._pose.lens

    @property
    def pivot(self) -> np.ndarray:
        return self._pose.pivot

    @property
    def distance(self) -> float:
        return self._pose.distance

    def update(self, seconds: float) -> bool:
        """Advance a transition by the time of a frame; True while the picture changes by it."""
        if self._from is None:
            return False
        self._progress += seconds / TRANSITION_SECONDS
        if self._progress >= 1.0:
            self._from = None
        return True

    def _go(self, pose: _Pose, smooth: bool) -> None:
        self._from = self._shown_pose() if smooth else None
        self._progress = 0.0
        self._pose = pose

    def _shown_pose(self) -> _Pose:
        """Where the view is now; in the middle of a transition, a free pose near to it."""
        start, goal = self._from, self._pose
        if start is None:
            return goal
        t = _ease(self._progress)
        back = (1 - t) * start.rotation[:, 2] + t * goal.rotation[:, 2]
        azimuth, elevation = _angles(back)
        pivot = (1 - t) * start.pivot + t * goal.pivot
        return _Pose(azimuth, elevation, pivot, start.distance ** (1 - t) * goal.distance**t)

    def _free(self) -> _Pose:
        """The pose as a free camera; leaving a photo straightens its roll, smoothly."""
        pose = self._pose
        if pose.lens is None:
            return pose
        azimuth, elevation = _angles(pose.rotation[:, 2])
        self._go(replace(pose, azimuth=azimuth, elevation=elevation, lens=None), smooth=True)
        return self._pose

    # Hands

    def orbit(self, dx: float, dy: float) -> None:
        """Turn around the pivot; the object follows the mouse."""
        pose = self._free()
        elevation = float(np.clip(pose.elevation + dy * ORBIT_RATE, -MAX_ELEVATION, MAX_ELEVATION))
        self._pose = replace(pose, azimuth=pose.azimuth - dx * ORBIT_RATE, elevation=elevation)

    def turn(self, right: float, up: float, smooth: bool = True) -> None:
        """Go round the pivot by degrees, to the right and upwards."""
        pose = self._free()
        elevation = float(np.clip(pose.elevation + math.radians(up), -MAX_ELEVATION, MAX_ELEVATION))
        self._go(replace(pose, azimuth=pose.azimuth + math.radians(right), elevation=elevation), smooth)

    def pan(self, dx: float, dy: float, height: int) -> None:
        """Shift the pivot in the picture plane, so that it follows the mouse."""
        pose = self._free()
        per_pixel = 2 * math.tan(self.fov_y / 2) * pose.distance / max(height, 1)
        rotation = pose.rotation
        shift = per_pixel * (dy * rotation[:, 1] - dx * rotation[:, 0])
        self._pose = replace(pose, pivot=pose.pivot + shift)

    def zoom(self, notches: float, cursor: tuple[float, float] = (0.0, 0.0), aspect: float = 1.0) -> None:
        """Move nearer (positive) so that what is under the cursor, at pivot depth, stays there."""
        pose = self._free()
        factor = ZOOM_STEP ** float(np.clip(notches, -200, 200))  # beyond, the power overflows
        nearest, farthest = 1e-3 * self._radius, 1e3 * self._radius
        factor = float(np.clip(pose.distance * factor, nearest, farthest)) / pose.distance
        half = math.tan(self.fov_y / 2) * pose.distance
        under = pose.rotation[:, :2] @ (np.array([cursor[0] * aspect, cursor[1]]) * half)
        self._pose = replace(pose, pivot=pose.pivot + (1 - factor) * under, distance=pose.distance * factor)

    def look(self, dx: float, dy: float) -> None:
        """Turn the head: the eye stays, the pivot swings around it (right mouse button)."""
        pose = self._free()
        eye = pose.eye
        elevation = float(np.clip(pose.elevation + dy * ORBIT_RATE, -MAX_ELEVATION, MAX_ELEVATION))
        turned = replace(pose, azimuth=pose.azimuth - dx * ORBIT_RATE, elevation=elevation)
        self._pose = replace(turned, pivot=eye - turned.rotation[:, 2] * turned.distance)

    def fly(self, right: float, up: float, forward: float, seconds: float) -> None:
        """Move with the keys; each direction in [-1, 1], scaled by `fly_speed`."""
        pose = self._free()
        rotation = pose.rotation
        step = self.fly_speed * self._radius * seconds
        shift = step * (right * rotation[:, 0] + up * np.array([0.0, 1.0, 0.0]) - forward * rotation[:, 2])
        self._pose = replace(pose, pivot=pose.pivot + shift)

    def focus(self, point: np.ndarray, smooth: bool = True) -> None:
        """Make a point of the scene the pivot, in the middle of the view."""
        pose = self._free()
        self._go(replace(pose, pivot=np.asarray(point, np.float64)), smooth)

    # Places to go

    def set_bounds(self, low: np.ndarray, high: np.ndarray) -> None:
        """Tell the size of the scene: clip planes and speeds follow it; the view stays."""
        self._radius = max(float(np.linalg.norm(np.asarray(high) - low)) / 2, 1e-6)
        self._center = (np.asarray(low, np.float64) + high) / 2

    def frame(self, low: np.ndarray, high: np.ndarray, aspect: float = 1.0, smooth: bool = True) -> None:
        """Show a whole box from the present direction."""
        pose = self._free()
        low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
        corners = np.abs(signs * FRAME_MARGIN * (high - low) / 2 @ pose.rotation * (1, 1, 0))
        corners[:, 2] = signs * (high - low) / 2 @ pose.rotation[:, 2]
        # A corner at (x, y) and `back` before the pivot is in view from x / tan + back on.
        tangent = math.tan(self.fov_y / 2)
        across = np.maximum(corners[:, 0] / (tangent * aspect), corners[:, 1] / tangent)
        nearer = 0.0 if self.orthographic else corners[:, 2]
        distance = max(float((across + nearer).max()), 1e-6)
        self._go(replace(pose, pivot=(low + high) / 2, distance=distance), smooth)

    def set_view(self, name: str, smooth: bool = True) -> None:
        """Turn to a named view: front, back, right, left, top or bottom."""
        if name not in VIEWS:
            raise InputError(f"view {name!r}: expected one of {', '.join(VIEWS)}")
        azimuth, elevation = (math.radians(v) for v in VIEWS[name])
        pose = self._free()
        turns = round((pose.azimuth - azimuth) / (2 * math.pi))  # the short way round
        self._go(replace(pose, azimuth=azimuth + 2 * math.pi * turns, elevation=elevation), smooth)

    def place(self, azimuth: float, elevation: float, pivot: np.ndarray, distance: float) -> None:
        """Take up a free view at once, as `placement` gives it."""
        limited = float(np.clip(elevation, -math.pi / 2, math.pi / 2))
        self._go(_Pose(azimuth, limited, np.asarray(pivot, np.float64), max(distance, 1e-6)), smooth=False)

    def placement(self) -> tuple[float, float, np.ndarray, float]:
        """(azimuth, elevation, pivot, distance) of the view, in radians and world units."""
        pose = self._pose
        azimuth, elevation = _angles(pose.rotation[:, 2])
        return azimuth, elevation, pose.pivot, pose.distance

    def look_through(self, photo: Camera, smooth: bool = True) -> None:
        """See exactly what a photo's camera saw; any other movement leaves it again."""
        axis = photo.view_to_world[:3, 2]
        depth = float((photo.position - self._center) @ axis)
        depth = max(depth, 0.1 * self._radius)
        pivot = photo.position - axis * depth
        self._go(replace(self._pose, pivot=pivot, distance=depth, lens=photo), smooth)

    # Result

    def camera(self, width: int, height: int) -> Camera:
        """The camera for a view of that many pixels."""
        target = self._camera_of(self._pose, width, height)
        if self._from is None:
            return target
        return self._blend(self._from, target, width, height)

    def _camera_of(self, pose: _Pose, width: int, height: int) -> Camera:
        if pose.lens is not None:
            near, far = self._clip_planes(pose.eye)
            return replace(fit_camera(pose.lens, width, height), near=near, far=far)
        view_to_world = np.eye(4)
        view_to_world[:3, :3], view_to_world[:3, 3] = pose.rotation, pose.eye
        return self._free_camera(view_to_world, pose.distance, width, height)

    def _free_camera(self, view_to_world: np.ndarray, distance: float, width: int, height: int) -> Camera:
        """The camera of its own lens at a place, `distance` from the pivot."""
        focal = height / 2 / math.tan(self.fov_y / 2)
        near, far = self._clip_planes(view_to_world[:3, 3])
        camera = Camera(width, height, focal, focal, width / 2, height / 2, view_to_world, near, far)
        if not self.orthographic:
            return camera
        away = orthographic(camera, distance, self._radius)
        middle = float(np.linalg.norm(away.position - self._center))
        return replace(away, near=middle - BEFORE * self._radius, far=middle + BEHIND * self._radius)

    def _clip_planes(self, eye: np.ndarray) -> tuple[float, float]:
        """Planes that hold the scene; 1:10,000 is what 24 bits of depth carry without fighting."""
        reach = float(np.linalg.norm(eye - self._center)) + 2 * self._radius
        return max(reach - 6 * self._radius, 1e-4 * reach, 1e-3 * self._radius), reach

    def _blend(self, start: _Pose, target: Camera, width: int, height: int) -> Camera:
        t = _ease(self._progress)
        source = self._camera_of(start, width, height)
        goal = self._pose
        rotation = slerp(start.rotation, goal.rotation, t)
        pivot = (1 - t) * start.pivot + t * goal.pivot
        distance = start.distance ** (1 - t) * goal.distance**t
        view_to_world = np.eye(4)
        view_to_world[:3, :3], view_to_world[:3, 3] = rotation, pivot + rotation[:, 2] * distance
        if start.lens is None and goal.lens is None:
            return self._free_camera(view_to_world, distance, width, height)
        mixed = {
            name: (1 - t) * getattr(source, name) + t * getattr(target, name)
            for name in ("fx", "fy", "cx", "cy")
        }
        near, far = self._clip_planes(view_to_world[:3, 3])
        return replace(target, view_to_world=view_to_world, near=near, far=far, name="", **mixed)


def _ease(progress: float) -> float:
    """Smoothstep: a movement that starts and ends at rest."""
    return progress * progress * (3 - 2 * progress)


def _angles(back: np.ndarray) -> tuple[float, float]:
    """Azimuth and elevation of the direction from the pivot to the eye; any length but 0."""
    return math.atan2(back[0], back[2]), math.atan2(back[1], math.hypot(back[0], back[2]))


def slerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """[3, 3] rotation at share t of the way from a to b, at constant speed about one axis."""
    between = a.T @ b
    angle = math.acos(float(np.clip((np.trace(between) - 1) / 2, -1, 1)))
    if angle < 1e-6:  # the arccosine near 1 knows no smaller ones: the axis would be rounding noise
        return b
    if angle > math.pi - 1e-4:  # half a turn: the axis is the eigenvector of eigenvalue 1
        values, vectors = np.linalg.eig(between)
        axis = np.real(vectors[:, np.argmin(np.abs(values - 1))])
    else:
        skew = between - between.T
        axis = np.array([skew[2, 1], skew[0, 2], skew[1, 0]]) / (2 * math.sin(angle))
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.eye(3) + math.sin(t * angle) * cross + (1 - math.cos(t * angle)) * cross @ cross
    return np.asarray(a @ turn)


@dataclass(frozen=True)
class GizmoAxis:
    """One arm of the axes gizmo.

    Attributes:
        name: x, y or z. positive: the labelled end, or the hollow one opposite.
        x, y: place on a unit disc, y up. depth: towards the viewer is larger; draw in this order.
        view: name for `OrbitCamera.set_view` when it is clicked.
    """

    name: str
    positive: bool
    x: float
    y: float
    depth: float
    view: str


def gizmo_axes(camera: Camera) -> list[GizmoAxis]:
    """The six ends of the axes as seen by a camera, farthest first."""
    rotation = camera.world_to_view[:3, :3]
    views = {("x", 1): "right", ("x", -1): "left", ("y", 1): "top", ("y", -1): "bottom"}
    views |= {("z", 1): "front", ("z", -1): "back"}
    out = []
    for column, name in enumerate("xyz"):
        for sign in (1, -1):
            x, y, z = sign * rotation[:, column]
            out.append(GizmoAxis(name, sign > 0, float(x), float(y), float(z), views[name, sign]))
    return sorted(out, key=lambda axis: axis.depth)
