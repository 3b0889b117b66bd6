"""Gradients that one operation's adjoint tells the next of, instead of writing them down."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from studio.core.ops import Topology, antialias, interpolate, rasterize, rasterize_interpolate, recent
from studio.core.ops.deferred import Deferred
from tests.ops_reference import perspective, sphere

SIZE = (37, 50)
Watch = Callable[[Tensor, Tensor], object]


def _nobody(rast: Tensor, image: Tensor) -> None:
    pass


def _gradients(level: int, channels: int, known: bool, watch: Watch = _nobody) -> list[Tensor]:
    """Of positions and attributes; unless `known`, nobody can know what the adjoints hand on is made of."""
    vertices, tri = sphere(level)
    torch.manual_seed(0)
    pos = perspective(vertices, [(0.0, 0.0), (0.3, -0.2)]).requires_grad_()
    attr = torch.rand(1, len(vertices), channels).requires_grad_()
    upstream = torch.randn(2, *SIZE, channels)
    rast, _ = rasterize(None, pos, tri, SIZE)
    image, _ = interpolate(attr, rast if known else rast.clone(), tri)
    watch(rast, image)
    out = antialias(image if known else image.clone(), rast, pos, tri, Topology.build(tri))
    return list(torch.autograd.grad(out, [pos, attr], upstream))


def _same(ours: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-5 * float(other.abs().max()))


def test_rasterizing_and_interpolating_at_once_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    vertices, tri = sphere(2)
    torch.manual_seed(0)
    pos = perspective(vertices, [(0.0, 0.0)]).requires_grad_()
    attr, upstream = torch.rand(1, len(vertices), 3).requires_grad_(), torch.randn(1, *SIZE, 3)
    results = []
    for known in (False, True):
        if known:
            monkeypatch.delattr(sys.modules["studio.core.ops.antialias"], "_pull_colors")
        image, rast = rasterize_interpolate(pos, tri, attr, SIZE)
        out = antialias(image if known else image.clone(), rast, pos, tri)
        results.append(list(torch.autograd.grad(out, [pos, attr], upstream)))
    _same(results[1], results[0])


@pytest.mark.parametrize("channels", [1, 3, 16])
@pytest.mark.parametrize("level", [0, 4])
def test_nothing_is_written_between_the_three_and_the_gradient_is_the_same(
    level: int, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = _gradients(level, channels, known=False)
    # What would write the gradients of the two pictures.
    monkeypatch.delattr(sys.modules["studio.core.ops.interpolate"], "_pull")
    monkeypatch.delattr(sys.modules["studio.core.ops.antialias"], "_pull_colors")
    _same(_gradients(level, channels, known=True), expected)


def _in_place(gradient: Tensor) -> None:
    gradient.mul_(-3.0)


@pytest.mark.parametrize("change", [lambda g: None, lambda g: 2.0 * g, _in_place])
@pytest.mark.parametrize("where", [0, 1])
def test_hooks_see_and_change_gradients(where: int, change: Callable[[Tensor], Tensor | None]) -> None:
    def hook(seen: list[Tensor], gradient: Tensor) -> Tensor | None:
        seen.append(gradient + 0.0)
        return change(gradient)

    def watch(seen: list[Tensor], *pictures: Tensor) -> None:
        pictures[where].register_hook(partial(hook, seen))

    results = []
    for known in (False, True):
        seen: list[Tensor] = []
        found = _gradients(3, 3, known, partial(watch, seen))
        results.append([*found, *seen])
    assert len(results[1]) == 3
    _same(results[1], results[0])


def test_kept_gradients_are_ordinary_tensors() -> None:
    def keep(watched: list[Tensor], *pictures: Tensor) -> None:
        for picture in pictures:
            picture.retain_grad()
            watched.append(picture)

    results = []
    for known in (False, True):
        watched: list[Tensor] = []
        _gradients(3, 3, known, partial(keep, watched))
        results.append([tensor.grad for tensor in watched])
    assert all(type(gradient) is Tensor for gradient in results[1])
    _same(results[1], results[0])


def test_what_is_asked_for_is_computed_before_anything_changes() -> None:
    vertices, tri = sphere(2)
    pos = perspective(vertices, [(0.0, 0.0)]).requires_grad_()
    attr = torch.rand(1, len(vertices), 3).requires_grad_()
    rast, _ = rasterize(None, pos, tri, SIZE)
    image, _ = interpolate(attr, rast, tri)
    out = antialias(image, rast, pos, tri)
    found = torch.autograd.grad(out.square().sum(), [rast, image], retain_graph=True)
    expected = torch.autograd.grad(out.square().sum(), [rast, image])
    expected = [gradient + 0.0 for gradient in expected]
    with torch.no_grad():
        attr.zero_()
    assert found[0].numpy().any()
    _same(list(found), expected)


def test_a_picture_with_two_readers_gets_both_gradients() -> None:
    results = []
    for known in (False, True):
        vertices, tri = sphere(2)
        torch.manual_seed(0)
        pos = perspective(vertices, [(0.0, 0.0)]).requires_grad_()
        attr = torch.rand(1, len(vertices), 3).requires_grad_()
        rast, _ = rasterize(None, pos, tri, SIZE)
        first, second = (interpolate(a, rast if known else rast.clone(), tri)[0] for a in (attr, attr.sin()))
        out = antialias(first if known else first.clone(), rast, pos, tri)
        results.append(list(torch.autograd.grad((out * second + first).square().sum(), [pos, attr])))
    _same(results[1], results[0])


def test_colours_of_other_triangles_and_numbers_of_vertices() -> None:
    """Colours may have an index of their own, which says nothing of positions."""
    vertices, tri = sphere(2)
    corners = torch.arange(3 * len(tri), dtype=torch.int32).view(-1, 3)
    attr = torch.rand(1, len(vertices), 3)
    results = []
    for colors, faces in ((attr, tri), (attr[:, tri.flatten().long()], corners)):
        pos = perspective(vertices, [(0.0, 0.0)]).requires_grad_()
        rast, _ = rasterize(None, pos, tri, SIZE)
        out = antialias(interpolate(colors, rast, faces)[0], rast, pos, tri)
        results.append(list(torch.autograd.grad(out.square().sum(), [pos])))
    _same(results[1], results[0])


def test_a_gradient_of_what_was_changed_meanwhile_is_refused() -> None:
    source, found = torch.ones(2, requires_grad=True), []

    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return 2.0 * x

        @staticmethod
        def backward(ctx: object, *grads: Tensor) -> Tensor:
            deferred = Deferred(grads[0], None, lambda: 2.0 * grads[0], grads)
            grads[0].zero_()
            with pytest.raises(RuntimeError, match="modified in place"):
                deferred.whole()
            found.append(True)
            return grads[0]

    Double.apply(source).sum().backward()
    assert found


def test_nothing_is_remembered_of_the_dead() -> None:
    kept, other = torch.zeros(1), torch.zeros(1)
    value = torch.zeros(1)
    recent.keep("test", (kept, other), value)
    assert recent.find("test", (kept, other)) is value
    del other
    assert "test" not in recent._store.__dict__
