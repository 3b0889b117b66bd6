"""texture: against torch's own sampling, properties, odd input, errors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from studio.core.errors import InputError, ShapeError
from studio.core.ops import texture, texture_construct_mip

SIZES = [(8, 8), (7, 13), (1, 9), (5, 1), (3, 5), (1, 1), (33, 16)]
TRILINEAR = "linear-mipmap-linear"


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


@pytest.mark.parametrize("size", SIZES)
def test_every_level_has_the_mean_of_the_texture(device, size) -> None:
    tex = torch.rand(2, *size, 3, device=device)
    centre = torch.full((2, 1, 1, 2), 0.5, device=device)
    coarsest = texture(tex, centre, mip_level_bias=torch.full((2, 1, 1), 99.0, device=device))
    torch.testing.assert_close(coarsest[:, 0, 0], tex.mean((1, 2)), rtol=1e-6, atol=1e-6)
    for most in range(1, 6):
        mip = texture_construct_mip(tex, max_mip_level=most)
        height, width = mip.sizes[-1]
        last = mip.texels[-2 * height * width :].view(2, -1, 3)
        if len(mip.sizes) > 1:
            torch.testing.assert_close(last.mean(1), tex.mean((1, 2)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("boundary", ["wrap", "clamp"])
def test_a_constant_texture_is_constant(device, size, boundary) -> None:
    tex = torch.full((1, *size, 2), 0.7, device=device)
    uv = torch.rand(1, 12, 12, 2, device=device) * 4 - 2
    da = torch.randn(1, 12, 12, 4, device=device)
    out = texture(tex, uv, da, boundary_mode=boundary)
    torch.testing.assert_close(out, torch.full_like(out, 0.7), rtol=1e-6, atol=0)


def test_a_whole_level_is_that_level_sampled_linearly(device) -> None:
    tex = torch.rand(2, 12, 10, 3, device=device)
    uv = torch.rand(2, 8, 8, 2, device=device) * 2
    stack = [torch.rand(2, *size, 3, device=device) for size in ((6, 5), (3, 2), (1, 1))]
    for level, texels in enumerate([tex, *stack]):
        bias = torch.full((2, 8, 8), float(level), device=device)
        for mode in (TRILINEAR, "linear-mipmap-nearest"):
            out = texture(tex, uv, mip_level_bias=bias, mip=stack, filter_mode=mode)
            torch.testing.assert_close(out, texture(texels, uv), rtol=0, atol=0)
        nearly = texture(tex, uv, mip_level_bias=bias + 0.4, mip=stack, filter_mode="linear-mipmap-nearest")
        torch.testing.assert_close(nearly, texture(texels, uv), rtol=0, atol=0)


def test_wrapping_is_periodic(device) -> None:
    tex = torch.rand(1, 6, 5, 3, device=device)
    uv = torch.rand(1, 9, 9, 2, device=device)
    da = torch.randn(1, 9, 9, 4, device=device) * 0.2
    moved = uv + torch.tensor([2.0, -3.0], device=device)
    torch.testing.assert_close(texture(tex, moved, da), texture(tex, uv, da), rtol=1e-5, atol=1e-5)


def test_gradients_sum_to_the_weights(device) -> None:
    """Every sample is a mean of texels, so a gradient of ones adds up to the number of samples."""
    for size in SIZES:
        tex = torch.rand(1, *size, 1, device=device, requires_grad=True)
        uv, da = torch.rand(1, 10, 10, 2, device=device), torch.randn(1, 10, 10, 4, device=device) * 0.3
        (grad,) = torch.autograd.grad(texture(tex, uv, da).sum(), tex)
        assert grad.sum().item() == pytest.approx(100, rel=1e-5)
        assert (grad >= 0).all()


def test_a_stack_gets_gradients_on_every_level(device) -> None:
    levels = [
        torch.rand(1, *size, 2, device=device, requires_grad=True)
        for size in ((9, 6), (4, 3), (2, 1), (1, 1))
    ]
    bias = torch.linspace(0, 3, 64, device=device).view(1, 8, 8).requires_grad_()
    uv = torch.rand(1, 8, 8, 2, device=device)
    out = texture(levels[0], uv, mip_level_bias=bias, mip=levels[1:])
    grads = torch.autograd.grad(out.sum(), levels)
    tents = [(1 - (bias - k).abs()).clamp(min=0).sum().item() * 2 for k in range(4)]
    assert [g.sum().item() for g in grads] == pytest.approx(tents, rel=1e-5)


def test_a_pyramid_made_ahead_is_the_same(device) -> None:
    tex = torch.rand(2, 9, 12, 3, device=device, requires_grad=True)
    uv, da = torch.rand(2, 8, 8, 2, device=device), torch.randn(2, 8, 8, 4, device=device) * 0.2
    mip = texture_construct_mip(tex)
    ahead = texture(tex, uv, da, mip=mip) + texture(tex, uv, 2 * da, mip=mip)
    within = texture(tex, uv, da) + texture(tex, uv, 2 * da)
    torch.testing.assert_close(ahead, within, rtol=0, atol=0)
    to_ahead, to_within = (torch.autograd.grad(out.square().sum(), tex)[0] for out in (ahead, within))
    torch.testing.assert_close(to_ahead, to_within)


def test_max_mip_level_stops_the_blur(device) -> None:
    tex = torch.rand(1, 8, 8, 1, device=device)
    uv = torch.rand(1, 4, 4, 2, device=device)
    far = torch.full((1, 4, 4), 9.0, device=device)
    finest = texture(tex, uv)
    assert torch.equal(texture(tex, uv, mip_level_bias=far, max_mip_level=0), finest)
    one = texture(tex, uv, mip_level_bias=far, max_mip_level=1)
    assert torch.equal(one, texture(tex, uv, mip_level_bias=torch.ones_like(far)))
    assert torch.equal(one, texture(tex, uv, mip_level_bias=far, mip=texture_construct_mip(tex, 1)))


def test_no_footprint_is_the_finest_level(device) -> None:
    tex = torch.rand(1, 8, 8, 3, device=device, requires_grad=True)
    uv = torch.rand(1, 4, 4, 2, device=device, requires_grad=True)
    da = torch.zeros(1, 4, 4, 4, device=device, requires_grad=True)
    out = texture(tex, uv, da)
    assert torch.equal(out, texture(tex, uv))
    grads = torch.autograd.grad(out.sum(), [tex, uv, da])
    assert all(torch.isfinite(g).all() for g in grads)
    assert (grads[2] == 0).all()


def test_a_round_footprint_has_a_gradient(device) -> None:
    """Its major axis is every direction: growing both ways by 1 % adds log2(1.01) to the level."""
    tex = torch.rand(1, 32, 32, 1, device=device)
    uv = torch.rand(1, 5, 5, 2, device=device)
    round_da = torch.tensor([0.11, 0.0, 0.0, 0.11], device=device).expand(1, 5, 5, 4).contiguous()

    def grown(scale: float) -> Tensor:
        return texture(tex, uv, round_da * scale).double().sum()

    da = round_da.clone().requires_grad_()
    (grad,) = torch.autograd.grad(texture(tex, uv, da).sum(), da)
    slope = (grown(1.01) - grown(0.99)) / 0.02
    assert (grad * round_da).sum().item() == pytest.approx(slope.item(), rel=1e-3)


def test_odd_coordinates_stay_in_the_texture(device) -> None:
    odd = torch.tensor([float("nan"), float("inf"), -float("inf"), 1e30, -1e-9, 1.0, -7.25], device=device)
    uv = torch.stack([odd, odd.flip(0)], dim=-1).view(1, 1, 7, 2).requires_grad_()
    for size in ((3, 5), (8, 8), (1, 1)):
        tex = torch.ones(1, *size, 1, device=device, requires_grad=True)
        for mode in ("nearest", "linear", TRILINEAR):
            for boundary in ("wrap", "clamp", "zero"):
                bias = odd.view(1, 1, 7)
                da = odd.view(1, 1, 7, 1).expand(1, 1, 7, 4).contiguous().requires_grad_()
                out = texture(tex, uv, da, bias, filter_mode=mode, boundary_mode=boundary)
                assert torch.isfinite(out).all()
                if boundary != "zero":
                    assert (out == 1).all()
                grads = torch.autograd.grad(out.sum(), [tex, uv, da], allow_unused=True)
                assert all(g is None or torch.isfinite(g).all() for g in grads)


def test_single_texel(device) -> None:
    tex = torch.full((1, 1, 1, 2), 0.25, device=device)
    uv = torch.rand(1, 3, 3, 2, device=device) * 4 - 2
    assert (texture(tex, uv) == 0.25).all()


def test_no_pixels(device) -> None:
    tex = torch.rand(1, 4, 4, 3, device=device, requires_grad=True)
    out = texture(tex, torch.rand(0, 5, 5, 2, device=device), torch.rand(0, 5, 5, 4, device=device))
    assert out.shape == (0, 5, 5, 3)
    assert torch.autograd.grad(out.sum(), tex)[0].abs().sum() == 0


def test_errors_name_what_is_wrong() -> None:
    tex, uv = torch.rand(1, 4, 4, 3), torch.rand(2, 5, 5, 2)
    with pytest.raises(InputError, match=r"filter_mode must be one of auto, nearest, linear, .*got cubic"):
        texture(tex, uv, filter_mode="cubic")
    with pytest.raises(InputError, match="filter_mode linear-mipmap-linear needs uv_da or mip_level_bias"):
        texture(tex, uv, filter_mode=TRILINEAR)
    with pytest.raises(InputError, match="boundary_mode must be one of wrap, clamp, zero, cube, got mirror"):
        texture(tex, uv, boundary_mode="mirror")
    with pytest.raises(ShapeError, match="texture: tex must have a batch of 2 or 1, got 3"):
        texture(tex.repeat(3, 1, 1, 1), uv)
    with pytest.raises(ShapeError, match=r"texture: uv must have shape \[N, H, W, 2\]"):
        texture(tex, uv[..., :1])
    with pytest.raises(ShapeError, match="texture: tex must have texels"):
        texture(tex[:, :0], uv)
    with pytest.raises(ShapeError, match=r"uv_da must have shape \[2, 5, 5, 4\], got \[2, 5, 5, 2\]"):
        texture(tex, uv, uv)
    with pytest.raises(ShapeError, match=r"mip_level_bias must have shape \[2, 5, 5\]"):
        texture(tex, uv, mip_level_bias=uv)


def test_errors_of_pyramids_name_what_is_wrong() -> None:
    tex, uv, bias = torch.rand(1, 4, 4, 3), torch.rand(1, 5, 5, 2), torch.rand(1, 5, 5)
    half, quarter = torch.rand(1, 2, 2, 3), torch.rand(1, 1, 1, 3)
    with pytest.raises(
        ShapeError, match=r"texture: mip\[1\] must have shape \[1, 1, 1, 3\], got \[1, 2, 2, 3\]"
    ):
        texture(tex, uv, mip_level_bias=bias, mip=[half, half])
    with pytest.raises(ShapeError, match="mip must have at most 2 levels for a texture of 4 x 4, got 3"):
        texture(tex, uv, mip_level_bias=bias, mip=[half, quarter, quarter])
    with pytest.raises(ShapeError, match=r"mip must be of a texture \[1, 4, 4, 3\], got \[1, 2, 2, 3\]"):
        texture(tex, uv, mip_level_bias=bias, mip=texture_construct_mip(half))
    with pytest.raises(ShapeError, match="mip must come from texture_construct_mip or be a list"):
        texture(tex, uv, mip_level_bias=bias, mip=3)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="max_mip_level must be None or at least 0, got -1"):
        texture_construct_mip(tex, max_mip_level=-1)
    with pytest.raises(ShapeError, match=r"texture_construct_mip: tex must have square faces"):
        texture_construct_mip(torch.rand(1, 6, 4, 3, 3), cube_mode=True)
