"""Splatting beside a slow reading of the formulas in float64, and against finite differences."""

from __future__ import annotations

import importlib
import math

import pytest
import torch
from torch import Tensor

from studio.core.errors import InputError, ShapeError
from studio.core.gbuffer import CameraBatch
from studio.core.kernels import launcher
from studio.core.ops.splat import pinholes, project_gaussians, splat
from studio.core.scene import Camera, look_at

op = importlib.import_module("studio.core.ops.splat")
"""The module; the package's `splat` is the function."""

RESOLUTION = (41, 53)
VIEWS = torch.tensor(
    [
        [1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, -3.0, 60, 55, 25, 20],
        [0, 0, -1, 0, 1, 0, 1, 0, 0, 0.1, 0, -2.6, 50, 60, 27, 22],
    ]
)
LEAVES = ("centers", "log_sizes", "turns", "opacity", "colors")


def gaussians(count: int = 40, seed: int = 0) -> list[Tensor]:
    """Of all shapes and turns, overlapping, within both views."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    opacity = torch.rand(count, generator=generator)
    colors = torch.rand(count, 3, generator=generator)
    return [0.25 * normal(count, 3), 0.4 * normal(count, 3) - 2.0, normal(count, 4), opacity, colors]


def rotations(turns: Tensor) -> Tensor:
    w, x, y, z = (turns / turns.norm(dim=1, keepdim=True)).unbind(dim=1)
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack(rows, dim=1).view(-1, 3, 3)


def slow_view(view: Tensor, leaves: list[Tensor]) -> Tensor:
    """[H, W, 5] of one view, every Gaussian at every pixel."""
    centers, log_sizes, turns, opacity, colors = leaves
    p = centers @ view[:9].view(3, 3).T + view[9:12]
    x, y, w = p[:, 0], p[:, 1], -p[:, 2]
    jacobian = p.new_zeros(len(p), 2, 3)
    jacobian[:, 0, 0], jacobian[:, 0, 2] = view[12] / w, view[12] * x / w**2
    jacobian[:, 1, 1], jacobian[:, 1, 2] = view[13] / w, view[13] * y / w**2
    axes = jacobian @ view[:9].view(3, 3) @ rotations(turns) @ torch.diag_embed(log_sizes.exp())
    bare = axes @ axes.transpose(1, 2)
    full = bare + 0.3 * torch.eye(2, dtype=p.dtype)
    kept = (torch.det(bare) / torch.det(full)).sqrt()
    middle = torch.stack([view[12] * x / w + view[14], view[13] * y / w + view[15]], dim=1)
    rows, columns = (torch.arange(n, dtype=p.dtype) + 0.5 for n in RESOLUTION)
    pixels = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    away = pixels[None] - middle[:, None, None]
    squared = torch.einsum("nhwi,nij,nhwj->nhw", away, torch.linalg.inv(full), away)
    alpha = (opacity * kept)[:, None, None] * torch.exp(-0.5 * squared)
    alpha = torch.where(alpha >= 1 / 255, alpha.clamp_max(0.99), 0)
    order = w.argsort()
    alpha = alpha[order]
    before = torch.cumprod(torch.cat([torch.ones_like(alpha[:1]), 1 - alpha[:-1]]), dim=0)
    values = torch.cat([colors[order], torch.ones_like(w)[:, None], w[order][:, None]], dim=1)
    return torch.einsum("nhw,nc->hwc", alpha * before, values)


def drawn(leaves: list[Tensor], views: Tensor = VIEWS, least: float = 0.0) -> Tensor:
    color, alpha, depth = splat(
        project_gaussians(*leaves, views, RESOLUTION), RESOLUTION, least_transmittance=least
    )
    return torch.cat([color, alpha[..., None], depth[..., None]], dim=-1)


def test_picture_and_gradients_are_those_of_the_formulas() -> None:
    ours = [t.clone().requires_grad_() for t in gaussians()]
    theirs = [t.double().requires_grad_() for t in gaussians()]
    picture = drawn(ours)
    expected = torch.stack([slow_view(view, theirs) for view in VIEWS.double()])
    torch.testing.assert_close(picture.double(), expected, atol=5e-6, rtol=0)
    assert expected[..., 3].max() > 0.9
    weight = torch.randn(picture.shape, generator=torch.Generator().manual_seed(1))
    (picture * weight).sum().backward()
    (expected * weight).sum().backward()
    for name, a, b in zip(LEAVES, ours, theirs):
        assert (a.grad - b.grad).norm() <= 1e-5 * b.grad.norm(), name


@pytest.mark.parametrize("leaf", range(len(LEAVES)))
def test_gradients_are_finite_differences(leaf: int) -> None:
    """Of the mean over many steps: where a splat ends, at 1/255 of a pixel, pixels come and go."""
    leaves = gaussians(12, seed=3)
    leaves[3] = 0.3 + 0.5 * leaves[3]
    rows, columns = (torch.linspace(0, math.pi, n) for n in RESOLUTION)
    weight = torch.stack([torch.cos(k * rows)[:, None] + torch.sin(k * columns) for k in range(1, 6)], dim=-1)
    direction = torch.randn(leaves[leaf].shape, generator=torch.Generator().manual_seed(leaf))

    def value(amount: float) -> Tensor:
        moved = [t + amount * direction if i == leaf else t for i, t in enumerate(leaves)]
        return (drawn(moved)[0].double() * weight).sum()

    leaves[leaf] = leaves[leaf].requires_grad_()
    value(0.0).backward()
    slope = float((leaves[leaf].grad * direction).sum())
    leaves[leaf] = leaves[leaf].detach()
    difference = float(value(0.02) - value(-0.02)) / 0.04
    assert slope == pytest.approx(difference, rel=0.06)


def test_bands_and_batches_change_nothing() -> None:
    leaves = gaussians(200)
    together = drawn(leaves)
    former = launcher.use_threads(1)
    try:
        torch.testing.assert_close(drawn(leaves), together, atol=0, rtol=0)
    finally:
        launcher.use_threads(former)
    for number in range(len(VIEWS)):
        torch.testing.assert_close(drawn(leaves, VIEWS[number : number + 1])[0], together[number])


def test_lists_are_the_same_by_walking_and_by_sorting(monkeypatch: pytest.MonkeyPatch) -> None:
    splats = project_gaussians(*gaussians(100), VIEWS, RESOLUTION)
    walked = op._binned(splats, 4, 3)
    monkeypatch.setattr(op, "_listed", op._sorted_lists)
    monkeypatch.setattr(op, "_rooms", op._Rooms())
    by_sorting = op._binned(splats, 4, 3)
    count = len(walked.members)
    assert count > 200
    assert count < len(by_sorting.members) < 2 * count, "with room for more"
    for ours, expected in zip(by_sorting._replace(members=by_sorting.members[:count]), walked):
        assert torch.equal(ours, expected)


def test_lists_without_room_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where there are suddenly many more than in the pictures before."""

    def everything() -> list[Tensor]:
        leaves = [leaf.requires_grad_() for leaf in gaussians(100)]
        leaves[0].data[:5, 2] += 10  # behind the eyes: they are in no list
        out = drawn(leaves)
        out.square().sum().backward()
        return [out.detach(), *(leaf.grad for leaf in leaves)]

    expected = everything()
    monkeypatch.setattr(op, "_listed", op._sorted_lists)
    monkeypatch.setattr(op._Rooms, "of", lambda self, kind, total: 50)
    for ours, theirs in zip(everything(), expected):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))


def test_room_grows_as_numbers_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    class Late:
        def __init__(self, tensors: list[Tensor]) -> None:
            self.ready = False
            self.arrays = lambda: [tensor.numpy() for tensor in tensors]
            made.append(self)

    made: list[Late] = []
    monkeypatch.setattr(op, "Arrival", Late)
    rooms = op._Rooms()
    first = rooms.of("a", torch.tensor(1000))
    assert 1500 <= first < 1600
    assert rooms.of("a", torch.tensor(1400)) == first
    assert rooms.of("a", torch.tensor(1450)) == first, "the number before has not arrived"
    assert len(made) == 1
    made[0].ready = True
    assert rooms.of("a", torch.tensor(1450)) >= 2100
    assert rooms.of("b", torch.tensor(10)) < 50


def test_a_finished_pixel_loses_no_more_than_was_said() -> None:
    leaves = gaussians(400)
    leaves[3].fill_(0.9)
    assert (drawn(leaves, least=1e-3) - drawn(leaves)).abs()[..., :4].max() <= 1e-3


def test_what_is_behind_the_eye_is_not_drawn() -> None:
    leaves = gaussians(10)
    leaves[0][:, 2] += 10
    picture = drawn([t.requires_grad_() for t in leaves], VIEWS[:1])
    assert (picture == 0).all()
    picture.sum().backward()
    assert all(t.grad is None or (t.grad == 0).all() for t in leaves)


def test_a_round_opaque_splat_over_a_background() -> None:
    leaves = [
        torch.zeros(1, 3),
        torch.full((1, 1), -1.5),
        None,
        torch.ones(1),
        torch.tensor([[1.0, 0.5, 0.0]]),
    ]
    background = torch.tensor([0.0, 0.0, 1.0])
    splats = project_gaussians(*leaves, VIEWS[:1], RESOLUTION)
    color, alpha, depth = splat(splats, RESOLUTION, background)
    assert alpha[0, 20, 25] == pytest.approx(0.97, abs=0.02)
    assert depth[0, 20, 25] / alpha[0, 20, 25] == pytest.approx(3.0, rel=1e-5)
    torch.testing.assert_close(color[0, 0, 0], background)
    # As far from the middle as one standard deviation: exp(-1/2) of the opacity there.
    deviation = math.sqrt((60 * math.exp(-1.5) / 3) ** 2 + 0.3)
    row = alpha[0, 20].double()
    fitted = row[25] * math.exp(-0.5 * ((round(deviation) + 0.5) ** 2 - 0.25) / deviation**2)
    assert row[25 + round(deviation)] == pytest.approx(float(fitted), rel=0.02)


def test_views_are_the_cameras() -> None:
    camera = Camera(
        *(53, 41, 70.0, 65.0, 24.0, 19.0), look_at(torch.tensor([2.0, 1, 2]).numpy(), torch.zeros(3).numpy())
    )
    batch = CameraBatch.from_cameras([camera])
    views = pinholes(batch.world_to_view, batch.view_to_clip, (41, 53))
    points = 0.3 * torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    size = torch.full((20, 1), -3.0)
    numbers = project_gaussians(
        points, size, None, torch.ones(20), torch.ones(20, 3), views, (41, 53)
    ).numbers
    clip = torch.cat([points, torch.ones(20, 1)], dim=1) @ batch.world_to_clip[0].T
    pixels = (clip[:, :2] / clip[:, 3:] + 1) / 2 * torch.tensor([53.0, 41.0])
    torch.testing.assert_close(numbers[:, :2], pixels, atol=1e-3, rtol=0)
    torch.testing.assert_close(numbers[:, 9], clip[:, 3])


def test_errors_name_the_tensor() -> None:
    leaves = gaussians(3)
    with pytest.raises(ShapeError, match="splat: turns must have shape"):
        project_gaussians(leaves[0], leaves[1], leaves[2][:, :3], *leaves[3:], VIEWS, RESOLUTION)
    with pytest.raises(ShapeError, match="splat: views"):
        project_gaussians(*leaves, VIEWS[:, :4], RESOLUTION)
    splats = project_gaussians(*leaves, VIEWS, RESOLUTION)
    with pytest.raises(InputError, match="resolution"):
        splat(splats, (0, 4))
    with pytest.raises(InputError, match="least_transmittance"):
        splat(splats, RESOLUTION, least_transmittance=1.0)
