"""The path-traced reference shows the same scene from the same place under the same light."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from studio.core.errors import Cancelled, InputError, WorkError
from studio.core.params import ParamSet
from studio.core.pipeline import render_image
from studio.core.scene import Camera, Light, Lighting, Material, Mesh, Scene, look_at
from studio.core.scene.environment import equirect_directions
from studio.core.scene.light import ambient_sh
from studio.core.scene.shapes import icosphere, torus
from studio.reference import load_mitsuba, render_reference
from tests.needs import need

SIZE = 40


def _scene(lighting: Lighting, roughness: float = 1.0, metallic: float = 0.0) -> Scene:
    """A ball, so that nothing throws a shadow on anything."""
    ball = icosphere(4)
    ball.material = Material(base_color=(0.7, 0.5, 0.3), perceptual_roughness=roughness, metallic=metallic)
    pose = look_at(np.array((0.4, 0.7, 4.0)), np.zeros(3))
    camera = Camera(SIZE, SIZE, 1.4 * SIZE, 1.4 * SIZE, 0.42 * SIZE, 0.56 * SIZE, pose, near=0.5, far=12.0)
    return Scene([ball], lighting, (0.1, 0.2, 0.3), cameras=[camera])


def _both(scene: Scene, samples: int = 64) -> tuple[np.ndarray, np.ndarray]:
    from studio.core.effects import get

    camera = scene.cameras[0]
    effects = {"pbr": ParamSet("pbr", get("pbr").params)}
    ours = render_image(scene, camera, effects, torch.device("cpu"))
    return ours, render_reference(scene, camera, samples, bounces=1)


def _lobe() -> np.ndarray:
    """[25, 3] bright above, to the right and before; all that depends on x is in the fourth row."""
    sh = ambient_sh((0.5, 0.45, 0.4))
    sh[1:4] = [[0.2], [0.1], [0.35]]
    return sh


LIGHTINGS = {
    "directional": Lighting([Light(direction=(0.4, 0.6, 0.9), intensity=0.9)], sh=ambient_sh((0, 0, 0))),
    "point": Lighting(
        [Light(kind="point", position=(1.0, 2.0, 2.5), color=(1, 0.8, 0.6), intensity=6.0, size=0)],
        sh=ambient_sh((0, 0, 0)),
    ),
    "lamp": Lighting(
        [Light(kind="point", position=(1.0, 2.0, 2.5), intensity=6.0, size=0.02)], sh=ambient_sh((0, 0, 0))
    ),
    "environment": Lighting([], sh=_lobe()),
    "on the camera": Lighting(
        [Light(direction=(0.7, 0.2, 0.6), intensity=0.9)], sh=_lobe(), fixed_to="camera"
    ),
}


@pytest.mark.parametrize("name", list(LIGHTINGS))
def test_reference_agrees_on_a_rough_ball(name: str) -> None:
    need("mitsuba")
    ours, reference = _both(_scene(LIGHTINGS[name]))
    assert np.abs(ours[..., 3] - reference[..., 3]).mean() < 0.008
    covered = (ours[..., 3] > 0.99) & (reference[..., 3] > 0.99)
    # Disney's diffuse lobe is brighter towards the rim of rough surfaces, ours is Lambert's.
    error = np.abs(ours - reference)[covered][:, :3]
    assert error.mean() < 0.06 * reference[covered][:, :3].max()
    # Light from the other side would give another picture.
    other = Lighting(
        [replace(light, direction=_opposite(light.direction)) for light in LIGHTINGS[name].lights],
        LIGHTINGS[name].sh * np.where(np.arange(25) == 3, -1, 1)[:, None].astype(np.float32),
        LIGHTINGS[name].fixed_to,
    )
    for light in other.lights:
        light.position = _opposite(light.position)
    turned, _ = _both(_scene(other), 1)
    assert np.abs(turned - reference)[covered][:, :3].mean() > 2 * error.mean()


def _opposite(v: tuple[float, float, float]) -> tuple[float, float, float]:
    """Mirrored left to right."""
    return (-v[0], v[1], v[2])


def _irradiance(light: Light) -> float:
    """What the reference says of light that falls on a white floor below the lamp."""
    floor = Mesh(
        np.array([(-9, 0, 9), (9, 0, 9), (9, 0, -9), (-9, 0, -9)], np.float32),
        np.array([(0, 1, 2), (0, 2, 3)], np.int32),
        material=Material(base_color=(1, 1, 1), perceptual_roughness=1.0),
    )
    pose = look_at(np.array((0.0, 5.0, 0.0)), np.zeros(3), up=(0, 0, -1))
    camera = Camera(8, 8, 160, 160, 4, 4, pose, near=0.1, far=20.0)
    scene = Scene([floor], Lighting([light], sh=ambient_sh((0, 0, 0))))
    return float(render_reference(scene, camera, 256, bounces=1)[..., :3].mean())


def test_every_kind_of_light_is_as_strong_as_ours_says() -> None:
    need("mitsuba")
    down = {"direction": (0.0, 1.0, 0.0), "position": (0.0, 2.0, 0.0)}
    sun = _irradiance(Light(intensity=1.0, direction=(0.0, 1.0, 0.0)))
    assert sun == pytest.approx(1.0, rel=0.12)  # Disney's lobe instead of Lambert's
    for light in (
        Light(kind="point", intensity=4.0, size=0.0, **down),
        Light(kind="point", intensity=4.0, size=0.05, **down),
        Light(kind="spot", intensity=4.0, size=0.0, **down),
        # Far smaller than its distance: area / distance^2 of its radiance, over pi.
        Light(kind="area", intensity=4 * np.pi / 0.01, width=0.1, height=0.1, **down),
    ):
        assert _irradiance(light) == pytest.approx(sun, rel=0.03), light.kind
    turned = down | {"direction": (0.0, -1.0, 0.0)}
    assert _irradiance(Light(kind="area", intensity=100.0, **turned)) == 0.0


def test_environment_map_is_seen_where_ours_has_it() -> None:
    need("mitsuba")
    image = np.zeros((16, 32, 3), np.float32)
    image[9:13, 22:26] = 5.0  # above the horizon, to the right of -Z
    towards = equirect_directions(16, 32)[9:13, 22:26].mean((0, 1))
    scene = _scene(Lighting([]).with_environment(image), roughness=1.0)
    pose = look_at(4 * towards / np.linalg.norm(towards), np.zeros(3))
    facing = scene.cameras[0].moved(pose)
    away = scene.cameras[0].moved(look_at(-4 * towards / np.linalg.norm(towards), np.zeros(3)))
    bright, dark = (render_reference(scene, c, 16, bounces=1)[..., 0].mean() for c in (facing, away))
    assert bright > 1.5 * dark


def test_reference_agrees_on_a_metal() -> None:
    need("mitsuba")
    ours, reference = _both(_scene(LIGHTINGS["directional"], roughness=0.5, metallic=1.0))
    covered = (ours[..., 3] > 0.99) & (reference[..., 3] > 0.99)
    assert np.abs(ours - reference)[covered][:, :3].mean() < 0.03 * reference[covered][:, :3].max()


def test_more_bounces_bring_more_light_into_a_ring() -> None:
    need("mitsuba")
    scene = _scene(Lighting([], sh=ambient_sh((0.8, 0.8, 0.8))))
    scene.meshes = [torus(0.7, 0.4, 24)]
    direct, bounced = (render_reference(scene, scene.cameras[0], 32, bounces=n) for n in (1, 6))
    assert (bounced - direct)[..., :3].max() > 0.02


def test_same_seed_same_picture_and_it_can_be_stopped() -> None:
    need("mitsuba")
    scene = _scene(LIGHTINGS["point"])
    camera = scene.cameras[0]
    one, two, other = (render_reference(scene, camera, 4, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
    seen: list[np.ndarray] = []
    whole = render_reference(scene, camera, 40, partly=seen.append)
    assert len(seen) == 2
    assert np.abs(seen[1] - whole).mean() < np.abs(seen[0] - whole).mean()

    def stop(fraction: float, note: str) -> None:
        raise Cancelled(f"at {fraction:.2f}: {note}")

    with pytest.raises(Cancelled, match=r"at 0\.25: Path tracing: 16/64"):
        render_reference(scene, camera, 64, progress=stop)
    cut = render_reference(scene, camera, 4, seed=3, transparent=True)
    assert cut[0, 0].max() == 0
    assert one[0, 0, :3] == pytest.approx(scene.background)
    sky = np.random.default_rng(0).random((SIZE, SIZE, 3)).astype(np.float32)
    over = render_reference(scene, camera, 4, seed=3, background=sky)
    assert over[0, 0, :3] == pytest.approx(sky[0, 0])
    np.testing.assert_allclose(over[..., :3] - cut[..., :3], (1 - cut[..., 3:]) * sky, atol=1e-5)


def test_pixels_must_be_square() -> None:
    scene = _scene(LIGHTINGS["point"])
    camera = Camera(SIZE, SIZE, 50, 55, SIZE / 2, SIZE / 2, np.eye(4))
    with pytest.raises(InputError, match="focal lengths 50 and 55, expected equal ones"):
        render_reference(scene, camera)


def test_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mitsuba", None)
    with pytest.raises(WorkError, match="pip install"):
        load_mitsuba()


def test_a_mesh_that_shines_takes_the_place_of_its_light() -> None:
    need("mitsuba")
    lamp = icosphere(2, 0.1)
    lamp.vertices = lamp.vertices + np.float32((0, 2, 0))
    lamp.material = Material(emissive=(30.0, 30.0, 30.0))
    scene = _scene(
        Lighting([Light(kind="point", position=(0, 2, 0), intensity=9.0)], sh=ambient_sh((0, 0, 0)))
    )
    camera = scene.cameras[0]
    scene.meshes.append(lamp)
    both = render_reference(scene, camera, 32)
    scene.lighting = Lighting([], sh=ambient_sh((0, 0, 0)))
    alone = render_reference(scene, camera, 32)
    assert np.array_equal(both, alone)
    scene.meshes = [lamp]
    pose = look_at(np.array((0.0, 2.0, 1.5)), np.array((0.0, 2.0, 0.0)))
    seen = render_reference(scene, Camera(16, 16, 32, 32, 8, 8, pose), 4)
    assert seen[8, 8, 0] == pytest.approx(30.0, rel=0.01)  # lit by itself, and to be seen


def test_textures_stand_upright() -> None:
    need("mitsuba")
    scene = _scene(Lighting([], ambient_sh((1.0, 1.0, 1.0))))
    ball = scene.meshes[0]
    ball.uvs = np.stack([np.full(len(ball.vertices), 0.5), 0.5 + 0.5 * ball.vertices[:, 1]], axis=1).astype(
        "f4"
    )
    image = np.zeros((8, 2, 3), np.float32)
    image[4:, :, 2] = image[:4, :, 0] = 0.8  # red below, blue above
    ball.material = Material(base_color=(1.0, 1.0, 1.0), perceptual_roughness=1.0, base_color_texture=image)
    for picture in _both(scene, 16):
        column = picture[:, int(0.42 * SIZE)]
        covered = column[column[:, 3] > 0.99]
        assert covered[2, 0] > 3 * covered[2, 2]
        assert covered[-3, 2] > 3 * covered[-3, 0]
