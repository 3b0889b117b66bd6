"""Every effect on CUDA beside the CPU: the same picture and the same gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from studio.core.effects import registry
from studio.core.gbuffer import CameraBatch, LightTensors
from studio.core.pipeline import render
from studio.core.tensors import SceneTensors
from tests.needs import need
from tests.scenes import corner, effects_with


def picture_and_gradients(name: str, device: str) -> tuple[Tensor, list[Tensor]]:
    """rgba, and gradients of a fixed weighting of it to vertices, colours and light positions."""
    scene = corner()
    tensors = SceneTensors.from_scene(scene, device)
    lights = LightTensors.from_lighting(scene.lighting, device)
    leaves = [t.clone().requires_grad_() for t in (tensors.vertices, tensors.colors, lights.vector)]
    lights.vector = leaves[2]
    moved = tensors.moved(vertices=leaves[0], colors=leaves[1])
    cameras = CameraBatch.from_cameras(scene.cameras, device)
    background = torch.tensor(scene.background, device=device)
    rgba = render(moved, cameras, lights, background, effects_with(name))["rgba"]
    weight = torch.randn(rgba.shape, generator=torch.Generator().manual_seed(1))
    (rgba * weight.to(device)).sum().backward()
    gradients = [t.grad if t.grad is not None else torch.zeros_like(t) for t in leaves]
    return rgba.detach().cpu(), [g.cpu() for g in gradients]


@pytest.mark.parametrize("name", list(registry()))
def test_an_effect_is_the_same_on_cuda(name: str) -> None:
    need("cuda")
    expected, slopes = picture_and_gradients(name, "cpu")
    actual, found = picture_and_gradients(name, "cuda")
    difference = (actual - expected).abs()
    # Fused multiply-adds decide a few pixels on edges the other way.
    assert difference.mean() <= 1e-4
    assert (difference.amax(dim=3) > 1e-2).float().mean() <= 2e-3
    for ours, theirs in zip(found, slopes):
        assert (ours - theirs).norm() <= 0.02 * theirs.norm() + 1e-4
