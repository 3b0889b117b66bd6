"""The parts of seeing that need no window: lights in the picture, what handles do to them, meshes moved."""

from __future__ import annotations

import math

import numpy as np
import pytest

from studio.core.scene import Camera, Light, Lighting, look_at
from studio.core.scene.shapes import icosphere
from studio.ui.panels.handles import placed
from studio.ui.panels.lamps import SUN_DISTANCE, lamp_frame, lamp_poses, nearest, outline, project

CENTER, RADIUS = np.array([1.0, 2.0, 3.0]), 2.0


def _camera() -> Camera:
    pose = look_at(np.array([1.0, 2.0, 9.0]), CENTER)
    return Camera(200, 100, 150, 150, 100, 50, pose, near=0.1, far=20)


def test_places_on_the_screen_count_from_the_upper_left() -> None:
    found = project(np.array([CENTER, CENTER + (1, 0, 0), CENTER + (0, 1, 0), (1, 2, 12)]), _camera())
    np.testing.assert_allclose(found[0], (0.5, 0.5), atol=1e-9)
    np.testing.assert_allclose(found[1], (0.5 + 150 / 6 / 200, 0.5), atol=1e-9)
    np.testing.assert_allclose(found[2], (0.5, 0.5 - 150 / 6 / 100), atol=1e-9)
    assert np.isnan(found[3]).all()


def test_the_nearest_icon_within_reach() -> None:
    places = np.array([[10.0, 10.0], [30.0, 10.0], [np.nan, np.nan]])
    assert nearest(places, (12.0, 10.0), 5.0) == 0
    assert nearest(places, (26.0, 10.0), 5.0) == 1
    assert nearest(places, (20.0, 10.0), 5.0) is None
    assert nearest(np.zeros((0, 2)), (20.0, 10.0), 5.0) is None


def test_a_sun_stands_where_it_shines_from_and_moving_it_turns_it() -> None:
    sun = Light(direction=(0.0, 0.6, 0.8))
    pose = lamp_frame(sun, CENTER, RADIUS)
    np.testing.assert_allclose(pose[:3, 3], CENTER + SUN_DISTANCE * RADIUS * np.array([0, 0.6, 0.8]))
    np.testing.assert_allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3), atol=1e-12)
    pose[:3, 3] = CENTER + (5.0, 0.0, 0.0)
    moved = placed(sun, pose, "move", CENTER, RADIUS)
    assert moved.direction == pytest.approx((1.0, 0.0, 0.0))
    pose[:3, 3] = CENTER
    assert placed(sun, pose, "move", CENTER, RADIUS).direction == sun.direction


def test_other_lights_move_turn_and_grow() -> None:
    lamp = Light(kind="area", position=(1.0, 0.0, 0.0), direction=(0.0, 1.0, 0.0), width=2.0, height=0.5)
    pose = lamp_frame(lamp, CENTER, RADIUS)
    np.testing.assert_allclose(pose[:3, 3], (1, 0, 0))
    shifted = pose.copy()
    shifted[:3, 3] += (0.5, 0.0, -1.0)
    assert placed(lamp, shifted, "move", CENTER, RADIUS).position == pytest.approx((1.5, 0.0, -1.0))
    quarter = np.eye(4)
    quarter[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    turned = placed(lamp, quarter @ pose, "rotate", CENTER, RADIUS)
    assert turned.direction == pytest.approx((-1.0, 0.0, 0.0))
    assert turned.right == pytest.approx((0.0, 1.0, 0.0))
    assert turned.position == lamp.position
    grown = placed(lamp, pose @ np.diag([2.0, 3.0, 1.0, 1.0]), "scale", CENTER, RADIUS)
    assert (grown.width, grown.height) == pytest.approx((4.0, 1.5))


def test_lights_fixed_to_the_camera_go_with_it() -> None:
    camera = _camera()
    lighting = Lighting(lights=[Light(kind="point", position=(0.0, 0.0, -6.0))], fixed_to="camera")
    (pose,) = lamp_poses(lighting, camera, CENTER, RADIUS)
    np.testing.assert_allclose(pose[:3, 3], CENTER, atol=1e-9)
    sun = Lighting(lights=[Light(direction=(0.0, 0.0, 1.0))], fixed_to="camera")
    (pose,) = lamp_poses(sun, camera, CENTER, RADIUS)
    np.testing.assert_allclose(pose[:3, 3], CENTER + (0, 0, SUN_DISTANCE * RADIUS), atol=1e-9)


def test_shapes_of_lights() -> None:
    spot = outline(Light(kind="spot", outer_angle=45.0), 2.0)
    np.testing.assert_allclose(np.hypot(spot[0][:, 0], spot[0][:, 1]), 1.0)
    np.testing.assert_allclose(spot[0][:, 2], -1.0)
    area = outline(Light(kind="area", width=3.0, height=1.0), 2.0)
    np.testing.assert_allclose(np.ptp(area[0], axis=0), (3.0, 1.0, 0.0))
    assert outline(Light(kind="point"), 2.0) == []
    assert len(outline(Light(), 2.0)) == 1


def test_a_mesh_moves_with_its_normals_and_a_mirrored_one_faces_outwards() -> None:
    ball = icosphere(2, 1.0)
    ball.normals = None
    matrix = np.diag([1.0, 3.0, 0.5, 1.0])
    matrix[:3, 3] = (1.0, 2.0, 3.0)
    given = ball.transformed(matrix)
    assert given.normals is None
    np.testing.assert_allclose(given.vertices, ball.vertices * (1, 3, 0.5) + (1, 2, 3), atol=1e-6)
    smooth = icosphere(2, 1.0)
    smooth.normals = smooth.vertices / np.linalg.norm(smooth.vertices, axis=1, keepdims=True)
    moved = smooth.transformed(matrix)
    expected = smooth.normals / (1, 3, 0.5)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(moved.normals, expected, atol=1e-5)
    mirror = smooth.transformed(np.diag([-1.0, 1.0, 1.0, 1.0]))
    np.testing.assert_allclose(mirror.normals, smooth.normals * (-1, 1, 1), atol=1e-6)
    a, b, c = (mirror.vertices[mirror.faces[:, i]] for i in range(3))
    volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6
    assert volume == pytest.approx(4 / 3 * math.pi, rel=0.1)
    flat = smooth.transformed(np.diag([1.0, 1.0, 0.0, 1.0]))
    assert np.isfinite(flat.normals).all()
