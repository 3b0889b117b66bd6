"""Properties of whole pictures: symmetry, independence of batch and bands, exact positions, mips."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from studio.core.kernels import launcher
from studio.core.ops import (
    Topology,
    antialias,
    draw,
    interpolate,
    rasterize,
    softras,
    texture,
    texture_construct_mip,
)
from tests import ops_reference as reference

# No deadline: the first call may compile kernels. Few examples: each draws whole images.
QUICK = settings(deadline=None, max_examples=15)
seeds = st.integers(0, 2**31)


def scene(seed: int, images: int = 1) -> tuple[Tensor, Tensor, Tensor, Topology]:
    """A bumpy ball with random colours: clip positions, triangles, colours, topology."""
    generator = torch.Generator().manual_seed(seed)
    vertices, tri = reference.sphere(2)
    vertices = vertices * (0.75 + 0.25 * torch.rand(len(vertices), 1, generator=generator))
    shifts = (0.3 * torch.rand(images, 2, generator=generator) - 0.15).tolist()
    pos = reference.perspective(vertices, [(x, y) for x, y in shifts])
    return pos, tri, torch.rand(images, len(vertices), 3, generator=generator), Topology.build(tri)


def one_by_one(pos: Tensor, tri: Tensor, color: Tensor, size: tuple[int, int], topology: Topology) -> Tensor:
    rast, rast_db = rasterize(None, pos, tri, size)
    image, _ = interpolate(color, rast, tri, rast_db, "all")
    return antialias(image, rast, pos, tri, topology)


def at_once(pos: Tensor, tri: Tensor, color: Tensor, size: tuple[int, int], topology: Topology) -> Tensor:
    return draw(pos, tri, color, size, topology)


def soft(pos: Tensor, tri: Tensor, color: Tensor, size: tuple[int, int], topology: Topology) -> Tensor:
    return torch.cat(softras(pos, tri, color, size, sigma=1e-4, gamma=1e-2), dim=-1)


# A pixel that several edges blend adds them up in the order in which bands found them.
SUMMED = {"rtol": 0, "atol": 1e-6}
Picture = Callable[[Tensor, Tensor, Tensor, tuple[int, int], Topology], Tensor]
HARD = pytest.mark.parametrize("picture", [one_by_one, at_once])
ALL = pytest.mark.parametrize("picture", [one_by_one, at_once, soft])


def nearly_the_same(ours: Tensor, expected: Tensor) -> None:
    """Up to rounding of positions: an edge nearer than that to a centre may fall to either side."""
    off = (ours - expected).abs().amax(dim=-1)
    assert (off > 1e-4).sum() <= 1
    assert off.median() < 1e-6


@ALL
@QUICK
@given(seed=seeds, turns=st.integers(1, 3))
def test_turning_the_scene_turns_the_picture(picture: Picture, seed: int, turns: int) -> None:
    pos, tri, color, topology = scene(seed)
    before = picture(pos, tri, color, (32, 32), topology)
    x, y, z, w = pos.unbind(-1)
    for _ in range(turns):
        x, y = -y, x
    after = picture(torch.stack([x, y, z, w], dim=-1), tri, color, (32, 32), topology)
    # Row 0 is at the bottom, so a turn to the left takes columns to rows the other way round.
    nearly_the_same(after, torch.rot90(before, turns, dims=(2, 1)))


@ALL
@QUICK
@given(seed=seeds, right=st.integers(-5, 5), up=st.integers(-5, 5))
def test_moving_by_whole_pixels_moves_the_picture(picture: Picture, seed: int, right: int, up: int) -> None:
    pos, tri, color, topology = scene(seed)
    height, width = 48, 64
    before = picture(pos, tri, color, (height, width), topology)
    shift = torch.tensor([2 * right / width, 2 * up / height])
    moved = torch.cat([pos[..., :2] + shift * pos[..., 3:], pos[..., 2:]], dim=-1)
    after = picture(moved, tri, color, (height, width), topology)
    expected = torch.roll(before, (up, right), dims=(1, 2))
    inside = np.s_[:, 6:-6, 6:-6]
    nearly_the_same(after[inside], expected[inside])


@ALL
@QUICK
@given(seed=seeds)
def test_a_batch_is_its_images(picture: Picture, seed: int) -> None:
    pos, tri, color, topology = scene(seed, images=3)
    size = (23, 31)
    together = picture(pos, tri, color, size, topology)
    for i in range(3):
        alone = picture(pos[i : i + 1], tri, color[i : i + 1], size, topology)[0]
        torch.testing.assert_close(together[i], alone, **SUMMED)
    shared = picture(pos, tri, color[:1], size, topology)
    torch.testing.assert_close(shared[0], together[0], **SUMMED)


@pytest.fixture
def bands() -> Iterator[Callable[[int], None]]:
    former = launcher.use_threads(1)

    def use(count: int) -> None:
        launcher.use_threads(count)

    yield use
    launcher.use_threads(former)


@ALL
def test_the_number_of_bands_changes_nothing(picture: Picture, bands: Callable[[int], None]) -> None:
    pos, tri, color, topology = scene(3, images=2)
    weight = torch.randn(2, 29, 37, 4, generator=torch.Generator().manual_seed(1))
    results = []
    for count in (1, 2, 3, 7):
        bands(count)
        p, c = pos.clone().requires_grad_(), color.clone().requires_grad_()
        image = picture(p, tri, c, (29, 37), topology)
        results.append((image, *torch.autograd.grad((image * weight[..., : image.shape[-1]]).sum(), [p, c])))
    for image, *gradients in results[1:]:
        torch.testing.assert_close(image, results[0][0], **SUMMED)
        for ours, alone in zip(gradients, results[0][1:]):
            # The same terms in another order.
            torch.testing.assert_close(ours, alone, rtol=1e-4, atol=1e-4 * alone.abs().max().item())


def test_the_number_of_bands_changes_no_texture(bands: Callable[[int], None]) -> None:
    generator = torch.Generator().manual_seed(0)
    tex, uv = torch.rand(1, 33, 20, 3, generator=generator), torch.rand(2, 29, 37, 2, generator=generator)
    uv_da = 0.2 * torch.rand(2, 29, 37, 4, generator=generator)
    results = []
    for count in (1, 2, 3, 7):
        bands(count)
        t, c = tex.clone().requires_grad_(), uv.clone().requires_grad_()
        image = texture(t, c, uv_da)
        results.append((image, *torch.autograd.grad(image.square().sum(), [t, c])))
    for image, to_tex, to_uv in results[1:]:
        assert torch.equal(image, results[0][0])
        torch.testing.assert_close(to_tex, results[0][1], rtol=1e-4, atol=1e-4)
        assert torch.equal(to_uv, results[0][2])


@QUICK
@given(seed=seeds, height=st.integers(1, 40), width=st.integers(1, 40))
def test_interpolated_positions_are_the_pixels_own(seed: int, height: int, width: int) -> None:
    pos, tri = reference.grid_mesh(4, 3, 0.24, seed)
    rast, _ = rasterize(None, pos, tri, (height, width))
    point, _ = interpolate(pos, rast, tri)
    centres = torch.tensor(reference.pixel_centres(height, width), dtype=torch.float32)[None]
    # float32 barycentrics of triangles a third of the image wide.
    torch.testing.assert_close(point[..., :2] / point[..., 3:], centres, rtol=0, atol=2e-6)
    torch.testing.assert_close(point[..., 2] / point[..., 3], rast[..., 2], rtol=0, atol=2e-6)


@QUICK
@given(seed=seeds, channels=st.sampled_from([1, 3, 14]))
def test_barycentrics_sum_to_one(seed: int, channels: int) -> None:
    """All ones stay all ones, and no value leaves the range of its three vertices."""
    rng = np.random.default_rng(seed)
    pos = torch.tensor(rng.normal(size=(2, 12, 4)), dtype=torch.float32)
    tri = torch.tensor(rng.integers(0, 12, (20, 3)), dtype=torch.int32)
    rast, _ = rasterize(None, pos, tri, (15, 17))
    covered = (rast[..., 3:] > 0).float()
    ones, _ = interpolate(torch.ones(1, 12, channels), rast, tri)
    torch.testing.assert_close(ones, covered.expand_as(ones), rtol=0, atol=1e-6)
    attr = torch.tensor(rng.normal(size=(2, 12, channels)), dtype=torch.float32)
    value, _ = interpolate(attr, rast, tri)
    corners = attr[:, tri.long()]
    index = (rast[..., 3].long() - 1).clamp(min=0)
    image = torch.arange(2)[:, None, None]
    low, high = corners.amin(dim=2)[image, index], corners.amax(dim=2)[image, index]
    assert (((value >= low - 1e-5) & (value <= high + 1e-5)) | (covered == 0)).all()


@QUICK
@given(seed=seeds, height=st.integers(2, 33), width=st.integers(2, 33))
def test_two_neighbours_share_pixels_exactly(seed: int, height: int, width: int) -> None:
    """Every centre inside a quadrilateral is in exactly one of its two triangles, however wound."""
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 4))
    corners = np.stack([np.cos(angle), np.sin(angle)], axis=1) * rng.uniform(0.3, 2.0)  # on a circle: convex
    w = rng.uniform(0.3, 3.0, (4, 1))
    flat = np.concatenate([corners * w, 0.1 * w, w], axis=1).astype(np.float32)
    pos = torch.tensor(flat)[None]
    halves = [[0, 1, 2], [0, 2, 3]]
    counted = torch.zeros(height, width)
    for half in halves:
        rng.shuffle(half)
        alone = rasterize(None, pos, torch.tensor([half], dtype=torch.int32), (height, width))[0]
        counted += (alone[0, ..., 3] > 0).float()
    distance = reference.signed_distance(flat.astype(np.float64), reference.pixel_centres(height, width))
    assert (counted <= 1).all()
    inside = torch.tensor(distance > 1e-5)
    assert (counted[inside] == 1).all()
    assert (counted[torch.tensor(distance < -1e-5)] == 0).all()


@QUICK
@given(seed=seeds, height=st.integers(1, 40), width=st.integers(1, 40), cube=st.booleans())
def test_every_mip_level_has_the_mean_of_the_texture(seed: int, height: int, width: int, cube: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    shape = (1, 6, height, height, 2) if cube else (1, height, width, 2)
    tex = torch.rand(shape, generator=generator)
    mip = texture_construct_mip(tex, cube_mode=cube)
    start = 0
    for h, w in mip.sizes[1:]:
        count = h * w * (6 if cube else 1)
        level = mip.texels[start : start + count]
        start += count
        torch.testing.assert_close(level.mean(0), tex.view(-1, 2).mean(0), rtol=0, atol=2e-6)
        # An average is never outside what it averages.
        assert level.min() >= tex.min() - 1e-6
        assert level.max() <= tex.max() + 1e-6
    assert start == len(mip.texels)
    assert mip.sizes[-1] == (1, 1)
