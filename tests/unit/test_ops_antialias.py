"""antialias and its topology: what is blended, by how much, and what is left alone."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from torch import Tensor

from studio.core.errors import ShapeError
from studio.core.ops import (
    Topology,
    antialias,
    antialias_construct_topology_hash,
    rasterize,
    rasterize_interpolate,
)
from studio.core.scene.shapes import icosphere
from tests import ops_reference as reference

QUAD = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)


def quad(left: float, right: float, low: float, high: float, z: float = 0.0) -> Tensor:
    """[1, 4, 4] clip positions of a rectangle given in pixels of an 8 x 8 image."""
    x0, x1, y0, y1 = (v / 4 - 1 for v in (left, right, low, high))
    corners = [[x0, y0, z, 1], [x1, y0, z, 1], [x1, y1, z, 1], [x0, y1, z, 1]]
    return torch.tensor([corners], dtype=torch.float32)


def draw(pos: Tensor, tri: Tensor, topology: Topology | None = None, size: int = 8) -> Tensor:
    """[size, size] antialiased coverage."""
    white = torch.ones(1, pos.shape[1], 1, device=pos.device)
    image, rast = rasterize_interpolate(pos, tri, white, (size, size))
    return antialias(image, rast, pos, tri, topology)[0, ..., 0]


@pytest.mark.parametrize("shift", [-0.4, -0.1, 0.2, 0.45])
def test_straight_edges_give_exact_coverage(device, shift) -> None:
    # An edge 3.5 + shift pixels from the border: pixel 3 is covered by that fraction.
    for vertical in (False, True):
        for near_side in (False, True):
            edge = 3.5 + shift
            span = (-2.0, edge) if near_side else (edge, 10.0)
            pos = quad(*span, -2, 10) if not vertical else quad(-2, 10, *span)
            covered = draw(pos.to(device), QUAD.to(device))
            row = covered[:, 4] if vertical else covered[4]
            pixels = torch.arange(8, device=device)
            expected = (edge - pixels).clamp(0, 1)
            if not near_side:
                expected = 1 - expected
            torch.testing.assert_close(row, expected, rtol=0, atol=1e-5)


def test_gradient_of_a_straight_edge(device) -> None:
    pos = quad(-2, 3.3, -2, 10).to(device).requires_grad_()
    (gradient,) = torch.autograd.grad(draw(pos, QUAD.to(device)).sum(), pos)
    # Eight rows, each gains 4 pixels of width per unit of x; shared by the two right corners.
    torch.testing.assert_close(gradient[0, 1:3, 0].sum().cpu(), torch.tensor(32.0), rtol=1e-5, atol=0)
    # What moves in x by scaling w moves the other way: d/dw = -x/w d/dx - y/w d/dy.
    xyw = gradient[0, 1:3]
    expected = -(pos.detach()[0, 1:3, 0] * xyw[:, 0] + pos.detach()[0, 1:3, 1] * xyw[:, 1])
    torch.testing.assert_close(xyw[:, 3], expected, rtol=1e-4, atol=1e-4)
    assert (gradient[..., 2] == 0).all()


def test_pos_gradient_boost(device) -> None:
    results = []
    for boost in (1.0, 3.0):
        pos = quad(-2, 3.3, -2, 10).to(device).requires_grad_()
        rast = rasterize(None, pos, QUAD.to(device), (8, 8))[0]
        color = (rast[..., 3:] > 0).float()
        out = antialias(color, rast, pos, QUAD.to(device), pos_gradient_boost=boost)
        results.append(torch.autograd.grad(out.sum(), pos)[0])
    torch.testing.assert_close(results[1], 3 * results[0])


def test_hidden_edges_change_nothing(device) -> None:
    # A small square behind a large one.
    pos = torch.cat([quad(0, 8, 0, 8, z=-0.5), quad(2.3, 5.6, 2.2, 5.7, z=0.5)], dim=1).to(device)
    tri = torch.cat([QUAD, QUAD + 4]).to(device)
    rast = rasterize(None, pos, tri, (8, 8))[0]
    color = torch.rand(1, 8, 8, 3, device=device)
    out = antialias(color, rast, pos, tri)
    assert torch.equal(out[0, 2:6, 2:6], color[0, 2:6, 2:6])


def test_inner_edges_change_nothing(device) -> None:
    vertices, tri = reference.sphere(3)
    pos = reference.perspective(vertices, [(0.0, 0.0)]).to(device)
    tri = tri.to(device)
    rast = rasterize(None, pos, tri, (64, 64))[0]
    color = torch.rand(1, 64, 64, 3, device=device)
    changed = (antialias(color, rast, pos, tri) != color).any(-1)[0]
    covered = rast[0, ..., 3] > 0
    border = torch.nn.functional.max_pool2d(covered[None].float(), 3, 1, 1)[0] > 0
    inner = torch.nn.functional.max_pool2d((~covered)[None].float(), 3, 1, 1)[0] == 0
    assert not changed[inner].any()
    assert not changed[~border].any()
    # And the outline is: one pixel of each pair across it, out of a band three pixels wide.
    assert changed.sum() > 0.3 * (border & ~inner).sum()


@pytest.mark.parametrize("subdivisions", [2, 4, 6])
def test_coverage_of_a_sphere_is_smooth(device, subdivisions) -> None:
    """Triangles at the outline own no pixel on the finest; no pixel may stay unblended."""
    vertices, tri = reference.sphere(subdivisions)
    pos = reference.perspective(vertices, [(0.02, -0.03)]).to(device)
    tri = tri.to(device)
    topology = Topology.build(tri, vertices)
    soft = draw(pos, tri, topology, size=64)
    fine = rasterize_interpolate(pos, tri, torch.ones(1, len(vertices), 1, device=device), (1024, 1024))[0]
    exact = fine[0, ..., 0].view(64, 16, 64, 16).mean((1, 3))
    error = (soft - exact).abs()
    # Linear blending against area: 0.125 is the worst case of a diagonal edge.
    assert error.max() < 0.15
    band = (exact > 0) & (exact < 1)
    assert error[band].mean() < 0.03
    hard = (rasterize(None, pos, tri, (64, 64))[0][0, ..., 3] > 0).float()
    assert (hard - exact).abs()[band].mean() > 0.15  # what it was before


def test_seams_are_not_silhouettes_once_welded(device) -> None:
    # Two quads side by side with their own vertices, as along a UV seam.
    pos = torch.cat([quad(-2, 4.3, -2, 10), quad(4.3, 10, -2, 10)], dim=1).to(device)
    tri = torch.cat([QUAD, QUAD + 4]).to(device)
    plain, welded = Topology.build(tri), Topology.build(tri, pos[0, :, :3])
    assert len(plain.edges) == 10
    assert len(welded.edges) == 9
    # A step in depth makes the seam count where it is an outline.
    pos[0, 4:, 2] = 0.5
    color = torch.rand(1, 8, 8, 3, device=device)
    rast = rasterize(None, pos, tri, (8, 8))[0]
    assert not torch.equal(antialias(color, rast, pos, tri, plain), color)
    assert torch.equal(antialias(color, rast, pos, tri, welded), color)


def test_edges_through_the_camera_plane(device) -> None:
    # A strip running under the camera to behind it: its two long edges must be antialiased.
    width = 0.3
    w = torch.tensor([4.0, 4.0, -2.0, -2.0])
    x = torch.tensor([-width, width, width, -width])
    corners = torch.stack([x, torch.full((4,), -0.5), w - 0.2, w], dim=-1)
    pos = corners[None].to(device).requires_grad_()
    covered = draw(pos, QUAD.to(device), size=64)
    exact = draw(pos.detach(), QUAD.to(device), size=1024).view(64, 16, 64, 16).mean((1, 3))
    rows = slice(0, 24)  # below the far end
    error = (covered - exact)[rows].abs()
    assert error.max() < 0.15
    (gradient,) = torch.autograd.grad(covered.sum(), pos)
    assert torch.isfinite(gradient).all()
    # Widening the strip at its invisible end widens the picture.
    assert gradient[0, 2, 0] > 0
    assert gradient[0, 3, 0] < 0


def test_mixed_winding_has_no_false_outline(device) -> None:
    """A triangle wound the other way round is no silhouette in itself."""
    pos = quad(-2, 10, -2, 10).to(device)
    pos[0, :, 2] = torch.tensor([0.1, 0.2, 0.3, 0.4])
    tri = torch.tensor([[0, 1, 2], [0, 3, 2]], dtype=torch.int32, device=device)
    rast = rasterize(None, pos, tri, (8, 8))[0]
    color = torch.rand(1, 8, 8, 2, device=device)
    assert torch.equal(antialias(color, rast, pos, tri), color)


def test_topology_of_a_closed_mesh(device) -> None:
    _, tri = reference.sphere(3)
    topology = antialias_construct_topology_hash(tri.to(device))
    edges = topology.edges.cpu().numpy()
    assert len(edges) == 3 * len(tri) // 2
    assert (edges[:, 3] >= 0).all()
    faces = tri.numpy()
    for a, b, first, second, *opposite in edges[::17]:
        assert {a, b, opposite[0]} == set(faces[first])
        assert {a, b, opposite[1]} == set(faces[second])
        assert [a, b] in [[faces[first][i], faces[first][(i + 1) % 3]] for i in range(3)]


def test_topology_of_odd_meshes() -> None:
    fan = np.array([[0, 1, 2], [1, 0, 3], [0, 1, 4], [5, 5, 6]], dtype=np.int32)
    edges = Topology.build(fan).edges.numpy()
    shared = edges[(np.sort(edges[:, :2], axis=1) == [0, 1]).all(1)]
    # Three triangles on one edge: one pair and one boundary; the degenerate one has no edges.
    assert sorted(shared[:, 3].tolist()) == [-1, 1]
    assert not (edges[:, :2] >= 5).any()
    assert len(Topology.build(fan[:0]).edges) == 0


def test_batch_gradients_go_to_their_image(device) -> None:
    pos = torch.cat([quad(-2, 3.3, -2, 10), quad(-2, 5.2, -2, 10)]).to(device).requires_grad_()
    tri = QUAD.to(device)
    white = torch.ones(1, 4, 1, device=device)
    image, rast = rasterize_interpolate(pos, tri, white, (8, 8))
    out = antialias(image, rast, pos, tri)
    (gradient,) = torch.autograd.grad(out[1].sum(), pos)
    assert (gradient[0] == 0).all()
    assert gradient[1, 1:3, 0].sum() > 31


def test_range_mode_knows_only_outlines_of_its_own_range(device) -> None:
    """Two meshes in one list, the first in front of the second, an image of each."""
    pos = torch.cat([quad(2.3, 5.6, 2.2, 5.7, z=-0.5), quad(0, 7.3, 0, 8, z=0.5)], dim=1)[0].to(device)
    tri = torch.cat([QUAD, QUAD + 4]).to(device)
    ranges = torch.tensor([[0, 2], [2, 2]], dtype=torch.int32)
    rast = rasterize(None, pos, tri, (8, 8), ranges=ranges)[0]
    color = torch.rand(2, 8, 8, 3, device=device)
    out = antialias(color, rast, pos, tri)
    for i in range(2):
        own = tri[2 * i : 2 * i + 2].contiguous()
        alone = rasterize(None, pos[None], own, (8, 8))[0]
        expected = antialias(color[i : i + 1], alone, pos[None], own)
        torch.testing.assert_close(out[i : i + 1], expected, rtol=0, atol=1e-6)


def test_any_vertex_is_survived(device) -> None:
    """NaN, infinity, huge, on and behind the camera plane: finite pictures and gradients."""
    generator = torch.Generator().manual_seed(0)
    odd = torch.tensor([float("nan"), float("inf"), -float("inf"), 1e30, -1e20, 0.0, 1e-30, -1.0, 5e7])
    tri = torch.randint(0, 12, (16, 3), generator=generator, dtype=torch.int32).to(device)
    for _ in range(40):
        pos = torch.randn(1, 12, 4, generator=generator)
        pos[..., 3] += 1.5
        for place in torch.randint(0, 48, (3,), generator=generator).tolist():
            pos.view(-1)[place] = odd[int(torch.randint(0, len(odd), (1,), generator=generator))]
        pos = pos.to(device).requires_grad_()
        rast = rasterize(None, pos, tri, (24, 24))[0].detach()
        color = torch.rand(1, 24, 24, 1, generator=generator).to(device)
        out = antialias(color, rast, pos, tri)
        assert torch.isfinite(out).all()
        assert torch.isfinite(torch.autograd.grad(out.sum(), pos, allow_unused=True)[0]).all()


def test_errors_name_what_is_wrong() -> None:
    pos = quad(1, 5, 1, 5)
    rast = rasterize(None, pos, QUAD, (8, 8))[0]
    color = torch.rand(1, 8, 8, 3)
    with pytest.raises(ShapeError, match=r"antialias: rast must have shape \[1, 8, 8, 4\]"):
        antialias(color, rast[:, :4], pos, QUAD)
    with pytest.raises(ShapeError, match="antialias: pos must have a batch of 1, got 2"):
        antialias(color, rast, pos.repeat(2, 1, 1), QUAD)
    with pytest.raises(ShapeError, match="topology_hash was built from 1 triangles, tri has 2"):
        antialias(color, rast, pos, QUAD, Topology.build(QUAD[:1]))
    with pytest.raises(ShapeError, match="topology_hash must be a Topology, got str"):
        antialias(color, rast, pos, QUAD, "hash")
    with pytest.raises(ShapeError, match="topology: tri names a vertex outside 0 to 1"):
        Topology.build(QUAD, torch.zeros(2, 3))


def test_many_coincident_outlines_behind_change_nothing() -> None:
    square = torch.tensor([[-0.63, -0.41], [0.52, -0.41], [0.52, 0.67], [-0.63, 0.67]])
    triangles = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)

    def picture(layers: int) -> Tensor:
        depth = torch.linspace(-0.9, 0.9, layers).repeat_interleave(4)[:, None]
        pos = torch.cat([square.repeat(layers, 1), depth, torch.ones_like(depth)], dim=1)[None]
        tri = torch.cat([triangles + 4 * i for i in range(layers)])
        color = torch.linspace(1.0, 0.0, layers).repeat_interleave(4)[None, :, None].contiguous()
        image, rast = rasterize_interpolate(pos, tri, color, (32, 32))
        return antialias(image, rast, pos, tri)

    one, many = picture(1), picture(40)
    assert 0 < float(one[0, :, 5].max()) < 1  # the outline does blend there
    torch.testing.assert_close(many, one, rtol=0, atol=1e-5)


def test_seams_change_no_outline() -> None:
    """Pieces of an outline belong together where their vertices are at one place, whatever their numbers."""
    ball = icosphere(3, 0.6)
    corners = torch.from_numpy(ball.vertices[ball.faces].reshape(-1, 3))
    torn = torch.arange(len(corners), dtype=torch.int32).view(-1, 3)
    pictures = []
    for points, tri in ((torch.from_numpy(ball.vertices), torch.from_numpy(ball.faces)), (corners, torn)):
        pos = torch.cat([points[None], torch.ones(1, len(points), 1)], dim=2)
        rast, _ = rasterize(None, pos, tri, (64, 64))
        color = (rast[..., 3:] > 0).float()
        pictures.append(antialias(color, rast, pos, tri, Topology.build(tri, points)))
    torch.testing.assert_close(*pictures)


def test_one_search_for_what_is_the_same(monkeypatch) -> None:
    """And another one as soon as anything was changed, in place too."""
    module = importlib.import_module("studio.core.ops.silhouettes")
    searches = []

    def counted(*inputs: Tensor) -> object:
        searches.append(1)
        return module_find(*inputs)

    module_find = module.find_records
    monkeypatch.setattr(module, "find_records", counted)
    pos, color = quad(1.3, 5.6, 2.2, 5.7), torch.rand(1, 8, 8, 3)
    rast = rasterize(None, pos, QUAD, (8, 8))[0]
    topology = Topology.build(QUAD)
    first = antialias(color, rast, pos, QUAD, topology)
    assert torch.equal(antialias(color, rast, pos, QUAD, topology), first)
    assert len(searches) == 1
    pos[..., 0] += 0.02
    moved = antialias(color, rast, pos, QUAD, topology)
    assert torch.equal(moved, antialias(color, rast.clone(), pos.clone(), QUAD, topology))
    assert not torch.equal(moved, first)
    assert len(searches) == 3
