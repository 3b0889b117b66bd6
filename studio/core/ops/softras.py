"""SoftRas: a rasterizer whose picture is smooth in the vertices, hidden ones included."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from studio.core.arrival import constant
from studio.core.errors import InputError, ShapeError
from studio.core.kernels import launcher
from studio.core.kernels import softras as kernels
from studio.core.kernels.channels import MAX_CHANNELS
from studio.core.kernels.softras import BACKGROUND_DEPTH
from studio.core.kernels.softras_faces import TILE
from studio.core.ops import check
from studio.core.ops.softras_lists import PER_SHARPNESS, Lists, View, counted, list_faces

AGGREGATIONS = ("soft", "hard")
"""What fills a pixel: the depth softmax of all faces, or the nearest face that covers it."""

CHANNELS = MAX_CHANNELS + 1
"""Longest attribute vector: a full G-buffer and occlusion."""


class Layer(NamedTuple):
    """A texture that multiplies some channels of some faces.

    Attributes:
        texture: [TH, TW, K].
        group: faces of this group have it.
        first: the first of the K channels.
    """

    texture: Tensor
    group: int
    first: int


class SoftImage(NamedTuple):
    """What `soft_rasterize` makes.

    Attributes:
        image: [N, H, W, C] aggregated attributes.
        alpha: [N, H, W, 1] soft silhouette.
        rast: [N, H, W, 4] (u, v, z/w, triangle + 1) of the face of most weight, 0 where none
            reaches; without gradient.
    """

    image: Tensor
    alpha: Tensor
    rast: Tensor


class _Tables(NamedTuple):
    """Texture layers as the kernels take them."""

    layers: Tensor
    face_layers: Tensor


class _SoftRas(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        pos: Tensor,
        tri: Tensor,
        attr: Tensor,
        background: Tensor | None,
        texels: Tensor,
        sharpness: Tensor,
        view: View,
        tables: _Tables,
    ) -> tuple[Tensor, Tensor, Tensor]:
        n, device = len(pos), pos.device
        width, height, channels = view.width, view.height, attr.shape[-1]
        numbers = view.numbers(sharpness)
        lists = list_faces(pos, tri, view, numbers)
        image = torch.empty(n, height, width, channels, device=device)
        alpha = torch.empty(n, height, width, 1, device=device)
        state = torch.empty(n * height * width, 4, device=device)
        rast = torch.empty(n, height, width, 4, device=device)
        down, across = view.tiles
        run = across * TILE**2 if device.type == "cpu" else 1
        step = -1 if background is None else int(background.ndim == 4)
        behind = attr if background is None else background
        launcher.launch(
            _kernels(channels, texels).forward,
            n * down * across * TILE**2 // run,
            [
                *[launcher.BEGIN, run, width, height, view.hard, numbers],
                *[lists.faces, lists.bounds, lists.ends, lists.listed, tri, attr],
                *[behind.view(-1, channels), step, *tables, texels],
                *[image.view(-1, channels), alpha.view(-1), state, rast.view(-1, 4)],
            ],
            device,
        )
        ctx.view, ctx.tables, ctx.with_background = view, tables, step >= 0
        ctx.save_for_backward(pos, tri, attr, behind, texels, image, state, numbers, *lists)
        ctx.mark_non_differentiable(rast)
        return image, alpha, rast

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        pos, tri, attr, background, texels, image, state, numbers, *saved = ctx.saved_tensors
        view, lists = ctx.view, Lists(*saved)
        channels = attr.shape[-1]
        grad_image = grads[0].contiguous().view(-1, channels)
        mean = (grad_image * image.view(-1, channels)).sum(dim=1)
        grad_pos, grad_attr = torch.zeros_like(pos), torch.zeros_like(attr)
        grad_texels = torch.zeros_like(texels)
        grad_sharpness = torch.zeros(1, 2, device=pos.device)
        unlisted = 0 if counted(pos.device) else len(lists.faces)
        launcher.launch(
            _kernels(channels, texels).backward,
            len(lists.listed) + unlisted,
            [
                *[launcher.BEGIN, view.width, view.height, view.hard, numbers, *lists, pos, tri, attr],
                *[*ctx.tables, texels],
                *[state, mean, grad_image, grads[1].contiguous().view(-1)],
                *[launcher.Scatter(t) for t in (grad_pos, grad_attr, grad_texels, grad_sharpness)],
            ],
            pos.device,
        )
        to_sharpness = grad_sharpness[0]
        grad_background = None
        if ctx.with_background:
            share = _background_share(state, view, numbers)
            grad_background = grad_image * share[:, None]
            # The background's depth is divided by gamma too; state[:, 1] is the largest depth.
            pulled = (grad_image * background.reshape(-1, channels)).sum(dim=1) - mean
            to_gamma = ((BACKGROUND_DEPTH - state[:, 1]) * share * pulled).sum()
            to_sharpness = to_sharpness + torch.nn.functional.pad(to_gamma[None], (1, 0))
            if background.ndim == 1:
                grad_background = grad_background.sum(dim=0)
            grad_background = grad_background.view_as(background)
        to_sharpness = -to_sharpness * numbers[PER_SHARPNESS] ** 2
        return grad_pos, None, grad_attr, grad_background, grad_texels, to_sharpness, None, None


def _kernels(channels: int, texels: Tensor) -> Any:
    return kernels.kernels(channels, textured=texels.numel() > 0)


def _background_share(state: Tensor, view: View, numbers: Tensor) -> Tensor:
    """[P] weight of the background in each pixel."""
    _, top, weights, chosen = state.unbind(dim=1)
    if view.hard:
        return (chosen == 0).float()
    return torch.exp((BACKGROUND_DEPTH - top) * numbers[PER_SHARPNESS][1]) / weights


def _sharpness(sigma: Tensor | float, gamma: Tensor | float, device: torch.device) -> Tensor:
    """[2] on the device."""
    if not isinstance(sigma, Tensor) and not isinstance(gamma, Tensor):
        return constant((sigma, gamma), torch.float32, device)
    return torch.stack([
        value.to(device, torch.float32).reshape(())
        if isinstance(value, Tensor)
        else constant((value,), torch.float32, device)[0]
        for value in (sigma, gamma)
    ])  # fmt: skip


def _tabulate(layers: Sequence[Layer], face_groups: Tensor) -> tuple[Tensor, _Tables]:
    """(all texels in a row, tables) of texture layers."""
    device = face_groups.device
    ordered = sorted(layers, key=lambda layer: layer.group)
    rows, counts, offset = [], [0] * max([layer.group + 1 for layer in layers], default=0), 0
    for layer in ordered:
        height, width, count = layer.texture.shape
        rows.append([offset, width, height, layer.first, count])
        counts[layer.group] += 1
        offset += layer.texture.numel()
    # Faces of groups beyond the last textured one have no layers.
    ends = list(itertools.accumulate([*counts, 0]))
    spans = [value for count, end in zip([*counts, 0], ends) for value in (end - count, end)]
    of_groups = constant(tuple(spans), torch.int32, device).view(-1, 2)
    face_layers = of_groups[face_groups.long().clamp(max=len(counts))]
    table = constant(tuple(itertools.chain(*rows)), torch.int32, device).view(-1, 5)
    texels = [layer.texture.reshape(-1) for layer in ordered]
    flat = torch.cat(texels) if texels else torch.zeros(0, device=device)
    return flat, _Tables(table, face_layers)


def soft_rasterize(
    pos: Tensor,
    tri: Tensor,
    attr: Tensor,
    size: tuple[int, int],
    sigma: Tensor | float,
    gamma: Tensor | float,
    aggregation: str = "soft",
    background: Tensor | None = None,
    depth_range: tuple[float, float] | Tensor = (-1.0, 1.0),
    cutoff: float = 1e-4,
    layers: Sequence[Layer] = (),
    face_groups: Tensor | None = None,
) -> SoftImage:
    """`softras` on checked tensors, with any number of textures and the winner of each pixel.

    Args:
        depth_range: as of `softras`, or a [2] float64 tensor of it.
        layers: textures; with any, the last two channels of attr are texture coordinates, and
            a channel of a group has one layer at most.
        face_groups: [N * T] or [T] the group of every face (of every image), for layers.
    """
    sharpness = _sharpness(sigma, gamma, pos.device)
    if not isinstance(depth_range, Tensor):
        depth_range = constant(depth_range, torch.float64, pos.device)
    blur = None if isinstance(sigma, Tensor) else sigma
    view = View(size[1], size[0], int(aggregation == "hard"), cutoff, depth_range, blur)
    n, count, channels = len(pos), len(tri), attr.shape[-1]
    if n * count * pos.shape[1] == 0:
        behind = pos.new_zeros(channels) if background is None else background
        empty = pos.new_zeros(n, *size, 5)
        return SoftImage(behind.expand(n, *size, channels).clone(), empty[..., :1], empty[..., 1:])
    if face_groups is None:
        face_groups = torch.zeros(1, dtype=torch.int32, device=pos.device)
    if layers and len(face_groups) == count:
        face_groups = face_groups.repeat(n)
    texels, tables = _tabulate(layers, face_groups)
    return SoftImage(*_SoftRas.apply(pos, tri, attr, background, texels, sharpness, view, tables))


def softras(
    pos: Tensor,
    tri: Tensor,
    attr: Tensor,
    resolution: tuple[int, int],
    sigma: Tensor | float = 1e-4,
    gamma: Tensor | float = 1e-4,
    background: Tensor | float = 0.0,
    aggregation: str = "soft",
    texture: Tensor | None = None,
    uv: Tensor | None = None,
    depth_range: tuple[float, float] = (-1.0, 1.0),
    cutoff: float = 1e-4,
) -> tuple[Tensor, Tensor]:
    """Render a mesh as clouds of probability: smooth in every vertex, those out of sight too.

    Takes the place of rasterize, interpolate and antialias together. Per pixel and face the
    probability is D = sigmoid(+-d^2 / sigma), d the distance from the pixel to the face's
    boundary on screen, positive inside. The silhouette is 1 - prod(1 - D). The colour is the
    mean of the faces' colours weighted by D exp(z / gamma), z the normalised inverse depth,
    and of the background's with weight exp(0.001 / gamma); so a face in front outweighs the
    background as soon as it reaches a pixel, and the picture looks wider than the silhouette.
    Composite with alpha where that matters.

    Args:
        pos: [N, V, 4] float32 clip space. A face with a vertex at w <= 0 is left out whole, and
            what is nearer than the near plane or beyond the far plane.
        tri: [T, 3] int32. No face is too many for a pixel, and none is culled.
        attr: [N, V, C] or [1, V, C] float32 colours or any other values, C up to 14 (12 with a
            texture); interpolated in perspective. Outside a face its nearest point counts.
        resolution: (height, width) in pixels.
        sigma: blur, in squares of half the image's longer side: an edge is blurred over about
            2 sqrt(sigma). A float, or a tensor of one element to get its gradient.
        gamma: softness of the depth order, in units of the depth range; as sigma.
        background: [C] or [N, H, W, C], or a number.
        aggregation: "soft", or "hard": the colour of the nearest face that covers the pixel's
            centre (the silhouette stays soft).
        texture: [1, TH, TW, C] or [N, TH, TW, C] float32 that attr is multiplied by, fragment
            by fragment: bilinear, repeating, row 0 at v = 0.
        uv: [N, V, 2] or [1, V, 2] float32 texture coordinates; needed with texture.
        depth_range: z/w that count as normalised depth 1 and 0. The default is the published
            (1/d - 1/far) / (1/near - 1/far); a tight range makes gamma mean the same for any
            near and far plane.
        cutoff: faces less probable than this at a pixel are left out of it.
    Returns:
        image: [N, H, W, C], the background included. Row 0 is the bottom.
        alpha: [N, H, W, 1] the silhouette.
    Gradients:
        To: pos (x, y, z, w), attr, background, texture, uv, sigma, gamma. With "hard", colours
        pass none through the silhouette or the depth order.
        Discontinuous in: nothing but the cutoff, which can be made as small as wanted; with
        "hard", the visibility of the colour.
    Raises:
        ShapeError: names the tensor, expected and actual shape, type or device.
        InputError: an aggregation that does not exist, or a number out of range. A sigma or gamma that
            lies on a GPU is not looked at.
    Reference:
        Liu et al. 2019, "Soft Rasterizer: A Differentiable Renderer for Image-based 3D
        Reasoning", Eqs. 1, 2, 5 and 6. The paper clips and normalises the barycentrics of a
        pixel outside a face; here those of the nearest point of the face are taken, which meet
        them on the boundary and stay well conditioned for slivers.
    """
    op = "softras"
    pos = check.tensor(op, "pos", pos, ("N", "V", 4))
    tri = check.triangles(op, tri, pos)
    attr = check.tensor(op, "attr", attr, ("N", pos.shape[1], "C"), like=pos)
    check.same_batch(op, "attr", attr, len(pos), allow_one=True)
    size = check.size(op, resolution)
    channels = attr.shape[-1]
    _check_numbers(sigma, gamma, aggregation, depth_range, cutoff)
    if not 1 <= channels <= CHANNELS - (0 if texture is None else 2):
        most = CHANNELS - (0 if texture is None else 2)
        raise ShapeError(f"softras: attr must have 1 to {most} channels, got {channels}")
    if isinstance(background, (int, float)):
        background = torch.full((channels,), float(background), device=pos.device)
    background = check.background(op, background, (len(pos), *size, channels), like=pos)
    layers: list[Layer] = []
    groups = None
    if texture is not None:
        attr, background = _with_uv(pos, attr, uv, background)
        texture = check.tensor(op, "texture", texture, ("N", "TH", "TW", channels), like=pos)
        check.same_batch(op, "texture", texture, len(pos), allow_one=True)
        layers = [Layer(image, i, 0) for i, image in enumerate(texture)]
        groups = torch.arange(len(texture), device=pos.device).repeat_interleave(len(tri))
    options = (sigma, gamma, aggregation, background, depth_range, cutoff, layers, groups)
    made = soft_rasterize(pos, tri, attr, size, *options)
    return made.image[..., :channels], made.alpha


def _with_uv(pos: Tensor, attr: Tensor, uv: Tensor | None, background: Tensor) -> tuple[Tensor, Tensor]:
    """attr and background with texture coordinates as their last two channels."""
    if uv is None:
        raise ShapeError("softras: texture needs uv, got None")
    uv = check.tensor("softras", "uv", uv, ("N", pos.shape[1], 2), like=pos)
    check.same_batch("softras", "uv", uv, len(pos), allow_one=True)
    count = max(len(attr), len(uv))
    attr = torch.cat([attr.expand(count, -1, -1), uv.expand(count, -1, -1)], dim=2)
    return attr, torch.nn.functional.pad(background, (0, 2))


def _check_numbers(
    sigma: Tensor | float,
    gamma: Tensor | float,
    aggregation: str,
    depth_range: tuple[float, float],
    cutoff: float,
) -> None:
    """InputError for what no picture can be made of."""
    if aggregation not in AGGREGATIONS:
        raise InputError(f"softras: aggregation must be one of {', '.join(AGGREGATIONS)}, got {aggregation}")
    for name, value in (("sigma", sigma), ("gamma", gamma)):
        if isinstance(value, Tensor) and value.numel() != 1:
            raise ShapeError(f"softras: {name} must have one element, got shape {list(value.shape)}")
        if isinstance(value, Tensor) and value.device.type != "cpu":
            continue  # looking would be waiting
        number = float(value.detach() if isinstance(value, Tensor) else value)
        if not 1e-10 <= number <= 1e3:
            raise InputError(f"softras: {name} must be in [1e-10, 1000], got {number:g}")
    if not 0.0 < cutoff < 0.5:
        raise InputError(f"softras: cutoff must be in (0, 0.5), got {cutoff:g}")
    if not depth_range[0] < depth_range[1]:
        raise InputError(f"softras: depth_range must rise, got {depth_range[0]:g} to {depth_range[1]:g}")
