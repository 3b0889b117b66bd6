"""Exposure, white balance and poses of photos; gradients of cameras against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from studio.core.gbuffer import CameraBatch, LightTensors
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.settings import FitSettings
from studio.core.optim.views import ViewVariables, moved_cameras, refined
from studio.core.pipeline import default_effects, render
from studio.core.scene import Light, Lighting, Photo, PhotoSet, Similarity
from studio.core.scene.light import ambient_sh
from studio.core.scene.shapes import icosphere
from studio.core.tensors import SceneTensors
from tests.unit.optim_scenes import coloured_ball, photograph, ring

CENTER = torch.tensor([0.1, -0.2, 0.05])
MOVES = torch.tensor([[0.02, -0.03, 0.01, 0.02, 0.01, -0.03], [-0.01, 0.02, 0.03, -0.02, 0.03, 0.01]])


def test_means_are_held() -> None:
    views = ViewVariables.create(4, CENTER)
    with torch.no_grad():
        for tensor in (views.exposure, views.balance, views.pose):
            tensor += torch.rand_like(tensor)
    assert float(views.stops().detach().abs().sum()) > 0.1
    torch.testing.assert_close(views.stops().mean(dim=0), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(views.moves().mean(dim=0), torch.zeros(6), atol=1e-6, rtol=0)


def test_moved_cameras_see_the_object_moved() -> None:
    cameras = CameraBatch.from_cameras(ring(2, 32))
    moved = moved_cameras(cameras, MOVES, CENTER)
    point = torch.tensor([0.3, 0.4, -0.2])
    turn = torch.linalg.matrix_exp(torch.tensor([[0, -0.01, -0.03], [0.01, 0, -0.02], [0.03, 0.02, 0]]))
    there = turn @ (point - CENTER) + CENTER + MOVES[0, 3:]
    expected = cameras.world_to_view[0, :3, :3] @ there + cameras.world_to_view[0, :3, 3]
    found = moved.world_to_view[0, :3, :3] @ point + moved.world_to_view[0, :3, 3]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    eye = torch.cat([moved.position, torch.ones(2, 1)], dim=1)
    in_view = torch.einsum("nij,nj->ni", moved.world_to_view, eye)
    torch.testing.assert_close(in_view[:, :3], torch.zeros(2, 3), atol=1e-5, rtol=0)
    camera = refined(ring(2, 32)[0], MOVES[0].numpy(), CENTER.numpy())
    np.testing.assert_allclose(camera.world_to_view, moved.world_to_view[0].numpy(), atol=1e-5)


def shaded(moves: torch.Tensor, fixed_to: str, effects: tuple[str, ...]) -> torch.Tensor:
    """Sum of weighted colours inside the object's picture, where nothing is discontinuous."""
    ball = icosphere(4, 0.6)
    ball.material.perceptual_roughness = 0.4
    sh = ambient_sh((0.5, 0.6, 0.7))
    sh[2], sh[3], sh[6] = 0.3, -0.2, 0.1
    lamp = Light(direction=(0.5, 0.6, 0.5))
    lights = LightTensors.from_lighting(Lighting([lamp], sh, fixed_to))
    chosen = {n: p for n, p in _all_effects().items() if n in effects}
    cameras = moved_cameras(CameraBatch.from_cameras(ring(3, 96)[:2]), moves, CENTER)
    frame = render(SceneTensors.from_meshes([ball]), cameras, lights, effects=chosen)
    row = torch.linspace(-1, 1, 96)
    inside = ((row[:, None] ** 2 + row**2) < 0.2).float()
    weights = torch.sin(9 * row)[:, None] * torch.cos(7 * row) + 0.3
    return (frame["color"].double() * (inside * weights)[None, ..., None]).sum()


def _all_effects() -> dict:
    from studio.core.effects import get
    from studio.core.params import ParamSet

    sky = get("environment")
    return default_effects() | {
        "environment": ParamSet("environment", sky.params, {"show_background": False})
    }


@pytest.mark.parametrize("fixed_to", ["world", "camera"])
@pytest.mark.parametrize("effects", [("pbr",), ("environment", "pbr")], ids=["pbr", "environment"])
def test_poses_gradients(fixed_to, effects) -> None:
    moves = torch.zeros(2, 6, requires_grad=True)
    shaded(moves, fixed_to, effects).backward()
    step = 4e-3
    for view, axis in ((0, 0), (0, 1), (1, 2), (0, 3), (1, 4), (0, 5)):
        change = torch.zeros(2, 6)
        change[view, axis] = step
        with torch.no_grad():
            ends = [float(shaded(change * sign, fixed_to, effects)) for sign in (-1, 1)]
        expected = (ends[1] - ends[0]) / (2 * step)
        scale = float(moves.grad.abs().max())
        assert float(moves.grad[view, axis]) == pytest.approx(expected, rel=0.03, abs=0.02 * scale)


TINY = {
    **{"steps": 60, "resolution": 48, "stages": 1, "hull_resolution": 24, "edge_fine": 0.12},
    **{"shading": "unlit", "views_per_step": 4},
}


def test_white_balance_is_found() -> None:
    photos = photograph(coloured_ball(), count=12, size=48)
    tints = np.array([(1.2, 1.0, 1 / 1.2) if i % 2 else (1 / 1.2, 1.0, 1.2) for i in range(12)], np.float32)
    tinted = [
        Photo(p.name, np.clip(p.image * t, 0, 1), p.camera, p.mask) for p, t in zip(photos.photos, tints)
    ]
    settings = FitSettings(TINY | {"white_balance_enabled": True, "white_balance_rate": 0.05})
    fit = Fit(FitProblem(PhotoSet(tinted, Similarity(), object_radius=0.6)), settings, "cpu")
    fit.prepare()
    while fit.steps_done < fit.steps:
        fit.step()
    gains = torch.exp2(fit.variables.views.stops()).detach().numpy()
    between = gains[1::2].mean(axis=0) / gains[::2].mean(axis=0)
    np.testing.assert_allclose(between, (1.44, 1.0, 1 / 1.44), rtol=0.1)


def test_poses_come_back_and_are_exported(tmp_path) -> None:
    import json

    from studio.core.optim.fitrun import run_fit

    photos = photograph(coloured_ball(), count=12, size=64)
    moves = np.random.default_rng(0).normal(size=(12, 6)) * (*(0.01,) * 3, *(0.015,) * 3)
    moves -= moves.mean(axis=0)
    off = [
        Photo(p.name, p.image, refined(p.camera, m, np.zeros(3)), p.mask)
        for p, m in zip(photos.photos, moves)
    ]
    settings = FitSettings(
        TINY
        | {"steps": 80, "resolution": 64, "hull_misses": 2}
        | {"pose_enabled": True, "pose_from": 10, "pose_rate": 3e-3, "views_per_step": 6}
    )
    run_fit(PhotoSet(off, Similarity(), object_radius=0.6), settings, tmp_path, device="cpu")
    found = json.loads((tmp_path / "cameras.json").read_text())["frames"]

    def errors(poses: list[np.ndarray]) -> float:
        """Mean distance of camera positions from the truth once common motion is taken out."""
        true = np.stack([p.camera.position for p in photos.photos])
        now = np.stack([pose[:3, 3] for pose in poses])
        u, _, v = np.linalg.svd((now - now.mean(0)).T @ (true - true.mean(0)))
        aligned = (now - now.mean(0)) @ (u @ v) + true.mean(0)
        return float(np.linalg.norm(aligned - true, axis=1).mean())

    before = errors([p.camera.view_to_world for p in off])
    after = errors([np.array(frame["transform_matrix"]) for frame in found])
    assert after < before / 2
