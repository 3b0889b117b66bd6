"""Volumes and points: the picture of the viewport beside those of `march` and `splat`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from studio.core.color import linear_to_srgb, srgb_to_linear
from studio.core.gbuffer import CameraBatch
from studio.core.looks import looks
from studio.core.ops import Grid, camera_rays, march, pinholes, project_gaussians
from studio.core.ops import splat as lay_over
from studio.core.ops.grid import harmonics
from studio.core.scene import Camera, Points, Scene, Volume
from studio.core.scene.camera import framing_camera
from studio.core.scene.shapes import icosphere
from tests.needs import need
from tests.unit.gl_common import PLAIN, screen, settle

WIDTH, HEIGHT = 96, 80
MEAN, MAX = 1e-4, 4e-3
"""Measured: mean 5e-6, max 8e-4 for volumes, whose colours the viewport keeps in half floats and whose
last sample may lie on either side of the box; 6e-8 and 2e-5 for points."""


@pytest.fixture(scope="module")
def viewport() -> Iterator[Any]:
    need("gl")
    from studio.gl.context import headless_context
    from studio.gl.viewport import Viewport

    with headless_context() as context:
        view = Viewport(context)
        view.set_effects({})
        yield view
        view.release()
        assert view.resources.count == 0


@pytest.fixture(autouse=True)
def plain(viewport: Any) -> None:
    viewport.set_looks(looks())


def cloudy(degree: int, size: tuple[int, int, int] = (21, 17, 26)) -> Volume:
    """A ball with noise in density and colour, of no symmetry, in a box off the origin."""
    random = np.random.default_rng(degree)
    place = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in size], indexing="ij"), axis=-1)
    density = np.where(np.linalg.norm(place, axis=-1) < 0.8, 8.0, -8.0) + random.normal(size=size)
    colors = random.normal(size=(*size, (degree + 1) ** 2, 3))
    return Volume(density.astype(np.float32), colors.astype(np.float32), np.array([-0.5, -0.3, -0.6]), 0.05)


def gaussians(degree: int, count: int = 300) -> Points:
    random = np.random.default_rng(degree)
    return Points(
        (0.3 * random.normal(size=(count, 3))).astype(np.float32),
        np.log(random.uniform(0.01, 0.1, (count, 3))).astype(np.float32),
        random.normal(size=(count, 4)).astype(np.float32),
        (2 * random.normal(size=count)).astype(np.float32),
        (0.5 * random.normal(size=(count, (degree + 1) ** 2, 3))).astype(np.float32),
    )


def marched(volume: Volume, camera: Camera, **more: Any) -> np.ndarray:
    """[H, W, 4] linear premultiplied, alpha."""
    origins, directions = (t.reshape(-1, 3) for t in camera_rays(camera))
    color, alpha, _ = march(Grid.of(volume), origins, directions, least_transmittance=1e-3, **more)
    image = torch.cat([color, alpha[:, None]], dim=1).numpy()
    return np.asarray(image.reshape(camera.height, camera.width, 4))


def drawn(viewport: Any, scene: Scene, camera: Camera) -> np.ndarray:
    """[H, W, 4] linear premultiplied, alpha."""
    viewport.set_scene(scene)
    image: np.ndarray = viewport.render_offline(camera, samples=1, transparent=True)
    image[..., :3] *= image[..., 3:]
    return image


def assert_same(actual: np.ndarray, expected: np.ndarray) -> None:
    assert expected.max() > 0.3  # the comparison is about something
    assert np.abs(actual - expected).mean() <= MEAN
    assert np.abs(actual - expected).max() <= MAX


@pytest.mark.parametrize("degree", [0, 1])
def test_a_volume_is_what_march_sees(viewport: Any, degree: int) -> None:
    volume = cloudy(degree)
    camera = framing_camera(volume.bounds(), WIDTH, HEIGHT, 30, 20)
    assert_same(drawn(viewport, Scene(volume=volume), camera), marched(volume, camera))


def test_from_inside_and_with_other_steps(viewport: Any) -> None:
    volume = cloudy(1)
    camera = framing_camera(volume.bounds(), WIDTH, HEIGHT, 200, -10, 0.5)
    viewport.set_looks(looks({"volume": {"step": 0.2}}))
    assert_same(drawn(viewport, Scene(volume=volume), camera), marched(volume, camera, step=0.2 * 0.05))


def test_the_density_scale_multiplies_extinction(viewport: Any) -> None:
    volume = cloudy(0)
    camera = framing_camera(volume.bounds(), WIDTH, HEIGHT, 100, 40)
    viewport.set_looks(looks({"volume": {"density_scale": 0.25}}))
    thinner = replace(volume, base_voxel=4 * volume.unit)
    assert_same(drawn(viewport, Scene(volume=volume), camera), marched(thinner, camera))


def test_empty_space_is_leapt_over_without_a_trace(viewport: Any) -> None:
    """Small blobs far apart, with emptiness around that is worth leaping over."""
    volume = cloudy(0, (60, 40, 50))
    far = np.ones(volume.shape, bool)
    for corner in ((8, 8, 8), (50, 30, 40), (30, 8, 44)):
        far[tuple(slice(c - 3, c + 3) for c in corner)] = False
    volume.density[far] = -10.0
    volume.density[~far] = 9.0
    camera = framing_camera(volume.bounds(), WIDTH, HEIGHT, 35, 15)
    assert_same(drawn(viewport, Scene(volume=volume), camera), marched(volume, camera))


def test_a_mesh_ends_the_rays(viewport: Any) -> None:
    """In front of the ball the volume is seen against it; behind it nothing is."""
    volume = cloudy(0)
    volume.density -= 6.0
    ball = icosphere(3, 0.25)
    camera = framing_camera(volume.bounds(), WIDTH, HEIGHT, 30, 20)
    alone = drawn(viewport, Scene(volume=volume), camera)
    both = drawn(viewport, Scene(meshes=[ball], volume=volume), camera)
    depth = viewport.channels(camera, ["depth"])["depth"][..., 0]
    hit = drawn(viewport, Scene(meshes=[ball]), camera)[..., 3] > 0.5
    assert hit.sum() > 300
    np.testing.assert_allclose(both[~hit], alone[~hit], atol=1e-5)
    assert both[hit][:, 3].min() == pytest.approx(1.0, abs=1e-6)
    assert np.abs(both[hit] - alone[hit]).max() > 0.1
    assert depth[hit].min() > 0


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_points_are_what_splat_lays_over(viewport: Any, degree: int) -> None:
    points = gaussians(degree)
    camera = framing_camera(points.bounds(), WIDTH, HEIGHT, 30, 20)
    behind = (0.2, 0.3, 0.4)
    viewport.set_scene(Scene(points=points, background=behind))
    actual = viewport.render_offline(camera, samples=1)
    color, alpha = splatted(points, camera, linear_to_srgb(np.array(behind, np.float32)))
    assert_same(np.clip(actual[..., :3], 0, 1), srgb_to_linear(np.clip(color, 0, 1)))
    assert_same(actual[..., 3], alpha)


def splatted(points: Points, camera: Camera, behind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """([H, W, 3] display values over a background, [H, W] alpha) of the differentiable renderer."""
    size = (camera.height, camera.width)
    batch = CameraBatch.from_cameras([camera])
    views = pinholes(batch.world_to_view, batch.view_to_clip, size)
    arrays = (points.centers, points.log_sizes, points.turns, points.opacity_logits, points.colors)
    centers, sizes, turns, logits, colors = (torch.from_numpy(array) for array in arrays)
    eye = torch.tensor(camera.position, dtype=torch.float32)
    along = torch.nn.functional.normalize(centers - eye, dim=-1)
    shown = (0.5 + torch.einsum("pk,pkc->pc", harmonics(along, colors.shape[1]), colors)).clamp_min(0)
    ellipses = project_gaussians(centers, sizes, turns, torch.sigmoid(logits), shown, views, size)
    color, alpha, _ = lay_over(ellipses, size, torch.from_numpy(behind))
    return color[0].numpy(), alpha[0].numpy()


def test_points_behind_a_mesh_are_hidden(viewport: Any) -> None:
    points = gaussians(0)
    points.centers[:] *= 0.2
    shell = icosphere(3, 1.0)
    camera = framing_camera(shell.bounds(), WIDTH, HEIGHT, 30, 20)
    bare = drawn(viewport, Scene(meshes=[shell]), camera)
    np.testing.assert_array_equal(drawn(viewport, Scene(meshes=[shell], points=points), camera), bare)


def test_looks_of_points(viewport: Any) -> None:
    """Larger covers more, fewer covers less, and only the opaque ones remain of a cut."""
    points = gaussians(0)
    camera = framing_camera(points.bounds(), WIDTH, HEIGHT, 30, 20)

    def covered(**values: float) -> float:
        viewport.set_looks(looks({"points": values}))
        return float(drawn(viewport, Scene(points=points), camera)[..., 3].mean())

    whole = covered()
    assert covered(size_scale=2.0) > 1.2 * whole
    assert covered(share=0.3) < 0.9 * whole
    opacity = 1 / (1 + np.exp(-points.opacity_logits))
    kept = opacity >= 0.9
    names = ("centers", "log_sizes", "turns", "opacity_logits", "colors")
    fewer = Points(**{name: getattr(points, name)[kept] for name in names})
    cut = covered(opacity_cut=0.9)
    viewport.set_looks(looks())
    assert cut == pytest.approx(float(drawn(viewport, Scene(points=fewer), camera)[..., 3].mean()), rel=1e-5)


def test_a_slice_cuts_away_what_is_before_it(viewport: Any) -> None:
    """Seen along z: beyond the plane nothing has changed, the plane itself is where it was put."""
    volume = cloudy(0)
    camera = framing_camera(volume.bounds(), WIDTH, HEIGHT, 0, 0)
    viewport.set_looks(looks({"volume": {"slice": "z", "slice_position": 0.5}}))
    viewport.set_scene(Scene(volume=volume))
    middle = 0.5 * (volume.low[2] + volume.high[2])
    position = viewport.channels(camera, ["position"])["position"]
    depth = viewport.channels(camera, ["depth"])["depth"][..., 0]
    assert depth[HEIGHT // 2, WIDTH // 2] > 0
    assert position[HEIGHT // 2, WIDTH // 2, 2] == pytest.approx(middle, abs=1e-3)


def test_picking_knows_both(viewport: Any) -> None:
    """Part numbers after the meshes', positions on the surfaces, and nothing through emptiness."""
    volume, ball, points = cloudy(0), icosphere(2, 0.1), gaussians(0)
    volume.density += 4.0
    points.centers[:] = 0.05 * points.centers + np.array([0.0, 0.0, 0.8], np.float32)  # before the volume
    points.opacity_logits[:] = 6.0
    camera = framing_camera(volume.bounds(), WIDTH, HEIGHT, 0, 0)
    for scene, part in ((Scene([ball], volume=volume, points=points), 2), (Scene([ball], volume=volume), 1)):
        viewport.set_scene(scene)
        viewport.render(camera, replace(PLAIN, samples=1))
        assert viewport.pick(0, 0) is None
        found = viewport.pixel(*screen(camera, (0.0, 0.0, 0.5)))
        assert found is not None
        assert found.part == part
        assert found.position[2] > 0.3


def test_the_frames_of_a_still_picture_average(viewport: Any) -> None:
    """Several jittered frames over the studio's grey are the picture of one, smoother."""
    volume = cloudy(1)
    camera = framing_camera(volume.bounds(), WIDTH, HEIGHT, 30, 20)
    viewport.set_scene(Scene(volume=volume))
    one = settle(viewport, camera, replace(PLAIN, samples=1))
    many = settle(viewport, camera, replace(PLAIN, samples=8))
    assert np.abs(one - many).mean() < 4.0
    assert np.abs(one - many).max() > 4


def test_order_of_large_clouds_follows(viewport: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sorted behind the frame, the picture is the same in the end."""
    from studio.gl import splats

    points = gaussians(0)
    first, other = (framing_camera(points.bounds(), WIDTH, HEIGHT, angle, 20) for angle in (30, 210))
    options = replace(PLAIN, samples=1)
    viewport.set_scene(Scene(points=points))
    settle(viewport, first, options)
    expected = settle(viewport, other, options)
    monkeypatch.setattr(splats, "AT_ONCE", 10)
    viewport.set_scene(Scene(points=gaussians(0)))
    viewport.render(first, options)
    viewport.render(other, options)
    for _ in range(1000):
        if not viewport.radiance.waiting:
            break
        viewport.render(other, options)
    np.testing.assert_array_equal(settle(viewport, other, options), expected)
