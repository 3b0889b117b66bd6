"""What the viewport shows: comparison with photos, channels, ground, frusta, outlines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from studio.core.scene import Camera, Material, Photo, PhotoSet, Scene, Similarity, look_at
from studio.core.scene.shapes import cube, icosphere
from studio.gl.colormap import colormap
from studio.gl.navigation import OrbitCamera, fit_camera
from tests.unit.gl_common import PLAIN, H, W, camera, context, photo_set, screen, settle, triangle, viewport

__all__ = ["context", "viewport"]  # fixtures


# Comparison with photos


def test_target_wipe_and_split(viewport):
    cam = camera()
    viewport.set_scene(Scene(meshes=[triangle([(-9, -9, 0), (9, -9, 0), (0, 9, 0)], (1, 0, 0))]))
    viewport.set_photos(photo_set([cam], color=(0, 0, 1)))
    options = replace(PLAIN, photo=0, samples=1)
    target = settle(viewport, cam, replace(options, mode="target"))
    assert (target[..., 2] > 250).all()
    assert (target[..., 0] < 5).all()
    wipe = settle(viewport, cam, replace(options, mode="wipe", wipe=0.25))
    assert (wipe[:, : W // 4 - 3, 0] > 250).all()
    assert (wipe[:, W // 4 + 3 :, 2] > 250).all()
    assert (wipe[:, W // 4, :].min(axis=-1) > 60).all()  # the handle
    split = settle(viewport, cam, replace(options, mode="split"))
    assert (split[:, : W // 2 - 3, 0] > 250).all()
    assert (split[:, W // 2 + 3 :, 2] > 250).all()
    flicker = replace(options, mode="flicker")
    assert (settle(viewport, cam, replace(flicker, flicker=0.2))[..., 0] > 250).all()
    assert (settle(viewport, cam, replace(flicker, flicker=0.7))[..., 2] > 250).all()


def test_without_a_photo_every_mode_renders(viewport):
    viewport.set_scene(Scene(meshes=[icosphere(2)]))
    plain = settle(viewport, camera(), replace(PLAIN, samples=1))
    for mode in ("target", "wipe", "split", "side", "difference", "flicker"):
        assert np.array_equal(
            settle(viewport, camera(), replace(PLAIN, samples=1, mode=mode, photo=3)), plain
        )


def test_difference_is_black_where_equal_and_its_mean_is_right(viewport):
    cam = camera()
    grey = 0.2  # linear; sRGB 0.4845
    viewport.set_scene(Scene(meshes=[triangle([(-9, -9, 0), (9, -9, 0), (0, 9, 0)], (grey,) * 3)]))
    viewport.set_photos(photo_set([cam], color=(grey,) * 3))
    options = replace(PLAIN, mode="difference", photo=0, samples=1)
    assert settle(viewport, cam, options).max() <= 4  # inferno begins at (0, 0, 3)
    assert viewport.mean_error() < 1e-3  # half floats hold the photo
    viewport.set_photos(photo_set([cam], color=(1.0, 1.0, 1.0)))
    assert settle(viewport, cam, options).max() > 200
    assert viewport.mean_error() == pytest.approx(1 - 0.4845, abs=2e-3)


def test_difference_counts_object_and_mask_only(viewport):
    cam = camera()
    viewport.set_scene(Scene(meshes=[icosphere(3, radius=0.5)]))
    covered = viewport.gbuffer(cam)["covered"][..., 0]
    photos = photo_set([cam], color=(1.0, 1.0, 1.0), mask=np.zeros((H, W), np.float32))
    viewport.set_photos(photos)
    options = replace(PLAIN, mode="difference", photo=0, samples=1)
    image = settle(viewport, cam, options)
    assert (image[covered == 0] <= 4).all()
    assert image[covered > 0].max() > 100


def test_a_cut_out_photo_stands_before_the_studio(viewport):
    cam = camera()
    mask = np.zeros((H, W), np.float32)
    mask[: H // 2] = 1
    whole = photo_set([cam], color=(0, 1, 0), mask=mask)
    black = photo_set([cam], color=(0, 1, 0), mask=mask)
    black.photos[0].image[H // 2 :] = 0
    viewport.set_scene(Scene(meshes=[icosphere(1, radius=0.1)]))
    options = replace(PLAIN, mode="target", photo=0, samples=1)
    viewport.set_photos(whole)
    assert (settle(viewport, cam, options)[..., 1] > 250).all()
    viewport.set_photos(black)
    image = settle(viewport, cam, options)
    assert (image[: H // 2 - 1, :, 1] > 250).all()
    assert np.ptp(image[H // 2 + 1 :].reshape(-1, 3).mean(0)) < 20  # the grey gradient
    assert image[H // 2 + 1 :].min() > 20


def test_a_photo_is_aligned_with_the_view_through_its_camera(viewport):
    """The render of a scene, taken as a photo, is its own target in any window shape."""
    photo_camera = Camera(80, 100, 120, 110, 37, 55, look_at(np.array([1, 0.6, 2.5]), np.zeros(3)), 0.1, 20)
    scene = Scene(meshes=[cube(0.9)], background=(0.3, 0.3, 0.3))
    viewport.set_scene(scene)
    image = viewport.render_offline(photo_camera, samples=32)[..., :3]
    viewport.set_photos(PhotoSet([Photo("p", image.copy(), photo_camera)], Similarity()))
    orbit = OrbitCamera()
    orbit.look_through(photo_camera, smooth=False)
    options = replace(PLAIN, mode="difference", photo=0)
    for size in ((200, 100), (80, 160), (160, 200)):
        settle(viewport, orbit.camera(*size), options)
        assert viewport.mean_error() < 0.01  # edges resampled; misaligned by a pixel it is 0.02
        wrong = fit_camera(replace(photo_camera, cx=photo_camera.cx + 3), *size)
        settle(viewport, wrong, replace(options, mode="render"))


def _still(cam, color, mask=None) -> Photo:
    return Photo("still", np.full((cam.height, cam.width, 3), color, np.float32), cam, mask=mask)


def test_any_two_pictures_stand_beside_each_other(viewport):
    """Kept pictures, photo and render on either side, and what is not there falls back."""
    cam = camera()
    viewport.set_scene(Scene(meshes=[triangle([(-9, -9, 0), (9, -9, 0), (0, 9, 0)], (1, 0, 0))]))
    viewport.set_photos(photo_set([cam], color=(0, 0, 1)))
    viewport.set_still("a", _still(cam, (0, 1, 0)))
    options = replace(PLAIN, photo=0, samples=1, mode="wipe")
    quarter = slice(W // 8, W // 4)
    for left, right, first, second in (
        *(("render", "a", 0, 1), ("a", "render", 1, 0), ("photo", "a", 2, 1), ("a", "photo", 1, 2)),
        *(("b", "photo", 0, 2), ("render", "render", 0, 0)),
    ):
        image = settle(viewport, cam, replace(options, left=left, right=right))
        assert image[:, quarter, first].min() > 250, (left, right)
        assert image[:, -W // 4 : -W // 8, second].min() > 250, (left, right)
        other = {0, 1, 2} - {first}
        assert image[:, quarter, sorted(other)].max() < 5
    alone = settle(viewport, cam, replace(options, left="a", right="b"))
    assert (alone[..., 1] > 250).all()  # without a right one the left is alone


def test_side_by_side_shows_all_of_both(viewport):
    cam = camera()
    viewport.set_scene(Scene(meshes=[icosphere(3, radius=0.5)]))
    viewport.set_still("a", _still(cam, (0, 1, 0)))
    whole = viewport.gbuffer(cam)["covered"][..., 0] > 0
    options = replace(PLAIN, samples=1, mode="side", right="a", background="scene")
    image = settle(viewport, cam, options)
    ball = image[:, : W // 2 - 3, 0] > 100
    assert ball.sum() == pytest.approx(whole.sum() / 4, rel=0.1)
    green = image[..., 1] > 250
    assert green[H // 4 + 1 : -H // 4 - 1, W // 2 + 3 :].all()
    assert not green[: H // 4 - 1].any()
    info = viewport.pixel(W / 4, H / 2)
    assert info is not None
    towards = cam.position / np.linalg.norm(cam.position)
    assert np.allclose(info.position, 0.5 * towards, atol=0.05)  # the middle of the ball, at a quarter


def test_numbers_are_the_same_in_every_mode(viewport):
    """A kept render is the render, also at its outline, whatever lies behind it on the screen."""
    cam = camera()
    viewport.set_scene(Scene(meshes=[icosphere(3, radius=0.5)], background=(0.2, 0.5, 0.1)))
    options = replace(PLAIN, samples=8)
    settle(viewport, cam, options)
    kept = viewport.still("a")
    assert 0 < kept.mask.mean() < 1
    viewport.set_still("a", kept)
    viewport.set_still("b", replace_color(kept, 0.5))
    means = []
    for mode in ("wipe", "difference", "side"):
        settle(viewport, cam, replace(options, mode=mode, right="a"))
        assert viewport.mean_error() < 2e-6, mode
        settle(viewport, cam, replace(options, mode=mode, right="b"))
        means.append(viewport.mean_error())
    assert means[0] > 0.05
    assert np.ptp(means) < 1e-4
    settle(viewport, cam, replace(options, mode="wipe", right="a", exposure=1.0))
    assert viewport.mean_error() < 2e-6, "exposure is of both pictures"


def replace_color(photo: Photo, factor: float) -> Photo:
    return replace(photo, image=photo.image * np.float32(factor))


def test_measures_of_error_and_a_map(viewport):
    cam = camera()
    viewport.set_scene(Scene(meshes=[triangle([(-9, -9, 0), (9, -9, 0), (0, 9, 0)], (0.2,) * 3)]))
    viewport.set_still("a", _still(cam, (0.4,) * 3))
    options = replace(PLAIN, samples=1, mode="difference", right="a", left="render")
    error = 0.6651 - 0.4845  # sRGB of 0.4 and 0.2
    for kind, value in (("absolute", error), ("squared", error**2), ("relative", 0.2 / 0.41)):
        image = settle(viewport, cam, replace(options, error=kind, error_range=2 * value))
        expected = 255 * colormap("inferno", np.array(0.5))
        assert np.abs(image - expected).max() <= 2, kind
    values = np.zeros((H, W), np.float32)
    values[: H // 2] = 1
    values[:, :10] = -1
    viewport.set_error_map(values)
    image = settle(viewport, cam, replace(options, error="map", error_range=1.0))
    assert np.abs(image[2 : H // 2 - 1, 12:] - 255 * colormap("magma", np.array(1.0))).max() <= 2
    assert image[H // 2 + 1 :, 12:].max() <= 4
    assert image[:, :8].std() < 20  # nothing is known there
    viewport.set_error_map(None)


def test_clipped_pixels_are_marked(viewport):
    cam = camera()
    viewport.set_scene(Scene(meshes=[triangle([(-9, -9, 0), (9, -9, 0), (0, 9, 0)], (0.6,) * 3)]))
    options = replace(PLAIN, samples=1, clipping=True)
    plain = settle(viewport, cam, replace(options, clipping=False))
    assert np.array_equal(settle(viewport, cam, options), plain)
    red = settle(viewport, cam, replace(options, exposure=1.0))
    marked = (red[..., 0] > 250) & (red[..., 1] < 80)
    assert 0.4 < marked.mean() < 0.6  # hatched
    blue = settle(viewport, cam, replace(options, exposure=-20.0))
    assert 0.4 < ((blue[..., 2] > 250) & (blue[..., 0] < 80)).mean() < 0.6


# Channels


@pytest.mark.parametrize(
    "aov", ["albedo", "normal", "depth", "position", "roughness", "metallic", "uv", "id", "part"]
)
def test_channels_show_something_of_their_own(viewport, aov):
    ball = icosphere(3, radius=0.4)
    left = ball.with_vertices(ball.vertices - np.float32((0.5, 0, 0)))
    left = replace(left, uvs=left.vertices[:, :2] + 1)
    right = ball.with_vertices(ball.vertices + np.float32((0.5, 0, 0)))
    right = replace(right, material=Material(perceptual_roughness=1.0, metallic=1.0, base_color=(1, 0, 0)))
    viewport.set_scene(Scene(meshes=[left, right]))
    cam = camera(eye=(0, 0, 3))
    options = replace(PLAIN, samples=1)
    image = settle(viewport, cam, replace(options, aov=aov))
    info = viewport.pixel(int(W * 0.33), H // 2 - 1)  # row H // 2 from below
    at = image[H // 2, int(W * 0.33)]
    other = image[H // 2, int(W * 0.67)]
    assert info is not None
    if aov == "normal":
        assert at == pytest.approx(np.round(255 * (info.normal * 0.5 + 0.5)), abs=2)
    elif aov == "roughness":
        assert at == pytest.approx([153] * 3, abs=1)
        assert other == pytest.approx([255] * 3, abs=1)
    elif aov == "metallic":
        assert at == pytest.approx([0] * 3, abs=1)
        assert other == pytest.approx([255] * 3, abs=1)
    elif aov == "depth":
        assert np.ptp(image[H // 2, 25:40].sum(-1)) > 20
    elif aov == "id":
        inside = image[H // 2 - 4 : H // 2 + 4, 28:36].reshape(-1, 3)
        assert len(np.unique(inside, axis=0)) > 5  # many triangles, a colour each
    else:
        assert np.abs(at - other).max() > 30


def test_a_sky_that_is_shown_lies_behind_the_scene(viewport):
    from studio.core.effects import registry
    from studio.core.params import ParamSet

    sky = ParamSet("environment", registry()["environment"].params)
    viewport.set_scene(Scene(meshes=[icosphere(3, radius=0.3)], background=(0.0, 0.5, 0.0)))
    options = replace(PLAIN, samples=1, background="scene")
    for shown in (True, False):
        sky.set("show_background", shown)
        viewport.set_effects({"environment": sky})
        assert viewport.chain.paints_background == shown
        corner = settle(viewport, camera(), options)[0, 0]
        # Without a map the sky is the scene's harmonics: a grey of 0.45.
        assert corner == pytest.approx([178] * 3 if shown else [0, 188, 0], abs=2)


# Looks


def test_ground_lies_below_the_object_and_its_axes_have_their_colours(viewport):
    mesh = icosphere(3, radius=0.3)
    viewport.set_scene(Scene(meshes=[mesh]))
    cam = camera(192, 128, eye=(0.0, 1.2, 3.0))
    options = replace(PLAIN, samples=2)
    bare = settle(viewport, cam, options)
    grid = settle(viewport, cam, replace(options, grid=True, axes=True))
    covered = viewport.gbuffer(cam)["covered"][..., 0] > 0
    inner = ndimage.binary_erosion(covered, iterations=2)
    assert np.array_equal(grid[inner], bare[inner])  # nothing is drawn over the object
    changed = np.abs(grid - bare).max(-1) > 12
    assert 0.02 < changed.mean() < 0.5
    for point, channel in (((1.2, -0.3, 0.0), 0), ((0.0, -0.3, 1.2), 2)):  # x is red, z is blue
        x, y = screen(cam, point)
        patch = grid[128 - int(y) - 2 : 128 - int(y) + 2, int(x) - 2 : int(x) + 3].reshape(-1, 3)
        others = [c for c in range(3) if c != channel]
        assert (patch[:, channel] - patch[:, others].max(-1)).max() > 25
    shadow = bare.sum(-1) - settle(viewport, cam, replace(options, grid=True, axes=False)).sum(-1)
    x, y = screen(cam, (0.1, -0.3, 0.28))  # between the lines
    assert shadow[128 - int(y), int(x)] > 5  # darker close to where it touches
    light = settle(viewport, cam, replace(options, theme="light"))
    assert light[~covered].mean() > bare[~covered].mean() + 100


def test_frusta_mark_the_cameras(viewport):
    eyes = [(1.5, 0.5, 0.0), (-1.5, 0.5, 0.0)]
    cams = [camera(48, 32, eye=eye) for eye in eyes]
    viewport.set_scene(Scene(meshes=[icosphere(2, radius=0.2)]))
    viewport.set_photos(photo_set(cams, color=(0.0, 1.0, 0.0)))
    cam = camera(384, 256, eye=(0.0, 1.0, 5.0))
    options = replace(PLAIN, samples=1)
    bare = settle(viewport, cam, options)
    lines = settle(viewport, cam, replace(options, frusta=True, thumbnails=False, photo=1))
    photos = settle(viewport, cam, replace(options, frusta=True, thumbnails=True))
    for index, eye in enumerate(eyes):
        x, y = screen(cam, eye)
        box = np.s_[256 - int(y) - 30 : 256 - int(y) + 30, int(x) - 30 : int(x) + 30]
        assert (np.abs(lines - bare)[box].max(-1) > 20).sum() > 20
        green = photos[box][..., 1] - photos[box][..., [0, 2]].max(-1)
        assert (green > 30).sum() > 20
        bluest = (lines[box][..., 2] - lines[box][..., 0]).max()
        assert (bluest > 60) == (index == 1)  # the current one in the accent colour
    through = fit_camera(cams[0], 384, 256)
    own = settle(viewport, through, replace(options, frusta=True))
    other = np.abs(own - settle(viewport, through, options)).max(-1) > 12
    x, y = screen(through, eyes[1])
    assert other.any()
    columns = np.nonzero(other)[1]
    assert np.abs(columns - x).max() < 60  # only the far one: not a frame around the picture


def test_outline_and_wireframe_mark_their_place(viewport):
    viewport.set_scene(Scene(meshes=[icosphere(2, radius=0.5)]))
    plain = settle(viewport, camera(), replace(PLAIN, samples=2))
    wires = settle(viewport, camera(), replace(PLAIN, samples=2, wireframe=True))
    center = np.s_[H // 2 - 5 : H // 2 + 5, W // 2 - 5 : W // 2 + 5]
    assert (wires[center] < plain[center] - 20).any()
    viewport.set_selection(0)
    outlined = settle(viewport, camera(), replace(PLAIN, samples=2))
    changed = np.abs(outlined - plain).max(-1) > 30
    covered = viewport.gbuffer(camera())["covered"][..., 0] > 0
    assert changed.any()
    assert not changed[center].any()
    assert (changed & ~covered).sum() > 0.8 * changed.sum()
