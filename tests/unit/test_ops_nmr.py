"""NMR's gradient: cases worked out by hand, a slow reading of the paper, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from studio.core.errors import ShapeError
from studio.core.ops import nmr, rasterize, rasterize_interpolate
from studio.core.scene.shapes import icosphere


def in_pixels(corners: list[tuple[float, float]], size: tuple[int, int], w: float = 1.0) -> Tensor:
    """[1, V, 4] clip positions of corners given in pixels, centres at integers."""
    height, width = size
    flat = torch.tensor(corners)
    x = (flat[:, 0] + 0.5) / width * 2 - 1
    y = (flat[:, 1] + 0.5) / height * 2 - 1
    return torch.stack([x, y, torch.zeros_like(x), torch.ones_like(x)], dim=1)[None] * w


def gradient(pos: Tensor, tri: Tensor, color: Tensor, wanted: Tensor, **options: bool) -> Tensor:
    """Gradient of the positions when that of the picture is `wanted`."""
    leaf = pos.clone().requires_grad_()
    rast, _ = rasterize(None, pos, tri, color.shape[1:3])
    out = nmr(color, rast, leaf, tri, **options)
    assert torch.equal(out, color)
    out.backward(wanted)
    return leaf.grad


# One triangle fills the left of 8 x 8 pixels up to a vertical edge at column 4.3 that runs from
# row -10 to row 20; its third corner is far to the left.
SIZE = (8, 8)
EDGE = [(4.3, -10.0), (4.3, 20.0), (-60.0, 5.0)]
ONE = torch.tensor([[0, 1, 2]], dtype=torch.int32)


def step_picture() -> Tensor:
    color = torch.zeros(1, 8, 8, 1)
    color[:, :, :5] = 1.0
    return color


@pytest.mark.parametrize(
    ("column", "wish", "expected"),
    [
        (6, -1.0, -1.0 / 1.7),  # outside, shall be brighter: the edge must come 1.7 pixels right
        (6, 1.0, 0.0),  # outside, shall be darker than black: no edge can help
        (5, -2.0, -2.0 / 0.7),
        (2, 1.0, 1.0 / 2.3),  # inside, shall be darker: the edge must go 2.3 pixels left
        (2, -1.0, 0.0),  # inside, shall be brighter: it would only get darker
        (4, 1.0, 1.0 / 0.5),  # 0.3 pixels away counts as half a pixel
    ],
)
def test_one_pixel_by_hand(column: int, wish: float, expected: float) -> None:
    wanted = torch.zeros(1, 8, 8, 1)
    wanted[0, 3, column] = wish
    got = gradient(in_pixels(EDGE, SIZE), ONE, step_picture(), wanted)
    upper = (3.0 + 10.0) / 30.0  # share of the edge's upper end at row 3
    per_unit = 8 / 2  # pixels per unit of x / w
    assert got[0, 0, 0] == pytest.approx(expected * (1 - upper) * per_unit, rel=1e-4, abs=1e-6)
    assert got[0, 1, 0] == pytest.approx(expected * upper * per_unit, rel=1e-4, abs=1e-6)
    assert got[0, 2].abs().max() < 1e-6
    assert got[0, :, 1].abs().max() < 1e-6  # no edge crosses a column here


def test_a_nearer_surface_hides_the_moved_edge() -> None:
    # The right half of the picture is covered by something nearer (or farther) than the triangle.
    for depth, expected in ((-0.5, 0.0), (0.5, -1.0 / 1.7)):
        pos = torch.cat([in_pixels(EDGE, SIZE), in_pixels([(5.5, -20.0), (5.5, 20.0), (60.0, 0.0)], SIZE)], 1)
        pos[0, 3:, 2] = depth
        tri = torch.arange(6, dtype=torch.int32).view(2, 3)
        wanted = torch.zeros(1, 8, 8, 1)
        wanted[0, 3, 6] = -1.0
        got = gradient(pos, tri, step_picture(), wanted)
        assert float(got[0, :2, 0].sum()) == pytest.approx(expected * 4, rel=1e-4, abs=1e-6)


def test_divides_by_w() -> None:
    wanted = torch.zeros(1, 8, 8, 1)
    wanted[0, 3, 6] = -1.0
    near = gradient(in_pixels(EDGE, SIZE), ONE, step_picture(), wanted)
    far = gradient(in_pixels(EDGE, SIZE, w=2.5), ONE, step_picture(), wanted)
    assert torch.allclose(far[..., 0], near[..., 0] / 2.5, rtol=1e-4)
    x = in_pixels(EDGE, SIZE)[..., 0]
    assert torch.allclose(far[..., 3], -near[..., 0] * x / 2.5, rtol=1e-4, atol=1e-6)


def by_the_paper(
    pos: np.ndarray, tri: np.ndarray, rast: np.ndarray, color: np.ndarray, grad: np.ndarray, outlines: bool
):
    """Gradient [V, 4] of one image: for every line, every pixel and every edge, one at a time."""
    height, width, _ = color.shape
    out = np.zeros((len(pos), 4))
    for axis in (0, 1):
        if axis:
            turned = [np.swapaxes(a, 0, 1) for a in (rast, color, grad)]
        else:
            turned = [rast, color, grad]
        faces, shown, wished = turned
        length = shown.shape[1]
        sizes = np.array([width, height])
        pixel = (pos[:, :2] / pos[:, 3:] * 0.5 + 0.5) * sizes - 0.5
        if axis:
            pixel = pixel[:, ::-1]
        for line in range(len(shown)):
            ids = faces[line, :, 3].astype(int) - 1
            for t, corners in enumerate(tri):
                for a, b in ((corners[k], corners[(k + 1) % 3]) for k in range(3)):
                    (xa, ya), (xb, yb) = pixel[a], pixel[b]
                    if (ya <= line) == (yb <= line):
                        continue
                    share = (line - ya) / (yb - ya)
                    place = xa + share * (xb - xa)
                    left = int(np.floor(place))
                    if not 0 <= left < length - 1:
                        continue
                    for own, other in ((left, left + 1), (left + 1, left)):
                        if ids[own] != t or ids[other] == t:
                            continue
                        if outlines and ids[other] >= 0 and set(tri[ids[other]]) & set(corners):
                            continue
                        total = 0.0
                        step = other - own
                        depth = faces[line, own, 2]
                        beyond = range(other, length) if step > 0 else range(other, -1, -1)
                        for j in beyond:
                            if ids[j] < 0 or faces[line, j, 2] >= depth:
                                change = wished[line, j] @ (shown[line, own] - shown[line, j])
                                total += min(change, 0) / (step * max(abs(j - place), 0.5))
                        j = own
                        while 0 <= j < length and ids[j] == t:
                            change = wished[line, j] @ (shown[line, other] - shown[line, j])
                            total += min(change, 0) / (-step * max(abs(j - place), 0.5))
                            j -= step
                        for v, weight in ((a, 1 - share), (b, share)):
                            g = total * weight * length / 2 / pos[v, 3]
                            out[v, axis] += g
                            out[v, 3] -= g * pos[v, axis] / pos[v, 3]
    return out


def ball(subdivisions: int = 1, batch: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """(pos, tri, vertex colours) of a sphere in perspective, turned a little."""
    mesh = icosphere(subdivisions)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(4)))[0]
    v = torch.tensor(mesh.vertices, dtype=torch.float32) @ turn.T
    w = 3.0 - v[:, 2]
    pos = torch.stack([2.1 * v[:, 0], 1.9 * v[:, 1], (w - 3.0) * 0.9 * w, w], dim=1)
    return pos.expand(batch, -1, -1).contiguous(), torch.tensor(mesh.faces, dtype=torch.int32), v * 0.5 + 0.5


@pytest.mark.parametrize("outlines", [False, True])
def test_agrees_with_a_slow_reading_of_the_paper(outlines: bool) -> None:
    pos, tri, attr = ball()
    image, rast = rasterize_interpolate(pos, tri, attr[None], (23, 17))
    generator = torch.Generator().manual_seed(7)
    color = image + 0.3 * torch.rand(image.shape, generator=generator)
    wanted = torch.rand(image.shape, generator=generator) - 0.5
    got = gradient(pos, tri, color, wanted, outlines_only=outlines)[0].double().numpy()
    expected = by_the_paper(
        pos[0].double().numpy(), tri.numpy(), rast[0].double().numpy(), color[0].double().numpy(),
        wanted[0].double().numpy(), outlines,
    )  # fmt: skip
    assert np.abs(expected).max() > 1.0
    np.testing.assert_allclose(got, expected, atol=2e-3 * np.abs(expected).max())


def test_pulls_the_outline_towards_the_target() -> None:
    pos, tri, _ = ball(2)
    for grow, direction in ((1.3, -1), (0.7, 1)):
        color, rast = rasterize_interpolate(pos, tri, torch.ones(1, pos.shape[1], 1), (48, 48))
        bigger = pos * torch.tensor([grow, grow, 1.0, 1.0])
        target, _ = rasterize_interpolate(bigger, tri, torch.ones(1, pos.shape[1], 1), (48, 48))
        leaf = pos.clone().requires_grad_()
        (nmr(color, rast, leaf, tri) - target).square().sum().backward()
        along = (leaf.grad[..., :2] * pos[..., :2]).sum()  # by how much growing raises the loss
        assert along * direction > 0


def test_only_outlines_pull_if_asked() -> None:
    # A wish deep inside one smooth surface: published NMR moves its inner edges, outlines stay.
    pos, tri, attr = ball(1)
    color, rast = rasterize_interpolate(pos, tri, attr[None], (33, 33))
    wanted = torch.zeros_like(color)
    wanted[0, 16, 16] = 1.0
    turned = wanted * torch.tensor([1.0, -1.0, 1.0])
    assert gradient(pos, tri, color, turned).abs().max() > 1e-3
    alone = gradient(pos, tri, color, turned, outlines_only=True)
    inner = rast[0, 14:19, 14:19, 3].long().unique() - 1
    # The outline may still pull on the far pixel, the triangles around it do not move.
    assert alone[0, tri[inner].long().view(-1)].abs().max() == 0


def test_a_fit_converges() -> None:
    pos, tri, _ = ball(2)
    ones = torch.ones(1, pos.shape[1], 1)
    wanted = pos * torch.tensor([0.7, 1.2, 1.0, 1.0]) + torch.tensor([0.8, -0.5, 0.0, 0.0])
    target, _ = rasterize_interpolate(wanted, tri, ones, (40, 40))
    size = torch.zeros(2, requires_grad=True)
    place = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.Adam([size, place], lr=0.03)
    losses = []
    for _ in range(80):
        scale = torch.cat([size.exp(), torch.ones(2)])
        moved = pos * scale + torch.cat([place, torch.zeros(2)])
        color, rast = rasterize_interpolate(moved.detach(), tri, ones, (40, 40))
        loss = (nmr(color, rast, moved, tri) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 0.15
    assert min(losses[-10:]) < 0.05 * losses[0]


def test_colour_gradient_passes_through_and_bands_agree() -> None:
    from studio.core.kernels import launcher

    pos, tri, attr = ball(1, batch=3)
    image, rast = rasterize_interpolate(pos, tri, attr[None], (20, 21))
    color = image.detach().requires_grad_()
    wanted = torch.rand(image.shape, generator=torch.Generator().manual_seed(1)) - 0.5
    grads = []
    former = launcher.use_threads(1)
    try:
        for threads in (1, 3):
            launcher.use_threads(threads)
            leaf = pos.clone().requires_grad_()
            nmr(color, rast, leaf, tri).backward(wanted)
            grads.append(leaf.grad)
    finally:
        launcher.use_threads(former)
    assert torch.allclose(color.grad, 2 * wanted)
    assert torch.allclose(grads[0], grads[1], atol=1e-4 * float(grads[0].abs().max()))


def test_empty_input_and_errors() -> None:
    pos, tri, attr = ball()
    image, rast = rasterize_interpolate(pos, tri, attr[None], (8, 1))
    leaf = pos.clone().requires_grad_()
    nmr(image, rast, leaf, tri).sum().backward()  # one column: no pairs along rows
    assert torch.isfinite(leaf.grad).all()
    assert nmr(image, rast, pos, tri[:0]) is image
    with pytest.raises(ShapeError, match=r"nmr: rast must have shape \[1, 8, 1, 4\], got \[1, 8, 1, 3\]"):
        nmr(image, rast[..., :3], pos, tri)
    with pytest.raises(ShapeError, match="nmr: tri must be int32, got int64"):
        nmr(image, rast, pos, tri.long())
