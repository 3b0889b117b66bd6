"""Cube maps: orientation, seams, reproduction of smooth functions, odd directions."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from studio.core.errors import ShapeError
from studio.core.ops import texture
from tests import texture_reference as reference


def smooth(d: Tensor) -> Tensor:
    """[..., 2] a function of direction with structure on the scale of a face."""
    unit = d / d.norm(dim=-1, keepdim=True)
    x, y, z = unit.unbind(-1)
    return torch.stack([x * y + 0.5 * z, torch.sin(2 * x + y) * z], dim=-1)


def map_of(size: int, device: torch.device) -> Tensor:
    """[1, 6, size, size, 2] the smooth function at texel centres."""
    return smooth(reference.texel_centres(size))[None].float().to(device)


def edges() -> list[tuple[Tensor, Tensor, Tensor]]:
    """The 12 edges: both ends, and the direction across."""
    out = []
    for along in range(3):
        for a in (-1.0, 1.0):
            for b in (-1.0, 1.0):
                start = torch.zeros(3, dtype=torch.float64)
                start[(along + 1) % 3], start[(along + 2) % 3] = a, b
                across = torch.zeros(3, dtype=torch.float64)
                across[(along + 1) % 3], across[(along + 2) % 3] = a, -b
                step = torch.zeros(3, dtype=torch.float64)
                step[along] = 1.0
                out.append((start - step, start + step, across))
    return out


def test_faces_are_opengls(device) -> None:
    """Texel (0, 0) of each face lies where the table of the specification puts s = t = 0."""
    tex = torch.arange(24.0, device=device).view(1, 6, 2, 2, 1)
    corner = [(1, 1, 1), (-1, 1, -1), (-1, 1, -1), (-1, -1, 1), (-1, 1, 1), (1, 1, -1)]
    axis = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
    d = 0.5 * torch.tensor(corner) + torch.tensor(axis)
    out = texture(tex, d.view(1, 1, 6, 3).to(device), filter_mode="nearest", boundary_mode="cube")
    assert out.flatten().tolist() == [0, 4, 8, 12, 16, 20]
    # One step along s, the other texel of row 0.
    right = [(1, 1, -1), (-1, 1, 1), (1, 1, -1), (1, -1, 1), (1, 1, 1), (-1, 1, -1)]
    d = 0.5 * torch.tensor(right) + torch.tensor(axis)
    out = texture(tex, d.view(1, 1, 6, 3).to(device), filter_mode="nearest", boundary_mode="cube")
    assert out.flatten().tolist() == [1, 5, 9, 13, 17, 21]


@pytest.mark.parametrize("size", [1, 2, 3, 8, 13])
def test_no_seams_along_edges_and_at_corners(device, size) -> None:
    """Noise on every level: on both sides of each edge, up to its corners, the same value."""
    torch.manual_seed(1)
    tex = torch.randn(1, 6, size, size, 3, device=device)
    t = torch.linspace(0, 1, 41, dtype=torch.float64)[:, None]
    eps = 1e-6
    for start, end, across in edges():
        on_edge = start * (1 - t) + end * t
        sides = [(on_edge + side * eps * across).float().view(1, 1, -1, 3).to(device) for side in (-1, 1)]
        for level in range(4):
            bias = torch.full((1, 1, 41), float(level), device=device)
            a, b = (texture(tex, d, mip_level_bias=bias, boundary_mode="cube") for d in sides)
            # Two texels differ by up to 5 here; 2e-6 of a face is 1e-5 of a texel.
            assert (a - b).abs().max() < 2e-4, (start, end, level)


@pytest.mark.parametrize("size", [1, 4, 7])
def test_all_around_a_corner_is_one_value(device, size) -> None:
    torch.manual_seed(2)
    tex = torch.randn(1, 6, size, size, 2, device=device)
    offsets = torch.randn(50, 3, dtype=torch.float64) * 1e-6
    for x in (-1.0, 1.0):
        for y in (-1.0, 1.0):
            for z in (-1.0, 1.0):
                d = torch.tensor([x, y, z], dtype=torch.float64) + offsets
                out = texture(tex, d.float().view(1, 5, 10, 3).to(device), boundary_mode="cube")
                spread = (out - out[:, :1, :1]).abs().max()
                assert spread < 2e-4
                near = reference.texel_centres(size).reshape(-1, 3) * torch.tensor([x, y, z])
                three = near.min(-1).values.topk(3).indices
                mean = tex.view(-1, 2)[three.to(device)].mean(0)
                torch.testing.assert_close(out[0, 0, 0], mean, rtol=0, atol=2e-4)


def test_a_smooth_function_of_direction_is_reproduced(device) -> None:
    """Second order in the size of a texel inside faces, first order along their edges.

    A neighbour's texel lies off the line along which it is interpolated, by its distance from
    the edge times the place along it: so do all cube maps filtered across edges.
    """
    torch.manual_seed(3)
    d = torch.randn(1, 100, 100, 3)
    _, st = reference.project(d.double())
    errors = []
    for size in (16, 32, 64):
        inside = ((st * size > 0.5) & (st * size < size - 0.5)).all(-1)
        out = texture(map_of(size, device), d.to(device), boundary_mode="cube").cpu()
        error = (out - smooth(d)).abs().amax(-1)
        errors.append((error[inside].max().item(), error[~inside].max().item()))
    assert errors[0][0] < 1.2e-2
    assert errors[0][1] < 1.6e-2
    for coarse, fine in pairwise(errors):
        assert fine[0] < coarse[0] / 3
        assert fine[1] < coarse[1] / 1.6


def test_length_of_the_direction_does_not_matter(device) -> None:
    tex = torch.randn(1, 6, 8, 8, 3, device=device)
    d, da = torch.randn(1, 9, 9, 3, device=device), 0.1 * torch.randn(1, 9, 9, 6, device=device)
    out = texture(tex, d, da, boundary_mode="cube")
    longer = texture(tex, 1e4 * d, 1e4 * da, boundary_mode="cube")
    torch.testing.assert_close(out, longer, rtol=1e-4, atol=1e-5)


def test_gradient_of_the_direction_has_no_radial_part(device) -> None:
    tex = torch.randn(1, 6, 8, 8, 3, device=device)
    d = torch.randn(1, 9, 9, 3, device=device, requires_grad=True)
    (grad,) = torch.autograd.grad(texture(tex, d, boundary_mode="cube").square().sum(), d)
    radial = (grad * d).sum(-1).abs()
    assert (radial <= 1e-5 * grad.norm(dim=-1) * d.norm(dim=-1) + 1e-6).all()


def test_odd_directions_give_nothing_or_stay_inside(device) -> None:
    bad = [float("nan"), float("inf"), -float("inf"), 0.0, 1e-30, 1e30, 1.0, -1.0]
    d = torch.cartesian_prod(*[torch.tensor(bad)] * 3).view(1, 8, 64, 3).to(device)
    for size in (1, 3, 8):
        tex = torch.ones(1, 6, size, size, 2, device=device, requires_grad=True)
        direction = d.clone().requires_grad_()
        da = d.flip(1).repeat(1, 1, 1, 2).requires_grad_()
        for mode in ("nearest", "linear", "linear-mipmap-linear"):
            out = texture(tex, direction, da, filter_mode=mode, boundary_mode="cube")
            assert ((out - 1).abs().lt(1e-5) | (out == 0)).all()
            grads = torch.autograd.grad(out.sum(), [tex, direction, da], allow_unused=True)
            assert all(g is None or torch.isfinite(g).all() for g in grads)
    nowhere = torch.zeros(1, 1, 1, 3, device=device)
    assert (texture(tex, nowhere, boundary_mode="cube") == 0).all()


def test_a_whole_level_is_that_level_sampled_linearly(device) -> None:
    """Levels of the user's own; each gets the gradient of the lookups on it."""
    levels = [torch.rand(2, 6, n, n, 3, device=device, requires_grad=True) for n in (7, 3, 1)]
    d = torch.randn(2, 9, 9, 3, device=device)
    for number, texels in enumerate(levels):
        bias = torch.full((2, 9, 9), float(number), device=device)
        out = texture(levels[0], d, mip_level_bias=bias, mip=levels[1:], boundary_mode="cube")
        torch.testing.assert_close(out, texture(texels, d, boundary_mode="cube"), rtol=0, atol=0)
        grads = torch.autograd.grad(out.sum(), levels)
        sums = [g.sum().item() for g in grads]
        assert sums == pytest.approx([2 * 81 * 3 * (k == number) for k in range(3)], rel=1e-5)


def test_every_level_has_the_mean_of_its_face(device) -> None:
    tex = torch.rand(1, 6, 13, 13, 2, device=device)
    axes = torch.cat([s * torch.eye(3)[k : k + 1] for k in range(3) for s in (1, -1)]).view(1, 1, 6, 3)
    bias = torch.full((1, 1, 6), 99.0, device=device)
    out = texture(tex, axes.to(device), mip_level_bias=bias, boundary_mode="cube")
    torch.testing.assert_close(out[0, 0], tex.mean((2, 3))[0], rtol=1e-6, atol=1e-6)


def test_errors_name_what_is_wrong() -> None:
    d = torch.rand(1, 4, 4, 3)
    with pytest.raises(
        ShapeError, match=r"texture: tex must have shape \[N, 6, H, H, C\], got \[1, 4, 4, 3\]"
    ):
        texture(torch.rand(1, 4, 4, 3), d, boundary_mode="cube")
    with pytest.raises(ShapeError, match=r"tex must have square faces"):
        texture(torch.rand(1, 6, 4, 5, 3), d, boundary_mode="cube")
    with pytest.raises(ShapeError, match=r"texture: uv must have shape \[N, H, W, 3\], got \[1, 4, 4, 2\]"):
        texture(torch.rand(1, 6, 4, 4, 3), d[..., :2], boundary_mode="cube")
    with pytest.raises(ShapeError, match=r"uv_da must have shape \[1, 4, 4, 6\]"):
        texture(torch.rand(1, 6, 4, 4, 3), d, d, boundary_mode="cube")
