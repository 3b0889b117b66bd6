"""texture: against torch's own sampling, boundaries, errors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from studio.core.errors import InputError, ShapeError
from studio.core.ops import texture


def by_torch(tex: Tensor, uv: Tensor, boundary: str) -> Tensor:
    """grid_sample; wrapping by laying copies side by side (uv within -2..3)."""
    images = tex.permute(0, 3, 1, 2).expand(len(uv), -1, -1, -1)
    if boundary == "wrap":
        images, grid, padding = images.repeat(1, 1, 5, 5), (uv + 2) / 5 * 2 - 1, "zeros"
    else:
        grid, padding = uv * 2 - 1, {"clamp": "border", "zero": "zeros"}[boundary]
    sampled = torch.nn.functional.grid_sample(images, grid, "bilinear", padding, align_corners=False)
    return sampled.permute(0, 2, 3, 1)


@pytest.mark.parametrize("boundary", ["wrap", "clamp", "zero"])
@pytest.mark.parametrize("shared", [True, False])
def test_linear_matches_torch(device, boundary, shared) -> None:
    torch.manual_seed(0)
    tex = torch.rand(1 if shared else 2, 7, 9, 3, device=device)
    uv = torch.rand(2, 16, 20, 2, device=device) * 3 - 1
    weight = torch.randn(2, 16, 20, 3, device=device)
    results = []
    for function in (
        lambda t, c: texture(t, c, boundary_mode=boundary),
        lambda t, c: by_torch(t, c, boundary),
    ):
        t, c = tex.clone().requires_grad_(), uv.clone().requires_grad_()
        out = function(t, c)
        results.append((out, *torch.autograd.grad((out * weight).sum(), [t, c])))
    for ours, expected in zip(*results):
        # torch's coordinates in the copies lose a factor 5 of float32's precision.
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_nearest_picks_the_texel_below(device) -> None:
    tex = torch.arange(12.0, device=device).view(1, 3, 4, 1)
    uv = torch.tensor([[[[0.0, 0.0], [0.99, 0.0], [0.3, 0.5], [1.1, -0.1]]]], device=device)
    out = texture(tex, uv, filter_mode="nearest")
    assert out.flatten().tolist() == [0.0, 3.0, 5.0, 8.0]  # the last wraps: column 0, row 2
    zero = texture(tex, uv, filter_mode="nearest", boundary_mode="zero")
    assert zero.flatten().tolist() == [0.0, 3.0, 5.0, 0.0]


def test_nearest_gradient_reaches_texels_not_uv(device) -> None:
    tex = torch.rand(1, 3, 4, 2, device=device, requires_grad=True)
    uv = torch.rand(1, 6, 6, 2, device=device, requires_grad=True)
    to_tex, to_uv = torch.autograd.grad(texture(tex, uv, filter_mode="nearest").sum(), [tex, uv])
    assert to_tex.sum().item() == pytest.approx(72)
    assert (to_uv == 0).all()


def test_odd_coordinates_stay_in_the_texture(device) -> None:
    tex = torch.ones(1, 3, 5, 1, device=device)
    odd = torch.tensor([float("nan"), float("inf"), -float("inf"), 1e30, -1e-9, 1.0, -7.25], device=device)
    uv = torch.stack([odd, odd.flip(0)], dim=-1).view(1, 1, 7, 2)
    for mode in ("nearest", "linear"):
        for boundary in ("wrap", "clamp"):
            assert (texture(tex, uv, None, mode, boundary) == 1).all()
        assert torch.isfinite(texture(tex, uv, None, mode, "zero")).all()


def test_single_texel(device) -> None:
    tex = torch.full((1, 1, 1, 2), 0.25, device=device)
    uv = torch.rand(1, 3, 3, 2, device=device) * 4 - 2
    assert (texture(tex, uv) == 0.25).all()


def test_errors_name_what_is_wrong() -> None:
    tex, uv = torch.rand(1, 4, 4, 3), torch.rand(2, 5, 5, 2)
    with pytest.raises(
        InputError, match="filter_mode must be one of auto, nearest, linear, got linear-mipmap-linear"
    ):
        texture(tex, uv, filter_mode="linear-mipmap-linear")
    with pytest.raises(InputError, match="boundary_mode must be one of wrap, clamp, zero, got mirror"):
        texture(tex, uv, boundary_mode="mirror")
    with pytest.raises(ShapeError, match="texture: tex must have a batch of 2 or 1, got 3"):
        texture(tex.repeat(3, 1, 1, 1), uv)
    with pytest.raises(ShapeError, match=r"texture: uv must have shape \[N, H, W, 2\]"):
        texture(tex, uv[..., :1])
    with pytest.raises(ShapeError, match="texture: tex must have texels"):
        texture(tex[:, :0], uv)
