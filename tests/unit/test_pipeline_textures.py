"""Textures in the renderer: mip levels, their gradients, and when they are made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from studio.core.gbuffer import CameraBatch, LightTensors
from studio.core.pipeline import render
from studio.core.scene import Camera, Lighting, Material, Mesh, Scene, look_at
from studio.core.tensors import SceneTensors


def sheet(texture: np.ndarray) -> Scene:
    """A square far larger than the picture, seen at a slant: two to six texels a pixel."""
    mesh = Mesh(
        vertices=np.array([(-6, -1, -6), (6, -1, -6), (6, 1, 6), (-6, 1, 6)], np.float32),
        faces=np.array([(0, 2, 1), (0, 3, 2)], np.int32),
        uvs=np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32),
        material=Material(base_color=(1.0, 1.0, 1.0), base_color_texture=texture),
    )
    pose = look_at(np.array((0.5, 2.5, 1.0)), np.array((0.0, 0.0, 0.0)))
    return Scene(meshes=[mesh], cameras=[Camera(32, 24, 40, 40, 16, 12, pose, near=0.1, far=40.0)])


def smooth(height: int, width: int) -> np.ndarray:
    """[height, width, 3] waves of 80 texels."""
    y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    waves = [np.sin(0.07 * x + 0.05 * y + 1), np.sin(0.08 * y), np.cos(0.06 * x - 0.04 * y)]
    return (0.5 + 0.4 * np.stack(waves, axis=-1)).astype(np.float32)


def albedo(tensors: SceneTensors, scene: Scene) -> Tensor:
    cameras = CameraBatch.from_cameras(scene.cameras)
    return render(tensors, cameras, LightTensors.from_lighting(Lighting()), channels=("albedo",))["albedo"]


def test_a_far_texture_is_blurred_to_its_mean() -> None:
    noise = np.random.default_rng(0).random((512, 512, 3), np.float32)
    scene = sheet(noise)
    image = albedo(SceneTensors.from_scene(scene), scene)
    assert (image > 0).all()
    assert image.std().item() < 0.12  # 0.29 of a single texel, 0.2 of four
    assert image.mean().item() == pytest.approx(0.5, abs=0.01)


def test_gradient_to_vertices_and_texture_against_differences() -> None:
    scene = sheet(smooth(300, 411))
    tensors = SceneTensors.from_scene(scene)
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(1, 24, 32, 3, generator=generator)
    image = tensors.parts[0].base_color_texture
    assert image is not None

    def loss(vertices: Tensor, texels: Tensor) -> Tensor:
        part = replace(tensors.parts[0], base_color_texture=texels)
        moved = replace(tensors.moved(vertices), parts=(part,))
        return (albedo(moved, scene).double() * weight).sum()

    vertices, texels = tensors.vertices.clone().requires_grad_(), image.clone().requires_grad_()
    to_vertices, to_texels = torch.autograd.grad(loss(vertices, texels), (vertices, texels))
    for number, (value, grad, step, limit) in enumerate(
        # Waves are flat enough that the kinks of bilinear lookups stay below a percent.
        ((vertices, to_vertices, 2e-3, 2e-2), (texels, to_texels, 0.1, 1e-3))
    ):
        way = torch.randn(value.shape, generator=generator)
        ends = []
        for sign in (1, -1):
            inputs = [vertices.detach(), texels.detach()]
            inputs[number] = inputs[number] + sign * step * way
            ends.append(loss(*inputs))
        numeric = float((ends[0] - ends[1]) / (2 * step))
        assert float((grad * way).sum()) == pytest.approx(numeric, rel=limit)


def test_levels_of_a_texture_that_stays_are_made_once() -> None:
    scene = sheet(smooth(64, 64))
    tensors = SceneTensors.from_scene(scene)
    albedo(tensors, scene)
    kept = dict(tensors.parts[0]._kept)
    albedo(tensors, scene)
    assert list(kept) == [("albedo",)]
    assert tensors.parts[0]._kept[("albedo",)] is kept[("albedo",)]


def test_levels_of_a_texture_being_fitted_follow_it() -> None:
    scene = sheet(smooth(64, 64))
    tensors = SceneTensors.from_scene(scene)
    image = tensors.parts[0].base_color_texture
    assert image is not None
    texels = image.clone().requires_grad_()
    fitted = replace(tensors, parts=(replace(tensors.parts[0], base_color_texture=texels),))
    before = albedo(fitted, scene).detach().clone()
    with torch.no_grad():
        texels += 0.25
    torch.testing.assert_close(albedo(fitted, scene), before + 0.25)
