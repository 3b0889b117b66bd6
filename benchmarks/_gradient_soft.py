"""Cases for SoftRas: soft and hard aggregation, textured or not, and its two softness numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks._gradient_check import ROUNDING, Case, random
from studio.core.ops import softras

RESOLUTION = (12, 16)
_SIGMA, _GAMMA = 2e-3, 0.1
# Far below what is measured, so that no face comes or goes with a step.
_CUTOFF = 1e-9


def _scene() -> tuple[Tensor, Tensor]:
    """Three triangles that overlap at different depths, one of them small.

    No edge passes within 0.01 of a pixel centre: hard aggregation jumps there.
    """
    flat = torch.tensor(
        [
            [[-0.77, -0.70, 0.3], [0.66, -0.62, 0.1], [-0.17, 0.86, 0.2]],
            [[-0.53, 0.64, -0.2], [0.17, -0.75, -0.1], [0.84, 0.60, 0.0]],
            [[0.11, 0.07, -0.4], [0.29, 0.02, -0.4], [0.21, 0.25, -0.3]],
        ]
    ).view(1, 9, 3)
    w = 1.0 + 0.6 * random(1, 9, 1, seed=90)
    return torch.cat([flat * w, w], dim=2), torch.arange(9, dtype=torch.int32).view(3, 3)


def _moves(
    op: str, run: Callable[..., Tensor], values: dict[str, Tensor], steps: dict[str, float]
) -> list[Case]:
    """One case per input, the others held."""
    return [
        Case(
            op,
            name,
            values[name],
            lambda v, name=name: run(**{**values, name: v}),
            step,
            2e-3,
            ROUNDING + "; sums of exponentials",
        )
        for name, step in steps.items()
    ]


def soft_cases() -> list[Case]:
    """All inputs of both aggregations, then of a textured mesh."""
    pos, tri = _scene()
    attr, background = random(1, 9, 3, seed=91), random(1, *RESOLUTION, 3, seed=92)
    numbers = {"sigma": torch.tensor([_SIGMA]), "gamma": torch.tensor([_GAMMA])}
    # Between the same four texel centres everywhere: bilinear sampling has kinks at centres.
    texture, uv = random(1, 5, 4, 3, seed=93), 0.16 + 0.1 * random(1, 9, 2, seed=94)

    def run(aggregation: str, **inputs: Tensor) -> Tensor:
        return torch.cat(
            softras(tri=tri, resolution=RESOLUTION, aggregation=aggregation, cutoff=_CUTOFF, **inputs), dim=-1
        )

    plain = {"pos": pos, "attr": attr, "background": background, **numbers}
    steps = {"pos": 4e-4, "attr": 0.1, "background": 0.1, "sigma": 1e-5, "gamma": 1e-3}
    hard = {name: step for name, step in steps.items() if name != "gamma"}  # it has no gamma
    textured = plain | {"texture": texture, "uv": uv}
    more = {"pos": 4e-4, "attr": 0.1, "texture": 0.1, "uv": 2e-3}
    return [
        *_moves("softras, soft", lambda **v: run("soft", **v), plain, steps),
        *_moves("softras, hard", lambda **v: run("hard", **v), plain, hard),
        *_moves("softras, soft, textured", lambda **v: run("soft", **v), textured, more),
    ]
