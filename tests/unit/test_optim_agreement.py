"""Shapes are told apart by photos alone."""

from __future__ import annotations

import numpy as np
import pytest

from studio.core.optim.agreement import agreement
from studio.core.optim.remesh import remesh
from studio.core.optim.targets import Targets
from studio.core.scene import Mesh
from studio.core.scene.shapes import icosphere
from tests.unit.optim_scenes import coloured_ball, photograph


@pytest.fixture(scope="module")
def photos():
    return photograph(coloured_ball(0.5), count=16, size=64).photos


def test_the_true_shape_agrees_best(photos):
    targets = Targets.build(photos, 64)
    scores = {radius: agreement(icosphere(3, radius), targets) for radius in (0.44, 0.5, 0.56)}
    assert scores[0.5] > 28
    assert scores[0.5] > max(scores[0.44], scores[0.56]) + 6


def test_a_wrong_inside_of_the_outline_costs(photos):
    """A dent that hardly a silhouette shows: the photos still tell it from the ball."""
    ball = icosphere(4, 0.5)
    dented = ball.vertices.copy()
    near = np.exp(-((np.linalg.norm(dented - np.array((0, 0.5, 0)), axis=1) / 0.15) ** 2))
    dented[:, 1] -= (0.15 * near).astype(np.float32)
    vertices, faces = remesh(dented, ball.faces, 0.05)
    even, other = remesh(ball.vertices, ball.faces, 0.05)
    targets = Targets.build(photos, 64)
    assert agreement(Mesh(even, other), targets) > agreement(Mesh(vertices, faces), targets) + 1


def test_what_photos_ignore_does_not_count(photos):
    ignoring = [type(p)(p.name, p.image.copy(), p.camera, p.mask, p.image[..., 0] < 2) for p in photos[:1]]
    alone = Targets.build(ignoring, 64)
    assert agreement(icosphere(3, 0.3), alone) == pytest.approx(100)
