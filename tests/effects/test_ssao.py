"""Ambient occlusion: against plain torch, at silhouettes, and for what it recovers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.effect_cases.ssao import eager, surface
from studio.core.ops.ssao import ambient_occlusion

MOVED = ("depth", "soft_depth", "normal", "radius", "strength")


def rough_surface() -> dict[str, Tensor]:
    """Hills with an empty corner, their normals in disorder, seen by a turned camera."""
    generator = torch.Generator().manual_seed(1)
    inputs = surface(44, 50)
    tilted = inputs["normal"] + 0.3 * torch.randn(inputs["normal"].shape, generator=generator)
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=generator))[0]
    world_to_view = torch.eye(4)
    world_to_view[:3, :3] = rotation * torch.linalg.det(rotation)
    inputs["normal"] = normalize(tilted, dim=3) @ world_to_view[:3, :3]
    inputs["world_to_view"] = world_to_view[None]
    for name, empty in (("depth", 0.0), ("soft_depth", 12.0), ("normal", 0.0)):
        inputs[name][:, :9, :9] = empty
    return inputs


@pytest.mark.parametrize("half", [False, True], ids=["full", "half"])
def test_value_and_gradients_are_those_of_plain_torch(half: bool) -> None:
    inputs = rough_surface()
    found = []
    for dtype, function in ((torch.float32, ambient_occlusion), (torch.float64, eager)):
        leaves = {n: v.to(dtype).clone().requires_grad_(n in MOVED) for n, v in inputs.items()}
        edge = {"edge_depth": inputs["soft_depth"]} if function is ambient_occlusion else {}
        out = function(**leaves, **edge, half=half)
        weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        found.append([out, *torch.autograd.grad((out * weight).sum(), [leaves[n] for n in MOVED])])
    for name, ours, exact in zip(("value", *MOVED), *found):
        error = float((ours.double() - exact).detach().norm() / exact.detach().norm())
        assert error <= (1e-5 if name == "value" else 1e-3), name
    assert float(found[1][0].detach().min()) < 0.7  # there is something to occlude


def test_nothing_is_not_occluded() -> None:
    inputs = rough_surface()
    out = ambient_occlusion(**inputs, edge_depth=inputs["soft_depth"])
    assert (out[:, :9, :9] == 1.0).all()
    assert float(out.min()) >= 0.0
    assert float(out.max()) <= 1.0
