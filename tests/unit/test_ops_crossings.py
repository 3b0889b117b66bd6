"""antialias(..., intersections=True): where surfaces pass through each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from benchmarks.silhouette_gradients import weight
from studio.core.ops import Topology, antialias, rasterize, rasterize_interpolate
from tests import ops_reference as reference

QUAD = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)
SIZE = 32


def quads(theta: Tensor) -> Tensor:
    """[1, 8, 4] clip positions: a screen-filling quad and one leaning through it.

    theta = (shift of the first along z, of the second along z, along x, two slopes of the second).
    """
    square = theta.new_tensor([[-2.0, -2.0], [2.0, -2.0], [2.0, 2.0], [-2.0, 2.0]])
    w = theta.new_tensor([1.0, 1.2, 1.4, 1.1])[:, None]
    flat = torch.cat([square * w, (0.1 + theta[0]) * w, w], dim=1)
    x, y = square[:, 0] * 1.1 + theta[2], square[:, 1] * 1.1
    z = 0.12 + theta[1] + (0.22 + theta[3]) * x + (0.05 + theta[4]) * y
    w = theta.new_tensor([0.9, 1.3, 1.2, 1.0])
    leaning = torch.stack([x * w, y * w, z * w, w], dim=1)
    return torch.cat([flat, leaning])[None].float()


def sunk_sphere(theta: Tensor) -> Tensor:
    """A sphere half below a slanted plane; theta as for `quads`: plane, sphere, its x, plane's slopes."""
    vertices, _ = reference.sphere(3)
    ball = 0.55 * vertices.double() + torch.stack([theta[2], theta[2] * 0, -theta[1]])
    ball = torch.stack([ball[:, 0], ball[:, 1], -0.5 * ball[:, 2]], dim=1)
    square = theta.new_tensor([[-2.0, -2.0], [2.0, -2.0], [2.0, 2.0], [-2.0, 2.0]])
    z = -0.1 + theta[0] + (0.05 + theta[3]) * square[:, 0] + (0.08 + theta[4]) * square[:, 1]
    points = torch.cat([ball, torch.cat([square, z[:, None]], dim=1)])
    return torch.cat([points, torch.ones_like(points[:, :1])], dim=1)[None].float()


def scene(name: str) -> tuple[Callable[[Tensor], Tensor], Tensor, Tensor]:
    """Clip positions, triangles, and attributes: 1 on one surface, 0 on the other."""
    if name == "quads":
        return quads, torch.cat([QUAD, QUAD + 4]), torch.tensor([1.0] * 4 + [0.0] * 4)[None, :, None]
    vertices, tri = reference.sphere(3)
    count = len(vertices)
    attr = torch.cat([torch.zeros(count), torch.ones(4)])[None, :, None]
    return sunk_sphere, torch.cat([tri, QUAD + count]), attr


def picture(pos: Tensor, tri: Tensor, attr: Tensor, topology: Topology, size: int = SIZE) -> Tensor:
    image, rast = rasterize_interpolate(pos, tri, attr, (size, size))
    return antialias(image, rast, pos, tri, topology, intersections=True)[0, ..., 0]


# Round the sphere the line turns, and the share of horizontal and vertical pairs is taken as fixed.
@pytest.mark.parametrize(("name", "limit"), [("quads", 0.03), ("sphere", 0.08)])
def test_gradients_follow_differences(name: str, limit: float) -> None:
    place, tri, attr = scene(name)
    topology = Topology.build(tri)
    weights = weight(SIZE)

    def loss(theta: Tensor) -> Tensor:
        return (picture(place(theta), tri, attr, topology).double() * weights).sum()

    # Steps that move the line by about a pixel, places spread within one.
    steps = torch.diag(torch.tensor([0.015, 0.015, 0.06, 0.02, 0.02], dtype=torch.float64))
    gradients, differences = [], []
    for i in range(16):
        base = torch.zeros(5, dtype=torch.float64)
        base[0] = 0.03 * ((0.7548776662 * i) % 1.0)
        base[2] = 0.06 * ((0.5698402910 * i) % 1.0)
        leaf = base.clone().requires_grad_()
        gradients.append(torch.autograd.grad(loss(leaf), leaf)[0])
        with torch.no_grad():
            differences.append(
                torch.stack([(loss(base + s) - loss(base - s)) / (2 * s.sum()) for s in steps])
            )
    gradient, difference = torch.stack(gradients).mean(0), torch.stack(differences).mean(0)
    error = (gradient - difference).abs() * steps.sum(0)
    scale = (difference.abs() * steps.sum(0)).max()
    assert (error < limit * scale).all(), (gradient, difference)
    # Without it there is no gradient to depth at all.
    assert gradient[:2].abs().min() > 0


def test_amount_is_where_the_depths_cross() -> None:
    """The second sheet comes up through the first at 16.3 pixels from the left."""
    _, tri, attr = scene("quads")
    pos = torch.tensor([[[-1, -1, 0.0, 1], [1, -1, 0, 1], [1, 1, 0, 1], [-1, 1, 0, 1]]])
    edge = 2 * 16.3 / SIZE - 1
    other = pos.clone()
    other[..., 2] = 0.5 * (edge - other[..., 0])
    both = torch.cat([pos, other], dim=1)
    row = picture(both, tri, attr, Topology.build(tri))[10]
    # Pixel 16 reaches from 16 to 17 and is of the first sheet up to 16.3.
    assert row[14:19].tolist() == pytest.approx([1, 1, 0.3, 0, 0], abs=1e-4)
    plain = antialias(*_inputs(both, tri, attr))[0, 10, 14:19, 0]
    assert plain.tolist() == [1, 1, 0, 0, 0]


def _inputs(pos: Tensor, tri: Tensor, attr: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    image, rast = rasterize_interpolate(pos, tri, attr, (SIZE, SIZE))
    return image, rast, pos, tri


def test_gradient_to_all_six_vertices() -> None:
    """Small steps of all vertices in random directions; flat colours, so that nothing jumps."""
    place, tri, attr = scene("quads")
    pos = place(torch.full((5,), 0.003, dtype=torch.float64))
    topology = Topology.build(tri)
    weights = torch.rand(SIZE, SIZE, generator=torch.Generator().manual_seed(3)).double()

    def loss(p: Tensor) -> Tensor:
        return (picture(p, tri, attr, topology).double() * weights).sum()

    leaf = pos.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf), leaf)
    assert (gradient[..., 2] != 0).all()
    directions = torch.randn(6, *pos.shape, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        for d in directions:
            difference = (loss(pos + 3e-4 * d) - loss(pos - 3e-4 * d)) / 6e-4
            slope = (gradient * d).sum().double()
            assert abs(slope - difference) < 0.02 * gradient.double().norm()


def test_one_surface_is_left_alone() -> None:
    """A hollow sphere seen from inside: planes of neighbours cross everywhere, surfaces nowhere."""
    vertices, tri = reference.sphere(3)
    pos = torch.cat([1.6 * vertices, torch.ones(len(vertices), 1)], dim=1)[None]
    pos[..., 2] *= 0.5
    keep = pos[0, tri.long(), 2].amin(1) > 0  # the far half
    tri = tri[keep].contiguous()
    color = torch.rand(1, SIZE, SIZE, 3)
    rast = rasterize(None, pos, tri, (SIZE, SIZE))[0]
    topology = Topology.build(tri)
    plain = antialias(color, rast, pos, tri, topology)
    assert torch.equal(antialias(color, rast, pos, tri, topology, intersections=True), plain)
