"""A small volume and a small cloud of Gaussians."""

from __future__ import annotations

import numpy as np

from studio.core.scene import Points, Volume


def ball(points: int = 25) -> Volume:
    """A red ball of radius 0.35."""
    axis = np.linspace(-0.5, 0.5, points)
    place = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    inside = 0.35 - np.linalg.norm(place, axis=-1)
    density = np.clip(5 + 100 * inside, -10, 15).astype(np.float32)
    colors = np.broadcast_to(np.array([3.0, -3.0, -3.0], np.float32), (*density.shape, 1, 3))
    return Volume(density, np.ascontiguousarray(colors), np.full(3, -0.5), axis[1] - axis[0])


def dots(count: int = 500) -> Points:
    random = np.random.default_rng(0)
    centers = random.normal(size=(count, 3))
    centers *= 0.4 / np.linalg.norm(centers, axis=1, keepdims=True)
    return Points(
        centers.astype(np.float32),
        np.full((count, 3), -3.0, np.float32),
        np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
        np.full(count, 3.0, np.float32),
        np.tile(np.array([-1.7, 1.7, -1.7], np.float32), (count, 1, 1)),
    )
