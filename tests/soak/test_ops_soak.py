"""A thousand forward and backward passes of each operation leave memory where it was."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from studio.core import ops
from tests import ops_reference as reference
from tests.soak.memory import in_use_mb

SIZE = 128  # one float32 image of four channels is 256 KB


def operations() -> dict[str, Callable[[], list[Tensor]]]:
    """Each operation on fresh leaves; returns what has a gradient."""
    vertices, tri = reference.sphere(2)
    base = reference.perspective(vertices, [(0.0, 0.0)])
    size = (SIZE, SIZE)
    rast, rast_db = ops.rasterize(None, base, tri, size)
    topology = ops.Topology.build(tri)
    uv, uv_da = torch.rand(1, *size, 2), 0.1 * torch.rand(1, *size, 4)

    def pos() -> Tensor:
        return base.clone().requires_grad_()

    def image(channels: int = 3) -> Tensor:
        return torch.rand(1, *size, channels).requires_grad_()

    def attr() -> Tensor:
        return torch.rand(1, len(vertices), 3).requires_grad_()

    def tex() -> Tensor:
        return torch.rand(1, 64, 64, 3).requires_grad_()

    ranges = torch.tensor([[0, 100], [100, 50]], dtype=torch.int32)
    found: dict[str, Callable[[], object]] = {
        "rasterize": lambda: ops.rasterize(ops.RasterizeCudaContext(), pos(), tri, size),
        "rasterize, ranges": lambda: ops.rasterize(None, pos()[0], tri, size, ranges=ranges),
        "DepthPeeler": lambda: peel(pos(), tri, size),
        "interpolate": lambda: ops.interpolate(attr(), rast, tri, rast_db, "all"),
        "texture": lambda: ops.texture(tex(), uv, uv_da),
        "texture, cube": lambda: ops.texture(
            torch.rand(1, 6, 16, 16, 3).requires_grad_(), image(), boundary_mode="cube"
        ),
        # A new tensor of triangles each time, so that no cache may hold on to them.
        "antialias": lambda: ops.antialias(image(), rast, pos(), tri.clone()),
        "all of them": lambda: in_turn(pos(), tri, attr(), size, topology),
        "without derivatives": lambda: in_turn(pos(), tri, attr(), size, topology, derivatives=False),
        "rasterize_interpolate": lambda: ops.rasterize_interpolate(pos(), tri, attr(), size),
        "draw": lambda: ops.draw(pos(), tri, attr(), size, topology, background=image()),
        "softras": lambda: ops.softras(pos(), tri, attr(), size),
        "nmr": lambda: ops.nmr(image(), rast, pos(), tri),
    }
    return {name: lambda call=call: differentiable(call()) for name, call in found.items()}


def in_turn(
    pos: Tensor,
    tri: Tensor,
    attr: Tensor,
    size: tuple[int, int],
    topology: ops.Topology,
    derivatives: bool = True,
) -> Tensor:
    rast, rast_db = ops.rasterize(None, pos, tri, size)
    if not derivatives:
        return ops.antialias(ops.interpolate(attr, rast, tri)[0], rast, pos, tri, topology)
    image, image_da = ops.interpolate(attr, rast, tri, rast_db, "all")
    return ops.antialias(torch.cat([image, image_da], dim=-1), rast, pos, tri, topology)


def peel(pos: Tensor, tri: Tensor, size: tuple[int, int]) -> list[Tensor]:
    with ops.DepthPeeler(None, pos, tri, size) as peeler:
        return [out for _ in range(3) for out in peeler.rasterize_next_layer()]


def differentiable(made: object) -> list[Tensor]:
    tensors = made if isinstance(made, (tuple, list)) else [made]
    return [t for t in tensors if isinstance(t, Tensor) and t.requires_grad]


def run(call: Callable[[], list[Tensor]], count: int) -> None:
    for _ in range(count):
        torch.stack([t.square().sum() for t in call()]).sum().backward()


def tensors_alive() -> int:
    gc.collect()
    return sum(issubclass(type(o), Tensor) for o in gc.get_objects())


def soak(call: Callable[[], list[Tensor]], count: int, allowed_mb: float) -> None:
    run(call, 20)  # caches and the allocator fill up
    tensors, before = tensors_alive(), in_use_mb()
    run(call, count)
    # Caches come and go by a few; a leak is at least one a pass.
    assert tensors_alive() <= tensors + 4
    assert in_use_mb() - before < allowed_mb


NAMES = list(operations())


@pytest.mark.parametrize("name", NAMES)
def test_a_short_soak(name: str) -> None:
    # One forgotten image per pass would be 10 MB.
    soak(operations()[name], count=40, allowed_mb=6)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", NAMES)
def test_a_thousand_passes(name: str) -> None:
    # The same allowance: one byte in 40 of an image per pass would be 6 MB.
    soak(operations()[name], count=1000, allowed_mb=6)


def test_a_leak_is_caught() -> None:
    kept: list[Tensor] = []

    def leaky() -> list[Tensor]:
        kept.append(torch.rand(1, SIZE, SIZE, 4).requires_grad_())
        return [kept[-1] * 1.0]

    with pytest.raises(AssertionError):
        soak(leaky, count=40, allowed_mb=6)
    hidden: list[bytes] = []

    def outside() -> list[Tensor]:
        hidden.append(bytes(range(256)) * 1024)
        return [torch.rand(3).requires_grad_() * 1.0]

    with pytest.raises(AssertionError):
        soak(outside, count=40, allowed_mb=6)
