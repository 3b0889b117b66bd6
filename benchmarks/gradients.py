"""Gradients of every primitive against finite differences, as a table.

    python -m benchmarks.gradients

Each case is a scene in which nothing jumps while one number moves a little: triangles that
cover the whole image, texture coordinates that stay within their texels, outlines that stay
between the same pixel centres. The loss is a weighted sum in float64 of the float32 output,
the difference is central with four points (error of fourth order), and the error of an entry
is relative to the largest entry of that gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from studio.core.ops import Topology, antialias, interpolate, rasterize, rasterize_interpolate, texture

RESOLUTION = (12, 16)

Loss = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Case:
    """One differentiable input of one primitive.

    Attributes:
        name: primitive and input, as in the table.
        value: where the gradient is taken.
        output: the primitive as a function of that input alone.
        step: of the difference; large enough that float32 rounding (1e-7 of the output)
            stays below 1e-4 of the slope.
        limit: worst relative error allowed, and `reason` why that much.
    """

    name: str
    value: Tensor
    output: Callable[[Tensor], Tensor]
    step: float
    limit: float
    reason: str


def _random(*shape: int, seed: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def _weights(shape: torch.Size, seed: int = 7) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _full_screen() -> tuple[Tensor, Tensor]:
    """Two images, each covered by one triangle in perspective; the second has a vertex behind."""
    pos = torch.tensor(
        [
            [[-3.0, -2.5, 0.2, 1.1], [7.0, -3.0, 0.9, 1.9], [-2.0, 8.0, 0.5, 1.4]],
            [[-6.0, -4.0, 0.3, 1.5], [6.0, -5.0, 0.4, 1.3], [0.5, -4.0, -0.9, -1.0]],
        ]
    )
    return pos, torch.tensor([[0, 1, 2]], dtype=torch.int32)


def _outline() -> tuple[Tensor, Tensor]:
    """A square turned by 9 degrees: edges clear of 30 degrees, corners clear of pixel rows."""
    angle = torch.tensor(9.0).deg2rad()
    cos, sin = angle.cos(), angle.sin()
    corners = torch.tensor([[-0.61, -0.57], [0.59, -0.62], [0.63, 0.55], [-0.58, 0.60]])
    turned = corners @ torch.tensor([[cos, sin], [-sin, cos]])
    w = torch.tensor([1.0, 1.3, 1.6, 1.2])[:, None]
    pos = torch.cat([turned * w, 0.1 * w, w], dim=1)[None]
    return pos, torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)


def _raster_cases() -> list[Case]:
    pos, tri = _full_screen()
    attr = _random(2, 3, 5, seed=1)
    smooth = "rounding of float32 over the step"
    return [
        Case(
            "rasterize: pos through u, v",
            pos,
            lambda p: rasterize(None, p, tri, RESOLUTION)[0][..., :2],
            2e-2,
            5e-4,
            smooth,
        ),
        Case(
            "rasterize: pos through rast_db",
            pos,
            lambda p: rasterize(None, p, tri, RESOLUTION)[1],
            2e-2,
            2e-3,
            smooth + "; derivatives are a tenth of u, v",
        ),
        Case(
            "rasterize_interpolate: pos",
            pos,
            lambda p: rasterize_interpolate(p, tri, attr, RESOLUTION)[0],
            2e-2,
            5e-4,
            smooth,
        ),
        Case(
            "rasterize_interpolate: attr",
            attr,
            lambda a: rasterize_interpolate(pos, tri, a, RESOLUTION)[0],
            0.1,
            1e-5,
            "linear",
        ),
        Case(
            "rasterize_interpolate: attr shared by images",
            attr[:1].clone(),
            lambda a: rasterize_interpolate(pos, tri, a, RESOLUTION)[0],
            0.1,
            1e-5,
            "linear",
        ),
    ]


def _interpolate_cases() -> list[Case]:
    pos, tri = _full_screen()
    rast, rast_db = rasterize(None, pos, tri, RESOLUTION)
    attr = _random(2, 3, 5, seed=2)

    def both(a: Tensor, r: Tensor, db: Tensor) -> Tensor:
        return torch.cat(interpolate(a, r, tri, db, diff_attrs="all"), dim=-1)

    def barycentrics(uv: Tensor) -> Tensor:
        return both(attr, torch.cat([uv, rast[..., 2:]], dim=-1), rast_db)

    return [
        Case("interpolate: attr", attr, lambda a: both(a, rast, rast_db), 0.1, 1e-5, "linear"),
        Case("interpolate: rast (u, v)", rast[..., :2].clone(), barycentrics, 0.1, 1e-5, "linear"),
        Case("interpolate: rast_db", rast_db.clone(), lambda d: both(attr, rast, d), 0.1, 1e-5, "linear"),
    ]


def _texture_cases() -> list[Case]:
    tex = _random(1, 6, 7, 3, seed=3)
    height, width = RESOLUTION
    # Texel coordinates at 0.2 to 0.8 between centres, also outside 0..1, so no step crosses one.
    cell = torch.randint(-6, 12, (2, height, width, 2), generator=torch.Generator().manual_seed(4))
    offset = 0.2 + 0.6 * _random(2, height, width, 2, seed=5)
    uv = (cell + offset + 0.5) / torch.tensor([7.0, 6.0])
    cases = []
    for mode in ("wrap", "clamp", "zero"):
        cases += [
            Case(
                f"texture linear {mode}: tex",
                tex,
                lambda t, mode=mode: texture(t, uv, boundary_mode=mode),
                0.1,
                1e-5,
                "linear",
            ),
            Case(
                f"texture linear {mode}: uv",
                uv,
                lambda c, mode=mode: texture(tex, c, boundary_mode=mode),
                5e-3,
                1e-3,
                "rounding of uv, up to 2, over the step",
            ),
        ]
    cases.append(
        Case(
            "texture nearest: tex", tex, lambda t: texture(t, uv, filter_mode="nearest"), 0.1, 1e-5, "linear"
        )
    )
    return cases


def _antialias_cases() -> list[Case]:
    pos, tri = _outline()
    rast = rasterize(None, pos, tri, RESOLUTION)[0]
    color = _random(1, *RESOLUTION, 3, seed=6)
    topology = Topology.build(tri)
    return [
        Case(
            "antialias: color",
            color,
            lambda c: antialias(c, rast, pos, tri, topology),
            0.1,
            1e-5,
            "linear",
        ),
        Case(
            "antialias: pos",
            pos,
            lambda p: antialias(color, rast, p, tri, topology),
            # 0.004 pixels: the outline stays between the same centres.
            5e-4,
            5e-3,
            "rounding of positions over a step of 0.004 pixels",
        ),
    ]


def cases() -> list[Case]:
    """Every differentiable input of every primitive."""
    return [*_raster_cases(), *_interpolate_cases(), *_texture_cases(), *_antialias_cases()]


def finite_difference(loss: Loss, value: Tensor, step: float, entries: list[int]) -> Tensor:
    """Four-point central difference of a scalar loss to some entries of the value."""
    flat = value.detach().clone().view(-1)
    slopes = []
    for entry in entries:
        total = torch.zeros((), dtype=torch.float64)
        for factor, weight in ((1, 8.0), (-1, -8.0), (2, -1.0), (-2, 1.0)):
            moved = flat.clone()
            moved[entry] += factor * step
            # The step that float32 really took, not the one that was asked for.
            total += weight * loss(moved.view_as(value))
        taken = float((flat[entry] + step).double() - flat[entry].double())
        slopes.append(total / (12.0 * taken))
    return torch.stack(slopes)


def worst_error(case: Case, count: int = 48) -> float:
    """Largest error over `count` entries (evenly spread), relative to the largest entry."""
    weights = _weights(case.output(case.value).shape)

    def loss(value: Tensor) -> Tensor:
        with torch.no_grad():
            return (case.output(value).double() * weights).sum()

    value = case.value.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad((case.output(value).double() * weights).sum(), value)
    flat = gradient.double().view(-1)
    entries = torch.linspace(0, len(flat) - 1, min(count, len(flat))).long().unique().tolist()
    slopes = finite_difference(loss, case.value, case.step, entries)
    return float((flat[entries] - slopes).abs().max() / flat.abs().max())


def table(results: list[tuple[Case, float]]) -> str:
    """Markdown for the documentation."""
    lines = ["| primitive: input | worst relative error | allowed, because |", "|---|---|---|"]
    lines += [f"| {case.name} | {error:.1e} | {case.limit:.0e}: {case.reason} |" for case, error in results]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    print(table([(case, worst_error(case)) for case in cases()]))


if __name__ == "__main__":
    main()
