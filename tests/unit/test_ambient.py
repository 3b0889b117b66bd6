"""Ambient visibility against what can be told in advance."""

from __future__ import annotations

import numpy as np
import torch

from studio.core.ops.ambient import ambient_visibility
from studio.core.scene.mesh import merge
from studio.core.scene.shapes import icosphere


def visibility(vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray) -> np.ndarray:
    tensors = (torch.from_numpy(np.ascontiguousarray(a)) for a in (vertices, faces, normals))
    return ambient_visibility(*tensors)[:, 0].numpy()


def test_a_ball_sees_everything() -> None:
    ball = icosphere(3)
    assert visibility(ball.vertices, ball.faces, ball.vertex_normals()).min() > 0.97


def test_the_inside_sees_nothing() -> None:
    ball = icosphere(3)
    assert visibility(ball.vertices, ball.faces, -ball.vertex_normals()).max() == 0


def test_a_ball_above_a_point_hides_its_disc() -> None:
    """A sphere of radius r at height h takes the share (r / h)^2 of the cosine around the vertical."""
    ball = icosphere(4, 0.5)
    floor = icosphere(0, 0.01)
    floor.vertices = floor.vertices + np.float32((0, -1, 0))
    both = merge([ball, floor])
    normals = np.zeros_like(both.vertices)
    normals[:, 1] = 1
    top = len(ball.vertices) + int(floor.vertices[:, 1].argmax())
    share = visibility(both.vertices, both.faces, normals)[top]
    height = -floor.vertices[:, 1].max()
    assert abs(share - (1 - (0.5 / height) ** 2)) < 0.02
