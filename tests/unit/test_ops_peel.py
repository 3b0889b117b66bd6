"""DepthPeeler: every triangle of a pixel once, in order of depth; gradients; errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from studio.core.errors import InputError, ShapeError
from studio.core.kernels.visibility import EMPTY_KEY
from studio.core.ops import DepthPeeler, RasterizeGLContext, interpolate, rasterize
from studio.core.ops.visibility import visible
from tests import ops_reference as reference


def layers_of(count: int, *arguments, **more) -> list[Tensor]:
    with DepthPeeler(None, *arguments, **more) as peeler:
        return [peeler.rasterize_next_layer()[0] for _ in range(count)]


def square(z: float) -> Tensor:
    """[4, 4] corners of the whole image."""
    return torch.tensor([[-1.0, -1, z, 1], [1, -1, z, 1], [1, 1, z, 1], [-1, 1, z, 1]])


TWO = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)


@pytest.mark.parametrize("seed", range(4))
def test_layers_are_all_triangles_of_a_pixel_in_order(device, seed) -> None:
    """Against every triangle drawn alone; with triangles in one plane, and the same one twice."""
    rng = np.random.default_rng(seed)
    corners = rng.normal(size=(14, 3, 4)) * (1, 1, 0.5, 0.2) + (0, 0, 0, 1)
    corners[4:8, :, 2] = 0.25 * corners[4:8, :, 3]
    corners[8:11] = corners[0]
    pos = torch.tensor(corners.reshape(-1, 4), dtype=torch.float32, device=device)
    tri = torch.arange(42, dtype=torch.int32, device=device).reshape(-1, 3)
    alone = torch.stack([torch.arange(14), torch.ones(14)], dim=1).int()
    keys = visible(pos[None], tri, 37, 45, False, ranges=alone).view(14, -1).sort(0).values
    rasts = layers_of(15, pos[None], tri, (37, 45))
    assert (keys[6] != EMPTY_KEY).any()  # some pixels have many layers
    for key, rast in zip(keys, rasts):
        expected = torch.where(key == EMPTY_KEY, 0, (key & 0xFFFFFFFF) + 1)
        assert torch.equal(rast[..., 3].flatten(), expected.float())
    assert (rasts[14] == 0).all()


def test_nested_spheres_have_two_layers_each_then_none(device) -> None:
    vertices, tri = reference.sphere(2)
    radii = (1.0, 0.5, 0.75)  # not in order
    points = torch.cat([vertices * r for r in radii])
    pos = reference.perspective(points, [(0.1, 0.2)]).to(device)
    tri = torch.cat([tri + i * len(vertices) for i in range(3)]).int().to(device)
    rasts = layers_of(8, pos, tri, (40, 40))
    count = sum((rast[0, ..., 3] > 0).int() for rast in rasts)
    assert count[20, 20] == 6
    # No leak along shared edges: every ray enters as often as it leaves.
    assert (count % 2 == 0).all()
    depths = torch.stack([rast[0, ..., 2] for rast in rasts[:6]])[:, count == 6]
    assert (depths.diff(dim=0) > 0).all()
    assert (rasts[6] == 0).all()
    assert (rasts[7] == 0).all()


def test_a_sheet_has_one_layer(device) -> None:
    pos, tri = reference.grid_mesh(9, 7, 0.24, 3)
    rasts = layers_of(2, pos.to(device), tri.to(device), (101, 83))
    assert (rasts[0][..., 3] > 0).all()
    assert (rasts[1] == 0).all()


def test_the_first_layer_is_rasterize_and_ranges_are_peeled_apart(device) -> None:
    pos = torch.cat([square(0.5), square(-0.5), square(0.0)]).to(device)
    tri = torch.cat([TWO + 4 * i for i in range(3)]).to(device)
    ranges = torch.tensor([[0, 6], [2, 2], [4, 0]], dtype=torch.int32)
    first, second, third = layers_of(3, pos, tri, (6, 9), ranges)
    assert torch.equal(first, rasterize(None, pos, tri, (6, 9), ranges)[0])
    assert [layer[0, 3, 3, 2].item() for layer in (first, second, third)] == [-0.5, 0.0, 0.5]
    assert (first[1, ..., 2] == -0.5).all()
    assert (second[1:] == 0).all()


def test_translucent_layers_compose_to_the_formula(device) -> None:
    """Five translucent squares in any order: the over operator, from front to back."""
    order = [3, 0, 4, 1, 2]
    pos = torch.cat([square(-0.8 + 0.3 * i) for i in order])[None].to(device)
    tri = torch.cat([TWO + 4 * i for i in range(5)]).to(device)
    grey = torch.tensor([0.9, 0.1, 0.5, 0.7, 0.3])  # by depth
    attr = grey[order].repeat_interleave(4)[None, :, None].to(device)
    alpha, image, clear = 0.4, torch.zeros(1, 8, 8, 1, device=device), 1.0
    for rast in layers_of(5, pos, tri, (8, 8)):
        image = image + clear * alpha * interpolate(attr, rast, tri)[0]
        clear *= 1 - alpha
    expected = sum(g * alpha * (1 - alpha) ** i for i, g in enumerate(grey.tolist()))
    torch.testing.assert_close(image, torch.full_like(image, expected), rtol=1e-6, atol=1e-6)


def test_gradients_of_a_layer_are_those_of_its_surface(device) -> None:
    tilt = torch.tensor([[0.0, 0, 0.1, 0.3], [0, 0, 0, 0.1], [0, 0, 0.2, 0], [0, 0, 0, 0.2]])
    pos = torch.cat([square(0.6) + tilt, square(-0.6) + tilt]).to(device).requires_grad_()
    tri = torch.cat([TWO, TWO + 4]).to(device)
    with DepthPeeler(None, pos[None], tri, (13, 11)) as peeler:
        peeler.rasterize_next_layer()
        rast, rast_db = peeler.rasterize_next_layer()
    alone, alone_db = rasterize(None, pos[None], tri[:2], (13, 11))
    assert torch.equal(rast, alone)
    upstream = [torch.randn_like(alone), torch.randn_like(alone_db)]
    (gradient,) = torch.autograd.grad([rast, rast_db], pos, upstream)
    (expected,) = torch.autograd.grad([alone, alone_db], pos, upstream)
    assert torch.equal(gradient, expected)
    assert (gradient[:4] != 0).any()
    assert (gradient[4:] == 0).all()


def test_options_are_those_of_rasterize(device) -> None:
    pos, tri = square(0.0)[None].to(device), TWO.to(device)
    with DepthPeeler(RasterizeGLContext(output_db=False), pos, tri, (4, 4)) as peeler:
        assert peeler.rasterize_next_layer()[1].shape == (1, 4, 4, 0)
    culled = layers_of(1, pos, tri.flip(1).contiguous(), (4, 4), cull_backfaces=True)
    assert (culled[0] == 0).all()
    turned = pos.clone().requires_grad_()
    with DepthPeeler(None, turned, tri, (4, 4), grad_db=False) as peeler:
        rast_db = peeler.rasterize_next_layer()[1]
    assert (torch.autograd.grad(rast_db.sum(), turned)[0] == 0).all()


def test_errors() -> None:
    with pytest.raises(ShapeError, match=r"DepthPeeler: pos must have shape \[N, V, 4\], got \[4, 4\]"):
        DepthPeeler(None, square(0.0), TWO, (4, 4))
    peeler = DepthPeeler(None, square(0.0)[None], TWO, (4, 4))
    with pytest.raises(InputError, match="inside its `with` block"):
        peeler.rasterize_next_layer()
    with peeler:
        peeler.rasterize_next_layer()
    with pytest.raises(InputError, match="inside its `with` block"):
        peeler.rasterize_next_layer()
