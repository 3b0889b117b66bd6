"""The normalised world of a photo set: where the object is, how large, which way is up."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from studio.core.io.frames import FrameSet
from studio.core.scene.camera import Camera
from studio.core.scene.photo import Photo
from studio.core.scene.similarity import Similarity

CAMERA_DISTANCE = 3.0
"""Mean distance of the cameras from the object after normalisation."""

_RING_CAMERAS = 6
_FLAT = 0.03
"""Spread of a ring's cameras off its plane, of that within; held in the hand it is 0.1."""

_PARALLEL = 1e-3
"""Least eigenvalue of the axes' scatter below which they count as parallel: a spread of 2 degrees."""


def up_rotation(frames: FrameSet) -> tuple[np.ndarray, str | None]:
    """([3, 3] rotation that turns the file's up axis to +Y, a note or None).

    Photos are mostly taken upright: where the cameras agree among each other on an up that is
    more than 60 degrees off the format's, the cameras win. Their mean is snapped to the file's
    nearest axis if that is within 30 degrees. Cameras on one ring stand around a turntable, whose
    axis is up if it is within 45 degrees of what the above says.
    """
    up = np.asarray(frames.up, np.float64)
    mean = np.mean([frame.pose[:3, 1] for frame in frames.frames], axis=0)
    length = float(np.linalg.norm(mean))
    note = None
    # Below 0.5 the cameras were rolled: their ups cancel and say nothing.
    if length > 0.5 and mean @ up / length < math.cos(math.radians(60)):
        mean /= length
        axis = int(np.abs(mean).argmax())
        snapped = np.zeros(3)
        snapped[axis] = np.sign(mean[axis])
        up = snapped if mean @ snapped > math.cos(math.radians(30)) else mean
        note = f"the cameras stand upright along ({_listed(up)}) of the file, taken as up"
    axis_of_ring = _ring_axis(frames)
    if axis_of_ring is not None:
        axis_of_ring *= np.sign(axis_of_ring @ up)
        if math.cos(math.radians(45)) < axis_of_ring @ up < math.cos(math.radians(5)):
            up = axis_of_ring
            note = f"the cameras stand in a ring around ({_listed(up)}) of the file, taken as up"
    return rotation_between(up, np.array([0.0, 1.0, 0.0])), note


def _listed(vector: np.ndarray) -> str:
    return ", ".join(f"{v:.2g}" for v in vector)


def _ring_axis(frames: FrameSet) -> np.ndarray | None:
    """[3] the axis of the circle that the cameras stand on, up or down; None if they do not."""
    origins = np.stack([frame.pose[:3, 3] for frame in frames.frames])
    if len(origins) < _RING_CAMERAS:
        return None
    _, spread, axes = np.linalg.svd(origins - origins.mean(axis=0), full_matrices=False)
    around = spread[1] > 0.5 * spread[0]  # at least about half of the way round
    return axes[2] if around and spread[2] < _FLAT * spread[1] else None


def rotation_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[3, 3] the shortest rotation that takes unit vector `a` to `b`."""
    axis, cosine = np.cross(a, b), float(a @ b)
    if cosine < -1 + 1e-12:  # opposite: half a turn about anything perpendicular
        side = np.eye(3)[int(np.abs(a).argmin())]
        axis = np.cross(a, side)
        axis /= np.linalg.norm(axis)
        return 2 * np.outer(axis, axis) - np.eye(3)
    x = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + x + x @ x / (1 + cosine)


def nearest_point(origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, float]:
    """([3] the point with least squared distance to all lines, least eigenvalue of the system).

    Args:
        origins: [N, 3].
        directions: [N, 3] unit.
    """
    across = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    system = across.mean(axis=0)
    right = (across @ origins[:, :, None]).mean(axis=0)[:, 0]
    values = np.linalg.eigvalsh(system)
    # The pseudo-inverse leaves the undetermined direction at the cameras' centroid.
    centroid = origins.mean(axis=0)
    inverse = np.linalg.pinv(system, rcond=_PARALLEL, hermitian=True)
    return centroid + inverse @ (right - system @ centroid), float(values[0])


def normalisation(frames: FrameSet) -> tuple[Similarity, list[str]]:
    """(file coordinates to the studio's world, notes).

    The centre is the point nearest all optical axes, the scale makes the mean camera distance
    3. Axes that are parallel, or meet behind the cameras, leave the depth open: then it comes
    from the file's depth range, else from the spread of the cameras.
    """
    poses = np.stack([frame.pose for frame in frames.frames])
    origins, forward = poses[:, :3, 3], -poses[:, :3, 2]
    center, conditioning = nearest_point(origins, forward)
    notes = []
    in_front = ((center - origins) * forward).sum(axis=1) > 0
    if conditioning < _PARALLEL or in_front.mean() < 0.5:
        center = _guessed_center(frames, origins, forward)
        notes.append("the optical axes do not meet at an object; its distance is a guess")
    distance = float(np.linalg.norm(origins - center, axis=1).mean())
    scale = CAMERA_DISTANCE / distance if distance > 0 else 1.0
    rotation, note = up_rotation(frames)
    if note:
        notes.append(note)
    return Similarity(scale, rotation, -scale * rotation @ center), notes


def _guessed_center(frames: FrameSet, origins: np.ndarray, forward: np.ndarray) -> np.ndarray:
    centroid = origins.mean(axis=0)
    ahead = forward.mean(axis=0)
    length = float(np.linalg.norm(ahead))
    if length < 0.1:  # looking outwards all round: the middle is all there is
        return centroid
    spread = float(np.linalg.norm(origins - centroid, axis=1).mean())
    if frames.depth_range:
        depth = sum(frames.depth_range) / 2
    else:
        depth = 2 * spread or 1.0
    return centroid + ahead / length * depth


def pixel_rays(camera: Camera, x: np.ndarray, y_from_bottom: np.ndarray) -> np.ndarray:
    """[N, 3] unit world directions through pixel positions counted from the bottom left."""
    view = np.stack(
        [
            (x - camera.cx) / camera.fx,
            (y_from_bottom - (camera.height - camera.cy)) / camera.fy,
            np.full(len(x), -1.0),
        ],
        axis=1,
    )
    rays = view @ camera.view_to_world[:3, :3].T
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def object_sphere(photos: list[Photo]) -> tuple[np.ndarray, float]:
    """([3] centre, radius) of a sphere around the object, from the masks' extents.

    The centre is nearest the rays through the middles of the masks, the radius reaches the
    outermost mask pixel of any view. Without masks: the largest sphere at the origin that all
    photos show.
    """
    extents = [
        (p.camera, box) for p in photos if p.mask is not None and (box := _outline(p.mask)) is not None
    ]
    if not extents:
        return np.zeros(3), min(_visible_radius(p.camera) for p in photos)
    origins = np.stack([camera.position for camera, _ in extents])
    middles = [pixel_rays(c, *np.array([[(b[0] + b[1]) / 2], [(b[2] + b[3]) / 2]]))[0] for c, b in extents]
    center, conditioning = nearest_point(origins, np.stack(middles))
    if conditioning < _PARALLEL:
        center = np.zeros(3)
    radius = 0.0
    for camera, (left, right, bottom, top, x, y) in extents:
        del left, right, bottom, top
        rays = pixel_rays(camera, x, y)
        miss = np.linalg.norm(np.cross(rays, center - camera.position), axis=1)
        radius = max(radius, float(miss.max()))
    return center, radius


Outline = tuple[float, float, float, float, np.ndarray, np.ndarray]


def _outline(mask: np.ndarray) -> Outline | None:
    """Box of the mask and its outermost pixels per row (x, y from the bottom left), or None."""
    inside = mask > 0.5
    rows = np.flatnonzero(inside.any(axis=1))
    if len(rows) == 0:
        return None
    first = inside[rows].argmax(axis=1)
    last = inside.shape[1] - inside[rows, ::-1].argmax(axis=1)
    x = np.concatenate([first, last]).astype(np.float64)
    y = np.concatenate([rows, rows]).astype(np.float64) + 0.5
    return float(first.min()), float(last.max()), float(rows[0]), float(rows[-1] + 1), x, y


def _visible_radius(camera: Camera) -> float:
    distance = float(np.linalg.norm(camera.position))
    half = min(camera.cx / camera.fx, camera.cy / camera.fy)
    half = min(half, (camera.width - camera.cx) / camera.fx, (camera.height - camera.cy) / camera.fy)
    return max(0.05, distance * math.sin(math.atan(max(half, 0.0))))


def with_clip_range(camera: Camera, center: np.ndarray, radius: float) -> Camera:
    """The camera with near and far around the object, generous by half its distance and radius."""
    distance = float(np.linalg.norm(camera.position - center))
    near = max(0.5 * (distance - radius), 0.01 * distance, 1e-3)
    return replace(camera, near=near, far=max(distance + 4 * radius, 2 * near))
