"""The viewport on a headless context: geometry, refinement, reading back, updates, leaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from studio.core.errors import InputError, WorkError
from studio.core.scene import Camera, Light, Lighting, Material, Mesh, Scene, look_at
from studio.core.scene.shapes import cube, icosphere
from studio.gl.options import PARITY, ViewOptions
from tests.unit.gl_common import PLAIN, H, W, camera, context, photo_set, screen, settle, triangle, viewport

__all__ = ["context", "viewport"]  # fixtures


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


def test_only_closed_outward_surfaces_enclose():
    from studio.gl.meshes import encloses

    ball = icosphere(2)
    assert encloses(ball)
    assert not encloses(replace(ball, faces=ball.faces[:, ::-1].copy()))  # inside out
    assert not encloses(replace(ball, faces=ball.faces[:-1]))  # a hole
    flipped = ball.faces.copy()
    flipped[0] = flipped[0, ::-1]
    assert not encloses(replace(ball, faces=flipped))
    apart = replace(ball, vertices=ball.vertices[ball.faces].reshape(-1, 3))  # seams everywhere
    assert encloses(replace(apart, faces=np.arange(ball.faces.size, dtype=np.int32).reshape(-1, 3)))


def test_leaving_out_back_faces_changes_nothing(viewport):
    """Live frames cull closed parts, offline ones never do; open parts and insides are kept."""
    ball = icosphere(3, radius=0.6)
    bowl = replace(ball, faces=ball.faces[ball.vertices[ball.faces][..., 1].max(1) < 0.2])
    options = replace(PLAIN, samples=1, aov="normal", background="scene")
    for mesh, eye in ((ball, (0.4, 0.5, 3.0)), (bowl, (0.4, 2.0, 2.0)), (ball, (0.1, 0.0, 0.2))):
        viewport.set_scene(Scene(meshes=[mesh]))
        settle(viewport, camera(eye=eye), options)
        live = viewport.read_image()[..., :3]
        offline = viewport.render_offline(camera(eye=eye), samples=1, options=options)[..., :3]
        assert (offline.sum(-1) > 0).any()
        # 8 bits of sRGB; a back face at the very silhouette may own a pixel of its own.
        assert (np.abs(live - offline).max(-1) > 0.01).sum() <= 4


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
    info = viewport.pixel(*screen(cam, (-0.6, -0.63, 0)), triangle=True)
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


def test_large_pictures_are_drawn_in_tiles_without_seams(viewport, monkeypatch):
    from studio.gl import renderer as module

    viewport.set_scene(Scene(meshes=[icosphere(3)]))
    for channel in ("shaded", "depth"):
        options = replace(PARITY, aov=channel)
        whole = viewport.render_offline(camera(), samples=2, options=options)
        monkeypatch.setattr(module, "TILE", 40)
        tiled = viewport.render_offline(camera(), samples=2, options=options)
        monkeypatch.undo()
        # An edge through a pixel centre may round to the other side with another projection.
        assert (np.abs(whole - tiled).max(-1) > 1e-4).sum() <= 2


def test_images_beyond_the_texture_limit_are_thinned(viewport):
    limit = viewport.resources.limit
    image = np.zeros((1, 2 * limit + 1, 3), np.float32)
    assert viewport.resources.fitting(image).shape == (1, -(-(2 * limit + 1) // 3), 3)
    assert viewport.resources.fitting(image[:, :limit]).shape == (1, limit, 3)
    with pytest.raises(WorkError, match=f"{4 * limit}x1"):
        viewport.resources.texture((4 * limit, 1), 4, dtype="f4")


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


def test_a_shader_that_fails_leaves_opengl_as_it_was(viewport, tmp_path):
    import shutil

    from studio.core.effects import registry
    from studio.core.params import ParamSet
    from studio.gl.program import SHADERS, ProgramCache

    shutil.copytree(SHADERS, tmp_path / "shaders")
    effect = next(e for e in registry().values() if e.stage == "shade")
    (tmp_path / "shaders" / f"{effect.name}.frag").write_text("void main() { broken }\n")
    viewport.set_scene(Scene(meshes=[icosphere(2)]))
    good = settle(viewport, camera(), replace(PLAIN, samples=1))
    sound, broken = viewport.programs, ProgramCache(viewport.resources, tmp_path / "shaders")
    viewport.chain._programs = broken
    viewport.set_effects({effect.name: ParamSet(effect.name, effect.params)})
    with pytest.raises(WorkError, match=rf"{effect.name}\.frag:1"):
        viewport.render(camera(), PLAIN)
    broken.release()
    viewport.chain._programs = sound
    viewport.set_effects({})
    assert np.array_equal(settle(viewport, camera(), replace(PLAIN, samples=1)), good)


def test_the_outline_is_the_selected_parts_own(viewport):
    """A ball before a large one: nothing is traced where the small one hides the large one's middle."""
    small = icosphere(3, radius=0.2)
    small.vertices[:, 2] += 1.0
    viewport.set_scene(Scene(meshes=[icosphere(3, radius=0.6), small]))
    cam = camera()
    options = replace(PLAIN, samples=1, outline=True)
    viewport.set_selection(None)
    viewport.render(cam, options)
    before = viewport.read_image()
    viewport.set_selection(0)
    viewport.render(cam, options)
    traced = np.abs(viewport.read_image() - before).max(-1) > 0.05
    rows, columns = np.nonzero(traced)
    assert len(rows) > 50
    away = np.hypot(rows + 0.5 - cam.height / 2, columns + 0.5 - cam.width / 2)
    large = away[traced[rows, columns]]
    # The ring is the silhouette of the large ball: one radius, up to the width of the line.
    assert large.max() - large.min() < 6
