"""`draw`: the fused operation gives what its parts give."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from studio.core.errors import ShapeError
from studio.core.ops import Topology, antialias, draw, rasterize_interpolate
from studio.core.ops.compose import compose
from tests.ops_reference import perspective, sphere

SIZE = (37, 50)  # no multiple of anything


def _scene(channels: int, shared: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """Two views of a sphere, random attributes."""
    vertices, tri = sphere(2)
    torch.manual_seed(0)
    pos = perspective(vertices, [(0.0, 0.0), (0.3, -0.2)])
    return pos, tri, torch.rand(1 if shared else 2, len(vertices), channels)


@pytest.mark.parametrize(("channels", "shared"), [(1, True), (3, False), (4, True), (16, True)])
def test_draw_equals_rasterize_then_antialias(channels: int, shared: bool) -> None:
    pos, tri, attr = _scene(channels, shared)
    topology = Topology.build(tri)
    upstream = torch.randn(2, *SIZE, channels)
    results = []
    for fused in (False, True):
        p, a = pos.clone().requires_grad_(), attr.clone().requires_grad_()
        if fused:
            image = draw(p, tri, a, SIZE, topology)
        else:
            plain, rast = rasterize_interpolate(p, tri, a, SIZE)
            image = antialias(plain, rast, p, tri, topology)
        results.append((image, *torch.autograd.grad(image, [p, a], upstream)))
    for one, other in zip(*results):
        torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-5 * float(one.detach().abs().max()))


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("level", [0, 4])
def test_small_and_large_triangles_have_one_gradient(
    level: int, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By runs and by triangles; runs of 1 to 300 pixels, a row wider than is looked through at once."""
    vertices, tri = sphere(level)
    torch.manual_seed(0)
    pos = perspective(vertices, [(0.0, 0.0), (0.3, -0.2)])
    attr, size = torch.rand(1, len(vertices), channels), (61, 301)
    topology, upstream = Topology.build(tri), torch.randn(2, *size, channels)
    results = []
    for large in (0, 1 << 30):
        monkeypatch.setattr("studio.core.ops.fused._LARGE", large)
        p, a = pos.clone().requires_grad_(), attr.clone().requires_grad_()
        image = draw(p, tri, a, size, topology)
        results.append(torch.autograd.grad(image, [p, a], upstream))
    for one, other in zip(*results):
        torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-5 * float(one.abs().max()))


@pytest.mark.parametrize("wants", [(True, False), (False, True)])
def test_one_gradient_alone_is_what_both_together_give(wants: tuple[bool, bool]) -> None:
    vertices, tri = sphere(3)
    torch.manual_seed(0)
    pos = perspective(vertices, [(0.0, 0.0)])
    attr, upstream = torch.rand(1, len(vertices), 3), torch.randn(1, *SIZE, 3)
    topology = Topology.build(tri)

    def gradients(*wanted: bool) -> list[Tensor]:
        leaves = [t.clone().requires_grad_(want) for t, want in zip((pos, attr), wanted)]
        image = draw(leaves[0], tri, leaves[1], SIZE, topology)
        return list(torch.autograd.grad(image, [t for t in leaves if t.requires_grad], upstream))

    assert torch.equal(gradients(*wants)[0], gradients(True, True)[0 if wants[0] else 1])


def test_strips_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pos, tri, attr = _scene(3)
    topology, size = Topology.build(tri), (200, 70)
    whole = draw(pos, tri, attr, size, topology)
    monkeypatch.setattr("studio.core.ops.visibility._STRIP_PIXELS", 1)
    monkeypatch.setattr("studio.core.ops.visibility._STRIP_PER_TRIANGLE", 0)
    assert torch.equal(draw(pos, tri, attr, size, topology), whole)


@pytest.mark.parametrize("constant", [True, False])
def test_background_shows_and_gets_its_gradient(constant: bool) -> None:
    pos, tri, attr = _scene(3)
    topology = Topology.build(tri)
    attr = torch.cat([attr, torch.ones(1, attr.shape[1], 1)], dim=2)
    upstream = torch.randn(2, *SIZE, 4)
    shown = torch.rand(3) if constant else torch.rand(2, *SIZE, 3)
    results = []
    for fused in (False, True):
        b = shown.clone().requires_grad_()
        if fused:
            behind = torch.cat([b, torch.zeros_like(b[..., :1])], dim=-1)
            image = draw(pos, tri, attr, SIZE, topology, behind)
        else:
            plain, rast = rasterize_interpolate(pos, tri, attr, SIZE)
            image = antialias(compose(plain[..., :3], rast, b), rast, pos, tri, topology)
        results.append((image, torch.autograd.grad(image, b, upstream)[0]))
    for one, other in zip(*results):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_what_does_not_fit_is_named() -> None:
    pos, tri, attr = _scene(3)
    with pytest.raises(ShapeError, match="draw: topology has 1 triangles, tri has"):
        draw(pos, tri, attr, SIZE, Topology.build(tri[:1]))
    with pytest.raises(ShapeError, match="draw: background"):
        draw(pos, tri, attr, SIZE, Topology.build(tri), torch.zeros(4))


@pytest.mark.parametrize(("wants_pos", "wants_attr"), [(True, False), (False, True)])
def test_one_gradient_alone_is_that_of_both(wants_pos: bool, wants_attr: bool) -> None:
    """Also with more channels than one kernel takes."""
    pos, tri, attr = _scene(14)
    both = [pos.clone().requires_grad_(), attr.clone().requires_grad_()]
    upstream = torch.randn(2, *SIZE, 14)
    expected = torch.autograd.grad(rasterize_interpolate(both[0], tri, both[1], SIZE)[0], both, upstream)
    leaves = [pos.clone().requires_grad_(wants_pos), attr.clone().requires_grad_(wants_attr)]
    image = rasterize_interpolate(leaves[0], tri, leaves[1], SIZE)[0]
    (found,) = torch.autograd.grad(image, [leaf for leaf in leaves if leaf.requires_grad], upstream)
    torch.testing.assert_close(found, expected[0 if wants_pos else 1])
