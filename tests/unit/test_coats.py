"""What textures say, worked into the packed G-buffer: against the same in torch, and differences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from studio.core.gbuffer import CameraBatch, LightTensors
from studio.core.ops.bend import tangents
from studio.core.ops.packing import Coat, unpack
from studio.core.pipeline import render
from studio.core.scene import Camera, Lighting, Material, Mesh, Scene, look_at
from studio.core.tensors import LAYERS, SceneTensors

CHANNELS = ("albedo", "perceptual_roughness", "metallic", "occlusion", "normal")


def waves(size: int, channels: int) -> np.ndarray:
    y, x = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    each = [0.5 + 0.3 * np.sin(0.3 * x + (k + 1) * 0.2 * y + k) for k in range(channels)]
    return np.stack(each, axis=-1).astype(np.float32)


def square(name: str, left: float, material: Material) -> Mesh:
    corners = [(left, -1, -0.3), (left + 1, -1, 0.1), (left + 1, 1, 0.2), (left, 1, -0.1)]
    return Mesh(
        name=name,
        vertices=np.array(corners, np.float32),
        faces=np.array([(0, 1, 2), (0, 2, 3)], np.int32),
        uvs=np.array([(0.1, 0.1), (0.8, 0.2), (0.9, 0.9), (0.2, 0.7)], np.float32),
        colors=np.array([(0.9, 0.5, 0.4), (0.3, 0.8, 0.6), (0.7, 0.7, 0.2), (0.5, 0.4, 0.9)], np.float32),
        material=replace(material, base_color=(1.0, 1.0, 1.0), perceptual_roughness=0.8, metallic=0.6),
    )


def two_parts() -> Scene:
    """Textures of one size on one side, of several and fewer on the other."""
    orm = waves(16, 3)
    all_of_them = Material(
        base_color_texture=waves(16, 3),
        orm_texture=orm,
        occlusion_texture=orm,
        normal_texture=waves(16, 3),
    )
    few = Material(base_color_texture=waves(9, 3), normal_texture=waves(20, 3))
    pose = look_at(np.array((0.2, 0.3, 3.0)), np.zeros(3))
    camera = Camera(24, 20, 26, 26, 12, 10, pose, near=0.1, far=10.0)
    return Scene(meshes=[square("a", -1.05, all_of_them), square("b", 0.05, few)], cameras=[camera])


def channels(tensors: SceneTensors, scene: Scene) -> dict[str, Tensor]:
    cameras = CameraBatch.from_cameras(scene.cameras)
    lights = LightTensors.from_lighting(Lighting())
    frame = render(tensors, cameras, lights, channels=(*CHANNELS, "uv", "id", "part"))
    return {name: frame[name] for name in (*CHANNELS, "id", "part")}


def test_textures_of_parts_multiply_their_own_pixels() -> None:
    scene = two_parts()
    tensors = SceneTensors.from_scene(scene)
    found = channels(tensors, scene)
    bare = replace(tensors, parts=tuple(type(p)(p.name) for p in tensors.parts))
    plain = channels(bare, scene)
    own = found["part"] == 1
    assert own.any()
    assert (found["part"] == 2).any()
    ratio = (found["albedo"] / plain["albedo"].clamp_min(1e-6))[own.expand_as(found["albedo"])]
    assert 0.15 < float(ratio.min()) < float(ratio.max()) < 0.85, "of a texture between 0.2 and 0.8"
    for name in ("perceptual_roughness", "metallic"):
        assert (found[name] < plain[name])[own].all()
        assert torch.equal(found[name][~own], plain[name][~own]), "the other part has no such texture"
    assert (found["occlusion"][own] < 0.9).all()
    assert torch.equal(found["occlusion"][~own], (found["id"] > 0).float()[~own])
    covered = found["id"][..., 0] > 0
    torch.testing.assert_close(found["normal"].norm(dim=3)[covered], torch.ones(int(covered.sum())))
    assert (found["normal"][~covered] == 0).all()


@pytest.mark.parametrize("leaf", ["base_color_texture", "orm_texture", "normal_texture", "colors", "uvs"])
def test_slopes_are_those_of_differences(leaf) -> None:
    scene = two_parts()
    tensors = SceneTensors.from_scene(scene)
    generator = torch.Generator().manual_seed(0)
    weights: dict[str, Tensor] = {}

    def loss(value: Tensor) -> Tensor:
        of_part = leaf.endswith("texture")
        first = replace(tensors.parts[0], **{leaf: value}) if of_part else tensors.parts[0]
        changes: dict[str, Any] = {"parts": (first, tensors.parts[1])} if of_part else {leaf: value}
        made = channels(replace(tensors, **changes), scene)
        for name in CHANNELS:
            weights.setdefault(name, torch.randn(made[name].shape, generator=generator))
        return sum((made[name].double() * weights[name]).sum() for name in CHANNELS)

    start = getattr(tensors.parts[0], leaf) if leaf.endswith("texture") else getattr(tensors, leaf)
    value = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(value), value)
    way = torch.randn(start.shape, generator=generator)
    step = 2e-3 if leaf != "uvs" else 2e-4
    with torch.no_grad():
        slope = float(loss(start + step * way) - loss(start - step * way)) / (2 * step)
    assert float((gradient * way).sum()) == pytest.approx(slope, rel=0.02)


def test_a_packed_gradient_comes_back_packed() -> None:
    """A texture costs no copies of single channels: what comes out is one image."""
    scene = two_parts()
    tensors = SceneTensors.from_scene(scene)
    made = channels(tensors, scene)
    places = {made[name].untyped_storage().data_ptr() for name in CHANNELS}
    assert len(places) == 1


def test_coats_of_single_pixels() -> None:
    """Two pixels of two parts and an empty one, by hand."""
    rast = torch.zeros(1, 1, 3, 4)
    rast[0, 0, :2, 3] = torch.tensor([1.0, 2.0])
    packed = torch.tensor([[[[2.0, 3.0], [4.0, 5.0], [0.0, 0.0]]]]).requires_grad_()
    texels = [torch.full((1, 1, 3, 1), value).requires_grad_() for value in (10.0, 100.0)]
    part = torch.tensor([0, 1])
    coats = [Coat(t, (0, -1, 0), part, i) for i, t in enumerate(texels)]
    (out,) = unpack(packed, rast, (3,), -1, (1, 0, -1), coats)
    assert out[0, 0].tolist() == [[30, 2, 10], [500, 4, 100], [0, 0, 0]]
    out.sum().backward()
    assert packed.grad[0, 0].tolist() == [[1, 10], [1, 100], [0, 0]]
    assert texels[0].grad.flatten().tolist() == [4, 0, 0]
    assert texels[1].grad.flatten().tolist() == [0, 6, 0]


def test_tangents_follow_u() -> None:
    tensors = SceneTensors.from_scene(two_parts())
    mirrored = tensors.uvs * torch.tensor([-1.0, 1.0])
    for uvs, sense in ((tensors.uvs, 1.0), (mirrored, -1.0)):
        along, turn = tangents(tensors.vertices, uvs, tensors.faces, tensors.face_part, part=1)
        assert turn.tolist() == [0, 0, sense, sense], "of one part only"
        torch.testing.assert_close(along.norm(dim=1), torch.tensor([0.0, 0, 1, 1]))
        assert (along[2:, 0] * sense > 0).all()
    assert set(LAYERS) >= set(CHANNELS)


def test_textures_of_nothing_that_is_asked_for() -> None:
    """Normals alone: the albedo is looked up nowhere; then the other way round."""
    scene = two_parts()
    mesh = scene.meshes[1]
    mesh.material = replace(mesh.material, base_color_texture=None)
    tensors = SceneTensors.from_scene(Scene(meshes=[mesh]))
    cameras = CameraBatch.from_cameras(scene.cameras)
    lights = LightTensors.from_lighting(Lighting())
    for names in (("depth",), ("normal",)):
        vertices = tensors.vertices.clone().requires_grad_()
        frame = render(replace(tensors, vertices=vertices), cameras, lights, channels=names)
        frame[names[0]].square().sum().backward()
        assert vertices.grad.abs().max() > 0
