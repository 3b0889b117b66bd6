"""rasterize: layout, coverage, depth, clipping, odd triangles, errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from studio.core.errors import ShapeError
from studio.core.ops import RasterizeCudaContext, RasterizeGLContext, rasterize
from tests import ops_reference as reference


def triangle(*corners: tuple[float, float, float, float]) -> Tensor:
    return torch.tensor([corners], dtype=torch.float32)


ONE = torch.tensor([[0, 1, 2]], dtype=torch.int32)
FULL = triangle((-1, -1, 0, 1), (3, -1, 0, 1), (-1, 3, 0, 1))


def test_layout_and_first_vertex(device) -> None:
    pos = triangle((-1, -1, 0.1, 1), (1, -1, 0.2, 1), (-1, 1, 0.3, 1)).to(device)
    rast, rast_db = rasterize(None, pos, ONE.to(device), (4, 6))
    assert rast.shape == rast_db.shape == (1, 4, 6, 4)
    assert rast.dtype == torch.float32
    # Bottom left pixel is nearest the first vertex, bottom right the second.
    assert rast[0, 0, 0, 0] > 0.7
    assert rast[0, 0, 4, 1] > 0.6
    assert rast[0, 3, 5].tolist() == [0, 0, 0, 0]
    # u falls by half an image per image width, v rises; nothing along the other axis.
    u_x, u_y, v_x, v_y = rast_db[0, 0, 0].tolist()
    np.testing.assert_allclose([u_x, v_x], [-1 / 6, 1 / 6], rtol=1e-5)
    np.testing.assert_allclose([u_y, v_y], [-1 / 4, 0], atol=1e-6)


def test_derivatives_are_differences_of_neighbours(device) -> None:
    pos = triangle((-9, -8, 0.1, 2), (24, -9, 0.2, 5), (-4, 35, 0.3, 3)).to(device)
    rast, rast_db = rasterize(None, pos, ONE.to(device), (64, 64))
    assert (rast[..., 3] == 1).all()
    for axis, dim in ((0, 2), (1, 1)):
        centre = [slice(None)] * 3
        before, after = list(centre), list(centre)
        centre[dim], before[dim], after[dim] = slice(1, -1), slice(None, -2), slice(2, None)
        difference = (rast[tuple(after)][..., :2] - rast[tuple(before)][..., :2]) / 2
        analytic = rast_db[tuple(centre)][..., axis::2]
        # Central differences of u miss its third derivative; values are about 1e-2.
        assert (difference - analytic).abs().max() < 1e-5


def test_barycentrics_are_perspective_correct(device) -> None:
    corners = torch.tensor([[-1.5, -1.0, 0.2, 1.2], [2.0, -1.2, 0.9, 2.5], [-0.5, 3.0, 0.4, 1.7]])
    rast, _ = rasterize(None, corners[None].to(device), ONE.to(device), (32, 48))
    expected = reference.barycentrics(corners.double().numpy(), reference.pixel_centres(32, 48))
    covered = rast[0, ..., 3].cpu().numpy() > 0
    assert covered.sum() > 300
    # float32 against float64 on values up to 1.
    np.testing.assert_allclose(rast[0, ..., :2].cpu().numpy()[covered], expected[covered][:, :2], atol=2e-6)
    clip = expected[covered] @ corners.double().numpy()
    np.testing.assert_allclose(rast[0, ..., 2].cpu().numpy()[covered], clip[:, 2] / clip[:, 3], atol=2e-6)


def test_nearest_wins_whatever_the_order(device) -> None:
    far, near = FULL.clone(), FULL.clone()
    far[..., 2], near[..., 2] = 0.5, -0.5
    pos = torch.cat([far, near], dim=1).to(device)
    for order in ([[0, 1, 2], [3, 4, 5]], [[3, 4, 5], [0, 1, 2]]):
        tri = torch.tensor(order, dtype=torch.int32, device=device)
        rast, _ = rasterize(None, pos, tri, (5, 7))
        assert (rast[..., 2] == -0.5).all()
        assert (rast[..., 3] == order.index([3, 4, 5]) + 1).all()


def test_equal_depth_gives_the_lower_id(device) -> None:
    tri = torch.tensor([[0, 1, 2], [0, 1, 2]], dtype=torch.int32, device=device)
    rast, _ = rasterize(None, FULL.to(device), tri, (5, 7))
    assert (rast[..., 3] == 1).all()


def test_near_and_far_planes_cut(device) -> None:
    pos = triangle((-1, -1, -3, 1), (3, -1, 3, 1), (-1, 3, -3, 1)).to(device)  # z/w = 1.5 x - 1.5
    rast, _ = rasterize(None, pos, ONE.to(device), (4, 200))
    x = reference.pixel_centres(4, 200)[..., 0]
    seen = rast[0, ..., 3].cpu().numpy() > 0
    z = 1.5 * x - 1.5
    clear = np.abs(z + 1) > 1e-4
    np.testing.assert_array_equal(seen[clear], (z > -1)[clear])
    behind = triangle((-1, -1, 2, 1), (3, -1, 2, 1), (-1, 3, 2, 1)).to(device)
    assert (rasterize(None, behind, ONE.to(device), (4, 4))[0] == 0).all()


def test_two_triangles_share_pixels_exactly(device) -> None:
    # The diagonal passes through pixel centres: each belongs to one of the two.
    pos = triangle((-1, -1, 0, 1), (1, -1, 0, 1), (1, 1, 0, 1), (-1, 1, 0, 1)).to(device)
    tri = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32, device=device)
    each = [rasterize(None, pos, t[None], (16, 16))[0][0, ..., 3] > 0 for t in tri]
    assert (each[0].int() + each[1].int() == 1).all()


@pytest.mark.parametrize(
    "corners",
    [
        pytest.param([(0, 0, 0, 1)] * 3, id="point"),
        pytest.param([(-1, 0, 0, 1), (0, 0, 0, 1), (1, 0, 0, 1)], id="line"),
        pytest.param([(float("nan"), 0, 0, 1), (1, 0, 0, 1), (0, 1, 0, 1)], id="nan"),
        pytest.param([(0, 0, float("nan"), 1), (1, 0, 0, 1), (0, 1, 0, 1)], id="nan depth"),
        pytest.param([(float("inf"), 0, 0, 1), (1, 0, 0, 1), (0, 1, 0, 1)], id="infinite"),
        pytest.param([(0, 0, 0, 0)] * 3, id="all zero"),
        pytest.param([(-1, -1, 0, -1), (3, -1, 0, -1), (-1, 3, 0, -1)], id="behind"),
        pytest.param([(0.01, 0.01, 0, 1), (0.02, 0.01, 0, 1), (0.01, 0.02, 0, 1)], id="between centres"),
    ],
)
def test_triangles_that_show_nothing(device, corners) -> None:
    pos = torch.tensor([corners], dtype=torch.float32, device=device)
    rast, rast_db = rasterize(None, pos, ONE.to(device), (8, 8))
    assert (rast == 0).all()
    assert (rast_db == 0).all()


def test_bad_triangles_do_not_harm_others(device) -> None:
    pos = torch.cat([FULL, torch.full((1, 1, 4), float("nan"))], dim=1).to(device)
    tri = torch.tensor([[0, 1, 3], [0, 1, 2], [0, 1, 99], [-1, 0, 1]], dtype=torch.int32, device=device)
    rast, _ = rasterize(None, pos, tri, (8, 8))
    assert (rast[..., 3] == 2).all()


def test_huge_triangle(device) -> None:
    size = 1e7
    pos = triangle((-size, -size, 0, 1), (size, -size, 0, 1), (0, size, 0, 1)).to(device)
    rast, _ = rasterize(None, pos, ONE.to(device), (8, 8))
    assert (rast[..., 3] == 1).all()
    assert torch.isfinite(rast).all()


def test_crossing_the_camera_plane_matches_clipping(device) -> None:
    rng = np.random.default_rng(0)
    points = reference.pixel_centres(24, 32)
    wrong = 0
    for _ in range(200):
        corners = rng.normal(size=(3, 4))
        corners[:, 2] = 0.0  # between near and far wherever w > 0
        # The same numbers for both: the reference sees what float32 holds.
        pos = torch.tensor(corners[None], dtype=torch.float32)
        polygon = reference.clip_polygon(pos[0].double().numpy())
        rast, _ = rasterize(None, pos.to(device), ONE.to(device), (24, 32))
        seen = rast[0, ..., 3].cpu().numpy() > 0
        if len(polygon) < 3:
            wrong += int(seen.sum())
            continue
        distance = reference.signed_distance(polygon, points)
        clear = np.abs(distance) > 1e-5
        wrong += int((seen != (distance > 0))[clear].sum())
    assert wrong == 0


def test_back_faces_are_left_out_on_request(device) -> None:
    vertices, tri = reference.sphere()
    pos = reference.perspective(vertices, [(0.0, 0.0)]).to(device)
    both, _ = rasterize(None, pos, tri.to(device), (48, 48))
    culled, _ = rasterize(None, pos, tri.to(device), (48, 48), cull_backfaces=True)
    assert torch.equal(both, culled)  # closed: back faces are hidden anyway
    inside_out, _ = rasterize(None, pos, tri.flip(1).contiguous().to(device), (48, 48), cull_backfaces=True)
    # Then only the far side is drawn: same outline, greater depth.
    assert (inside_out[..., 3] > 0).sum() == (both[..., 3] > 0).sum()
    inner = both[..., 3] > 0
    assert (inside_out[inner][:, 2] > both[inner][:, 2]).all()


def test_empty_inputs(device) -> None:
    none = torch.zeros(0, 3, dtype=torch.int32, device=device)
    assert (rasterize(None, FULL.to(device), none, (4, 4))[0] == 0).all()
    assert rasterize(None, FULL[:0].to(device), ONE.to(device), (4, 4))[0].shape == (0, 4, 4, 4)
    assert (rasterize(None, torch.zeros(1, 0, 4, device=device), none, (4, 4))[0] == 0).all()


def test_range_mode_equals_separate_meshes(device) -> None:
    vertices, tri = reference.sphere(1)
    pos = reference.perspective(vertices, [(0.1, 0.0)])[0].to(device).requires_grad_()
    tri = tri.to(device)
    # Apart, overlapping, empty, all.
    ranges = torch.tensor([[0, 30], [30, len(tri) - 30], [20, 25], [7, 0], [len(tri), 0], [0, len(tri)]])
    rast, rast_db = rasterize(RasterizeCudaContext(), pos, tri, (24, 27), ranges=ranges.int())
    weights = [torch.randn(rast.shape, device=device) for _ in range(2)]
    (gradient,) = torch.autograd.grad((rast * weights[0] + rast_db * weights[1]).sum(), pos)
    summed = torch.zeros_like(pos)
    for i, (start, count) in enumerate(ranges.tolist()):
        part = tri[start : start + count]
        alone, alone_db = rasterize(RasterizeGLContext(), pos[None], part, (24, 27))
        loss = (alone * weights[0][i] + alone_db * weights[1][i]).sum()
        summed += torch.autograd.grad(loss, pos)[0]
        shifted = alone[0].detach().clone()
        shifted[..., 3] += start * (alone[0, ..., 3] > 0)
        assert torch.equal(rast[i], shifted)
        assert torch.equal(rast_db[i], alone_db[0])
    # Sums of the same numbers in another order; they reach 1e3.
    torch.testing.assert_close(gradient, summed, rtol=1e-4, atol=1e-3)


def test_range_mode_without_images_or_triangles(device) -> None:
    pos, tri = FULL[0].to(device), ONE.to(device)
    assert rasterize(None, pos, tri, (4, 5), torch.zeros(0, 2, dtype=torch.int32))[0].shape == (0, 4, 5, 4)
    one = torch.zeros(1, 2, dtype=torch.int32)
    assert (rasterize(None, pos, tri[:0], (4, 5), one)[0] == 0).all()
    assert rasterize(None, pos[:0], tri, (4, 5), one)[0].shape == (1, 4, 5, 4)


def test_grad_db_off_stops_that_gradient(device) -> None:
    pos = FULL.to(device).requires_grad_()
    for grad_db in (True, False):
        rast_db = rasterize(None, pos, ONE.to(device), (6, 6), grad_db=grad_db)[1]
        (gradient,) = torch.autograd.grad(rast_db.square().sum(), pos)
        assert bool((gradient != 0).any()) == grad_db


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pos": torch.zeros(3, 4)}, r"rasterize: pos must have shape \[N, V, 4\], got \[3, 4\]"),
        ({"pos": FULL.double()}, "rasterize: pos must be float32, got float64"),
        ({"pos": np.zeros((1, 3, 4))}, "rasterize: pos must be a tensor .*, got ndarray"),
        ({"tri": ONE.long()}, "rasterize: tri must be int32, got int64"),
        ({"tri": ONE[:, :2]}, r"rasterize: tri must have shape \[T, 3\], got \[1, 2\]"),
        ({"tri": ONE.to("meta")}, "rasterize: tri must be on cpu, got meta"),
        ({"resolution": (0, 4)}, "rasterize: resolution must be 1 to 32768 pixels a side, got 0 x 4"),
        ({"resolution": 4}, r"rasterize: resolution must be \(height, width\), got 4"),
        (
            {"pos": FULL[0], "ranges": torch.tensor([[0, 1], [1, 1]], dtype=torch.int32)},
            "rasterize: ranges must lie within tri's 1 triangles, got start 1, count 1 for image 1",
        ),
        (
            {"pos": FULL[0], "ranges": torch.tensor([[2**31 - 1, 2**31 - 1]], dtype=torch.int32)},
            "rasterize: ranges must lie within tri's 1 triangles, got start 2147483647",
        ),
        ({"pos": FULL[0], "ranges": torch.tensor([[0, 1]])}, "rasterize: ranges must be int32, got int64"),
        ({"pos": FULL[0], "ranges": [[0, 1]]}, r"rasterize: ranges must be a tensor \[N, 2\], got list"),
        (
            {"pos": FULL[0], "ranges": torch.zeros(2, dtype=torch.int32)},
            r"rasterize: ranges must have shape \[N, 2\], got \[2\]",
        ),
        (
            {"pos": FULL[0, 0], "ranges": torch.zeros(1, 2, dtype=torch.int32)},
            r"rasterize: pos must have shape \[V, 4\], got \[4\]",
        ),
    ],
)
def test_errors_name_what_is_wrong(change, message) -> None:
    arguments = {"glctx": None, "pos": FULL, "tri": ONE, "resolution": (4, 4), **change}
    with pytest.raises(ShapeError, match=message):
        rasterize(**arguments)


def test_derivatives_can_be_left_out_by_argument_or_context(device) -> None:
    pos = triangle((-9, -8, 0.1, 2), (24, -9, 0.2, 5), (-4, 35, 0.3, 3)).to(device).requires_grad_()
    tri = ONE.to(device)
    full, full_db = rasterize(None, pos, tri, (13, 19))
    assert full_db.shape == (1, 13, 19, 4)
    upstream = torch.randn(full.shape, device=device)
    (expected,) = torch.autograd.grad(full, pos, upstream)
    for context, output_db in ((None, False), (RasterizeGLContext(output_db=False), True)):
        rast, rast_db = rasterize(context, pos, tri, (13, 19), output_db=output_db)
        assert rast_db.shape == (1, 13, 19, 0)
        assert torch.equal(rast, full)
        assert torch.equal(torch.autograd.grad(rast, pos, upstream)[0], expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 32768), (32768, 1), (3, 8193), (33, 31), (65, 1)])
def test_any_resolution_is_drawn_to_its_last_pixel(device, size) -> None:
    """Tiles, vectors of eight and the packing of rows and columns end where they will."""
    corners = [(-1, -1, 0.5, 1), (1, -1, 0.5, 1), (1, 1, 0.5, 1), (-1, 1, 0.5, 1)]
    near = [(x, y, -0.5, w) for x, y, _, w in corners]
    pos = torch.tensor([corners + near], dtype=torch.float32, device=device)
    tri = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]], dtype=torch.int32, device=device)
    rast, rast_db = rasterize(None, pos, tri, size)
    assert (rast[..., 3] >= 3).all()
    assert (rast[..., 2] == -0.5).all()
    x = torch.as_tensor(reference.pixel_centres(*size)[..., 0], device=device)
    # x is -1 at vertex 4 and 1 at the two others of the lower triangle, and so on.
    expected = torch.where(rast[0, ..., 3] == 3, 1 - 2 * rast[0, ..., 0], -1 + 2 * rast[0, ..., 1])
    torch.testing.assert_close(expected, x.float(), rtol=0, atol=2e-6)
    assert torch.isfinite(rast_db).all()


def test_a_batch_of_many_small_images(device) -> None:
    """Bands and tiles lie across images; each image is as it is alone."""
    vertices, tri = reference.sphere(1)
    pos = reference.perspective(vertices, [(0.02 * i, -0.01 * i) for i in range(23)]).to(device)
    batch = rasterize(None, pos, tri.to(device), (7, 9))[0]
    for i in range(23):
        assert torch.equal(batch[i], rasterize(None, pos[i : i + 1], tri.to(device), (7, 9))[0][0])
