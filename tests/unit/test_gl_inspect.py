"""What is said of pixels and tones, and what lines and ranges look like."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from studio.core.color import linear_to_srgb
from studio.core.scene import Camera, Material, Photo, Scene, look_at
from studio.core.scene.shapes import cube, icosphere
from studio.gl.colormap import colormap
from studio.gl.inspect import TONE_BINS, TONE_END, color_of, inspect, surface_pixels, tones, uv_at
from tests.unit.gl_common import PLAIN, H, W, camera, context, screen, settle, triangle, viewport

__all__ = ["context", "viewport"]  # fixtures


def test_uv_of_a_point_is_interpolated_between_corners():
    mesh = triangle([(0, 0, 0), (2, 0, 0), (0, 4, 1)])
    mesh = replace(mesh, uvs=np.array([(0.0, 0.0), (1.0, 0.0), (0.25, 1.0)], np.float32))
    for weights in ((1, 0, 0), (0, 1, 0), (0.2, 0.3, 0.5)):
        point = np.array(weights) @ mesh.vertices
        assert uv_at(mesh, 0, point) == pytest.approx(tuple(np.array(weights) @ mesh.uvs), abs=1e-6)
    assert uv_at(replace(mesh, uvs=None), 0, np.zeros(3)) is None
    flat = replace(mesh, vertices=np.zeros((3, 3), np.float32))
    assert uv_at(flat, 0, np.zeros(3)) is None


def test_colour_of_a_photo_under_a_pixel_of_the_view():
    cam = camera(40, 30)
    image = np.arange(40 * 30 * 3, dtype=np.float32).reshape(30, 40, 3)
    photo = Photo("p", image, cam)
    assert np.array_equal(color_of(photo, cam, 7, 11), image[11, 7])
    doubled = cam.resized(80, 60)
    assert np.array_equal(color_of(photo, doubled, 15, 22), image[11, 7])
    wide = replace(cam, width=100, cx=cam.cx + 30)
    assert color_of(photo, wide, 5, 11) is None
    assert np.array_equal(color_of(photo, wide, 37, 11), image[11, 7])


def test_tones_count_every_pixel_and_what_is_clipped():
    srgb = np.array([[0.0, 0.0, 0.0], [0.5, 0.25, 1.5], [1.0, 1.0, 1.0], [3.0, 0.0, 0.0]], np.float32)
    found = tones(srgb)
    assert found.counts.sum(axis=1) == pytest.approx([1, 1, 1])
    assert found.counts[0, int(0.5 * TONE_BINS / TONE_END)] == 0.25
    assert found.counts[0, -1] == 0.25
    assert (found.dark, found.bright) == (0.25, 0.5)
    assert tones(np.zeros((0, 3), np.float32)).counts.sum() == 0


def test_everything_about_a_pixel(viewport):
    cam = camera()
    box = replace(cube(0.8), name="box", material=Material(base_color=(0.5, 0.25, 1.0)))
    viewport.set_scene(Scene(meshes=[icosphere(2, 0.2), box]))
    viewport.set_still("a", Photo("a", np.full((H, W, 3), 0.125, np.float32), cam))
    options = replace(PLAIN, samples=1, exposure=1.0)
    image = settle(viewport, cam, options)
    x, y = (int(v) for v in screen(cam, (0.1, 0.1, 0.4)))
    found = inspect(viewport, x, y)
    assert found is not None
    np.testing.assert_allclose(found.colors["render"], (1.0, 0.5, 2.0), rtol=1e-3)  # unlit, two stops of one
    assert found.info.part == 1
    assert found.info.position[2] == pytest.approx(0.4, abs=1e-4)
    corners = box.vertices[box.faces[found.info.triangle]]
    assert np.abs(corners[:, 2] - 0.4).max() < 1e-5
    assert np.abs(found.patch[5, 5].astype(int) - image[H - 1 - y, x]).max() <= 1
    compared = replace(options, mode="target", right="a")
    settle(viewport, cam, compared)
    both = inspect(viewport, x, y)
    assert list(both.colors) == ["render", "a"]
    np.testing.assert_allclose(both.colors["a"], 0.25, rtol=1e-3)
    corner = inspect(viewport, 0, 0)
    assert corner.info is None
    assert (corner.patch[:5, :5] == 0).all(), "beyond the picture there is nothing"
    assert inspect(viewport, -1, 0) is None


def test_tones_of_the_surfaces_alone(viewport):
    cam = camera()
    scene = Scene(meshes=[replace(icosphere(3, 0.5), material=Material(base_color=(0.5, 0.5, 0.5)))])
    viewport.set_scene(scene)
    settle(viewport, cam, replace(PLAIN, samples=1))
    pixels = surface_pixels(viewport)
    covered = viewport.gbuffer(cam)["covered"]
    assert len(pixels) == int(covered.sum())
    np.testing.assert_allclose(pixels, linear_to_srgb(np.float32(0.5)), atol=1e-4)


def test_a_channel_between_two_numbers_in_a_map(viewport):
    cam = camera()
    mesh = triangle([(-9, -9, 0), (9, -9, 0), (0, 9, 0)])
    mesh = replace(mesh, material=Material(perceptual_roughness=0.5))
    viewport.set_scene(Scene(meshes=[mesh]))
    options = replace(PLAIN, samples=1, aov="perceptual_roughness")
    for name, low, high in (
        ("", 0.0, 1.0),
        ("viridis", 0.0, 1.0),
        ("inferno", 0.25, 0.75),
        ("gray", 0.4, 0.9),
    ):
        own = (low, high) == (0.0, 1.0)
        image = settle(viewport, cam, replace(options, aov_map=name, aov_range=None if own else (low, high)))
        assert viewport.channel_range() == (low, high)
        expected = 255 * colormap(name or "gray", np.array((0.5 - low) / (high - low)))
        assert np.abs(image[H // 2, W // 2] - expected).max() <= 2, name


def test_exposure_is_of_light_not_of_data(viewport):
    cam = camera()
    scene = Scene(meshes=[replace(icosphere(3, 0.5), material=Material(emissive=(0.1, 0.1, 0.1)))])
    viewport.set_scene(scene)
    for aov, changes in (("emissive", True), ("normal", False), ("albedo", False)):
        dark, bright = (
            settle(viewport, cam, replace(PLAIN, samples=1, aov=aov, exposure=e))[H // 2, W // 2]
            for e in (0, 2)
        )
        assert (bright > dark + 20).any() == changes, aov


def test_normals_stand_on_the_surface(viewport):
    """A ball with normals has lines beyond its outline, as long as they should be, all around."""
    pose = look_at(np.array([0.0, 0.0, 6.0]), np.zeros(3))
    cam = Camera(120, 120, 300, 300, 60, 60, pose, near=1, far=20)
    viewport.set_scene(Scene(meshes=[icosphere(3, 0.7)], background=(0.2, 0.2, 0.2)))
    options = replace(PLAIN, samples=1, background="scene")
    plain = settle(viewport, cam, options)
    drawn = settle(viewport, cam, replace(options, normals=True))
    y, x = np.nonzero(np.abs(drawn - plain).max(axis=-1) > 20)
    away = np.hypot(x + 0.5 - 60, y + 0.5 - 60)
    radius = 300 * 0.7 / 6.0
    length = 300 * 0.5 * 0.05 * np.sqrt(12) * 0.7 / 6.0
    assert away.max() == pytest.approx(radius + length, abs=2.0)
    angles = np.arctan2(y - 60, x - 60)[away > radius + 2]
    assert np.histogram(angles, 8, (-np.pi, np.pi))[0].min() > 0
    # To the right it points along x: red, as the channel shows it.
    right = drawn[58:62, int(60 + radius + 1) : int(60 + radius + length)].reshape(-1, 3)
    strongest = right[np.argmax(right[:, 0])]
    assert strongest[0] > strongest[1] + 40
