"""Torch front of the screen-space reflection kernels."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from studio.core.kernels import launcher, ssr, ssr_adjoint
from studio.core.ops.pixels import flat
from studio.core.ops.pyramid import pyramid

LEVELS = 6
"""Of the colour pyramid: the roughest lobe is as wide as a texel of 32 pixels."""

GOLDEN = 1.618
"""Multiples of 1 / GOLDEN, wrapped around, lie evenly however many there are."""

MARCH_TIME = 120.0
BACK_TIME = 60.0
"""Nanoseconds per pixel on one core, forward and backward."""


@dataclass(frozen=True)
class March:
    """How rays are followed.

    Attributes:
        steps: at most so many along a ray.
        bisections: halvings of the step in which a surface was met.
        thickness: how deep surfaces go, as a part of their depth.
        edge: part of the picture's side over which hits fade out towards its border.
        roughness: from which on nothing is reflected.
        stride: a ray for every so many pixels in x and y.
    """

    steps: int = 64
    bisections: int = 6
    thickness: float = 0.05
    edge: float = 0.1
    roughness: float = 0.8
    stride: int = 1


class _Reflect(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        how: March,
        to_view: Tensor,
        lens: Tensor,
        far: float,
        sizes: tuple[int, ...],
        *images: Tensor,
    ) -> Tensor:
        depth, normal, roughness, levels, swept, edge = images
        n, height, width, _ = depth.shape
        low = (n, -(-height // how.stride), -(-width // how.stride))
        hit = torch.zeros(low, device=depth.device)
        out = torch.zeros(*low, 4, device=depth.device)
        starts = torch.tensor([sum(sizes[:i]) for i in range(len(sizes))], dtype=torch.int32)
        run, spacing = (low[2], _spacing(n * low[1])) if depth.device.type == "cpu" else (1, 1)
        ctx.head = [
            launcher.BEGIN,
            run,
            spacing,
            width,
            height,
            how.stride,
            how.thickness,
            how.edge,
            how.roughness,
        ]
        ctx.buffers = [to_view, lens, far, starts.to(depth.device), levels]
        ctx.save_for_backward(depth, normal, roughness, hit, out, edge, _around(edge != swept))
        ctx.lines = hit.numel() // run
        launcher.launch(
            ssr.reflect,
            ctx.lines,
            [
                *ctx.head,
                *(how.steps, how.bisections, len(sizes)),
                *[flat(t) for t in (depth, normal, roughness)],
                *ctx.buffers,
                hit.view(-1),
                out.view(-1, 4),
            ],
            depth.device,
            limit=launcher.worth(MARCH_TIME * hit.numel()),
        )
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        depth, normal, roughness, hit, out, edge, near = ctx.saved_tensors
        levels = ctx.buffers[-1]
        g_depth, g_normal, g_roughness, g_swept = (
            torch.zeros(t.shape, device=t.device) for t in (depth, normal, roughness, depth)
        )
        g_levels = torch.zeros_like(levels)
        launcher.launch(
            ssr_adjoint.reflect_backward,
            ctx.lines,
            [
                *ctx.head,
                len(ctx.buffers[3]),
                *[flat(t) for t in (depth, normal, roughness)],
                *ctx.buffers,
                hit.view(-1),
                out.view(-1, 4),
                flat(edge),
                near.view(-1),
                flat(grads[0]),
                launcher.Scatter(flat(g_swept)),
                launcher.Scatter(flat(g_depth)),
                *[flat(t) for t in (g_normal, g_roughness)],
                launcher.Scatter(g_levels),
            ],
            depth.device,
            limit=launcher.worth(BACK_TIME * hit.numel()),
        )
        return (None, None, None, None, None, g_depth, g_normal, g_roughness, g_levels, g_swept, None)


def _spacing(lines: int) -> int:
    """A step that reaches all of so many lines, and spreads any of them that follow each other evenly."""
    step = max(1, round(lines / GOLDEN))
    while gcd(step, lines) != 1:
        step += 1
    return step


def _around(mask: Tensor) -> Tensor:
    """[N, H, W] uint8: 1 within two pixels of where the mask [N, H, W, 1] is set."""
    return max_pool2d(mask[..., 0].float(), 5, 1, 2).to(torch.uint8)


def reflected_radiance(
    color: Tensor,
    depth: Tensor,
    normal: Tensor,
    perceptual_roughness: Tensor,
    world_to_view: Tensor,
    lens: Tensor,
    far: Tensor,
    how: March | None = None,
    swept_depth: Tensor | None = None,
    edge_depth: Tensor | None = None,
) -> Tensor:
    """What each pixel's surface mirrors of the rest of the picture, and how much it is to be trusted.

    The mirrored ray is marched through the depth buffer; the colour it meets comes from a pyramid
    of the picture at the level as wide as the GGX lobe is there. The environment that the hit
    hides is to be taken away in the same measure:

        shaded + reflectance * (radiance - weight * reflection)

    Args:
        color: [N, H, W, 3] linear; what is below nothing does not matter.
        depth: [N, H, W, 1] along the camera's -Z, `far` or more where nothing is.
        normal: [N, H, W, 3] world, unit. perceptual_roughness: [N, H, W, 1].
        world_to_view: [N, 4, 4] rigid. lens: [N, 4] P00, P11, P02, P12 of view_to_clip.
        far: [N] depth that stands for nothing.
        how: see March.
        swept_depth: [N, H, W, 1] whatever has the gradient of the depth that outlines sweep over.
        edge_depth: [N, H, W, 1] depth of the surface across an outline, `depth` elsewhere. Without
            these two, reflected outlines do not feel those of what they reflect.
    Returns:
        [N, ceil(H / stride), ceil(W / stride), 4]: radiance times weight, and weight. The weight
        is 0 without a hit, and goes to 0 smoothly where the hit is lost to the picture's border,
        to the thickness, to rays towards the camera, to grazing or too rough reflectors. Pixel
        (i, j) stands for (stride i, stride j).
    Gradients:
        To: color, depth (of the reflector and of what it reflects), normal,
        perceptual_roughness (0 at 0), swept_depth. Not to: the camera, edge_depth. Discontinuous
        in: which surface a ray meets. What that brings about where a reflection ends is part of
        the gradient: right on average over the positions of outlines within their pixels, and
        seen from one neighbouring ray to the next.
    Reference:
        McGuire and Mara 2014, Efficient GPU Screen-Space Ray Tracing; Walter et al. 2007 (lobe).
    """
    how = how or March()
    if swept_depth is None or edge_depth is None:
        swept_depth = edge_depth = depth.detach()
    covered = (depth < far[:, None, None, None]).to(color.dtype)
    levels = pyramid(torch.cat([color * covered, covered], dim=3), LEVELS)
    sizes = tuple(level.numel() // 4 for level in levels)
    packed = torch.cat([level.reshape(-1, 4) for level in levels])
    rotation = world_to_view[:, :3, :3].contiguous()
    out: Tensor = _Reflect.apply(
        how,
        rotation,
        lens.contiguous(),
        far.contiguous(),
        sizes,
        depth.contiguous(),
        normal,
        perceptual_roughness,
        packed,
        swept_depth,
        edge_depth.contiguous(),
    )
    return out
