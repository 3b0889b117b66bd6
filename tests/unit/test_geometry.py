"""Depths that know silhouettes: their values, and the gradient that they lend to effects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from studio.core.gbuffer import CameraBatch, Frame, LightTensors
from studio.core.ops import antialias
from studio.core.pipeline import clip_positions, render
from studio.core.scene import Lighting
from studio.core.scene.shapes import cube, icosphere
from studio.core.tensors import SceneTensors
from tests.scenes import camera

DEPTHS = ("depth", "soft_depth", "edge_depth")


def scene() -> tuple[SceneTensors, CameraBatch, LightTensors]:
    """A ball before a wall, which leaves the picture's corners empty."""
    wall = cube(1.6)
    wall.vertices = wall.vertices - np.float32((0, 0, 1.5))
    tensors = SceneTensors.from_meshes([icosphere(2, 0.4), wall])
    views = [camera(40, (0.2, 0.3, 3.0)), camera(40, (-0.4, 0.1, 2.6))]
    return tensors, CameraBatch.from_cameras(views), LightTensors.from_lighting(Lighting())


def drawn(vertices: Tensor | None = None, rasterizer: str = "antialias") -> tuple[Frame, SceneTensors]:
    tensors, cameras, lights = scene()
    if vertices is not None:
        tensors = tensors.moved(vertices=vertices)
    return render(tensors, cameras, lights, channels=DEPTHS, rasterizer=rasterizer), tensors


def test_soft_depth_is_the_plain_depth_and_far_where_nothing_is() -> None:
    frame, _ = drawn()
    covered = frame["rast"][..., 3:] > 0
    expected = torch.where(covered, frame["depth"], 12.0)
    assert 0.2 < covered.float().mean() < 0.95
    torch.testing.assert_close(frame["soft_depth"], expected)
    assert frame.cameras.far.tolist() == [12.0, 12.0]


def test_far_follows_from_the_projection() -> None:
    _, cameras, _ = scene()
    matrices = (cameras.world_to_view, cameras.view_to_clip, cameras.world_to_clip)
    bare = CameraBatch(*matrices, cameras.position, 40, 40)
    torch.testing.assert_close(bare.far, cameras.far, rtol=1e-4, atol=0.0)
    assert bare.select([1]).far.shape == (1,)


def test_the_gradient_is_that_of_antialiased_depth() -> None:
    weight = torch.randn(2, 40, 40, 1, generator=torch.Generator().manual_seed(3))
    vertices = scene()[0].vertices.clone().requires_grad_()
    frame, tensors = drawn(vertices)
    (frame["soft_depth"] * weight).sum().backward()
    actual, vertices.grad = vertices.grad.clone(), None

    frame, tensors = drawn(vertices)
    pos = clip_positions(vertices, frame.cameras)
    depth = torch.where(frame["rast"][..., 3:] > 0, frame["depth"], 12.0)
    (antialias(depth, frame["rast"], pos, tensors.faces, tensors.topology) * weight).sum().backward()
    torch.testing.assert_close(actual, vertices.grad, rtol=1e-4, atol=1e-4)


def test_edge_depth_is_what_the_pixel_is_blended_with() -> None:
    frame, tensors = drawn()
    own, edge = frame["soft_depth"], frame["edge_depth"]
    pos = clip_positions(tensors.vertices, frame.cameras)
    blended = antialias(own, frame["rast"], pos, tensors.faces, tensors.topology)
    moved = (blended - own).abs() > 0.05
    assert moved.sum() > 50
    assert (edge != own)[moved].float().mean() > 0.95  # the rest: several outlines in a pixel
    assert (edge == own)[(blended == own)].all()
    towards = torch.sign(blended - own) == torch.sign(edge - own)
    assert towards[moved].float().mean() > 0.95


@pytest.mark.parametrize("rasterizer", ["nmr", "softras"])
def test_other_rasterizers_have_no_outline(rasterizer: str) -> None:
    vertices = scene()[0].vertices.clone().requires_grad_()
    frame, _ = drawn(vertices, rasterizer)
    torch.testing.assert_close(frame["edge_depth"], frame["soft_depth"].detach())
    frame["soft_depth"].sum().backward()
    assert vertices.grad is not None
    assert torch.isfinite(vertices.grad).all()
