"""Moving something that scatters: the picture's gradient, silhouettes included."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from studio.core.effects import get
from studio.core.gbuffer import CameraBatch, LightTensors
from studio.core.params import ParamSet
from studio.core.pipeline import render
from studio.core.scene import Camera, Light, Lighting, Material, Scene, look_at
from studio.core.scene.shapes import icosphere, torus
from studio.core.tensors import SceneTensors

SIZE = 64
WIDE = 0.04
"""Half the distance that finite differences span: about a pixel and a half."""


def ball_and_ring() -> Scene:
    ball = icosphere(3, 0.5)
    ball.material = Material(base_color=(0.9, 0.6, 0.5), subsurface=1.0)
    ring = torus(0.9, 0.12, 48)
    ring.material = Material(base_color=(0.8, 0.5, 0.4), subsurface=1.0)
    return Scene(meshes=[ball, ring], lighting=Lighting([Light(direction=(0.9, 0.2, 0.3))]))


@pytest.mark.parametrize("axis", [0, 1, pytest.param(2, marks=pytest.mark.slow)], ids=["x", "y", "z"])
def test_a_ball_in_front_of_a_ring(axis: int) -> None:
    """Mean derivative of 16 sub-pixel positions against wide differences: within 10 %."""
    scene = ball_and_ring()
    tensors = SceneTensors.from_scene(scene)
    lights = LightTensors.from_lighting(scene.lighting)
    pose = look_at(np.array((0, 0.8, 2.6)), np.zeros(3))
    camera = Camera(SIZE, SIZE, 90, 90, SIZE / 2, SIZE / 2, pose, near=0.5, far=8)
    effects = {name: ParamSet(name, get(name).params) for name in ("pbr", "sss")}
    effects["sss"].set("distance", (0.15, 0.08, 0.04))
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIZE), torch.linspace(-1, 1, SIZE), indexing="ij")
    weights = (torch.sin(2.3 * x + 1.1 * y) + 0.4 * torch.cos(3 * y))[None, ..., None]
    along = torch.zeros(len(tensors.vertices), 3)
    along[: len(scene.meshes[0].vertices), axis] = 1.0

    def loss(moved: Tensor, column: float, row: float) -> Tensor:
        shifted = replace(camera, cx=camera.cx + column, cy=camera.cy + row)
        surfaces = tensors.moved(vertices=tensors.vertices + moved * along)
        frame = render(surfaces, CameraBatch.from_cameras([shifted]), lights, None, effects)
        return (frame["rgba"][..., :3] * weights).sum().double()

    slopes, differences = [], []
    for i in range(16):
        offset = ((i % 4 + 0.5) / 4 - 0.5, (i // 4 + 0.5) / 4 - 0.5)
        theta = torch.zeros((), requires_grad=True)
        loss(theta, *offset).backward()
        assert theta.grad is not None
        slopes.append(float(theta.grad))
        with torch.no_grad():
            ends = [float(loss(torch.tensor(sign * WIDE), *offset)) for sign in (1, -1)]
        differences.append((ends[0] - ends[1]) / (2 * WIDE))
    assert np.mean(slopes) == pytest.approx(np.mean(differences), rel=0.1)
