"""Small pictures are drawn in one launch: the same pictures, records and gradients as by bands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from studio.core.kernels import at_once as kernels
from studio.core.kernels import launcher
from studio.core.kernels.visibility import EMPTY_KEY
from studio.core.ops import DepthPeeler, Topology, antialias, draw, interpolate, rasterize
from studio.core.ops import at_once as host
from studio.core.ops.silhouettes import _projected
from studio.core.ops.visibility import Projected, project, visible
from tests.ops_reference import perspective, sphere

SIZE = (61, 83)


def _soup(triangles: int, crossing: bool = False) -> tuple[Tensor, Tensor]:
    """[2, V, 4] clip positions of triangles anywhere, some through the camera plane; [T, 3]."""
    generator = torch.Generator().manual_seed(triangles)
    pos = 2 * torch.rand(2, 3 * triangles, 4, generator=generator) - 1
    pos[..., 3] = pos[..., 3] if crossing else 1.0 + 0.5 * pos[..., 3]
    return pos, torch.arange(3 * triangles, dtype=torch.int32).view(-1, 3)


def _ball() -> tuple[Tensor, Tensor]:
    vertices, tri = sphere(3)
    return perspective(vertices, [(0.0, 0.0), (0.3, -0.2)]), tri


SCENES: dict[str, Callable[[], tuple[Tensor, Tensor]]] = {
    "ball": _ball,
    "few": lambda: _soup(3),
    "many": lambda: _soup(700),
    "crossing": lambda: _soup(40, crossing=True),
}


def _with_threads(count: int, work: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What `work` returns on so many threads, several of which share the smallest work, and which
    of the one-launch kernels ran."""
    ran: list[str] = []
    plain = launcher.launch_in_band

    def noting(kernel: Any, *arguments: Any) -> None:
        if kernel in (kernels.find_keys, kernels.outline):
            ran.append(kernel.key)
        plain(kernel, *arguments)

    former = launcher.use_threads(count)
    launcher.launch_in_band = noting
    try:
        return work(), ran
    finally:
        launcher.launch_in_band = plain
        launcher.use_threads(former)


@pytest.mark.parametrize("cull", [False, True])
@pytest.mark.parametrize("scene", SCENES)
def test_keys_are_those_of_bands(scene: str, cull: bool) -> None:
    pos, tri = SCENES[scene]()

    def work() -> tuple[Tensor, Projected]:
        projected = Projected.room(pos, tri)
        return visible(pos, tri, *SIZE, cull, projected=projected), projected

    (keys, (screen, facing)), ran = _with_threads(1, work)
    (expected, (_, facing_of_bands)), others = _with_threads(3, work)
    assert ran == ["find_keys"]
    assert others == []
    assert (keys != expected).sum() == 0
    assert torch.equal(screen, project(pos, *SIZE))
    assert torch.equal(facing, facing_of_bands)
    assert torch.equal(facing, _projected(pos, tri, *SIZE).facing)
    assert 0 < (facing == 1).sum() < facing.numel()


def test_peeled_layers_and_ranges_are_those_of_bands() -> None:
    pos, tri = _soup(50)

    def work() -> list[Tensor]:
        ranges = torch.tensor([[3, 20], [0, 0], [10, 40]], dtype=torch.int32)
        found = [rasterize(None, pos[0], tri, SIZE, ranges=ranges)[0]]
        with DepthPeeler(None, pos, tri, SIZE) as peeler:
            found += [peeler.rasterize_next_layer()[0] for _ in range(3)]
        return found

    (layers, ran), (expected, _) = _with_threads(1, work), _with_threads(3, work)
    assert ran == ["find_keys"] * 4
    assert all(torch.equal(a, b) for a, b in zip(layers, expected, strict=True))
    assert not torch.equal(layers[1], layers[2])


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("scene", SCENES)
def test_pictures_and_gradients_are_those_of_bands(scene: str, fused: bool) -> None:
    pos, tri = SCENES[scene]()
    topology = Topology.build(tri)
    torch.manual_seed(0)
    attr, upstream = torch.rand(1, pos.shape[1], 3), torch.randn(2, *SIZE, 3)

    def work() -> tuple[Tensor, ...]:
        p, a = pos.clone().requires_grad_(), attr.clone().requires_grad_()
        if fused:
            image = draw(p, tri, a, SIZE, topology, background=torch.tensor([0.2, 0.4, 0.6]))
        else:
            rast = rasterize(None, p, tri, SIZE)[0]
            image = antialias(interpolate(a, rast, tri)[0], rast, p, tri, topology)
        return image, *torch.autograd.grad(image, [p, a], upstream)

    (found, ran), (expected, others) = _with_threads(1, work), _with_threads(3, work)
    assert set(ran) == {"find_keys", "outline"}
    assert others == []
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.detach().abs().max()))


def test_room_grows_with_the_outlines_and_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host._kept, "store", type(host._kept.__dict__.get("store", {}))(), raising=False)
    pos, tri = _soup(2000)
    topology, attr = Topology.build(tri), torch.rand(1, pos.shape[1], 3)

    def work() -> Tensor:
        return draw(pos, tri, attr, SIZE, topology)

    image, ran = _with_threads(1, work)
    assert ran == ["find_keys", "outline", "outline"]
    again, ran = _with_threads(1, work)
    assert ran == ["find_keys", "outline"]
    assert torch.equal(image, again)
    expected, _ = _with_threads(3, work)
    torch.testing.assert_close(image, expected, rtol=1e-4, atol=1e-5)


def test_a_thread_keeps_room_for_a_few_sizes_only() -> None:
    def work() -> int:
        for side in range(20, 30):
            pos, tri = _soup(3)
            draw(pos, tri, torch.rand(1, 9, 3), (side, side), Topology.build(tri))
        return len(host._kept.store)

    assert _with_threads(1, work)[0] == host._KEPT


@pytest.mark.parametrize("threads", [1, 3])
def test_keys_beyond_the_spans_are_never_read(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What memory happens to hold there is the nearest triangle everywhere."""
    pos, tri = _ball()
    pos = torch.cat([pos, pos], dim=1)
    pos[:, pos.shape[1] // 2 :, :2] *= 0.2  # a second ball before the first, and nothing around both
    pos[..., 0] += 0.5 * pos[..., 3]
    tri = torch.cat([tri, tri + pos.shape[1] // 2])
    topology, size = Topology.build(tri), (150, 170)
    torch.manual_seed(0)
    attr, upstream = torch.rand(1, pos.shape[1], 3), torch.randn(2, *size, 3)

    def work(all_keys: bool) -> tuple[Tensor, ...]:
        p, a = pos.clone().requires_grad_(), attr.clone().requires_grad_()
        background = torch.zeros(3, requires_grad=all_keys)
        image = draw(p, tri, a, size, topology, background)
        return image, *torch.autograd.grad(image, [p, a], upstream)

    expected, _ = _with_threads(threads, lambda: work(all_keys=True))
    monkeypatch.setattr(torch, "empty", torch.zeros)
    found, _ = _with_threads(threads, lambda: work(all_keys=False))
    assert torch.equal(found[0], expected[0])
    for one, other in zip(found[1:], expected[1:], strict=True):  # bands, and so sums, may be others
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))
    keys, spans = torch.zeros(2 * 150 * 170, dtype=torch.int64), torch.zeros(300, 2, dtype=torch.int32)
    _with_threads(threads, lambda: visible(pos, tri, *size, False, keys=keys, spans=spans))
    all_keys, columns = visible(pos, tri, *size, False).view(300, 170), torch.arange(170)
    inside = (columns >= spans[:, :1]) & (columns < spans[:, 1:])
    assert torch.equal(torch.where(inside, keys.view(300, 170), EMPTY_KEY), all_keys)
    assert 0.1 < inside.float().mean() < 0.7


def test_outlines_of_many_pieces_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many there are is known from the last picture of the mesh at this size."""
    pos, tri = _ball()
    topology, attr = Topology.build(tri), torch.rand(1, pos.shape[1], 3)
    least_work = launcher.pool().least_work
    former = launcher.use_threads(2, 1e6)
    try:

        def drawn() -> tuple[Tensor, bool]:
            ran: list[str] = []
            plain = launcher.launch_in_band
            with monkeypatch.context() as patch:
                patch.setattr(
                    launcher,
                    "launch_in_band",
                    lambda kernel, *a: (ran.append(kernel.key), plain(kernel, *a))[1],
                )
                return draw(pos, tri, attr, SIZE, topology), "outline" in ran

        expected, alone = drawn()
        assert alone
        host.note_pieces(2 * SIZE[0] * SIZE[1], len(topology.edges), 100_000)
        image, alone = drawn()
        assert not alone
        torch.testing.assert_close(image, expected, rtol=0, atol=1e-5)
        assert drawn()[1]
    finally:
        launcher.use_threads(former, least_work)
