"""Cases for volumes: everything that `march` gives gradients to, on a grid and for any function."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from benchmarks._gradient_check import ROUNDING, Case, random
from studio.core.ops import Grid, camera_rays, march
from studio.core.scene import Camera, look_at

STEP = 0.27


def small_grid(degree: int) -> Grid:
    """6 x 5 x 7 points, between nearly clear and nearly opaque, around the origin."""
    density = 2.0 + 5.0 * random(6, 5, 7, seed=1)
    colors = random(6, 5, 7, (degree + 1) ** 2, 3, seed=2) - 0.5
    return Grid(density, colors, (-0.75, -0.6, -0.9), 0.3, 0.1)


def still_rays(grid: Grid, count: int = 24) -> tuple[Tensor, Tensor]:
    """Rays whose samples stay in their cells, and in or out of the box, when they move a little."""
    target = random(4000, 3, seed=3) - 0.5
    origins = 6.0 * torch.nn.functional.normalize(random(4000, 3, seed=4) - 0.5, dim=-1)
    directions = torch.nn.functional.normalize(target - origins, dim=-1)
    distance = (torch.arange(80) + 0.5) * STEP
    place = (origins[:, None] + distance[:, None] * directions[:, None] - torch.tensor(grid.low)) / grid.voxel
    side = torch.tensor(grid.density.shape) - 1
    near = ((place > -0.1) & (place < side + 0.1)).all(dim=-1)
    steady = ((place - place.round()).abs() > 0.06).all(dim=-1)
    good = (steady | ~near).all(dim=-1) & (near.sum(dim=-1) > 3)
    index = good.nonzero()[:count, 0]
    return origins[index], directions[index]


def volume_cases() -> list[Case]:
    """`march` on grids of all degrees and on a function, and the rays of a camera."""
    cases = []
    for degree in range(3):
        grid = small_grid(degree)
        rays = still_rays(grid)

        def seen(grid: Grid, origins: Tensor, directions: Tensor, plain: bool, **more: Tensor) -> Tensor:
            options = {"step": STEP, "least_transmittance": 0.0, **more}
            field = grid.__call__ if plain else grid
            color, alpha, depth = march(
                field, origins, directions, box=grid.box if plain else None, **options
            )
            return torch.cat([color, alpha[:, None], depth[:, None]], dim=1)

        for plain in (False, True)[: 2 if degree == 1 else 1]:
            op = "march, function" if plain else f"march, degree {degree}"
            inputs = {
                "density": (
                    grid.density,
                    lambda v, g=grid, r=rays, p=plain: seen(replace(g, density=v), *r, p),
                ),
                "colors": (grid.colors, lambda v, g=grid, r=rays, p=plain: seen(replace(g, colors=v), *r, p)),
                "origins": (rays[0], lambda v, g=grid, r=rays, p=plain: seen(g, v, r[1], p)),
                "directions": (rays[1], lambda v, g=grid, r=rays, p=plain: seen(g, r[0], v, p)),
                "background": (
                    random(3, seed=5),
                    lambda v, g=grid, r=rays, p=plain: seen(g, *r, p, background=v),
                ),
            }
            cases += [
                Case(op, name, value, output, 2e-2 if name in ("density", "colors") else 2e-3, 2e-3, ROUNDING)
                for name, (value, output) in inputs.items()
            ]
    pose = torch.tensor(look_at([1.0, 2.0, 3.0], [0.1, 0.2, 0.0]), dtype=torch.float32)
    camera = Camera(5, 4, 6.0, 7.0, 2.4, 2.1, pose.double().numpy())
    cases.append(
        Case(
            "camera_rays",
            "view_to_world",
            pose,
            lambda m: torch.cat(camera_rays(camera, m), dim=-1),
            1e-2,
            1e-3,
            ROUNDING,
        )
    )
    return cases
