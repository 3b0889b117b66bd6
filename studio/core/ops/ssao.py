"""Screen-space ambient occlusion of a depth buffer, with gradients."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from studio.core.kernels import launcher, ssao
from studio.core.ops.halves import take_half

# About the nanoseconds a CPU core takes for one tap of one pixel, and for one of the blur.
_PER_TAP, _PER_NEIGHBOUR = 6.0, 2.0

_ORDER = (0, 8, 2, 10, 12, 4, 14, 6, 3, 11, 1, 9, 15, 7, 13, 5)
"""4 x 4 ordered dither: neighbours are far apart in it."""


@cache
def sample_offsets(count: int) -> np.ndarray:
    """[count, 3] float32 samples in the unit hemisphere around +Z.

    Directions spiral by the golden angle, denser towards the normal (as the cosine weights them);
    lengths from 0.2 to 1 follow the van der Corput sequence, so that they do not follow the angle.
    """
    k = np.arange(count)
    lift = (k + 0.5) / count
    angle = k * np.pi * (3.0 - np.sqrt(5.0))
    reversed_bits = sum(((k >> bit) & 1) / 2.0 ** (bit + 1) for bit in range(16))
    length = 0.2 + 0.8 * (reversed_bits + 0.5 / count)
    flat = np.sqrt(lift)
    directions = np.stack([flat * np.cos(angle), flat * np.sin(angle), np.sqrt(1.0 - lift)], axis=1)
    return (directions * np.minimum(length, 1.0)[:, None]).astype(np.float32)


@cache
def rotations() -> np.ndarray:
    """[16, 2] float32 cosine and sine of the turn of the samples at pixel 4 * (row & 3) + (column & 3)."""
    angle = np.array(_ORDER) * (2.0 * np.pi / 16.0)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def _constant(table: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(table).to(device)


class _Occlusion(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        surface: Tensor,
        soft: Tensor,
        radius: Tensor,
        strength: Tensor,
        edge: Tensor,
        lens: Tensor,
        options: tuple[int, float, float, int],
    ) -> Tensor:
        step, bias, ramp, samples = options
        device = surface.device
        n, _, height, width = surface.shape
        run = width if device.type == "cpu" else 1
        count = n * height * width // run
        head = [launcher.BEGIN, run, step, lens, surface, soft, radius]
        tables = [_constant(sample_offsets(samples), device), _constant(rotations(), device)]
        occlusion, blurred, total = torch.zeros(3, n, height, width, device=device)
        out = torch.ones(n, height, width, device=device)
        ctx.taps = [*head, bias, ramp, *tables]
        ctx.near = [*head, strength, occlusion, blurred, total]
        ctx.count = count
        ctx.limits = (
            launcher.worth(_PER_TAP * samples * out.numel()),
            launcher.worth(16 * _PER_NEIGHBOUR * out.numel()),
        )
        ctx.save_for_backward(edge)
        launcher.launch(ssao.occlude, count, [*ctx.taps, occlusion], device, limit=ctx.limits[0])
        launcher.launch(ssao.blur, count, [*ctx.near, out], device, limit=ctx.limits[1])
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (edge,) = ctx.saved_tensors
        surface, soft, radius = ctx.taps[4:7]
        device = surface.device
        grad = grads[0].contiguous()
        jump = edge - soft
        busy = _corners(jump != 0.0)
        g_occlusion = torch.zeros_like(grad)
        g_surface, g_soft = torch.zeros_like(surface), torch.zeros_like(soft)
        g_radius, g_strength = torch.zeros_like(radius), torch.zeros_like(radius)
        sums = [launcher.Scatter(t) for t in (g_occlusion, g_surface, g_radius, g_strength)]
        # To g_soft a thread adds in its own pixels only.
        inputs = [*ctx.near, jump, grad, *sums[:2], g_soft, *sums[2:]]
        launcher.launch(ssao.blur_adjoint, ctx.count, inputs, device, limit=ctx.limits[1])
        scattered = [g_surface, launcher.Scatter(g_soft), launcher.Scatter(g_radius)]
        inputs = [*ctx.taps, jump, _across(soft, edge), busy, g_occlusion, *scattered]
        launcher.launch(ssao.occlude_adjoint, ctx.count, inputs, device, limit=ctx.limits[0])
        # A rounded surface turns away within its outline's last pixel. As it moves, that pixel's own
        # depth and normal change fast, and start anew with the next pixel: on average not at all.
        step = ctx.taps[2]
        g_surface.masked_fill_((jump > 0.0)[:, None, ::step, ::step], 0.0)
        return g_surface, g_soft, g_radius, g_strength, None, None, None


def _across(soft: Tensor, edge: Tensor) -> Tensor:
    """[N, H, W] what pixels at a silhouette would see of the nearer surface if it reached them.

    `edge` has that surface's depth a pixel further in. A rounded one has turned away since then, so
    the slope from there to the next pixel is followed outwards.
    """
    out = edge.clone()
    height, width = soft.shape[1:]
    view, row, column = torch.nonzero(edge < soft, as_tuple=True)
    own, near = soft[view, row, column], edge[view, row, column]
    for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        rows, columns = row + 2 * down, column + 2 * right
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
        source = soft[view, (row + down).clamp(0, height - 1), (column + right).clamp(0, width - 1)]
        further = 2.0 * near - soft[view, rows, columns]
        use = inside & (source == near) & (further > near) & (further < own)
        out[view[use], row[use], column[use]] = further[use]
    return out


def _corners(mask: Tensor) -> Tensor:
    """[N, H, W] uint8: 1 where the pixel, or the one to the right, above, or both, is set."""
    out = mask.clone()
    out[:, :, :-1] |= mask[:, :, 1:]
    out[:, :-1] |= out[:, 1:].clone()
    return out.view(torch.uint8)


def ambient_occlusion(
    depth: Tensor,
    soft_depth: Tensor,
    edge_depth: Tensor,
    normal: Tensor,
    world_to_view: Tensor,
    lens: Tensor,
    radius: Tensor,
    strength: Tensor,
    bias: float = 0.05,
    softness: float = 0.5,
    samples: int = 16,
    half: bool = False,
) -> Tensor:
    """What share of the surroundings' light reaches each pixel, judged by the depth buffer.

    Of the samples o of a hemisphere of radius r around the normal, each is projected to the depth
    buffer. One at depth z_s whose pixel holds z_b and whose centre is at z occludes by

        S((z_s - z_b) / r - bias, softness) * (1 - smoothstep(1, 2, |z - z_b| / r))

    with S smooth from 0 at 0 to 1 at `softness`. z_b is bilinear, from texels no further than
    z + 2 r. The mean c is blurred over 4 x 4 pixels, which hold all sixteen turns of the samples,
    weighted by distance from the tangent plane and by the normals, and gives
    (1 - c) / (1 + (strength - 1) c): for strength 1 what is not occluded, and never negative.

    Args:
        depth: [N, H, W, 1] along the camera's -Z, 0 where nothing is.
        soft_depth: [N, H, W, 1] the same, the camera's far where nothing is; taps read it.
        edge_depth: [N, H, W, 1] depth of the surface across a silhouette, soft_depth elsewhere.
        normal: [N, H, W, 3] world, unit.
        world_to_view: [N, 4, 4] rigid.
        lens: [N, 4] P00, P11, P02, P12 of the projection.
        radius: [1] world units.
        strength: [1], 1 is what was counted.
        bias: of the radius; depth differences below it do not occlude.
        softness: of the radius; less than 0.25 makes gradients at silhouettes noisy.
        samples: taps per pixel.
        half: every second pixel of every second row only.
    Returns:
        [N, H, W, 1], or [N, ceil(H / 2), ceil(W / 2), 1] with `half`; 1 where nothing is.
    Gradients:
        To: depth (of the pixel itself), soft_depth (of what its taps hit), normal, radius, strength.
        Where edge_depth differs, that to soft_depth is the difference of the tap with either
        surface over the difference of their depths: what moves by the silhouette's motion, on
        average over the positions of a silhouette within its pixel.
        Not to: edge_depth, poses; depth and normal of a pixel itself where the nearer surface of a
        silhouette ends in it.
    Reference:
        Mittring 2007, "Finding Next Gen: CryEngine 2"; Duff et al. 2017, "Building an Orthonormal
        Basis, Revisited"; Schlick 1994, "Fast Alternatives to Perlin's Bias and Gain Functions".
    """
    step = 2 if half else 1
    if half:
        depth, normal = take_half(depth), take_half(normal)
    seen = torch.einsum("nij,nhwj->nihw", world_to_view[:, :3, :3], normal)
    surface = torch.cat([seen, depth[:, None, :, :, 0]], dim=1)
    out: Tensor = _Occlusion.apply(
        surface,
        soft_depth[..., 0].contiguous(),
        radius,
        strength,
        edge_depth.detach()[..., 0].contiguous(),
        lens.contiguous(),
        (step, float(bias), float(softness), int(samples)),
    )
    return out[..., None]
