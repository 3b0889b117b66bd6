"""Strips that threads take without Python in between: each row once, and the same picture either way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import warp as wp
from torch import Tensor

from studio.core.kernels import launcher, strips
from studio.core.ops import antialias, draw, interpolate, rasterize
from studio.core.ops.antialias import antialias_along
from studio.core.ops.silhouettes import find_outline
from studio.core.ops.topology import Topology
from tests.ops_reference import perspective, sphere

CPU = torch.device("cpu")


@wp.kernel(enable_backward=False)
def walk_rows(weight: wp.float32, begin: wp.int32, end: wp.int32, seen: wp.array(dtype=wp.float32)):
    for row in range(begin, end):
        seen[row] = seen[row] + weight


@wp.kernel(enable_backward=False)
def double_row(seen: wp.array(dtype=wp.float32), begin: wp.int32):
    row = begin + wp.tid()
    seen[row] = seen[row] * 2.0


def _launches(seen: Tensor) -> list[strips.Launch]:
    walking = launcher.arguments(walk_rows, [1.5, 0, 0, seen], CPU)
    doubling = launcher.arguments(double_row, [seen, 0], CPU)
    return [
        strips.Launch(walk_rows, walking, CPU, rows_at=1, walks=True),
        strips.Launch(double_row, doubling, CPU, rows_at=1),
    ]


@pytest.fixture(params=["native", "python"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "python":  # as with a release of Warp whose structures are others
        monkeypatch.setattr(launcher, "crew", lambda: None)
    return str(request.param)


@pytest.mark.parametrize(("rows", "strip", "bands"), [(1, 1, 1), (7, 3, 2), (100, 7, 3), (5, 64, 2)])
def test_each_row_is_taken_once_and_kernels_keep_their_order(
    way: str, rows: int, strip: int, bands: int
) -> None:
    seen = torch.zeros(rows + 3)
    strips.run(rows, strip, bands, _launches(seen))
    assert torch.equal(seen[:rows], torch.full((rows,), 3.0))
    assert torch.equal(seen[rows:], torch.zeros(3))


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Two bands, but for work of a millisecond only."""
    least_work = launcher.pool().least_work
    former = launcher.use_threads(2, 1e6)
    yield
    launcher.use_threads(former, least_work)


def _ball() -> tuple[Tensor, Tensor]:
    vertices, tri = sphere(3)
    return perspective(vertices, [(0.1, 0.0)]), tri


def _noted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    ran: list[str] = []
    plain = launcher.launch_in_band

    def launch(kernel: Any, *arguments: Any) -> None:
        ran.append(kernel.key)
        plain(kernel, *arguments)

    monkeypatch.setattr(launcher, "launch_in_band", launch)
    return ran


def test_few_triangles_in_many_pixels(way: str, two_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """One launch finds the order, then bands take strips: the numbers of one thread."""
    pos, tri = _ball()
    colors, topology = torch.rand(1, pos.shape[1], 3), Topology.build(tri)
    ran = _noted(monkeypatch)
    rast, image = rasterize(None, pos, tri, (640, 600))[0], draw(pos, tri, colors, (640, 600), topology)
    assert ran.count("find_order") == 2
    assert "survey" not in ran
    assert ("cover" in ran) == (way == "python")
    launcher.use_threads(1)
    assert torch.equal(rast, rasterize(None, pos, tri, (640, 600))[0])
    assert torch.equal(image, draw(pos, tri, colors, (640, 600), topology))


def test_small_images_are_searched_copied_and_blended_in_one_launch(
    two_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pos, tri = _ball()
    topology, colors = Topology.build(tri), torch.rand(1, pos.shape[1], 3)
    upstream = torch.randn(1, 90, 80, 3)

    def work(at_once_too: bool) -> tuple[Tensor, ...]:
        p, c = pos.clone().requires_grad_(), colors.clone().requires_grad_()
        rast, _ = rasterize(None, p, tri, (90, 80))
        image, _ = interpolate(c, rast, tri)
        kept = image.detach().clone()
        if at_once_too:
            out = antialias(image, rast, p, tri, topology)
        else:
            out = antialias_along(image, p, find_outline(rast, p, tri, topology))
        assert torch.equal(image.detach(), kept)
        again = antialias(2.0 * image.detach(), rast, p, tri, topology)
        return out.detach(), again.detach(), *torch.autograd.grad(out, [p, c], upstream)

    expected = work(False)
    ran = _noted(monkeypatch)
    found = work(True)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
    # The second image goes along what the first has found.
    assert ran.count("outline") == 1
    assert ran.count("take_and_blend") == 1
