"""interpolate and the fused rasterize_interpolate."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from studio.core.errors import InputError, ShapeError
from studio.core.kernels.channels import MAX_CHANNELS
from studio.core.ops import interpolate, rasterize, rasterize_interpolate
from tests import ops_reference as reference


def scene(device: torch.device, images: int = 3) -> tuple[Tensor, Tensor]:
    vertices, tri = reference.sphere()
    shifts = [(0.1 * i - 0.1, 0.05 * i) for i in range(images)]
    return reference.perspective(vertices, shifts).to(device), tri.to(device)


def plain(attr: Tensor, rast: Tensor, tri: Tensor) -> Tensor:
    """The definition, with torch's own gradients."""
    index = (rast[..., 3].long() - 1).clamp(min=0)
    corners = tri.long()[index]
    attr = attr.expand(len(rast), -1, -1)
    image = torch.arange(len(rast), device=rast.device)[:, None, None]
    u, v = rast[..., :1], rast[..., 1:2]
    value = u * attr[image, corners[..., 0]] + v * attr[image, corners[..., 1]]
    value = value + (1 - u - v) * attr[image, corners[..., 2]]
    return value * (rast[..., 3:] > 0)


# One channel more than the longest vector is worked off in two groups.
@pytest.mark.parametrize("channels", [1, 3, MAX_CHANNELS + 1])
@pytest.mark.parametrize("shared", [True, False])
def test_matches_the_definition(device, channels, shared) -> None:
    pos, tri = scene(device)
    rast, _ = rasterize(None, pos, tri, (20, 26))
    torch.manual_seed(0)
    attr = torch.rand(1 if shared else 3, pos.shape[1], channels, device=device)
    weight = torch.randn(3, 20, 26, channels, device=device)
    results = []
    for function in (lambda a, r: interpolate(a, r, tri)[0], lambda a, r: plain(a, r, tri)):
        a, r = attr.clone().requires_grad_(), rast.detach().clone().requires_grad_()
        out = function(a, r)
        results.append((out, *torch.autograd.grad((out * weight).sum(), [a, r])))
    for ours, expected in zip(*results):
        # Sums of some hundred float32 terms of order one, in another order.
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_screen_derivatives(device) -> None:
    pos, tri = scene(device)
    rast, rast_db = rasterize(None, pos, tri, (20, 26))
    attr = torch.rand(1, pos.shape[1], 4, device=device)
    out, da = interpolate(attr, rast, tri, rast_db, diff_attrs="all")
    assert da.shape == (3, 20, 26, 8)
    # The chain rule: dA/dX = dA/du du/dX + dA/dv dv/dX, with dA/du taken from a nudge of u.
    nudged = rast.clone()
    nudged[..., 0] += 1.0
    by_u = interpolate(attr, nudged, tri)[0] - out
    nudged = rast.clone()
    nudged[..., 1] += 1.0
    by_v = interpolate(attr, nudged, tri)[0] - out
    for axis in (0, 1):
        expected = by_u * rast_db[..., axis : axis + 1] + by_v * rast_db[..., axis + 2 : axis + 3]
        torch.testing.assert_close(da[..., axis::2], expected, rtol=1e-4, atol=1e-5)
    some, part = interpolate(attr, rast, tri, rast_db, diff_attrs=[3, 1])
    assert torch.equal(some, out)
    assert torch.equal(part, torch.cat([da[..., 6:8], da[..., 2:4]], dim=-1))
    assert interpolate(attr, rast, tri)[1].shape == (3, 20, 26, 0)


@pytest.mark.parametrize("chosen", ["all", [0], [3, 1], [2, 2, MAX_CHANNELS]])
def test_derivatives_are_those_of_the_definition(device, chosen) -> None:
    """Values and gradients of out_da, in two groups of channels, beside torch's own."""
    pos, tri = scene(device)
    rast, rast_db = rasterize(None, pos, tri, (20, 26))
    torch.manual_seed(0)
    attr = torch.rand(1, pos.shape[1], MAX_CHANNELS + 1, device=device)
    numbers = list(range(MAX_CHANNELS + 1)) if chosen == "all" else chosen
    weight = torch.randn(3, 20, 26, 2 * len(numbers), device=device)

    def by_definition(a: Tensor, db: Tensor) -> Tensor:
        index = (rast[..., 3].long() - 1).clamp(min=0)
        corners = a[0, :, numbers][tri.long()[index]]
        to_u, to_v = corners[..., 0, :] - corners[..., 2, :], corners[..., 1, :] - corners[..., 2, :]
        dx, dy = (to_u * db[..., i : i + 1] + to_v * db[..., i + 2 : i + 3] for i in (0, 1))
        return torch.stack([dx, dy], dim=-1).flatten(-2) * (rast[..., 3:] > 0)

    results = []
    for function in (lambda a, d: interpolate(a, rast, tri, d, chosen)[1], by_definition):
        a, d = attr.clone().requires_grad_(), rast_db.detach().clone().requires_grad_()
        out = function(a, d)
        results.append((out, *torch.autograd.grad((out * weight).sum(), [a, d])))
    for ours, expected in zip(*results):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_a_vertex_without_attributes_shows_nothing(device) -> None:
    """An attribute tensor shorter than the mesh must not be read past its end."""
    pos, tri = scene(device)
    rast, _ = rasterize(None, pos, tri, (20, 26))
    attr = torch.ones(1, pos.shape[1] // 2, 3, device=device, requires_grad=True)
    out, _ = interpolate(attr, rast, tri)
    known = (tri < attr.shape[1]).all(dim=1)
    seen = torch.cat([known.new_zeros(1), known])[rast[..., 3].long()]
    torch.testing.assert_close(out[..., 0], seen.float(), rtol=0, atol=1e-6)
    (gradient,) = torch.autograd.grad(out.sum(), attr)
    torch.testing.assert_close(gradient.sum(), 3.0 * seen.sum(), rtol=1e-5, atol=0)


def test_empty_pixels_are_zero_and_take_no_gradient(device) -> None:
    pos, tri = scene(device)
    rast, _ = rasterize(None, pos, tri, (20, 26))
    attr = torch.ones(1, pos.shape[1], 2, device=device, requires_grad=True)
    out, _ = interpolate(attr, rast, tri)
    assert torch.equal(out[..., 0] > 0, rast[..., 3] > 0)
    (gradient,) = torch.autograd.grad(out[..., 0].sum(), attr)
    torch.testing.assert_close(gradient[..., 0].sum(), (rast[..., 3] > 0).sum().float(), rtol=1e-5, atol=0)
    assert (gradient[..., 1] == 0).all()


def test_a_picture_that_somebody_changed_is_looked_at_anew(device) -> None:
    """What `rasterize` knows of empty pixels holds for its own picture only."""
    pos, tri = scene(device, images=1)
    rast, _ = rasterize(None, 0.5 * pos * torch.tensor([1.0, 1.0, 2.0, 2.0], device=device), tri, (40, 40))
    attr = torch.rand(1, pos.shape[1], 3, device=device)
    assert rast[0, 20, 20, 3] > 0
    assert rast[0, 1, 1, 3] == 0
    changed = rast.clone()
    changed[0, 1, 1] = rast[0, 20, 20]
    expected, _ = interpolate(attr, changed, tri)
    rast[0, 1, 1] = rast[0, 20, 20].clone()
    out, _ = interpolate(attr, rast, tri)
    assert torch.equal(out, expected)
    assert (out[0, 1, 1] != 0).any()


def test_empty_parts_of_a_huge_picture_are_zero(device) -> None:
    """They are written past the caches; memory that was used before shows what is left out."""
    size = (1450, 1470)
    tri = torch.tensor([[0, 1, 2]], dtype=torch.int32, device=device)
    corners = [[-0.013, -0.5, 0.0, 1.0], [0.3, -0.4, 0.0, 1.0], [0.1, 0.237, 0.0, 1.0]]
    pos = torch.tensor([corners], device=device, requires_grad=True)
    attr = torch.ones(1, 3, 3, device=device)
    dirt = [torch.full((1, *size, channels), torch.nan, device=device) for channels in (4, 3, 4)]
    del dirt
    rast, _ = rasterize(None, pos, tri, size, output_db=False)
    image, _ = interpolate(attr, rast, tri)
    (to_rast,) = torch.autograd.grad(image, rast, torch.ones_like(image))
    empty = rast.detach()[..., 3] == 0
    assert 0 < (~empty).sum() < 0.2 * empty.numel()
    assert (rast.detach()[empty] == 0).all()
    assert (image.detach()[empty] == 0).all()
    assert (image.detach()[~empty] - 1).abs().max() < 1e-5
    assert (to_rast[empty] == 0).all()
    assert to_rast.isfinite().all()


def test_attributes_without_batch(device) -> None:
    pos, tri = scene(device)
    rast, _ = rasterize(None, pos, tri, (20, 26))
    attr = torch.rand(pos.shape[1], 3, device=device)
    assert torch.equal(interpolate(attr, rast, tri)[0], interpolate(attr[None], rast, tri)[0])


@pytest.mark.parametrize("channels", [3, MAX_CHANNELS + 1])
@pytest.mark.parametrize("shared", [True, False])
def test_fused_equals_the_two_steps(device, channels, shared) -> None:
    pos, tri = scene(device)
    torch.manual_seed(1)
    attr = torch.rand(1 if shared else 3, pos.shape[1], channels, device=device)
    weight = torch.randn(3, 20, 26, channels, device=device)
    results = []
    for fused in (True, False):
        p, a = pos.clone().requires_grad_(), attr.clone().requires_grad_()
        if fused:
            out, rast = rasterize_interpolate(p, tri, a, (20, 26))
        else:
            rast = rasterize(None, p, tri, (20, 26))[0]
            out = interpolate(a, rast, tri)[0]
        results.append((out, rast, *torch.autograd.grad((out * weight).sum(), [p, a])))
    for ours, expected in zip(*results):
        # The same terms summed in another order; the largest position gradients are about 100.
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=2e-4)


def test_fused_gradient_only_where_asked(device) -> None:
    pos, tri = scene(device)
    attr = torch.rand(1, pos.shape[1], 3, device=device)
    p = pos.clone().requires_grad_()
    out, rast = rasterize_interpolate(p, tri, attr, (20, 26))
    assert not rast.requires_grad
    (alone,) = torch.autograd.grad(out.square().sum(), p)
    a = attr.clone().requires_grad_()
    out, _ = rasterize_interpolate(p, tri, a, (20, 26))
    both, _ = torch.autograd.grad(out.square().sum(), [p, a])
    assert torch.equal(alone, both)


def test_fused_culling_keeps_a_closed_mesh(device) -> None:
    pos, tri = scene(device)
    attr = torch.rand(1, pos.shape[1], 3, device=device)
    whole = rasterize_interpolate(pos, tri, attr, (20, 26))
    culled = rasterize_interpolate(pos, tri, attr, (20, 26), cull_backfaces=True)
    assert torch.equal(whole[0], culled[0])


def test_fused_with_nothing_to_draw(device) -> None:
    attr = torch.rand(1, 3, 3, device=device, requires_grad=True)
    pos = torch.zeros(2, 3, 4, device=device, requires_grad=True)
    tri = torch.tensor([[0, 1, 2]], dtype=torch.int32, device=device)
    out, rast = rasterize_interpolate(pos, tri, attr, (8, 8))
    assert (out == 0).all()
    assert (rast == 0).all()
    for gradient in torch.autograd.grad(out.sum(), [pos, attr]):
        assert (gradient == 0).all()
    none = torch.zeros(0, 3, dtype=torch.int32, device=device)
    assert (rasterize_interpolate(pos, none, attr, (8, 8))[0] == 0).all()


def test_errors_name_what_is_wrong() -> None:
    pos, tri = scene(torch.device("cpu"))
    rast, rast_db = rasterize(None, pos, tri, (8, 8))
    attr = torch.rand(1, pos.shape[1], 3)
    with pytest.raises(ShapeError, match="interpolate: attr must have a batch of 3 or 1, got 2"):
        interpolate(attr.repeat(2, 1, 1), rast, tri)
    with pytest.raises(ShapeError, match="interpolate: diff_attrs needs rast_db"):
        interpolate(attr, rast, tri, diff_attrs="all")
    with pytest.raises(ShapeError, match="interpolate: diff_attrs must be below 3, got 7"):
        interpolate(attr, rast, tri, rast_db, diff_attrs=[7])
    for bad in ("some", 3, ["x"]):
        with pytest.raises(InputError, match="interpolate: diff_attrs must be 'all' or a list of channels"):
            interpolate(attr, rast, tri, rast_db, diff_attrs=bad)
    with pytest.raises(
        ShapeError, match=r"interpolate: rast must have shape \[N, H, W, 4\], got \[3, 8, 8, 3\]"
    ):
        interpolate(attr, rast[..., :3], tri)
    with pytest.raises(ShapeError, match=r"rasterize_interpolate: attr must have shape \[N, 162, C\]"):
        rasterize_interpolate(pos, tri, attr[:, :5], (8, 8))
