"""The visual hull against shapes whose hull is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from studio.core.errors import Cancelled, InputError
from studio.core.optim.hull import visual_hull
from studio.core.scene import look_at
from tests.unit.optim_scenes import box, coloured_ball, photograph


@pytest.fixture(scope="module")
def ball_photos():
    return photograph(coloured_ball(0.6), count=40, size=96)


def solid(mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def test_hull_of_a_ball_is_the_ball(ball_photos):
    hull = visual_hull(ball_photos.photos, radius=0.6, resolution=32, smooth=0)
    distance = np.linalg.norm(hull.vertices, axis=1)
    # A pixel is 0.02 wide at the object, so its masks leave +-0.01; 40 cones leave some more.
    assert 0.585 < distance.mean() < 0.61
    assert distance.min() > 0.57
    assert distance.max() < 0.65


def test_hull_is_closed_and_faces_outward(ball_photos):
    hull = solid(visual_hull(ball_photos.photos, radius=0.6, resolution=24))
    assert hull.is_watertight
    assert hull.is_winding_consistent
    assert hull.volume > 0


def test_no_voxel_steps_remain(ball_photos):
    hull = visual_hull(ball_photos.photos, radius=0.6, resolution=40, smooth=1.0)
    outward = hull.vertices / np.linalg.norm(hull.vertices, axis=1, keepdims=True)
    cosine = (hull.vertex_normals() * outward).sum(axis=1)
    # Voxel steps would tilt normals by up to 55 degrees; cone facets tilt them by less than 20.
    assert np.degrees(np.arccos(np.quantile(cosine, 0.01))) < 25


def test_hull_of_a_box_covers_it():
    photos = photograph(box(), count=40, size=96)
    hull = solid(visual_hull(photos.photos, radius=0.7, resolution=40, smooth=0))
    # A hull never cuts into the object, but for half a pixel of the masks.
    assert np.abs(hull.vertices).max(axis=1).min() > 0.37
    assert 0.8**3 * 0.93 < hull.volume < 0.8**3 * 1.25


def test_an_object_larger_than_said_is_found(ball_photos):
    hull = visual_hull(ball_photos.photos, radius=0.2, resolution=24, smooth=0)
    assert np.ptp(hull.vertices[:, 0]) > 1.1


def test_misses_forgive_one_wrong_photo(ball_photos):
    photos = list(ball_photos.photos)
    wrong = photos[3]
    photos[3] = type(wrong)(wrong.name, wrong.image, wrong.camera, np.zeros_like(wrong.mask))
    hull = visual_hull(photos, radius=0.6, resolution=24, misses=1)
    assert solid(hull).volume > 0.7 * 4 / 3 * np.pi * 0.6**3
    with pytest.raises(InputError, match="v03"):
        visual_hull(photos, radius=0.6, resolution=24, misses=0)


def test_missing_masks_are_named():
    photos = photograph(coloured_ball(), count=4, size=32, masks=False)
    with pytest.raises(InputError, match=r"4 of 4 photos have no mask \(v00"):
        visual_hull(photos.photos)


def test_ignored_pixels_carve_nothing(ball_photos):
    photos = list(ball_photos.photos)
    p = photos[0]
    photos[0] = type(p)(p.name, p.image, p.camera, np.zeros_like(p.mask), np.ones(p.mask.shape, bool))
    assert solid(visual_hull(photos, radius=0.6, resolution=24)).volume > 0.5


def test_cancel_stops_it(ball_photos):
    calls = []
    with pytest.raises(Cancelled):
        visual_hull(ball_photos.photos, cancel=lambda: calls.append(1) or len(calls) > 5)
    assert len(calls) == 6


def test_progress_ends_at_one(ball_photos):
    seen = []
    visual_hull(ball_photos.photos, radius=0.6, resolution=16, progress=lambda f, note: seen.append(f))
    assert seen[-1] == 1.0
    assert all(0 <= f <= 1 for f in seen)


def test_what_only_ignored_pixels_show_is_no_part_of_it(ball_photos):
    # Undistorted photos say nothing along their rims. Cameras on one circle show the same part of its
    # axis there, far from the object; it once stood as a spike that made the box as large as the room.
    angles = np.arange(24) * np.pi / 12
    circle = [look_at(np.array([2.6 * np.cos(a), 1.5, 2.6 * np.sin(a)]), np.zeros(3)) for a in angles]
    cameras = [replace(p.camera, view_to_world=pose) for p, pose in zip(ball_photos.photos, circle)]
    photos = photograph(coloured_ball(0.6), size=96, cameras=cameras).photos
    rim = np.ones((96, 96), bool)
    rim[5:-5, 5:-5] = False
    for photo in photos:
        photo.ignore = rim
    hull = visual_hull(photos, radius=1.0, resolution=32, smooth=0)
    distance = np.linalg.norm(hull.vertices, axis=1)
    assert distance.min() > 0.57
    assert distance.max() < 0.85


def test_a_few_wrong_cameras_do_not_carve(ball_photos):
    photos = list(ball_photos.photos)
    turn = np.eye(4)
    turn[:3, :3] = [[np.cos(0.2), 0, np.sin(0.2)], [0, 1, 0], [-np.sin(0.2), 0, np.cos(0.2)]]
    for k in (3, 20):  # each looks 11 degrees past the ball
        camera = photos[k].camera
        photos[k] = replace(photos[k], camera=replace(camera, view_to_world=camera.view_to_world @ turn))
    hull = visual_hull(photos, radius=0.6, resolution=24, smooth=0)
    assert np.linalg.norm(hull.vertices, axis=1).min() > 0.56
