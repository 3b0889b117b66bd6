"""Half-size pictures: which pixels they have, and what happens between them."""

from __future__ import annotations

import torch

from benchmarks.effect_cases.ssao import eager_spread
from studio.core.ops.halves import spread, take_half
from tests.grad.test_effects import agree


def surface(height: int, width: int, step: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Depth and normals of a gently curved wall, `step` further away from the middle column on."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    depth = 3.0 + 0.02 * torch.sin(3 * x + y) + step * (torch.arange(width) >= width // 2)
    normal = torch.nn.functional.normalize(torch.stack([0.2 * x, 0.3 * y, torch.ones_like(x)], dim=2), dim=2)
    return depth[None, ..., None].contiguous(), normal[None].contiguous()


def test_odd_sizes_round_up_and_keep_their_pixels() -> None:
    depth, normal = surface(21, 33)
    low = torch.rand(1, 11, 17, 2)
    full = spread(low, depth, normal)
    assert full.shape == (1, 21, 33, 2)
    assert torch.allclose(take_half(full), low, atol=1e-6)
    assert torch.allclose(full[0, 0, 1], low[0, 0, :2].mean(dim=0), atol=0.02)


def test_nothing_crosses_a_step_in_depth() -> None:
    depth, normal = surface(16, 20, step=3.0)
    low = (torch.arange(10) >= 5).float()[None, None, :, None].expand(1, 8, 10, 1).contiguous()
    full = spread(low, depth, normal)
    expected = (torch.arange(20) >= 10).float()
    assert float((full[0, ..., 0] - expected).abs().max()) < 2e-3


def test_it_is_what_plain_torch_says() -> None:
    depth, normal = surface(21, 33, step=0.5)
    low = torch.rand(1, 11, 17, 3)
    assert torch.allclose(spread(low, depth, normal), eager_spread(low, depth, normal), atol=1e-6)


def test_gradients() -> None:
    depth, normal = surface(9, 12)
    depth = depth + 0.05 * torch.rand(depth.shape, generator=torch.Generator().manual_seed(1))
    low = torch.rand(1, 5, 6, 2)
    weight = torch.randn(1, 9, 12, 2, dtype=torch.float64)
    values = {"low": low, "soft_depth": depth, "normal": normal}
    for name, value in values.items():

        def loss(moved: torch.Tensor, name: str = name) -> torch.Tensor:
            return (spread(**{**values, name: moved}).double() * weight).sum()

        assert agree(loss, value, seed=1) <= 0.01, name
