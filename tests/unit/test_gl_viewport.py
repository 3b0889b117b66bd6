"""The viewport on a headless context: geometry, comparison, refinement, reading back, leaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from studio.core.errors import InputError
from studio.core.scene import (
    Camera,
    Light,
    Lighting,
    Material,
    Mesh,
    Photo,
    PhotoSet,
    Scene,
    Similarity,
    look_at,
)
from studio.core.scene.shapes import cube, icosphere
from studio.gl.navigation import OrbitCamera, fit_camera
from studio.gl.options import PARITY, ViewOptions
from tests.needs import need

W, H = 96, 64
PLAIN = ViewOptions(grid=False, axes=False, frusta=False)


@pytest.fixture(scope="module")
def context():
    need("gl")
    from studio.gl.context import create_headless_context

    ctx = create_headless_context()
    yield ctx
    ctx.release()


@pytest.fixture
def viewport(context):
    from studio.gl.viewport import Viewport

    with context:
        made = Viewport(context)
        yield made
        assert context.error == "GL_NO_ERROR"
        made.release()
        assert made.resources.count == 0


def camera(width: int = W, height: int = H, eye=(0.4, 0.5, 3.0)) -> Camera:
    focal = 1.2 * height
    pose = look_at(np.array(eye), np.zeros(3))
    return Camera(width, height, focal, focal, width / 2, height / 2, pose, near=0.1, far=20)


def triangle(points, color=(1.0, 1.0, 1.0)) -> Mesh:
    material = Material(base_color=color)
    return Mesh(np.array(points, np.float32), np.array([[0, 1, 2]], np.int32), material=material)


def photo_set(cameras: list[Camera], color=(0.5, 0.5, 0.5), mask=None) -> PhotoSet:
    def image(c: Camera) -> np.ndarray:
        return np.full((c.height, c.width, 3), color, np.float32)

    photos = [Photo(str(i), image(c), c, mask=mask) for i, c in enumerate(cameras)]
    return PhotoSet(photos, Similarity())


def settle(viewport, cam: Camera, options: ViewOptions) -> np.ndarray:
    """[H, W, 3] sRGB values 0..255 of the finished picture, row 0 at the bottom."""
    for _ in range(options.samples + 2):
        texture = viewport.render(cam, options)
    assert viewport.settled
    data = np.frombuffer(texture.read(alignment=1), np.uint8).reshape(texture.height, texture.width, 4)
    assert (data[..., 3] == 255).all()
    return data[..., :3].astype(int)


# Geometry


def test_the_right_way_up(viewport):
    """A red triangle above the middle, a green one to the right: rows count from below."""
    red = triangle([(-0.3, 0.4, 0), (0.3, 0.4, 0), (0, 0.8, 0)], (1, 0, 0))
    green = triangle([(0.6, -0.2, 0), (1.0, -0.2, 0), (0.8, 0.2, 0)], (0, 1, 0))
    viewport.set_scene(Scene(meshes=[red, green]))
    image = viewport.render_offline(camera(eye=(0, 0, 3)), samples=1)
    assert image.shape == (H, W, 4)
    rows, columns = np.nonzero(image[..., 0] > 0.5)
    assert rows.min() > H / 2
    assert abs(columns.mean() - (W - 1) / 2) < 1
    rows, columns = np.nonzero(image[..., 1] > 0.5)
    assert columns.min() > W / 2
    assert abs(rows.mean() - (H - 1) / 2) < 2


def test_covered_pixels_agree_with_the_camera(viewport):
    """Non-square pixels, off-centre principal point: a pixel is covered where the sphere projects."""
    pose = look_at(np.array([1.0, 0.7, 2.5]), np.array([0.1, 0.0, 0.0]))
    cam = Camera(W, H, 70, 90, 40, 38, pose, near=0.1, far=20)
    mesh = icosphere(4, radius=0.6)
    viewport.set_scene(Scene(meshes=[mesh]))
    channels = viewport.gbuffer(cam)
    covered = channels["covered"][..., 0] > 0
    clip = np.hstack([mesh.vertices, np.ones((len(mesh.vertices), 1))]) @ cam.world_to_clip.T
    pixels = (clip[:, :2] / clip[:, 3:] + 1) / 2 * (W, H)
    # Every vertex lies inside the silhouette: the pixel that holds it or a neighbour is covered.
    grown = np.zeros_like(covered)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            grown |= np.roll(covered, (dy, dx), (0, 1))
    x, y = np.floor(pixels).astype(int).T
    assert grown[y, x].all()
    assert np.nonzero(covered)[1].min() == pytest.approx(pixels[:, 0].min(), abs=1.5)
    assert np.nonzero(covered)[0].max() == pytest.approx(pixels[:, 1].max(), abs=1.5)


def test_gbuffer_channels_hold_what_they_say(viewport):
    mesh = replace(
        icosphere(4, radius=0.6),
        colors=None,
        material=Material(base_color=(0.2, 0.4, 0.6), perceptual_roughness=0.3, metallic=0.8),
    )
    cam = camera()
    viewport.set_scene(Scene(meshes=[mesh]))
    got = viewport.gbuffer(cam)
    inside = got["covered"][..., 0] > 0
    assert 0.1 < inside.mean() < 0.9
    for name, value in (("albedo", (0.2, 0.4, 0.6)), ("perceptual_roughness", 0.3), ("metallic", 0.8)):
        assert np.allclose(got[name][inside], value, atol=1e-6)
        assert (got[name][~inside] == 0).all()
    position, normal = got["position"][inside], got["normal"][inside]
    assert np.allclose(np.linalg.norm(normal, axis=1), 1, atol=1e-5)
    # A sphere of flat triangles: positions within its sagitta, normals along them.
    assert np.allclose(np.linalg.norm(position, axis=1), 0.6, atol=0.004)
    assert ((normal * position).sum(1) / 0.6 > 0.99).all()
    view = position @ cam.world_to_view[:3, :3].T + cam.world_to_view[:3, 3]
    assert np.allclose(got["depth"][inside][:, 0], -view[:, 2], atol=1e-4)
    # Each pixel's position projects back into that very pixel's centre.
    rows, columns = np.nonzero(inside)
    clip = np.hstack([position, np.ones((len(position), 1))]) @ cam.world_to_clip.T
    pixels = (clip[:, :2] / clip[:, 3:] + 1) / 2 * (W, H) - 0.5
    assert np.allclose(pixels, np.stack([columns, rows], -1), atol=0.01)


def test_vertex_attributes_replace_and_multiply(viewport):
    base = icosphere(3, radius=0.6)
    count = len(base.vertices)
    mesh = replace(
        base,
        colors=np.full((count, 3), 0.5, np.float32),
        roughness=np.full((count, 1), 0.25, np.float32),
        metallic=np.full((count, 1), 1.0, np.float32),
        material=Material(base_color=(0.4, 0.8, 1.0), perceptual_roughness=0.9, metallic=0.0),
    )
    viewport.set_scene(Scene(meshes=[mesh]))
    got = viewport.gbuffer(camera())
    center = (H // 2, W // 2)
    assert np.allclose(got["albedo"][center], (0.2, 0.4, 0.5), atol=1e-6)
    assert got["perceptual_roughness"][center][0] == pytest.approx(0.25)
    assert got["metallic"][center][0] == pytest.approx(1.0)


def test_textures_are_bilinear_with_texel_centres_and_wrap(viewport):
    texture = np.array([[[1, 0, 0], [0, 1, 0]], [[0, 0, 1], [1, 1, 1]]], np.float32)  # row 0 at the bottom
    quad = Mesh(
        np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32),
        np.array([[0, 1, 2], [0, 2, 3]], np.int32),
        uvs=np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32),
        material=Material(base_color=(1, 1, 1), base_color_texture=texture),
    )
    size = 64  # looking straight on, the quad fills the picture exactly
    cam = Camera(size, size, size, size, size / 2, size / 2, look_at(np.array([0, 0, 2.0]), np.zeros(3)))
    viewport.set_scene(Scene(meshes=[quad]))
    albedo = viewport.gbuffer(cam)["albedo"]
    uv = (np.arange(size) + 0.5) / size
    weight = np.abs((uv * 2 - 0.5) % 2 - 1)  # share of the first texel, wrapping
    expected = weight[None, :, None] * (
        weight[:, None, None] * texture[0, 0] + (1 - weight[:, None, None]) * texture[1, 0]
    ) + (1 - weight[None, :, None]) * (
        weight[:, None, None] * texture[0, 1] + (1 - weight[:, None, None]) * texture[1, 1]
    )
    # 1/256: the sub-texel precision that hardware filters guarantee.
    assert np.abs(albedo - expected).max() < 1 / 256 + 1e-3


# Refinement and the dirty flag


def test_a_still_picture_settles_and_is_not_drawn_again(viewport):
    viewport.set_scene(Scene(meshes=[icosphere(3)]))
    cam, options = camera(), replace(PLAIN, samples=4)
    for expected in (1, 2, 3, 4, 4, 4):
        viewport.render(cam, options)
        assert viewport.frames_drawn == expected
    assert viewport.settled
    same = camera()  # another object, the same numbers
    viewport.render(same, options)
    assert viewport.frames_drawn == 4


def test_what_changes_the_picture_draws_it_again(viewport):
    mesh = icosphere(3)
    viewport.set_scene(Scene(meshes=[mesh]))
    options = replace(PLAIN, samples=2)
    settle(viewport, camera(), options)
    for change in (
        lambda: viewport.update_mesh(0, mesh.with_vertices(mesh.vertices * 0.9)),
        lambda: viewport.set_lighting(Lighting(lights=[Light(intensity=2.0)])),
        lambda: viewport.set_background((0.1, 0.2, 0.3)),
        lambda: viewport.set_scene(Scene(meshes=[mesh])),
    ):
        before = viewport.frames_drawn
        change()
        viewport.render(camera(), options)
        assert viewport.frames_drawn == before + 1
        assert not viewport.settled
        settle(viewport, camera(), options)
    before = viewport.frames_drawn
    viewport.set_lighting(Lighting(lights=[Light()]))
    viewport.render(camera(eye=(1, 1, 3)), options)
    assert viewport.frames_drawn == before + 1


def test_display_options_do_not_draw_geometry_again(viewport):
    cam = camera()
    viewport.set_scene(Scene(meshes=[icosphere(3)]))
    viewport.set_photos(photo_set([cam]))
    options = replace(PLAIN, samples=2, mode="wipe", photo=0)
    a = settle(viewport, cam, replace(options, wipe=0.3))
    before = viewport.frames_drawn
    b = settle(viewport, cam, replace(options, wipe=0.7))
    assert viewport.frames_drawn == before
    assert np.abs(a - b).max() > 20


def test_accumulation_smooths_edges(viewport):
    """One frame has two values on a silhouette, the mean of eight has many."""
    viewport.set_scene(
        Scene(meshes=[triangle([(-1, -0.7, 0), (1, -0.5, 0), (0.1, 0.9, 0)])], background=(0, 0, 0))
    )
    options = replace(PLAIN, background="scene", samples=1)
    single = settle(viewport, camera(), options)
    mean = settle(viewport, camera(), replace(options, samples=8))
    assert not ((single > 5) & (single < 250)).any()
    assert ((mean > 5) & (mean < 250)).sum() > 150
    reference = viewport.render_offline(camera(), samples=64)[..., 0]
    edge = (reference > 0.02) & (reference < 0.98)
    # Eight samples know coverage to about 1/16 in the mean; one sample is off by a quarter.
    assert np.abs(viewport.read_image()[..., 0] - reference)[edge].mean() < 0.08


def test_moving_resolution(viewport):
    viewport.set_scene(Scene(meshes=[icosphere(3)]))
    texture = viewport.render(camera(), replace(PLAIN, resolution_scale=0.5))
    assert texture.size == (W // 2, H // 2)
    texture = viewport.render(camera(), PLAIN)
    assert texture.size == (W, H)


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
    for mode in ("target", "wipe", "split", "difference", "flicker"):
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


# Channels


@pytest.mark.parametrize(
    "aov", ["albedo", "normal", "depth", "position", "roughness", "metallic", "uv", "id"]
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
    else:
        assert np.abs(at - other).max() > 30


# Reading back


def test_pixel_and_pick_count_from_the_upper_left(viewport):
    low = triangle([(-0.9, -0.8, 0), (-0.3, -0.8, 0), (-0.6, -0.3, 0)], (0.5, 0.25, 1.0))
    high = triangle([(0.3, 0.3, 0), (0.9, 0.3, 0), (0.6, 0.8, 0)])
    viewport.set_scene(Scene(meshes=[low, high]))
    cam = camera(eye=(0, 0, 3))
    for scale in (1.0, 0.5):
        viewport.render(cam, replace(PLAIN, resolution_scale=scale))
        for index, center in ((0, (-0.6, -0.63, 0)), (1, (0.6, 0.47, 0))):
            clip = cam.world_to_clip @ np.array([*center, 1.0])
            x, y = (clip[:2] / clip[3] + 1) / 2 * (W, H)
            info = viewport.pixel(x, H - y)
            assert info is not None
            assert info.part == index
            assert viewport.pick(x, H - y) == index
            assert info.triangle is None
            assert info.position == pytest.approx(center, abs=0.06 / scale)
            assert abs(info.normal[2]) == pytest.approx(1, abs=1e-5)
            assert info.depth == pytest.approx(3, abs=1e-4)
        assert viewport.pixel(2, 2) is None
        assert viewport.pick(-5, 1e4) is None
    info = viewport.pixel(*_screen(cam, (-0.6, -0.63, 0)), triangle=True)
    assert info.triangle == 0
    assert info.part == 0
    assert info.albedo == pytest.approx((0.5, 0.25, 1.0))


def test_the_triangle_under_a_pixel(viewport):
    mesh = icosphere(3, radius=0.7)
    viewport.set_scene(Scene(meshes=[mesh]))
    cam = camera()
    viewport.render(cam, replace(PLAIN, samples=1))
    for x, y in ((48, 32), (40, 20), (60, 41)):
        info = viewport.pixel(x, y, triangle=True)
        corners = mesh.vertices[mesh.faces[info.triangle]]
        normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        normal /= np.linalg.norm(normal)
        assert abs((info.position - corners[0]) @ normal) < 1e-4
        assert np.linalg.norm(corners.mean(axis=0) - info.position) < 0.15
        assert info.position == pytest.approx(viewport.pixel(x, y).position, abs=1e-4)


def _screen(cam: Camera, point) -> tuple[float, float]:
    clip = cam.world_to_clip @ np.array([*point, 1.0])
    x, y = (clip[:2] / clip[3] + 1) / 2 * (cam.width, cam.height)
    return x, cam.height - y


def test_offline_backgrounds(viewport):
    viewport.set_scene(Scene(meshes=[icosphere(3, radius=0.5)], background=(0.2, 0.4, 0.8)))
    over = viewport.render_offline(camera(), samples=8)
    assert np.allclose(over[0, 0, :3], (0.2, 0.4, 0.8), atol=1e-5)
    assert over[0, 0, 3] == 0
    clear = viewport.render_offline(camera(), samples=8, transparent=True)
    edge = (clear[..., 3] > 0.2) & (clear[..., 3] < 0.8)
    assert edge.any()
    assert np.allclose(clear[edge][:, :3], 0.8, atol=1e-3)  # the material's grey, not darkened
    composed = clear[..., :3] * clear[..., 3:] + np.float32((0.2, 0.4, 0.8)) * (1 - clear[..., 3:])
    assert np.allclose(composed, over[..., :3], atol=1e-4)


def test_read_image_is_linear(viewport):
    viewport.set_scene(Scene(meshes=[triangle([(-9, -9, 0), (9, -9, 0), (0, 9, 0)], (0.2, 0.2, 0.2))]))
    with pytest.raises(InputError):
        viewport.read_image()
    settle(viewport, camera(), replace(PLAIN, samples=1))
    assert viewport.read_image()[H // 2, W // 2, :3] == pytest.approx([0.2] * 3, abs=0.005)  # 8 bits


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


# Updates and leaks


def test_a_snapshot_is_written_in_place(viewport):
    mesh = icosphere(4)
    viewport.set_scene(Scene(meshes=[mesh]))
    settle(viewport, camera(), PLAIN)
    objects = viewport.resources.count
    part = viewport.meshes.parts[0]
    half = mesh.with_vertices(mesh.vertices * 0.5)
    viewport.update_mesh(0, half)
    assert viewport.meshes.parts[0] is part
    assert viewport.resources.count == objects
    covered = viewport.gbuffer(camera())["covered"].sum()
    viewport.set_scene(Scene(meshes=[half]))
    assert viewport.gbuffer(camera())["covered"].sum() == covered
    finer = icosphere(5)
    viewport.update_mesh(0, finer)
    assert viewport.meshes.parts[0] is not part
    with pytest.raises(InputError, match="no mesh 7"):
        viewport.update_mesh(7, finer)


def test_nothing_leaks_over_sizes_scenes_and_photos(viewport):
    texture = np.random.default_rng(0).uniform(size=(8, 8, 3)).astype(np.float32)
    mesh = replace(
        icosphere(1), uvs=icosphere(1).vertices[:, :2].copy(), material=Material(base_color_texture=texture)
    )
    cams = [camera(24, 16), camera(24, 16, eye=(2, 1, 2))]

    def round_trip(index: int) -> None:
        size = 16 + index % 50
        viewport.set_scene(Scene(meshes=[mesh, cube(0.3)]))
        viewport.set_photos(photo_set(cams))
        viewport.update_mesh(1, icosphere(index % 2))
        cam = camera(size, size + index % 7)
        viewport.render(cam, ViewOptions(photo=index % 2, mode="wipe", samples=2))
        viewport.render(cam, ViewOptions(photo=index % 2, samples=2, resolution_scale=0.5))
        if index % 50 == 0:
            viewport.render_offline(cam, samples=1)
            viewport.gbuffer(cam)
            viewport.mean_error()

    for index in range(4):
        round_trip(index)
    baseline = viewport.resources.count
    for index in range(300):
        round_trip(index)
    round_trip(3)
    assert viewport.resources.count == baseline


def test_effects_run_and_unknown_ones_are_named(viewport):
    from studio.core.effects import registry
    from studio.core.params import ParamSet

    viewport.set_scene(Scene(meshes=[icosphere(3, radius=0.5)], background=(0.25, 0.25, 0.25)))
    albedo = viewport.render_offline(camera(), samples=1)
    effects = {e.name: ParamSet(e.name, e.params) for e in registry().values() if e.enabled}
    viewport.set_effects(effects)
    shaded = viewport.render_offline(camera(), samples=1)
    covered = shaded[..., 3] > 0
    assert np.ptp(shaded[covered][:, 0]) > 0.1  # lit from one side
    assert np.ptp(albedo[covered][:, 0]) < 1e-6
    assert np.isfinite(shaded).all()
    with pytest.raises(InputError, match="glitter"):
        viewport.set_effects({"glitter": ParamSet("glitter", ())})
    drawn = viewport.frames_drawn
    settle(viewport, camera(), replace(PARITY, samples=1))
    viewport.set_effects(effects)  # the same values: nothing to draw
    settle(viewport, camera(), replace(PARITY, samples=1))
    assert viewport.frames_drawn == drawn + 1
