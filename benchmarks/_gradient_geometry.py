"""Cases for what turns triangles into pixels: rasterize, interpolate, antialias, and both fused forms."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks._gradient_check import LINEAR, ROUNDING, Case, random
from studio.core.ops import (
    DepthPeeler,
    Topology,
    antialias,
    draw,
    interpolate,
    rasterize,
    rasterize_interpolate,
)

RESOLUTION = (12, 16)


def full_screen() -> tuple[Tensor, Tensor]:
    """Two images, each covered by one triangle in perspective; the second has a vertex behind."""
    pos = torch.tensor(
        [
            [[-3.0, -2.5, 0.2, 1.1], [7.0, -3.0, 0.9, 1.9], [-2.0, 8.0, 0.5, 1.4]],
            [[-6.0, -4.0, 0.3, 1.5], [6.0, -5.0, 0.4, 1.3], [0.5, -4.0, -0.9, -1.0]],
        ]
    )
    return pos, torch.tensor([[0, 1, 2]], dtype=torch.int32)


def outline() -> tuple[Tensor, Tensor]:
    """A square turned by 9 degrees: edges clear of 30 degrees, corners clear of pixel rows."""
    angle = torch.tensor(9.0).deg2rad()
    cos, sin = angle.cos(), angle.sin()
    corners = torch.tensor([[-0.61, -0.57], [0.59, -0.62], [0.63, 0.55], [-0.58, 0.60]])
    turned = corners @ torch.tensor([[cos, sin], [-sin, cos]])
    w = torch.tensor([1.0, 1.3, 1.6, 1.2])[:, None]
    pos = torch.cat([turned * w, 0.1 * w, w], dim=1)[None]
    return pos, torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)


def raster_cases() -> list[Case]:
    """u, v and their derivatives, to positions."""
    pos, tri = full_screen()
    flat = pos.reshape(-1, 4)
    both = torch.tensor([[0, 1, 2], [3, 4, 5]], dtype=torch.int32)
    ranges = torch.tensor([[0, 1], [1, 1], [0, 1]], dtype=torch.int32)
    return [
        Case(
            f"rasterize, {mode}",
            f"pos through {part}",
            value,
            lambda p, t=t, r=r, i=i: rasterize(None, p, t, RESOLUTION, ranges=r)[i][..., : 4 if i else 2],
            2e-2,
            2e-3 if i else 5e-4,
            ROUNDING,
        )
        for mode, value, t, r in (("instanced", pos, tri, None), ("ranges", flat, both, ranges))
        for i, part in enumerate(("u, v", "rast_db"))
    ]


def peel_cases() -> list[Case]:
    """Layer by layer, three triangles behind one another that all cover the image."""
    front = full_screen()[0][0]
    depths = torch.tensor([0.4, -0.5, 0.0])
    pos = torch.cat([torch.cat([front[:, :2], d * front[:, 3:], front[:, 3:]], dim=1) for d in depths])[None]
    pos = pos + 0.1 * (random(*pos.shape, seed=12) - 0.5)
    tri = torch.arange(9, dtype=torch.int32).view(3, 3)

    def layers(p: Tensor, part: int) -> Tensor:
        with DepthPeeler(None, p, tri, RESOLUTION) as peeler:
            found = [peeler.rasterize_next_layer()[part] for _ in depths]
        return torch.cat([layer[..., : 4 if part else 2] for layer in found], dim=-1)

    return [
        Case(
            "DepthPeeler, three layers",
            f"pos through {name}",
            pos,
            lambda p, part=part: layers(p, part),
            2e-2,
            2e-3 if part else 5e-4,
            ROUNDING,
        )
        for part, name in enumerate(("u, v", "rast_db"))
    ]


def interpolate_cases() -> list[Case]:
    """Every form of diff_attrs, shared and range-mode attributes, more channels than one group holds."""
    pos, tri = full_screen()
    rast, rast_db = rasterize(None, pos, tri, RESOLUTION)
    cases = []
    for mode, attr, diff in (
        ("no derivatives", random(2, 3, 5, seed=2), None),
        ('diff_attrs "all"', random(2, 3, 5, seed=3), "all"),
        ("diff_attrs list", random(2, 3, 5, seed=4), [3, 0, 3]),
        ("attributes shared, 17 channels", random(1, 3, 17, seed=5), "all"),
        ("attributes [V, C]", random(3, 2, seed=6), [1]),
    ):

        def run(a: Tensor, r: Tensor, db: Tensor, diff: object = diff) -> Tensor:
            return torch.cat(interpolate(a, r, tri, db, diff_attrs=diff), dim=-1)

        op = f"interpolate, {mode}"
        cases += [
            Case(op, "attr", attr, lambda a, run=run: run(a, rast, rast_db), 0.1, 1e-5, LINEAR),
            Case(
                op,
                "u, v",
                rast[..., :2].clone(),
                lambda uv, run=run, a=attr: run(a, torch.cat([uv, rast[..., 2:]], dim=-1), rast_db),
                0.1,
                1e-5,
                LINEAR,
            ),
        ]
        if diff is not None:
            cases.append(
                Case(
                    op,
                    "rast_db",
                    rast_db.clone(),
                    lambda d, run=run, a=attr: run(a, rast, d),
                    0.1,
                    1e-5,
                    LINEAR,
                )
            )
    return cases


def crossing() -> tuple[Tensor, Tensor]:
    """Two triangles over the whole image that pass through each other along a line between pixel centres."""
    flat = torch.tensor([[-3.0, -2.5], [7.0, -3.0], [-2.0, 8.0]])
    w = torch.tensor([[1.1, 1.4, 1.2], [0.9, 1.3, 1.5]])
    depth = [torch.zeros(3), 0.25 * (flat[:, 0] - 0.12 - 0.03 * flat[:, 1])]
    both = [
        torch.cat([flat * w[i][:, None], (depth[i] * w[i])[:, None], w[i][:, None]], dim=1) for i in (0, 1)
    ]
    return torch.cat(both)[None], torch.arange(6, dtype=torch.int32).view(2, 3)


def antialias_cases() -> list[Case]:
    """Colours and positions across an outline that stays between the same pixel centres."""
    pos, tri = outline()
    rast = rasterize(None, pos, tri, RESOLUTION)[0]
    color = random(1, *RESOLUTION, 3, seed=6)
    topology = Topology.build(tri)
    # 0.004 pixels, so that no centre changes sides.
    step, limit = 5e-4, 5e-3

    def blend(c: Tensor, p: Tensor, boost: float = 1.0) -> Tensor:
        return antialias(c, rast, p, tri, topology, pos_gradient_boost=boost)

    met, met_tri = crossing()
    met_rast = rasterize(None, met, met_tri, RESOLUTION)[0]
    met_edges = Topology.build(met_tri)

    def meet(c: Tensor, p: Tensor) -> Tensor:
        return antialias(c, met_rast, p, met_tri, met_edges, intersections=True)

    return [
        Case("antialias, intersections", "color", color, lambda c: meet(c, met), 0.1, 1e-5, LINEAR),
        Case("antialias, intersections", "pos", met, lambda p: meet(color, p), step, limit, ROUNDING),
        Case("antialias", "color", color, lambda c: blend(c, pos), 0.1, 1e-5, LINEAR),
        Case("antialias", "pos", pos, lambda p: blend(color, p), step, limit, ROUNDING),
        Case(
            "antialias, pos_gradient_boost 3",
            "pos",
            pos,
            lambda p: blend(color, p, 3.0),
            step,
            limit,
            ROUNDING,
            factor=3.0,
        ),
        Case("antialias, range mode", "pos", pos[0], lambda p: blend(color, p), step, limit, ROUNDING),
    ]


def fused_cases() -> list[Case]:
    """rasterize_interpolate, and draw, which antialiases too."""
    pos, tri = full_screen()
    attr = random(2, 3, 5, seed=1)
    inside = "rasterize_interpolate"
    shape, shape_tri = outline()
    topology = Topology.build(shape_tri)
    colors, behind = random(1, 4, 3, seed=8), random(1, *RESOLUTION, 3, seed=9)

    def picture(p: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return draw(p, shape_tri, a, RESOLUTION, topology, background=b)

    return [
        Case(
            inside,
            "pos",
            pos,
            lambda p: rasterize_interpolate(p, tri, attr, RESOLUTION)[0],
            2e-2,
            5e-4,
            ROUNDING,
        ),
        *(
            Case(
                inside,
                name,
                value,
                lambda a: rasterize_interpolate(pos, tri, a, RESOLUTION)[0],
                0.1,
                1e-5,
                LINEAR,
            )
            for name, value in (("attr", attr), ("attr shared", attr[:1].clone()))
        ),
        Case("draw", "pos", shape, lambda p: picture(p, colors, behind), 5e-4, 5e-3, ROUNDING),
        Case("draw", "attr", colors, lambda a: picture(shape, a, behind), 0.1, 1e-5, LINEAR),
        Case("draw", "background", behind, lambda b: picture(shape, colors, b), 0.1, 1e-5, LINEAR),
        Case(
            "draw", "background [C]", behind[0, 0, 0], lambda b: picture(shape, colors, b), 0.1, 1e-5, LINEAR
        ),
    ]
