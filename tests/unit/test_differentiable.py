"""The differentiable renderer's live picture: the same as rendered from files, and cheap to follow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from studio.core.effects import get
from studio.core.params import ParamSet
from studio.core.pipeline import render_image
from studio.core.scene import Camera, Scene, look_at
from studio.core.scene.shapes import icosphere
from studio.core.tensors import SceneTensors
from studio.ui.differentiable import FAST, LEAST, SLOW, Differentiable
from studio.ui.document import EffectSet


def pbr() -> EffectSet:
    effect = get("pbr")
    return EffectSet({"pbr": ParamSet(effect.name, effect.params)}, {"pbr": True})


def scene(factor: float = 1.0) -> Scene:
    ball = icosphere(2, 0.6)
    ball.vertices = (ball.vertices * np.float32(factor)).astype(np.float32)
    ball.normals = None
    ball.colors = (0.5 + 0.5 * ball.vertices).astype(np.float32)
    ball.roughness = np.full((len(ball.vertices), 1), 0.5, np.float32)
    ball.metallic = np.zeros((len(ball.vertices), 1), np.float32)
    return Scene(meshes=[ball])


def view(turn: float = 0.0) -> Camera:
    pose = look_at(np.array([3 * np.sin(turn), 0.5, 3 * np.cos(turn)]), np.zeros(3))
    return Camera(48, 32, 48, 48, 24, 16, pose, near=0.5, far=10)


@pytest.fixture
def made(monkeypatch):
    """Scenes that tensors were made of."""
    found: list[Scene] = []
    make = SceneTensors.from_scene

    def noted(scene: Scene, device: object) -> SceneTensors:
        found.append(scene)
        return make(scene, device)

    monkeypatch.setattr(SceneTensors, "from_scene", noted)
    return found


def expected(scene: Scene, camera: Camera) -> np.ndarray:
    return render_image(scene, camera, pbr().on())


def check(drawn, scene: Scene, camera: Camera) -> None:
    wanted = expected(replace(scene, background=(0.0, 0.0, 0.0)), camera)
    image = drawn.image.numpy()
    assert np.abs(image[..., :3] * image[..., 3:] - wanted[..., :3]).max() < 1e-4
    assert np.abs(image[..., 3] - wanted[..., 3]).max() < 1e-6


def test_a_moving_camera_makes_no_new_tensors(made):
    drawing, ball = Differentiable(), scene()
    for turn in (0.0, 0.4, 0.8):
        drawn = drawing.draw("a", ball, view(turn), pbr(), "cpu")
        check(drawn, ball, view(turn))
    assert len([s for s in made if s is ball]) == 1
    photo = drawn.photo()
    assert photo.image.shape == (32, 48, 3)
    assert photo.mask is not None
    assert 0 < photo.mask.mean() < 1


def test_moved_vertices_make_no_new_tensors(made):
    """Snapshots of a fit: the same triangles, other values."""
    drawing = Differentiable()
    drawing.draw("a", scene(), view(), pbr(), "cpu")
    before = len(made)
    drawn = drawing.draw("b", scene(0.8), view(), pbr(), "cpu")
    assert len(made) == before
    check(drawn, scene(0.8), view())


def test_other_triangles_do(made):
    drawing = Differentiable()
    drawing.draw("a", scene(), view(), pbr(), "cpu")
    finer = scene()
    finer.meshes[0] = icosphere(3, 0.6)
    before = len(made)
    drawn = drawing.draw("b", finer, view(), pbr(), "cpu")
    assert len(made) == before + 1
    check(drawn, finer, view())


def test_a_gpu_is_asked_how_long_it_took_once_it_is_through(monkeypatch):
    """Giving work out takes no time there, whatever the work takes."""

    class Watch:
        ready, seconds = False, 2 * SLOW

        def __init__(self, device) -> None:
            watches.append(self)

        def stop(self) -> None:
            pass

    watches: list[Watch] = []
    monkeypatch.setattr("studio.core.arrival.Stopwatch", Watch)
    drawing, ball = Differentiable(), scene()
    sizes = []
    for done in (False, False, True, False):
        if done:
            watches[0].ready = True
        sizes.append(drawing.draw_live("a", ball, view(), pbr(), "cpu").camera.width)
    assert sizes == [48, 48, 48, round(0.7 * 48)]


def test_pictures_that_are_slow_get_smaller(monkeypatch):
    drawing, ball = Differentiable(), scene()
    clock = iter(np.arange(0.0, 1e3, 1.0))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    sizes = [drawing.draw_live("a", ball, view(), pbr(), "cpu").camera.width for _ in range(8)]
    assert sizes[0] == 48
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == round(48 * LEAST)
    clock = iter(np.arange(0.0, 1.0, FAST / 100))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    sizes = [drawing.draw_live("a", ball, view(), pbr(), "cpu").camera.width for _ in range(8)]
    assert sizes[-1] == 48
