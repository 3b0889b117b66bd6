"""Synthetic photos for the optimizer's tests: a coloured ball and a box, seen from all around."""

from __future__ import annotations

import numpy as np

from studio.core.pipeline import render_image
from studio.core.scene import Camera, Mesh, Photo, PhotoSet, Scene, Similarity, look_at
from studio.core.scene.shapes import cube, icosphere


def ring(count: int, size: int, distance: float = 3.0) -> list[Camera]:
    """Cameras spread evenly over a sphere (Fibonacci spiral), looking at the origin."""
    cameras = []
    for i in range(count):
        height = 1 - (2 * i + 1) / count
        angle = i * np.pi * (3 - np.sqrt(5))
        level = np.sqrt(1 - height * height)
        eye = distance * np.array([level * np.cos(angle), height, level * np.sin(angle)])
        focal = 1.5 * size  # a ball of radius 0.7 fills most of the picture
        pose = look_at(eye, np.zeros(3))
        cameras.append(
            Camera(size, size, focal, focal, size / 2, size / 2, pose, near=1, far=6, name=f"v{i:02d}")
        )
    return cameras


def coloured_ball(radius: float = 0.6) -> Mesh:
    ball = icosphere(3, radius)
    ball.colors = (0.15 + 0.6 * (0.5 + 0.5 * np.sin(4 * ball.vertices))).astype(np.float32)
    return ball


def box() -> Mesh:
    return cube(0.8)


def photograph(
    mesh: Mesh, count: int = 12, size: int = 48, masks: bool = True, cameras: list[Camera] | None = None
) -> PhotoSet:
    """Unlit photos of a mesh, from all around or by the cameras given."""
    photos = []
    for camera in cameras or ring(count, size):
        rgba = render_image(Scene(meshes=[mesh]), camera, effects={})
        alpha = rgba[..., 3]
        color = rgba[..., :3] / np.maximum(alpha, 1e-3)[..., None]
        photos.append(Photo(camera.name, color.astype(np.float32), camera, alpha.copy() if masks else None))
    return PhotoSet(photos, Similarity(), object_radius=float(np.linalg.norm(mesh.vertices, axis=1).max()))
