"""Marching through distances: Laplace's density, its gradients, and what a ball looks like."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from studio.core.errors import InputError, ShapeError
from studio.core.ops import Grid, Occupancy, march
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
    color, alpha, depth = march(grid if kernels else grid.__call__, *leaves[3:], box=grid.box, **options)
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
    """Of alpha and colour, to the sharpness and to the distances along one direction in their space."""
    grid, rays = ball(device, 0, sharpness=0.8), rays_at(200, device)
    _, to_distances, _, to_sharpness, *_ = gradients(grid, rays, True)
    along = torch.randn(grid.density.shape, generator=torch.Generator().manual_seed(7)).to(device)
    weight = torch.randn(200, 5, generator=torch.Generator().manual_seed(5)).to(device)

    def total(change: float, sharper: float) -> float:
        moved = replace(grid, density=grid.density + change * along, sharpness=grid.sharpness + sharper)
        color, alpha, depth = march(moved, *rays)
        return float((torch.cat([color, alpha[:, None], depth[:, None]], 1) * weight).double().sum())

    # 0.3 % was seen; float32 sums of 200 rays.
    slope = (total(0.01, 0) - total(-0.01, 0)) / 0.02
    assert slope == pytest.approx(float((to_distances * along).sum()), rel=0.02)
    slope = (total(0, 0.01) - total(0, -0.01)) / 0.02
    assert slope == pytest.approx(float(to_sharpness), rel=0.02)


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


def test_a_half_space_absorbs_as_laplace_says(device):
    """A ray straight into a plane: its optical depth is the integral of Psi, which has a closed form."""
    axis = torch.linspace(-1, 1, 41)
    heights = -axis.expand(41, 41, 41) / 0.05  # inside below z = 0, in voxels
    beta = 1.5  # voxels
    sharpness = torch.tensor([1 / beta], device=device)
    grid = Grid(
        heights.contiguous().to(device), torch.zeros(41, 41, 41, 1, 3, device=device),
        (-1.0, -1.0, -1.0), 0.05, 0.05, sharpness,
    )  # fmt: skip
    origins = torch.tensor([[0.01, 0.02, 2.0], [0.01, 0.02, 0.3]], device=device)
    directions = torch.tensor([[0.0, 0, -1], [0, 0, 1]], device=device)
    _, alpha, _ = march(grid, origins, directions, 0.0005, least_transmittance=0.0)

    def depth(near: float, far: float) -> float:
        """Of the heights from near down to far, in voxels."""

        def integral(height: float) -> float:  # of Psi(-h / beta) / beta from infinity down
            x = height / beta
            return 0.5 * math.exp(-x) if x > 0 else 0.5 * math.exp(x) - x

        return integral(far) - integral(near)

    assert float(-torch.log1p(-alpha[1])) == pytest.approx(depth(20.0, 6.0), rel=2e-3)
    # All through: from 20 voxels above to 20 below.
    expected = 1 - math.exp(-depth(20.0, -20.0))
    assert float(alpha[0]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("sharpness", [0.4, 2.0, 6.0])
def test_leaping_over_empty_space_changes_nothing(device, sharpness):
    grid, rays = ball(device, sharpness=sharpness), rays_at(300, device)
    step, least = 0.5 * grid.voxel, 1e-3
    value = grid.least_value(least, step)
    at = torch.tensor([value], device=device)
    found = 1 - torch.exp(-step * replace(grid, density=at)._extinction(at))
    assert float(found) == pytest.approx(least, rel=1e-4)
    occupancy = Occupancy.of(grid, value)
    assert 0.1 < occupancy.share < 0.96
    without = gradients(grid, rays, True, least_alpha=least)
    leapt = gradients(grid, rays, True, least_alpha=least, occupancy=occupancy)
    for ours, theirs in zip(leapt, without):
        assert float((ours - theirs).abs().max()) < 1e-4 * float(theirs.abs().max())


def test_as_densities_the_ball_looks_the_same(device):
    grid, rays = ball(device, 0, 81, 2.0), rays_at(400, device)
    volume = grid.volume("ball")
    volume.check("ball")
    assert volume.density.min() == pytest.approx(EMPTY, abs=0.1)
    ours, theirs = (march(g, *rays) for g in (grid, Grid.of(volume, device)))
    # Densities are interpolated as such, not as distances: a little off along the outline.
    assert float((ours[1] - theirs[1]).abs().mean()) < 2e-3
    assert float((ours[0] - theirs[0]).abs().mean()) < 2e-3


def test_bad_sharpness_is_named():
    grid = replace(ball(torch.device("cpu")), sharpness=torch.ones(2))
    with pytest.raises((InputError, ShapeError), match="sharpness must have shape"):
        march(grid, *rays_at(4, torch.device("cpu")))
