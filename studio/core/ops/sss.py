"""Torch front of screen-space subsurface scattering."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from studio.core.kernels import launcher, sss
from studio.core.kernels.sss_loops import SIDE, TAPS
from studio.core.ops.halves import spread, take_half
from studio.core.scene.light import KINDS

SPLITS = ("post", "both", "pre")
"""Where light meets the albedo: on its way out, half on each way, on its way in."""

DIRECTIONAL, SPOT, AREA = (KINDS.index(kind) for kind in ("directional", "spot", "area"))

REACH = 3.0
"""Taps cover this many distances on each side."""


def tap_spacing(
    distance: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
    world_to_view: np.ndarray,
    view_to_clip: np.ndarray,
    size: tuple[int, int],
    step: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """How taps lie on the picture, for both renderers.

    Args:
        distance: [3] world.
        bounds: (low, high) corners of the scene, [3] world.
        world_to_view, view_to_clip: [4, 4] of the camera.
        size: (width, height).
        step: of these pixels per pixel of the picture that is blurred.
    Returns:
        pixels: [2] float32, size in pixels of a unit at depth 1; spacing: [2] int32, pixels
        between taps, so that TAPS of them reach REACH distances at the depth of the scene's
        middle (at least half its radius away, for cameras inside).
    """
    low, high = (np.asarray(b, np.float64) for b in bounds)
    middle, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    depth = -float(np.asarray(world_to_view, np.float64)[2] @ np.append(middle, 1.0))
    depth = max(depth, 0.5 * radius, 1e-6)
    pixels = np.abs(np.diag(np.asarray(view_to_clip, np.float64))[:2]) * np.array(size) / (2 * step)
    wanted = REACH * float(np.max(distance)) * pixels / depth / TAPS
    return pixels.astype(np.float32), np.clip(np.ceil(wanted), 1, 64).astype(np.int32)


def _flat(image: Tensor) -> Tensor:
    flat = image.contiguous().view(-1, image.shape[-1])
    return flat[:, 0] if flat.shape[1] == 1 else flat


class _Blurs:
    """Launches of the two blurs of one picture: along rows, then along columns."""

    def __init__(self, size: tuple[int, int, int], pixels: Tensor, spacing: Tensor, distance: Tensor):
        n, height, width = size
        self.plane = n * height * width
        self.device = distance.device
        # On CUDA one column a thread: neighbouring threads read neighbouring pixels.
        strip = SIDE if self.device.type == "cpu" else 1
        self.counts = (n * height, n * math.ceil(width / strip))
        tables = (self.plane, pixels, spacing, distance)
        self.heads = [[launcher.BEGIN, width, height, s, *tables] for s in (0, strip)]

    def run(self, axis: int, source: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
        """(blurred, sum of weights), each [3, P]."""
        blurred, total = torch.zeros_like(source), torch.empty_like(source)
        inputs = [*self.heads[axis], *(t.view(-1) for t in (source, shape, blurred, total))]
        launcher.launch(sss.blur, self.counts[axis], inputs, self.device)
        return blurred, total

    def adjoint(
        self, axis: int, saved: tuple[Tensor, ...], grad: Tensor, g_shape: Tensor
    ) -> tuple[Tensor, Tensor]:
        """([3, P] gradient of the source, [4] sums); adds to g_shape. `saved`: source, shape and
        what `run` gave."""
        g_source = torch.zeros_like(grad)
        sums = torch.zeros(self.counts[axis], 4, device=self.device)
        tensors = [t.view(-1) for t in (*saved, grad, g_source, g_shape, sums)]
        launcher.launch(sss.blur_adjoint, self.counts[axis], [*self.heads[axis], *tensors], self.device)
        return g_source, sums.double().sum(dim=0)


class _Scatter(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        color: Tensor,
        irradiance: Tensor,
        albedo: Tensor,
        depth: Tensor,
        normal: Tensor,
        subsurface: Tensor,
        distance: Tensor,
        strength: Tensor,
        pixels: Tensor,
        spacing: Tensor,
        split: int,
    ) -> Tensor:
        n, height, width, _ = color.shape
        blurs = _Blurs((n, height, width), pixels, spacing, distance)
        device, count = color.device, blurs.plane
        images = [_flat(t) for t in (irradiance, albedo, depth, normal, subsurface)]
        source = torch.zeros(3, count, device=device)
        shape = torch.zeros(4, count, device=device)
        head = [launcher.BEGIN, split, count]
        launcher.launch(sss.planes, count, [*head, *images, source.view(-1), shape.view(-1)], device)
        first, first_total = blurs.run(0, source, shape)
        second, second_total = blurs.run(1, first, shape)
        out = torch.empty(color.shape, device=device)
        shared = [images[0], images[1], images[4], strength, second.view(-1)]
        launcher.launch(sss.compose, count, [*head, _flat(color), *shared, _flat(out)], device)
        ctx.save_for_backward(irradiance, albedo, subsurface, distance, strength)
        ctx.blurs, ctx.head = blurs, head
        ctx.planes = (source, shape, first, first_total, second, second_total)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        irradiance, albedo, subsurface, distance, strength = ctx.saved_tensors
        source, shape, first, first_total, second, second_total = ctx.planes
        blurs, count, device = ctx.blurs, ctx.blurs.plane, distance.device
        grad = _flat(grads[0])
        shared = [*(_flat(t) for t in (irradiance, albedo, subsurface)), strength, second.view(-1), grad]
        g_second, g_shape = torch.zeros_like(second), torch.zeros_like(shape)
        g_weight = torch.zeros_like(subsurface)
        outputs = [g_second.view(-1), _flat(g_weight)]
        launcher.launch(sss.compose_adjoint, count, [*ctx.head, *shared, *outputs], device)
        g_first, sums = blurs.adjoint(1, (first, shape, second, second_total), g_second, g_shape)
        g_source, more = blurs.adjoint(0, (source, shape, first, first_total), g_first, g_shape)
        pulled = [torch.zeros_like(t) for t in (irradiance, albedo, subsurface, irradiance)]
        inputs = [*shared, g_source.view(-1), g_shape.view(-1), *(_flat(t) for t in pulled)]
        launcher.launch(sss.planes_adjoint, count, [*ctx.head, *inputs], device)
        sums = (sums + more).to(distance.dtype)
        # u falls with the square of the distance; the depth stop with that of the mean of three.
        g_distance = -sums[:3] / distance - sums[3] / distance.mean() ** 3 / 3.0
        g_strength = (g_weight * subsurface).sum().reshape(1)
        g_irradiance, g_albedo, g_depth, g_normal = pulled
        g_subsurface = g_weight * strength
        straight = (grads[0], g_irradiance, g_albedo, g_depth, g_normal, g_subsurface)
        return (*straight, g_distance, g_strength, None, None, None)


def scatter(
    color: Tensor,
    irradiance: Tensor,
    diffuse_albedo: Tensor,
    depth: Tensor,
    normal: Tensor,
    subsurface: Tensor,
    distance: Tensor,
    strength: Tensor,
    pixels: Tensor,
    spacing: Tensor,
    split: str = "both",
) -> Tensor:
    """Colour whose diffuse part has scattered below the surface, in screen space.

    Irradiance E is blurred along rows, then along columns, by the same one-dimensional profile:
    the mean of Gaussians of standard deviation d_c and d_c / 2, d_c the distance of channel c.
    Tap q of pixel p, k spacings away, x = k spacing z_p / pixels in world units, has the weight

        w = (f + 2 f^4) v e,   f = exp(-x^2 / 2 d_c^2),
        v = max(n_p . n_q, 0)^2,   e = exp(-(z_q - z_p)^2 / 2 s^2),  s the mean of d

    and the weights of a pixel are divided by their sum. Pixels where nothing scatters are no taps.
    With the albedo A split into A_in A_out = A the result is

        color + strength subsurface (A_out blur(A_in E) - A E)

    Args:
        color, irradiance, diffuse_albedo: [N, H, W, 3] linear; see studio.core.channels.
        depth: [N, H, W, 1] along -Z.
        normal: [N, H, W, 3] unit.
        subsurface: [N, H, W, 1], 0 where nothing scatters.
        distance: [3] world units, per channel.
        strength: [1].
        pixels: [N, 2] size in pixels of a unit at depth 1, see tap_spacing.
        spacing: [N, 2] int32 pixels between taps.
        split: A_in is 1 (post), the root of A (both), A (pre).
    Returns:
        color: [N, H, W, 3].
    Gradients:
        To: all images, distance, strength. Discontinuous in: which pixels scatter (subsurface
        above 0, silhouettes of what does).
    Reference:
        d'Eon, Luebke and Enderton 2007 (sums of Gaussians); Jimenez et al. 2015, "Separable
        Subsurface Scattering" (one profile for rows and columns); Mikkelsen 2010, "Skin Rendering
        by Pseudo-Separable Cross Bilateral Filtering" (stops at depth).
    """
    shared = (distance.contiguous(), strength.contiguous(), pixels.contiguous(), spacing.contiguous())
    images = (color, irradiance, diffuse_albedo, depth, normal, subsurface)
    out: Tensor = _Scatter.apply(*images, *shared, SPLITS.index(split))
    return out


def scatter_half(
    color: Tensor,
    irradiance: Tensor,
    diffuse_albedo: Tensor,
    depth: Tensor,
    normal: Tensor,
    subsurface: Tensor,
    distance: Tensor,
    strength: Tensor,
    pixels: Tensor,
    spacing: Tensor,
    split: str = "both",
) -> Tensor:
    """`scatter` with the blur over every second pixel; see there and ops.halves.

    Args:
        pixels, spacing: in pixels of the half-size picture. The others as for `scatter`.
    """
    before, after = _parts(diffuse_albedo, split)
    low = take_half(irradiance * before).contiguous()
    inside = (take_half(subsurface) > 0).to(low.dtype)
    shape = (take_half(depth).contiguous(), take_half(normal).contiguous())
    one = torch.ones_like(low)
    change = scatter(
        torch.zeros_like(low), low, one, *shape, inside, distance, one.new_ones(1), pixels, spacing, "post"
    )
    blurred = spread(low + change, depth, normal)
    inside = (subsurface > 0).to(color.dtype)
    return color + strength * subsurface * inside * (after * blurred - diffuse_albedo * irradiance)


def _parts(albedo: Tensor, split: str) -> tuple[Tensor, Tensor]:
    """(A_in, A_out); see scatter."""
    one = torch.ones_like(albedo)
    if split == "both":
        root = albedo.clamp(min=sss.SMALLEST).sqrt()
        return root, root
    return (one, albedo) if split == "post" else (albedo, one)


def translucency(
    thickness: Tensor,
    shadow: Tensor,
    depth: Tensor,
    normal: Tensor,
    lens: Tensor,
    view_to_light: Tensor,
    world_to_light: Tensor,
    kind: Tensor,
    vector: Tensor,
    radiance: Tensor,
    axis: Tensor,
    shape: Tensor,
    distance: Tensor,
) -> Tensor:
    """Light that comes through thin parts from behind, per unit of diffuse albedo.

    Args:
        thickness: [N, H, W, 4] world distance that light i has gone below the surface.
        shadow: [N, H, W, 4] how much of light i arrives without going below it.
        depth, normal: [N, H, W, 1] along -Z and [N, H, W, 3] world unit.
        lens: [N, 4] of view_to_clip, see Frame.lens.
        view_to_light, world_to_light: [N, 4, 4] rigid, into the space the lights live in.
        kind, vector, radiance, axis, shape: of up to four lights, see LightTensors. An area light
            counts as a point in its middle.
        distance: [3] world units, per channel.
    Returns:
        [N, H, W, 3] sum of (1 - shadow) exp(-thickness / distance) radiance saturate(0.3 - n . l).
    Gradients:
        To: all but lens, matrices and kind.
    Reference:
        Jimenez, Whelan, Sundstedt and Gutierrez 2010, "Real-Time Realistic Skin Translucency", with
        one exponential for their sum of Gaussians, and only of light that does not arrive directly.
    """
    n, height, width, _ = depth.shape
    x = (2 * torch.arange(width, device=depth.device) + 1) / width - 1
    y = (2 * torch.arange(height, device=depth.device) + 1) / height - 1
    scale, shift = lens[:, None, None, :2], lens[:, None, None, 2:]
    ndc = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    point = torch.cat([(ndc + shift) * depth / scale, -depth], dim=-1)
    point = torch.einsum("nij,nhwj->nhwi", view_to_light[:, :3, :3], point)
    point = point + view_to_light[:, None, None, :3, 3]
    normal = torch.einsum("nij,nhwj->nhwi", world_to_light[:, :3, :3], normal)
    total = torch.zeros(n, height, width, 3, device=depth.device)
    for i, number in enumerate(kind.tolist()[: thickness.shape[-1]]):
        to_light = vector[i].expand_as(point) if number == DIRECTIONAL else vector[i] - point
        square = to_light.square().sum(dim=-1, keepdim=True)
        direction = to_light / square.clamp(min=1e-24).sqrt()
        share = torch.ones_like(square) if number == DIRECTIONAL else 1 / square.clamp(min=1e-4)
        cosine = (direction * axis[i]).sum(dim=-1, keepdim=True)
        if number == SPOT:
            t = ((cosine - shape[i, 0]) / (shape[i, 1] - shape[i, 0]).clamp(min=1e-6)).clamp(0, 1)
            share = share * t * t * (3 - 2 * t)
        if number == AREA:
            share = share * cosine.clamp(min=0) * (4 / math.pi * shape[i, 2] * shape[i, 3])
        wrapped = (0.3 - (normal * direction).sum(dim=-1, keepdim=True)).clamp(0, 1)
        share = share * wrapped * (1 - shadow[..., i : i + 1])
        total = total + torch.exp(-thickness[..., i : i + 1] / distance) * radiance[i] * share
    return total
