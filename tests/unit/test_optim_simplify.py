"""Fewer triangles by quadric errors."""

from __future__ import annotations

import numpy as np

from studio.core.optim.distance import is_closed
from studio.core.optim.simplify import simplified, without_folds
from studio.core.scene import Mesh
from studio.core.scene.shapes import icosphere, torus


def test_few_triangles_keep_shape_and_attributes() -> None:
    ball = icosphere(4)
    ball.colors = (0.5 + 0.5 * ball.vertices).astype(np.float32)
    ball.roughness = np.abs(ball.vertices[:, :1])
    assert simplified(ball, 10_000) is ball
    few = simplified(ball, 600)
    assert 550 < len(few.faces) <= 600
    assert is_closed(few)
    assert np.abs(np.linalg.norm(few.vertices, axis=1) - 1).max() < 0.03
    np.testing.assert_allclose(few.colors, 0.5 + 0.5 * few.vertices, atol=0.03)
    np.testing.assert_allclose(few.roughness, np.abs(few.vertices[:, :1]), atol=0.03)


def test_flat_places_have_the_large_triangles() -> None:
    """Where a plate lies there is nothing to spend triangles on, unlike on its round rim."""
    ring = torus()
    flat = ring.vertices.copy()
    flat[:, 1] = np.clip(flat[:, 1], -0.02, 0.02)
    few = simplified(ring.with_vertices(flat), len(ring.faces) // 4)
    corners = few.vertices[few.faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1)
    level = np.abs(normal[:, 1]) > 0.99 * area
    assert np.median(area[level]) > 2 * np.median(area[~level])


def test_folds_are_taken_out() -> None:
    ball = icosphere(1)
    extra = ball.vertices[:3] * 2
    count = len(ball.vertices)
    fold = [(count, count + 1, count + 2), (count + 1, count, count + 2), (0, 0, 1)]
    faces = np.concatenate([ball.faces, fold, ball.faces[:1]])  # one of them twice, too, as a fold is
    vertices, left = without_folds(np.concatenate([ball.vertices, extra]), faces)
    assert len(left) == len(ball.faces) - 1
    assert len(vertices) == count
    once = np.concatenate([ball.faces, ball.faces[:1], ball.faces[:1]])
    assert len(without_folds(ball.vertices, once)[1]) == len(ball.faces)
    Mesh(vertices, left).check("left")
