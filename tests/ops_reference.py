"""Slow, plain answers to what the primitives compute, in float64; and small meshes to try."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def pixel_centres(height: int, width: int) -> np.ndarray:
    """[H, W, 2] in normalised device coordinates."""
    x = (np.arange(width) + 0.5) / width * 2 - 1
    y = (np.arange(height) + 0.5) / height * 2 - 1
    return np.stack(np.meshgrid(x, y), axis=-1)


def clip_polygon(corners: np.ndarray, least_w: float = 1e-7) -> np.ndarray:
    """[K, 4] what of a triangle in clip space lies in front of the camera plane."""
    out = []
    for i in range(3):
        a, b = corners[i], corners[(i + 1) % 3]
        if a[3] >= least_w:
            out.append(a)
        if (a[3] >= least_w) != (b[3] >= least_w):
            t = (a[3] - least_w) / (a[3] - b[3])
            out.append(a + t * (b - a))
    return np.array(out).reshape(-1, 4)


def signed_distance(polygon: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Distance of points to the border of a convex polygon, positive inside."""
    flat = polygon[:, :2] / polygon[:, 3:]
    area = sum(np.linalg.det(np.stack([flat[i], flat[(i + 1) % len(flat)]])) for i in range(len(flat)))
    if area < 0:
        flat = flat[::-1]
    distance = np.full(points.shape[:-1], np.inf)
    for i in range(len(flat)):
        a, b = flat[i], flat[(i + 1) % len(flat)]
        along = b - a
        length = np.hypot(*along)
        if length > 0:
            cross = along[0] * (points[..., 1] - a[1]) - along[1] * (points[..., 0] - a[0])
            distance = np.minimum(distance, cross / length)
    return distance if abs(area) > 0 else np.full_like(distance, -np.inf)


def barycentrics(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[..., 3] perspective-correct barycentrics of pixels in the plane of a triangle."""
    homogeneous = np.concatenate([points, np.ones((*points.shape[:-1], 1))], axis=-1)
    b = homogeneous @ np.linalg.inv(corners[:, [0, 1, 3]])
    return b / b.sum(-1, keepdims=True)


def grid_mesh(columns: int, rows: int, jitter: float, seed: int) -> tuple[Tensor, Tensor]:
    """A jittered sheet over the whole image: [1, V, 4] clip positions and its triangles.

    Every pixel belongs to exactly one triangle as long as no triangle turns over, for which
    jitter < 0.25 cells is enough: (1 - 2 j)^2 > (2 j)^2. The border lies outside the image.
    """
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(-1.2, 1.2, columns + 1), np.linspace(-1.2, 1.2, rows + 1))
    cell = np.array([2.4 / columns, 2.4 / rows])
    points = np.stack([x, y], -1).reshape(-1, 2)
    inner = np.abs(points).max(axis=1, keepdims=True) < 1.1
    points += rng.uniform(-jitter, jitter, points.shape) * cell * inner
    w = rng.uniform(0.8, 1.5, (len(points), 1))
    pos = np.concatenate([points * w, 0.2 * w, w], axis=1)
    corner = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).ravel()
    step = columns + 1
    one = np.stack([corner, corner + 1, corner + step + 1], axis=1)
    two = np.stack([corner, corner + step + 1, corner + step], axis=1)
    tri = np.concatenate([one, two])
    rng.shuffle(tri)
    return torch.tensor(pos[None], dtype=torch.float32), torch.tensor(tri, dtype=torch.int32)


def sphere(subdivisions: int = 2) -> tuple[Tensor, Tensor]:
    """[V, 3] float32 and [T, 3] int32."""
    import trimesh

    mesh = trimesh.creation.icosphere(subdivisions)
    return torch.tensor(mesh.vertices, dtype=torch.float32), torch.tensor(mesh.faces, dtype=torch.int32)


def perspective(vertices: Tensor, shifts: list[tuple[float, float]]) -> Tensor:
    """[N, V, 4] clip positions of a mesh near the origin, moved differently in each image."""
    images = []
    for x, y in shifts:
        depth = 3.0 - vertices[:, 2]
        z = (depth * 10.5 - 10.0) / 9.5
        images.append(torch.stack([2 * (vertices[:, 0] + x), 2 * (vertices[:, 1] + y), z, depth], dim=-1))
    return torch.stack(images)
