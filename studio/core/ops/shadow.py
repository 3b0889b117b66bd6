"""Shadow maps of a scene and the visibility of its lights, with gradients through both."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from studio.core.kernels import launcher, shadow, shadow_adjoint, shadow_filter
from studio.core.ops.antialias import antialias
from studio.core.ops.fused import rasterize_interpolate
from studio.core.ops.light_view import LightViews
from studio.core.ops.topology import Topology
from studio.core.scene.light import MAX_LIGHTS

MODES = ("hard", "pcf", "vssm")

_CUDA_RUN = 32
_PER_TEXEL, _PER_TAP = 12.0, 25.0  # about the nanoseconds a CPU core takes


def disc_taps() -> Tensor:
    """[12, 2] places in the unit disc: 4 for the blocker search, then 8 for the filter.

    Two Vogel spirals, drawn in by what the taps' own footprints add to the spread, so that each
    has the variance of a uniform disc.
    """
    rows = []
    parts = (
        (int(shadow_filter.SEARCH_TAPS), float(shadow_filter.SEARCH_FOOTPRINT)),
        (int(shadow_filter.FILTER_TAPS), float(shadow_filter.FILTER_FOOTPRINT)),
    )
    for count, footprint in parts:
        for i in range(count):
            radius = math.sqrt((i + 0.5) / count * (1.0 - footprint**2))
            angle = i * math.pi * (3.0 - math.sqrt(5.0))
            rows.append((radius * math.cos(angle), radius * math.sin(angle)))
    return torch.tensor(rows)


class _Pyramid(torch.autograd.Function):
    """Tiles into one atlas, with all its box means, in a row of texels per view."""

    @staticmethod
    def forward(ctx: Any, views: LightViews, *images: Tensor) -> Tensor:
        starts = views.starts()
        n = views.matrices.shape[0]
        ctx.views = views
        texels = torch.empty(n, starts[-1], 2, device=views.tiles.device)
        finest = texels[:, : starts[1]].view(n, views.height, views.width, 2)
        if len(images) != 1 or images[0].shape[1:3] != finest.shape[1:3]:
            finest.fill_(1.0)
        for tile, image in enumerate(images):
            row, col = views.corner(tile)
            finest[:, row : row + image.shape[1], col : col + image.shape[2]] = image
        for level in range(1, views.count):
            height, width = views.height >> level, views.width >> level
            fine = texels[:, starts[level - 1] : starts[level]].view(n, 2 * height, 2 * width, 2)
            coarse = texels[:, starts[level] : starts[level + 1]].view(n, height, width, 2)
            torch.add(fine[:, ::2, ::2], fine[:, ::2, 1::2], out=coarse)
            coarse.add_(fine[:, 1::2, ::2]).add_(fine[:, 1::2, 1::2]).mul_(0.25)
        return texels

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        views: LightViews = ctx.views
        starts = views.starts()
        total = grads[0].clone()
        n = len(total)
        for level in range(views.count - 1, 0, -1):
            height, width = views.height >> level, views.width >> level
            fine = total[:, starts[level - 1] : starts[level]].view(n, height, 2, width, 2, 2)
            coarse = total[:, starts[level] : starts[level + 1]].view(n, height, 1, width, 1, 2)
            fine.add_(coarse, alpha=0.25)
        finest = total[:, : starts[1]].view(n, views.height, views.width, 2)
        out = []
        for tile, side in enumerate(views.sides):
            row, col = views.corner(tile)
            out.append(finest[:, row : row + side, col : col + side])
        return (None, *out)


def shadow_atlas(vertices: Tensor, faces: Tensor, topology: Topology, views: LightViews) -> Tensor:
    """Depth and squared depth as all lights see them, antialiased, with box means.

    Antialiasing before anything is filtered makes a texel's moments those of the surfaces it
    covers: that is what gives occluders, and the light's place, a gradient at shadow edges.

    Args:
        vertices: [V, 3] world. faces: [T, 3] int32. topology: of faces.
        views: from light_views.
    Returns:
        [A, texels, 2]; the levels of view a lie one after the other, see LightViews.starts. Where
        nothing is, the farthest depth of the scene: much farther, and wide means would be lit.
    Gradients:
        To: vertices, views.matrices.
    Reference:
        Donnelly and Lauritzen 2006, "Variance Shadow Maps"; Laine et al. 2020, section 3.6.
    """
    images: list[Tensor | None] = [None] * len(views.sides)
    n = len(views.matrices)
    for side in sorted(set(views.sides)):
        chosen = [i for i, own in enumerate(views.sides) if own == side]
        matrices = views.matrices[:, chosen].flatten(0, 1)
        clip = views.clip[:, chosen].flatten(0, 1)
        seen = torch.matmul(vertices, matrices[..., :3].transpose(1, 2)) + matrices[:, None, :, 3]
        depth = seen[..., 2:3]
        z = depth.detach() * clip[:, None, :1] + clip[:, None, 1:]
        pos = torch.cat([seen[..., :2], z, seen[..., 3:]], dim=2)
        drawn, rast = rasterize_interpolate(pos, faces, depth.contiguous(), (side, side))
        farthest = views.tiles[:, chosen, 10].flatten()[:, None, None, None]
        first = torch.where(rast[..., 3:] > 0, drawn, farthest).clamp(0.0, 1.0)
        moments = antialias(torch.cat([first, first * first], dim=3), rast, pos, faces, topology)
        for place, i in enumerate(chosen):
            images[i] = moments.view(n, len(chosen), side, side, 2)[:, place]
    atlas: Tensor = _Pyramid.apply(views, *images)
    return atlas


def _run(rast: Tensor) -> tuple[int, int]:
    """Threads, and pixels each walks."""
    pixels = rast.shape[0] * rast.shape[1] * rast.shape[2]
    run = rast.shape[2] if rast.device.type == "cpu" else _CUDA_RUN
    return -(-pixels // run), run


def _pixels(image: Tensor) -> Tensor:
    """[N, H, W, C] as [P, C], without a copy where the strides allow."""
    if image.stride(-1) != 1:
        image = image.contiguous()
    return image.reshape(-1, image.shape[-1])


class _Visibility(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rast: Tensor, how: tuple, views: LightViews, *inputs: Tensor) -> Tensor:
        device = rast.device
        levels = torch.tensor(views.starts()[:-1], dtype=torch.int32, device=device)
        fixed = (levels, views.width, disc_taps().to(device))
        out = torch.ones(*rast.shape[:3], MAX_LIGHTS, device=device)
        ctx.save_for_backward(rast, *inputs)
        ctx.rest = (fixed, views, how)
        launcher.launch(
            shadow.visibility_forward,
            _run(rast)[0],
            [*_arguments(rast, ctx.rest, inputs), _pixels(out)],
            device,
            limit=launcher.worth(_cost(how) * rast[..., 0].numel()),
        )
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rast, *inputs = ctx.saved_tensors
        position, normal, atlas, matrices, sizes = inputs
        sums = [torch.zeros_like(t) for t in (atlas, matrices, sizes)]
        images = [torch.zeros(t.shape, device=t.device) for t in (position, normal)]
        launcher.launch(
            shadow_adjoint.visibility_backward,
            _run(rast)[0],
            [
                *_arguments(rast, ctx.rest, inputs),
                _pixels(grads[0]),
                *[_pixels(t) for t in images],
                *[launcher.Scatter(t) for t in sums],
            ],
            rast.device,
            limit=launcher.worth(2.0 * _cost(ctx.rest[2]) * rast[..., 0].numel()),
        )
        return (None, None, None, *images, *sums)


def _cost(how: tuple) -> float:
    """About the nanoseconds of a pixel."""
    mode, radius = how[:2]
    return 12 * _PER_TAP if mode == 2 else (2 * radius + 2) ** 2 * _PER_TEXEL


def _arguments(rast: Tensor, rest: tuple, inputs: Any) -> list[Any]:
    """What the kernel and its adjoint have in common."""
    (levels, width, taps), views, (mode, radius, bias, bleeding) = rest
    position, normal, atlas, matrices, sizes = inputs
    head = [launcher.BEGIN, _run(rast)[1], rast.shape[1] * rast.shape[2], rast.view(-1, 4)]
    images = [_pixels(position), _pixels(normal), atlas, levels, width, taps, matrices]
    lights = [views.tiles, views.first, views.faces, sizes]
    return [*head, *images, *lights, mode, radius, bias, bleeding]


def shadow_visibility(
    rast: Tensor,
    position: Tensor,
    normal: Tensor,
    atlas: Tensor,
    views: LightViews,
    sizes: Tensor,
    mode: str = "vssm",
    radius: int = 1,
    bias: float = 1.0,
    bleeding: float = 0.1,
) -> Tensor:
    """The share of each light that covered pixels see.

    Args:
        rast: [N, H, W, 4]; where rast[..., 3] == 0 the result is 1.
        position, normal: [N, H, W, 3] world.
        atlas, views: from shadow_atlas and light_views, A = 1 or N views.
        sizes: [L] radii of the lights, for vssm; see LightViews.sizes.
        mode: "hard", "pcf" (a box of 2 radius + 1 texels) or "vssm" (penumbrae by distance).
        bias: offset along the normal, texels.
        bleeding: shares below this count as none, in vssm.
    Returns:
        [N, H, W, MAX_LIGHTS], 0 dark to 1 lit; 1 for lights that cast nothing.
    Gradients:
        To: position, normal, atlas, views.matrices, sizes.
        Not to: the face of a cube a receiver falls into. Zero where all taps agree.
    Reference:
        Donnelly and Lauritzen 2006, "Variance Shadow Maps"; Fernando 2005,
        "Percentage-Closer Soft Shadows"; Dong and Yang 2010, "Variance Soft Shadow Mapping".
    """
    how = (MODES.index(mode), radius if mode == "pcf" else 0, float(bias), float(bleeding))
    matrices = views.matrices.contiguous()
    out: Tensor = _Visibility.apply(
        rast, how, views, position, normal, atlas.contiguous(), matrices, sizes.contiguous()
    )
    return out


class _Thickness(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rast: Tensor, bias: float, views: LightViews, *inputs: Tensor) -> Tensor:
        levels = torch.tensor(views.starts()[:-1], dtype=torch.int32, device=rast.device)
        out = torch.zeros(*rast.shape[:3], MAX_LIGHTS, device=rast.device)
        ctx.save_for_backward(rast, *inputs)
        ctx.rest = (bias, views, levels)
        arguments = [*_Thickness.arguments(rast, ctx.rest, inputs), _pixels(out)]
        launcher.launch(shadow.thickness_forward, _run(rast)[0], arguments, rast.device)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rast, *inputs = ctx.saved_tensors
        position, normal, atlas, matrices = inputs
        sums = [torch.zeros_like(t) for t in (atlas, matrices)]
        images = [torch.zeros(t.shape, device=t.device) for t in (position, normal)]
        outputs = [*[_pixels(t) for t in images], *[launcher.Scatter(t) for t in sums]]
        arguments = [*_Thickness.arguments(rast, ctx.rest, inputs), _pixels(grads[0]), *outputs]
        launcher.launch(shadow_adjoint.thickness_backward, _run(rast)[0], arguments, rast.device)
        return (None, None, None, *images, *sums)

    @staticmethod
    def arguments(rast: Tensor, rest: tuple, inputs: Any) -> list[Any]:
        bias, views, levels = rest
        position, normal, atlas, matrices = inputs
        head = [launcher.BEGIN, _run(rast)[1], rast.shape[1] * rast.shape[2], rast.view(-1, 4)]
        maps = [atlas, levels, views.width, matrices, views.tiles, views.first, views.faces]
        return [*head, _pixels(position), _pixels(normal), *maps, bias]


def shadow_thickness(
    rast: Tensor, position: Tensor, normal: Tensor, atlas: Tensor, views: LightViews, bias: float = 1.0
) -> Tensor:
    """How far each light has gone behind the first surface it met, where it reaches a pixel.

    Args:
        All as for shadow_visibility.
    Returns:
        [N, H, W, MAX_LIGHTS] world units, 0 where lit.
    Gradients:
        To: position, normal, atlas, views.matrices.
    Reference:
        Jimenez et al. 2010, "Real-Time Realistic Skin Translucency".
    """
    matrices = views.matrices.contiguous()
    out: Tensor = _Thickness.apply(rast, float(bias), views, position, normal, atlas.contiguous(), matrices)
    return out


def filter_constants() -> dict[str, tuple[float, ...]]:
    """The kernel's constants by the names that the shader has for them as uniforms."""
    k = shadow_filter
    return {
        "shadow_variances": (float(k.HARD_VARIANCE), float(k.SOFT_VARIANCE)),
        "shadow_footprints": (float(k.SEARCH_FOOTPRINT), float(k.FILTER_FOOTPRINT)),
        "shadow_limits": (float(k.GRAZING), float(k.NO_BLOCKER), float(k.FOOT), float(k.SPARE)),
    }
