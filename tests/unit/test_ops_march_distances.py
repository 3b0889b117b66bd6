"""Marching through distances: how they hide what is behind, gradients, and what a ball looks like."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from studio.core.errors import InputError, ShapeError
from studio.core.ops import Grid, Occupancy, march
from studio.core.ops.samples import Samples
from studio.core.scene.volume import EMPTY

RADIUS = 0.6


def ball(device: torch.device, degree: int = 1, size: int = 41, sharpness: float = 1.2) -> Grid:
    """Exact distances to a ball, in voxels, and colours at random, in a box of half side 1."""
    axis = torch.linspace(-1, 1, size)
    radius = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0)
    voxel = 2 / (size - 1)
    colors = torch.randn(size, size, size, (degree + 1) ** 2, 3, generator=torch.Generator().manual_seed(0))
    return Grid(
        ((RADIUS - radius) / voxel).to(device),
        colors.to(device),
        (-1.0, -1.0, -1.0),
        voxel,
        voxel,
        torch.tensor([sharpness], device=device),
    )


def rays_at(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    origins = 3 * torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    target = 0.8 * (2 * torch.rand(count, 3, generator=generator) - 1)
    return origins.to(device), (target - origins).to(device)


def gradients(field: Grid, rays: tuple[Tensor, Tensor], kernels: bool, **options: object) -> list[Tensor]:
    """What march gives, then its gradients to distances, colours, sharpness, origins and directions."""
    given = (field.density, field.colors, field.sharpness, *rays)
    leaves = [t.detach().clone().requires_grad_() for t in given]
    grid = replace(field, density=leaves[0], colors=leaves[1], sharpness=leaves[2])
    step = options.setdefault("step", 0.5 * grid.voxel)
    seen = grid if kernels else lambda points, along: grid(points, along, step)
    color, alpha, depth = march(seen, *leaves[3:], box=grid.box, **options)
    out = torch.cat([color, alpha[:, None], depth[:, None]], dim=1)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(5)).to(out.device)
    return [out.detach(), *torch.autograd.grad((out * weight).sum(), leaves)]


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_kernels_agree_with_torch(device, degree):
    grid = ball(device, degree)
    rays = rays_at(300, device)
    jitter = torch.rand(300, generator=torch.Generator().manual_seed(2)).to(device)
    options = {"step": 0.04, "jitter": jitter, "least_transmittance": 0.0}
    for ours, theirs in zip(gradients(grid, rays, True, **options), gradients(grid, rays, False, **options)):
        # Sums of 40 samples in float32, in another order; 2e-5 was measured.
        assert float((ours - theirs).abs().max()) < 1e-4 * float(theirs.abs().max())


def test_gradients_agree_with_differences(device):
    """Of alpha, colour and depth, to the sharpness and to the distances along one direction in their space.

    Differences in double precision: where distances stop growing along a ray is a kink, so they are small.
    """
    grid, rays = ball(device, 0, sharpness=0.8), rays_at(200, device)
    _, to_distances, _, to_sharpness, *_ = gradients(grid, rays, True, least_transmittance=0.0)
    along = torch.randn(grid.density.shape, generator=torch.Generator().manual_seed(7)).to(device)
    weight = torch.randn(200, 5, generator=torch.Generator().manual_seed(5)).to(device).double()
    step, exact = (
        0.5 * grid.voxel,
        [values.double() for values in (grid.density, grid.colors, grid.sharpness)],
    )
    origins, directions = rays[0].double(), torch.nn.functional.normalize(rays[1].double(), dim=-1)
    jitter = origins.new_full((1,), 0.5)
    samples = Samples.along(origins, directions, jitter, step, grid.box, None)

    def total(change: float, sharper: float) -> float:
        moved = replace(
            grid, density=exact[0] + change * along, colors=exact[1], sharpness=exact[2] + sharper
        )
        found = samples.composited(lambda points, unit: moved(points, unit, step), 0.0, 0.0)
        return float((found * weight).sum())

    slope = (total(1e-6, 0) - total(-1e-6, 0)) / 2e-6
    assert slope == pytest.approx(float((to_distances * along).sum()), rel=1e-3)
    slope = (total(0, 1e-6) - total(0, -1e-6)) / 2e-6
    assert slope == pytest.approx(float(to_sharpness), rel=1e-3)


def test_a_ray_sees_a_ball_at_its_surface(device):
    """The sharper, the nearer: the mean depth comes within a tenth of a voxel of the surface."""
    offset = torch.linspace(0, 0.4, 9)
    origins = torch.stack([offset, 0.3 * offset, torch.full_like(offset, 3.0)], dim=-1).to(device)
    directions = torch.tensor([0.0, 0.0, -1.0], device=device).expand_as(origins)
    exact = 3 - (RADIUS**2 - 1.09 * offset**2).sqrt()
    errors = []
    for sharpness in (1.0, 8.0):
        grid = ball(device, 0, 81, sharpness)
        _, alpha, depth = march(grid, origins, directions, 0.05 * grid.voxel)
        assert float(alpha.min()) > 0.999
        errors.append(float((depth.cpu() / alpha.cpu() - exact).abs().max() / grid.voxel))
    assert errors[1] < 0.1, errors
    assert errors[1] < errors[0]


@pytest.mark.parametrize("tilt", [0.0, 2.0])
@pytest.mark.parametrize("depth", [-3.0, 0.0, 2.0])
def test_a_half_space_hides_as_the_logistic_distribution_says(device, depth, tilt):
    """A ray into a plane, straight or slanting, hides as much as the distance that it comes to says."""
    size, voxel, scale = 41, 0.05, 1.5  # scale and depth in voxels
    heights = depth - torch.arange(size).expand(size, size, size)  # the box ends `depth` below the surface
    grid = Grid(
        heights.to(device, torch.float32).contiguous(),
        torch.zeros(size, size, size, 1, 3, device=device),
        (0.0, 0.0, 0.0),
        voxel,
        voxel,
        torch.tensor([1 / scale], device=device),
    )
    tall = voxel * (size - 1)
    origins = torch.tensor([[0.5 * tall - 0.25 * tilt * tall, 0.5 * tall, tall]], device=device)
    directions = torch.tensor([[0.5 * tilt, 0.0, -1.0]], device=device)
    way = tall * math.hypot(1, 0.5 * tilt)
    _, alpha, _ = march(grid, origins, directions, way / 100, least_transmittance=0.0)
    assert float(alpha) == pytest.approx(1 / (1 + math.exp(-depth / scale)), rel=1e-4)


@pytest.mark.parametrize("sharpness", [0.7, 2.0])
def test_outlines_lie_where_the_distance_is_nothing(device, sharpness):
    """Rays past a ball, one voxel within and one without: seen by half at its true radius."""
    grid = ball(device, 0, 81, sharpness)
    offset = RADIUS + grid.voxel * torch.linspace(-1, 1, 9)
    turn = 2 * math.pi * torch.arange(48) / 48
    places = offset[:, None, None] * torch.stack([turn.cos(), turn.sin()], dim=-1)
    origins = torch.cat([places, torch.full_like(places[..., :1], 3.0)], dim=-1).view(-1, 3).to(device)
    directions = torch.tensor([0.0, 0.0, -1.0], device=device).expand_as(origins)
    _, alpha, _ = march(grid, origins, directions)
    found = alpha.view(9, 48).mean(dim=1).cpu()
    exact = torch.sigmoid(-sharpness * torch.linspace(-1, 1, 9))
    # With Laplace's density half is seen 1.3 and 1.0 voxels outside.
    assert float((found - exact).abs().max()) < 0.05, (found, exact)


@pytest.mark.parametrize("sharpness", [0.6, 2.0, 6.0])
def test_leaping_over_empty_space_changes_nothing(device, sharpness):
    grid, rays = ball(device, sharpness=sharpness), rays_at(300, device)
    step, least = 0.5 * grid.voxel, 1e-3
    value = grid.least_value(least, step)
    at = torch.tensor([value], device=device)
    found = 1 - torch.exp(-step * grid._extinction(at, 1 / grid.voxel + 0 * at, None))
    assert float(found) == pytest.approx(least, rel=1e-4)
    occupancy = Occupancy.of(grid, value)
    assert 0.1 < occupancy.share < 0.96
    without = gradients(grid, rays, True, least_alpha=least)
    leapt = gradients(grid, rays, True, least_alpha=least, occupancy=occupancy)
    for ours, theirs in zip(leapt, without):
        assert float((ours - theirs).abs().max()) < 1e-4 * float(theirs.abs().max())


def test_as_densities_the_ball_looks_the_same(device):
    grid, rays = ball(device, 0, 81, 2.0), rays_at(400, device)
    volume = grid.frozen("ball")()
    volume.check("ball")
    assert volume.density.min() == pytest.approx(EMPTY, abs=0.1)
    ours, theirs = (march(g, *rays) for g in (grid, Grid.of(volume, device)))
    # Densities know no direction: a little off along the outline, .063 if they began at the surface.
    assert float((ours[1] - theirs[1]).abs().mean()) < 0.015
    assert float((ours[0] - theirs[0]).abs().mean()) < 0.015


def test_bad_sharpness_is_named():
    grid = replace(ball(torch.device("cpu")), sharpness=torch.ones(2))
    with pytest.raises((InputError, ShapeError), match="sharpness must have shape"):
        march(grid, *rays_at(4, torch.device("cpu")))
