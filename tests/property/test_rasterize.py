"""Properties of rasterize on random input: coverage exactly once, barycentrics, odd numbers."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.core.kernels import launcher
from studio.core.ops import rasterize, rasterize_interpolate
from studio.core.ops.visibility import visible
from tests import ops_reference as reference

# No deadline: the first call may compile kernels. Few examples: each draws a whole image.
QUICK = settings(deadline=None, max_examples=40)

seeds = st.integers(0, 2**31)


def hits(pos: torch.Tensor, tri: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """[H, W] how many triangles cover each pixel: every triangle drawn alone."""
    total = torch.zeros(size)
    for triangle in tri:
        total += (rasterize(None, pos, triangle[None], size)[0][0, ..., 3] > 0).float()
    return total


@QUICK
@given(seeds, st.integers(1, 5), st.integers(1, 5), st.integers(1, 40), st.integers(1, 40))
def test_a_sheet_covers_every_pixel_once(seed, columns, rows, height, width) -> None:
    pos, tri = reference.grid_mesh(columns, rows, 0.24, seed)
    assert (hits(pos, tri, (height, width)) == 1).all()


@QUICK
@given(seeds, st.integers(1, 4))
def test_vertices_on_pixel_centres(seed, scale) -> None:
    """All edges of a regular grid pass through centres: the ties must go to one triangle."""
    pos, tri = reference.grid_mesh(4, 4, 0.0, seed)
    pos = pos / pos[..., 3:]
    pos[..., :2] = (pos[..., :2] / 1.2 * 2).round() / 2 * 1.25
    size = (4 * scale, 4 * scale)
    counted = hits(pos, tri, size)
    assert (counted == 1).all()


def test_a_large_random_mesh_has_no_hole_and_no_double_hit() -> None:
    """400,000 triangles of all sizes: drawn in two halves, each pixel is in exactly one."""
    pos, tri = reference.grid_mesh(450, 450, 0.24, 5)
    size = (700, 900)
    whole = rasterize(None, pos, tri, size)[0][0, ..., 3]
    assert (whole > 0).all()
    halves = [rasterize(None, pos, part.contiguous(), size)[0][0, ..., 3] > 0 for part in tri.chunk(2)]
    assert (halves[0].int() + halves[1].int() == 1).all()


@QUICK
@given(seeds)
def test_sheets_across_the_camera_plane_cover_once(seed) -> None:
    """Neighbours of which one reaches behind the camera still share their edge exactly."""
    pos, tri = reference.grid_mesh(3, 3, 0.24, seed)
    pos = pos / pos[..., 3:]  # its random w would fold the sheet below
    rng = np.random.default_rng(seed)
    # A plane seen at a grazing angle: w falls through zero along y.
    w = pos[0, :, 1] + float(rng.uniform(0.1, 1.0))
    pos = torch.stack([pos[0, :, 0] * 2, torch.full_like(w, -0.5), torch.zeros_like(w), w], dim=-1)[None]
    assert (hits(pos, tri, (21, 27)) <= 1).all()


@QUICK
@given(seeds, st.integers(1, 50))
def test_barycentrics_are_barycentrics(seed, count) -> None:
    rng = np.random.default_rng(seed)
    pos = torch.tensor(rng.normal(size=(2, count + 2, 4)), dtype=torch.float32)
    tri = torch.tensor(rng.integers(0, count + 2, (count, 3)), dtype=torch.int32)
    rast, rast_db = rasterize(None, pos, tri, (15, 17))
    u, v, z, number = rast.unbind(-1)
    assert torch.isfinite(rast).all()
    assert torch.isfinite(rast_db).all()
    assert ((u >= 0) & (v >= 0) & (u <= 1) & (v <= 1)).all()
    # The third is 1 - u - v: at least 0 up to the rounding of the two subtractions.
    assert (1 - u - v >= -1e-7).all()
    assert ((z >= -1) & (z <= 1)).all()
    assert ((number >= 0) & (number <= count) & (number == number.round())).all()
    ones = torch.ones(1, count + 2, 2)
    image, _ = rasterize_interpolate(pos, tri, ones, (15, 17))
    torch.testing.assert_close(image[..., 0], (number > 0).float(), rtol=0, atol=1e-6)


@QUICK
@given(seeds)
def test_numbers_that_are_none(seed) -> None:
    """NaN, infinity, zero and huge values anywhere leave finite pictures and gradients."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(1, 12, 4))
    odd = rng.choice([np.nan, np.inf, -np.inf, 0.0, 1e30, -1e30, 1e-30, 1e38], size=values.shape)
    values = np.where(rng.random(values.shape) < 0.15, odd, values)
    pos = torch.tensor(values, dtype=torch.float32, requires_grad=True)
    tri = torch.tensor(rng.integers(0, 12, (20, 3)), dtype=torch.int32)
    attr = torch.ones(1, 12, 3)
    image, rast = rasterize_interpolate(pos, tri, attr, (9, 11))
    assert torch.isfinite(image).all()
    assert torch.isfinite(rast).all()
    (gradient,) = torch.autograd.grad(image.sum(), pos)
    sane = torch.isfinite(pos).all(-1) & (pos.abs() < 1e20).all(-1)
    used = torch.zeros(12, dtype=torch.bool)
    for triangle in tri.long():
        if not sane[0, triangle].all():
            used[triangle] = True
    # Vertices of no odd triangle keep finite gradients.
    assert torch.isfinite(gradient[0, ~used]).all()


@QUICK
@given(seeds)
def test_crossing_triangles_match_a_clipped_reference(seed) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.normal(size=(3, 4)) * rng.choice([0.1, 1.0, 10.0], size=(3, 1))
    corners[:, 2] = 0.0
    pos = torch.tensor(corners[None], dtype=torch.float32)
    size = (19, 23)
    seen = rasterize(None, pos, torch.tensor([[0, 1, 2]], dtype=torch.int32), size)[0][0, ..., 3].numpy() > 0
    polygon = reference.clip_polygon(pos[0].double().numpy())
    if len(polygon) < 3:
        assert not seen.any()
        return
    distance = reference.signed_distance(polygon, reference.pixel_centres(*size))
    clear = np.abs(distance) > 1e-5  # centres this near an edge may fall to either side
    np.testing.assert_array_equal(seen[clear], (distance > 0)[clear])


def soup(seed: int, count: int, crossing: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Triangles of all sizes and depths, some seen edge-on, some at equal depth."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(-1, 1, (count, 1, 3))
    reach = 10 ** rng.uniform(-2, 0.5, (count, 1, 1))
    corners = centre + reach * rng.normal(size=(count, 3, 3))
    flat = rng.random(count) < 0.5
    corners[flat, :, 2] = rng.choice([-0.5, 0.0, 0.25], flat.sum())[:, None]
    w = rng.uniform(0.5, 2, (count, 3, 1))
    if crossing:
        w = np.where(rng.random((count, 1, 1)) < 0.3, rng.normal(size=(count, 3, 1)), w)
    pos = torch.tensor(np.concatenate([corners * w, w], axis=2), dtype=torch.float32)
    return pos.reshape(1, -1, 4), torch.arange(3 * count, dtype=torch.int32).reshape(-1, 3)


@QUICK
@given(seeds, st.integers(1, 60), st.integers(1, 150), st.integers(1, 150), st.booleans())
def test_the_nearest_is_the_least_of_all_drawn_alone(seed, count, height, width, crossing) -> None:
    """What hides what may save work but change no key, whatever the order, bands and form."""
    pos, tri = soup(seed, count, crossing)
    alone = torch.stack([torch.arange(count), torch.ones(count)], dim=1).int()
    least = visible(pos, tri, height, width, False, ranges=alone).view(count, -1).amin(0)
    former = launcher.use_threads(1)
    try:
        for threads in (1, 2, 5):
            launcher.use_threads(threads)
            assert torch.equal(visible(pos, tri, height, width, False), least)
    finally:
        launcher.use_threads(former)
    assert torch.equal(visible(pos, tri, height, width, False, in_pieces=True), least)
    passed = torch.full_like(least, -(2**63))
    assert torch.equal(visible(pos, tri, height, width, False, passed=passed), least)


@QUICK
@given(seeds, st.integers(1, 9), st.booleans())
def test_layers_hidden_behind_a_wall_change_nothing(seed, layers, backwards) -> None:
    """Tiles know their greatest depth here, and must not drop what is at or before it."""
    wall, wall_tri = reference.grid_mesh(3, 3, 0.2, seed)
    wall = wall / wall[..., 3:]
    copies = []
    for layer in range(layers):
        copy = wall.clone()
        copy[..., 2] = -0.5 + 0.1 * layer
        copies.append(copy)
    if backwards:
        copies.reverse()
    tri = torch.cat([wall_tri + i * wall.shape[1] for i in range(layers)]).int()
    size = (130, 161)
    keys = visible(torch.cat(copies, dim=1), tri, *size, False)
    front = layers - 1 if backwards else 0
    alone = visible(copies[front], wall_tri, *size, False)
    assert torch.equal(keys >> 32, alone >> 32)
    assert torch.equal((keys & 0xFFFFFFFF) - front * len(wall_tri), alone & 0xFFFFFFFF)


def test_a_large_triangle_a_little_nearer_than_a_full_tile_shows() -> None:
    """One bit of depth decides, in a plane that is tilted over many tiles."""
    plane = torch.tensor([[-1.0, -1, -0.9, 1], [3, -1, 0.9, 1], [-1, 3, 0.7, 1]])
    nearer = plane.clone()
    nearer[:, 2] = torch.nextafter(plane[:, 2], torch.tensor(-2.0))
    pos = torch.cat([plane, nearer, plane])[None]
    tri = torch.arange(9, dtype=torch.int32).reshape(3, 3)
    ids = visible(pos, tri, 200, 200, False) & 0xFFFFFFFF
    lone = [visible(pos, tri[i : i + 1], 200, 200, False) >> 32 for i in range(3)]
    assert torch.equal(ids == 1, lone[1] < lone[0])
    assert (ids != 2).all()


@QUICK
@given(seeds, st.integers(1, 60), st.integers(1, 70))
def test_a_quarter_turn_of_the_scene_turns_the_image(seed, count, size) -> None:
    """Exactly, as long as no centre is on an edge, whose ties go right and up."""
    pos, tri = soup(seed, count, False)
    pos[..., 3] = 1.0  # then pixels are products with powers of two or sums of few bits
    pos[..., :2] = (pos[..., :2] * 1024 + 0.5).floor() / 1024 + 1 / 4096
    x, y, z, w = pos.unbind(-1)
    turned = torch.stack([-y, x, z, w], dim=-1)
    rast = rasterize(None, pos, tri, (size, size))[0]
    other = rasterize(None, turned, tri, (size, size))[0]
    assert torch.equal(torch.rot90(rast[..., 3], -1, (1, 2)), other[..., 3])
