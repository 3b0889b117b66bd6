"""Reflections of what moves: where a reflection ends, against finite differences over sub-pixel offsets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from studio.core.gbuffer import CameraBatch, LightTensors
from studio.core.pipeline import render
from studio.core.scene import Camera, Light, Lighting, Material, Mesh, look_at
from studio.core.scene.light import ambient_sh
from studio.core.scene.shapes import cube, icosphere
from studio.core.tensors import SceneTensors
from tests.scenes import effects_with, slab

MOTIONS = ("x", "y", "z", "scale", "roll", "tilt")
"""Of the thing, then of the floor: it turns about z and x."""
BANDS = ((0.0, 0.24), (0.24, 0.5))
"""Rows, of the picture's height: the thing's front; rays that enter behind its outline."""


def turned_box() -> Mesh:
    a, b = 0.2, 0.3
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    box = cube(0.5)
    box.vertices = (box.vertices @ (about_z @ about_y).T).astype(np.float32)
    return box


def above_a_mirror(thing: Mesh) -> tuple[SceneTensors, Tensor]:
    """A thing that hovers over a metal floor, and which vertices are the thing's, [V, 1]."""
    floor = slab((0.0, -0.55, 0.0), (6.0, 0.1, 6.0), Material(base_color=(0.5, 0.5, 0.5), metallic=1.0))
    floor.material.perceptual_roughness = 0.2
    thing.material = Material(base_color=(0.8, 0.2, 0.1), perceptual_roughness=0.9)
    thing.vertices = thing.vertices + np.float32((0.0, 0.25, 0.0))
    tensors = SceneTensors.from_meshes([floor, thing])
    count = len(tensors.vertices)
    return tensors, (torch.arange(count) >= count - len(thing.vertices))[:, None]


def moved(tensors: SceneTensors, thing: Tensor, by: Tensor) -> SceneTensors:
    """The scene after MOTIONS by the numbers given."""
    start = tensors.vertices
    center = start[thing[:, 0]].mean(0)
    rise = by[4] * start[:, :1] + by[5] * start[:, 2:]
    up = torch.tensor([0.0, 1.0, 0.0])
    return tensors.moved(
        vertices=torch.where(thing, start + by[:3] + by[3] * (start - center), start + rise * up)
    )


def derivatives(mesh: Mesh, size: int, offsets: int, step: float) -> tuple[np.ndarray, np.ndarray]:
    """[bands, motions] by adjoint and by wide differences, means over sub-pixel offsets each way."""
    tensors, thing = above_a_mirror(mesh)
    light = Lighting([Light(direction=(0.3, 0.9, 0.5), intensity=1.0)], ambient_sh((0.5, 0.5, 0.55)))
    lights = LightTensors.from_lighting(light)
    pose = look_at(np.array((0.0, 0.9, 2.6)), np.array((0.0, -0.45, 0.0)))
    effects = effects_with("ssr")
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    # As of a photo that shows the reflection elsewhere: over the whole picture a shift cancels.
    weight = (torch.sigmoid(5.0 * x) * torch.sigmoid(-3.0 * (y + 0.5)))[..., None]

    def losses(by: Tensor, offset: tuple[float, float]) -> Tensor:
        middle = (0.5 * size + offset[0], 0.5 * size + offset[1])
        view = Camera(size, size, 1.3 * size, 1.3 * size, *middle, pose, near=0.3, far=20.0)
        cameras = CameraBatch.from_cameras([view])
        frame = render(moved(tensors, thing, by), cameras, lights, torch.full((3,), 0.1), effects)
        picture = frame["rgba"][0, ..., :3].double() * weight
        return torch.stack([picture[int(a * size) : int(b * size)].sum() for a, b in BANDS]) / size**2

    exact, numeric = np.zeros((2, len(BANDS), len(MOTIONS)))
    places = (np.arange(offsets) + 0.5) / offsets - 0.5
    for offset in [(float(a), float(b)) for a in places for b in places]:
        by = torch.zeros(len(MOTIONS), requires_grad=True)
        found = losses(by, offset)
        for band in range(len(BANDS)):
            exact[band] += torch.autograd.grad(found[band], by, retain_graph=True)[0].numpy()
        with torch.no_grad():
            for i, way in enumerate(step * torch.eye(len(MOTIONS))):
                numeric[:, i] += ((losses(way, offset) - losses(-way, offset)) / (2 * step)).numpy()
    return exact / offsets**2, numeric / offsets**2


@pytest.mark.parametrize("shape", ["ball", "box"])
def test_a_moving_reflection(shape: str) -> None:
    """The end of what is seen of the thing's front: by its outline, and where rays graze it."""
    mesh = icosphere(3, 0.4) if shape == "ball" else turned_box()
    exact, numeric = derivatives(mesh, size=96, offsets=4, step=0.03)
    assert (np.abs(exact - numeric) <= 0.3 * np.abs(numeric))[0].all(), (exact, numeric)
    # Of the whole reflection, the large ones: of the others, the bands' nearly cancel.
    exact, numeric = exact.sum(0), numeric.sum(0)
    large = np.abs(numeric) > 0.5 * np.abs(numeric).max()
    assert (np.abs(exact - numeric) <= 0.4 * np.abs(numeric))[large].all(), (exact, numeric)


@pytest.mark.slow
def test_a_moving_reflection_finely() -> None:
    exact, numeric = derivatives(icosphere(4, 0.4), size=192, offsets=4, step=0.02)
    assert (np.abs(exact - numeric) <= 0.3 * np.abs(numeric)).all(), (exact, numeric)
