"""Cases for Gaussians: everything that `project_gaussians` and `splat` give gradients to."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks._gradient_check import ROUNDING, Case, random
from studio.core.ops import project_gaussians, splat

RESOLUTION = (9, 11)
VIEWS = torch.tensor(
    [
        [1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, -3.0, 12, 12, 5.5, 4.5],
        [0, 0, -1, 0, 1, 0, 1, 0, 0, 0.1, 0, -2.6, 11, 13, 5.0, 5.0],
    ]
)


def wide() -> dict[str, Tensor]:
    """Six Gaussians that reach over the whole picture: where one ends, at 1/255, it has no derivative."""
    return {
        "centers": 0.5 * random(6, 3, seed=1) - 0.25 + torch.linspace(-0.5, 0.5, 6)[:, None],
        "log_sizes": 0.7 + 0.3 * random(6, 3, seed=2),
        "turns": random(6, 4, seed=3) - 0.5,
        "opacity": 0.2 + 0.6 * random(6, seed=4),
        "colors": random(6, 3, seed=5),
    }


def splat_cases() -> list[Case]:
    """One case for each argument that has a gradient."""
    given = wide()
    weight = random(2, *RESOLUTION, 5, seed=6)

    def drawn(**changed: Tensor) -> Tensor:
        splats = project_gaussians(**{**given, **changed}, views=VIEWS, resolution=RESOLUTION)
        color, alpha, depth = splat(splats, RESOLUTION, least_transmittance=0.0)
        return torch.cat([color, alpha[..., None], depth[..., None]], dim=-1) * weight

    cases = [
        Case(
            "splat(project_gaussians)",
            name,
            value,
            lambda x, name=name: drawn(**{name: x}),
            1e-2,
            1e-2,
            ROUNDING,
        )
        for name, value in given.items()
    ]
    return cases
