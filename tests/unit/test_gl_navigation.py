"""The orbit camera: what hands do to it. No GL."""

from __future__ import annotations

import math

import numpy as np
import pytest

from studio.core.errors import InputError
from studio.core.scene import Camera, look_at
from studio.gl.navigation import OrbitCamera, fit_camera, gizmo_axes, slerp

W, H = 640, 480


def project(camera: Camera, point: np.ndarray) -> np.ndarray:
    """[2] normalised device coordinates."""
    clip = camera.world_to_clip @ np.append(point, 1.0)
    return clip[:2] / clip[3]


def photo_camera() -> Camera:
    """Rolled, off-centre principal point, non-square pixels, another aspect."""
    pose = look_at(np.array([1.0, 2.0, 2.5]), np.zeros(3), up=(0.3, 1, 0))
    return Camera(400, 600, 700, 720, 190, 320, pose)


def test_pivot_stays_in_the_middle_while_orbiting():
    orbit = OrbitCamera()
    orbit.focus(np.array([0.3, -0.2, 0.1]), smooth=False)
    for dx, dy in ((40, 10), (-300, 80), (5, 900)):
        orbit.orbit(dx, dy)
        camera = orbit.camera(W, H)
        assert np.allclose(project(camera, orbit.pivot), 0, atol=1e-9)
        assert np.linalg.norm(camera.position - orbit.pivot) == pytest.approx(orbit.distance)


def test_rotation_is_a_right_handed_level_frame():
    orbit = OrbitCamera()
    orbit.orbit(123, 45)
    rotation = orbit.camera(W, H).view_to_world[:3, :3]
    assert np.allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    assert rotation[1, 0] == 0  # right stays horizontal


def test_dragging_right_turns_the_object_right():
    """The side facing the viewer follows the mouse."""
    orbit = OrbitCamera(azimuth=0, elevation=0)
    front = np.array([0.0, 0.0, 0.5])
    before = project(orbit.camera(W, H), front)
    orbit.orbit(20, 0)
    assert project(orbit.camera(W, H), front)[0] > before[0]
    orbit = OrbitCamera(azimuth=0, elevation=0)
    orbit.orbit(0, 20)  # down
    assert project(orbit.camera(W, H), front)[1] < before[1]


def test_elevation_stops_at_the_pole():
    orbit = OrbitCamera()
    orbit.orbit(0, 1e5)
    assert orbit.camera(W, H).view_to_world[1, 2] <= 1.0
    assert orbit.camera(W, H).view_to_world[1, 1] > 0  # up never points down


def test_pan_moves_the_pivot_with_the_mouse():
    orbit = OrbitCamera()
    pivot = orbit.pivot.copy()
    orbit.pan(64, -48, H)
    ndc = project(orbit.camera(W, H), pivot)
    assert ndc == pytest.approx([2 * 64 / W, 2 * 48 / H], abs=1e-9)


def test_zoom_keeps_the_point_under_the_cursor():
    orbit = OrbitCamera()
    cursor, aspect = (0.6, -0.4), W / H
    half = math.tan(orbit.fov_y / 2) * orbit.distance
    rotation = orbit.camera(W, H).view_to_world[:3, :3]
    point = orbit.pivot + rotation[:, :2] @ (np.array([cursor[0] * aspect, cursor[1]]) * half)
    distance = orbit.distance
    orbit.zoom(3, cursor, aspect)
    assert orbit.distance < distance
    assert project(orbit.camera(W, H), point) == pytest.approx(cursor, abs=1e-9)


def test_zoom_has_limits():
    orbit = OrbitCamera()
    orbit.zoom(1e4)
    assert orbit.distance > 0
    orbit.zoom(-1e4)
    assert math.isfinite(orbit.distance)


def test_framing_shows_the_whole_box():
    low, high = np.array([-2.0, 0.0, 5.0]), np.array([1.0, 4.0, 6.0])
    for aspect in (0.4, 1.0, 2.5):
        orbit = OrbitCamera()
        orbit.set_bounds(low, high)
        orbit.frame(low, high, aspect, smooth=False)
        camera = orbit.camera(int(500 * aspect), 500)
        for x in (low[0], high[0]):
            for y in (low[1], high[1]):
                for z in (low[2], high[2]):
                    clip = camera.world_to_clip @ np.array([x, y, z, 1.0])
                    assert np.all(np.abs(clip[:3]) < clip[3])


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [("front", 2, 1), ("back", 2, -1), ("right", 0, 1), ("left", 0, -1), ("top", 1, 1), ("bottom", 1, -1)],
)
def test_named_views_look_along_their_axis(name, axis, sign):
    orbit = OrbitCamera(azimuth=250)
    orbit.set_view(name, smooth=False)
    back = np.zeros(3)
    back[axis] = sign
    assert np.allclose(orbit.camera(W, H).view_to_world[:3, 2], back, atol=1e-12)


def test_unknown_view_is_named():
    with pytest.raises(InputError, match=r"sideways.*front"):
        OrbitCamera().set_view("sideways")


def test_looking_through_a_photo_is_exact():
    photo = photo_camera()
    orbit = OrbitCamera()
    orbit.look_through(photo, smooth=False)
    camera = orbit.camera(W, H)
    assert np.array_equal(camera.view_to_world, photo.view_to_world)
    zoom = min(W / photo.width, H / photo.height)
    for point in np.random.default_rng(0).uniform(-0.5, 0.5, (10, 3)):
        x, y = (project(photo, point) + 1) / 2 * (photo.width, photo.height)
        seen_x, seen_y = (project(camera, point) + 1) / 2 * (W, H)
        assert seen_x == pytest.approx(x * zoom + (W - photo.width * zoom) / 2)
        assert seen_y == pytest.approx(y * zoom + (H - photo.height * zoom) / 2)


def test_orbiting_leaves_the_photo_and_levels_it():
    orbit = OrbitCamera()
    orbit.look_through(photo_camera(), smooth=False)
    eye = orbit.camera(W, H).position.copy()
    orbit.orbit(0, 0)
    assert orbit.photo is None
    assert orbit.moving
    while orbit.update(0.05):
        pass
    camera = orbit.camera(W, H)
    assert np.allclose(camera.position, eye)
    assert abs(camera.view_to_world[1, 0]) < 1e-12


def test_transition_starts_here_ends_there_and_stays_rigid():
    orbit = OrbitCamera()
    start = orbit.camera(W, H)
    orbit.look_through(photo_camera())
    assert np.allclose(orbit.camera(W, H).view_to_world, start.view_to_world)
    steps = 0
    while orbit.update(0.02):
        rotation = orbit.camera(W, H).view_to_world[:3, :3]
        assert np.allclose(rotation.T @ rotation, np.eye(3), atol=1e-9)
        steps += 1
    assert 10 < steps < 20
    assert not orbit.moving
    assert np.array_equal(orbit.camera(W, H).view_to_world, photo_camera().view_to_world)


def test_flying_forward_goes_where_one_looks_and_looking_keeps_the_eye():
    orbit = OrbitCamera(azimuth=20, elevation=10)
    before = orbit.camera(W, H)
    orbit.fly(0, 0, 1, 0.5)
    moved = orbit.camera(W, H).position - before.position
    assert np.allclose(moved / np.linalg.norm(moved), -before.view_to_world[:3, 2])
    eye = orbit.camera(W, H).position
    orbit.look(30, -20)
    assert np.allclose(orbit.camera(W, H).position, eye)


def test_slerp_half_way_and_half_turn():
    quarter = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # 90 degrees about y
    half = slerp(np.eye(3), quarter, 0.5)
    assert half[0, 2] == pytest.approx(math.sin(math.pi / 4))
    flipped = np.diag([-1.0, 1.0, -1.0])
    assert np.allclose(slerp(np.eye(3), flipped, 1.0), flipped, atol=1e-9)


def test_fit_camera_centres_the_photo():
    fitted = fit_camera(photo_camera(), 1000, 600)
    assert (fitted.fx, fitted.fy) == (700, 720)
    assert fitted.cx == pytest.approx(190 + 300)
    assert fitted.cy == pytest.approx(320)


def test_gizmo_points_where_the_axes_point():
    orbit = OrbitCamera()
    orbit.set_view("front", smooth=False)
    ends = {(a.name, a.positive): a for a in gizmo_axes(orbit.camera(W, H))}
    assert ends["x", True].x == pytest.approx(1)
    assert ends["y", True].y == pytest.approx(1)
    assert ends["z", True].depth == pytest.approx(1)
    depths = [a.depth for a in gizmo_axes(orbit.camera(W, H))]
    assert depths == sorted(depths)


def test_slerp_between_nearly_equal_rotations_has_no_axis_to_divide_by():
    """Rounding alone puts the trace below 3 and the angle at 1e-8."""
    turn = np.eye(3)
    turn[0, 0] -= 1e-16 * 3
    turned = slerp(np.eye(3), turn, 0.5)
    assert np.isfinite(turned).all()
    np.testing.assert_allclose(turned, np.eye(3), atol=1e-9)


def test_turning_by_degrees_goes_round_the_pivot():
    orbit = OrbitCamera(azimuth=0.0, elevation=0.0)
    orbit.turn(90.0, 0.0, smooth=False)
    assert np.allclose(orbit.camera(10, 10).view_to_world[:3, 2], (1, 0, 0), atol=1e-9)
    orbit.turn(0.0, 45.0, smooth=False)
    assert np.allclose(orbit.camera(10, 10).view_to_world[:3, 2], (0.5**0.5, 0.5**0.5, 0), atol=1e-9)
    orbit.turn(0.0, 400.0, smooth=False)
    assert orbit.camera(10, 10).view_to_world[1, 2] <= 1.0
    assert orbit.distance == pytest.approx(3.0)


def test_orthographic_keeps_sizes_and_parallels():
    """A box from the front: its far face lies behind the near one, and the pivot's plane keeps its size."""
    camera = OrbitCamera(0.0, 0.0)
    camera.set_bounds(np.full(3, -1.0), np.full(3, 1.0))
    camera.frame(np.full(3, -1.0), np.full(3, 1.0), 1.5, smooth=False)
    camera.orthographic = True
    seen = camera.camera(600, 400)
    plain = _pixels(seen, (1, 1, 0))
    camera.orthographic = False
    assert np.abs(plain - _pixels(camera.camera(600, 400), (1, 1, 0))).max() < 1e-6
    near, far = _pixels(seen, (1, 1, 1)), _pixels(seen, (1, 1, -1))
    assert np.abs(near - far).max() < 1.0
    depths = [(seen.world_to_clip @ (0, 0, z, 1))[2:] for z in (1.5, -1.5)]
    assert all(-1 < z / w < 1 for z, w in depths)


def test_orthographic_frames_zooms_and_pans():
    low, high = np.array([-1.0, -0.5, -3.0]), np.array([1.0, 0.5, 3.0])
    camera = OrbitCamera(0.0, 0.0)
    camera.orthographic = True
    camera.set_bounds(low, high)
    camera.frame(low, high, 1.5, smooth=False)
    corner = _pixels(camera.camera(600, 400), (1, 0.5, 3))
    assert corner[0] == pytest.approx(600 - 600 * (1 - 1 / 1.2) / 2, abs=1.5)  # FRAME_MARGIN
    before = _pixels(camera.camera(600, 400), (0, 0, 0))
    camera.pan(30.0, -20.0, 400)
    after = _pixels(camera.camera(600, 400), (0, 0, 0))
    assert after - before == pytest.approx([30.0, -20.0], abs=0.1)
    camera.zoom(3.0)
    closer = _pixels(camera.camera(600, 400), (0, 0, 3))
    assert np.abs(closer - (300, 200)).max() == pytest.approx(30 / 0.88**3, abs=1.0)


def _pixels(seen, point):
    """(x, y) from the upper left of a point in the picture."""
    x, y, _, w = seen.world_to_clip @ (*point, 1)
    return np.array([(x / w + 1) / 2 * seen.width, (1 - y / w) / 2 * seen.height])
