"""SoftRas: a rasterizer whose picture is smooth in the vertices, hidden ones included."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from studio.core.errors import InputError, ShapeError
from studio.core.kernels import launcher
from studio.core.kernels import softras as kernels
from studio.core.kernels import softras_faces as faces_module
from studio.core.kernels.channels import MAX_CHANNELS
from studio.core.ops import check
from studio.core.ops.visibility import triangle_chunk

AGGREGATIONS = ("soft", "hard")
"""What fills a pixel: the depth softmax of all faces, or the nearest face that covers it."""

BACKGROUND_DEPTH = 1e-3
"""Normalised depth of the background in the softmax (epsilon of the paper)."""

MOST_LISTED = 1 << 30
"""Pairs of a face and a tile that it reaches; 8 bytes each, and counted in int32."""

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


def _make_view(
    size: tuple[int, int],
    sigma: float,
    gamma: float,
    aggregation: str,
    depth_range: tuple[float, float],
    cutoff: float,
) -> Any:
    """The numbers that both passes share, as a struct of the kernels."""
    near, far = depth_range
    view: Any = faces_module.View()
    view.height, view.width = size
    view.lowest = math.log(cutoff / (1.0 - cutoff))
    view.reach = math.sqrt(-view.lowest * sigma)
    view.depth_far, view.depth_scale = far, 1.0 / (far - near)
    view.depth_low, view.depth_high = (far - 1.0) / (far - near), (far + 1.0) / (far - near)
    view.background = BACKGROUND_DEPTH
    view.per_sigma, view.per_gamma = 1.0 / sigma, 1.0 / gamma
    view.hard = int(aggregation == "hard")
    return view


class _Lists(NamedTuple):
    """Faces ready to draw, and which reach which tile."""

    faces: Tensor
    bounds: Tensor
    ends: Tensor
    listed: Tensor
    owner: Tensor


def _tiles(view: Any) -> tuple[int, int]:
    """(down, across) an image."""
    return -(-view.height // faces_module.TILE), -(-view.width // faces_module.TILE)


def _list_faces(pos: Tensor, tri: Tensor, view: Any) -> _Lists:
    """Set the faces up and list them by tile: tile i has listed[ends[i - 1] : ends[i]]."""
    device = pos.device
    n, count = len(pos), len(tri)
    down, across = _tiles(view)
    faces = torch.empty(n * count, 4, 4, device=device)
    bounds = torch.empty(n * count, 4, dtype=torch.int32, device=device)
    launcher.launch(faces_module.set_up, n * count, [launcher.BEGIN, pos, tri, view, faces, bounds], device)
    chunk = triangle_chunk(device, count)
    head = [launcher.BEGIN, chunk, count, view, bounds]
    dim = (n * down, -(-count // chunk))
    cursor = torch.zeros(n * down * across, dtype=torch.int32, device=device)
    launcher.launch(faces_module.list_faces, dim, [*head, cursor, 0, cursor, cursor], device)
    total = int(cursor.sum())
    if total > MOST_LISTED:
        raise InputError(
            f"softras: faces reach {total} tiles in all, expected at most {MOST_LISTED}; "
            "lower sigma, the resolution or the number of images"
        )
    ends = torch.cumsum(cursor, 0, dtype=torch.int32)
    cursor = ends - cursor
    listed = torch.empty(total, dtype=torch.int32, device=device)
    owner = torch.empty_like(listed)
    launcher.launch(faces_module.list_faces, dim, [*head, cursor, 1, listed, owner], device)
    return _Lists(faces, bounds, ends, listed, owner)


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
        sigma: Tensor,
        gamma: Tensor,
        view: Any,
        tables: _Tables,
    ) -> tuple[Tensor, Tensor, Tensor]:
        n, device = len(pos), pos.device
        height, width, channels = view.height, view.width, attr.shape[-1]
        lists = _list_faces(pos, tri, view)
        image = torch.empty(n, height, width, channels, device=device)
        alpha = torch.empty(n, height, width, 1, device=device)
        state = torch.empty(n * height * width, 4, device=device)
        rast = torch.empty(n, height, width, 4, device=device)
        down, across = _tiles(view)
        run = across * faces_module.TILE**2 if device.type == "cpu" else 1
        step = -1 if background is None else int(background.ndim == 4)
        behind = attr if background is None else background
        launcher.launch(
            _kernels(channels, texels).forward,
            n * down * across * faces_module.TILE**2 // run,
            [
                *[launcher.BEGIN, run, view, lists.faces, lists.bounds, lists.ends, lists.listed, tri, attr],
                *[behind.view(-1, channels), step, *tables, texels],
                *[image.view(-1, channels), alpha.view(-1), state, rast.view(-1, 4)],
            ],
            device,
        )
        ctx.view, ctx.tables, ctx.with_background = view, tables, step >= 0
        ctx.save_for_backward(pos, tri, attr, behind, texels, image, state, *lists)
        ctx.mark_non_differentiable(rast)
        return image, alpha, rast

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        pos, tri, attr, background, texels, image, state, faces, bounds, _, listed, owner = ctx.saved_tensors
        view = ctx.view
        channels = attr.shape[-1]
        grad_image = grads[0].contiguous().view(-1, channels)
        mean = (grad_image * image.view(-1, channels)).sum(dim=1)
        grad_pos, grad_attr = torch.zeros_like(pos), torch.zeros_like(attr)
        grad_texels = torch.zeros_like(texels)
        grad_sharpness = torch.zeros(1, 2, device=pos.device)
        launcher.launch(
            _kernels(channels, texels).backward,
            len(listed),
            [
                *[launcher.BEGIN, view, faces, bounds, listed, owner, pos, tri, attr],
                *[*ctx.tables, texels],
                *[state, mean, grad_image, grads[1].contiguous().view(-1)],
                *[launcher.Scatter(t) for t in (grad_pos, grad_attr, grad_texels, grad_sharpness)],
            ],
            pos.device,
        )
        per_sigma, per_gamma = grad_sharpness[0]
        grad_background = None
        if ctx.with_background:
            share = _background_share(state, view)
            grad_background = grad_image * share[:, None]
            # The background's depth is divided by gamma too; state[:, 1] is the largest depth.
            pulled = (grad_image * background.reshape(-1, channels)).sum(dim=1) - mean
            per_gamma = per_gamma + ((BACKGROUND_DEPTH - state[:, 1]) * share * pulled).sum()
            if background.ndim == 1:
                grad_background = grad_background.sum(dim=0)
            grad_background = grad_background.view_as(background)
        return (
            grad_pos,
            None,
            grad_attr,
            grad_background,
            grad_texels,
            -per_sigma * view.per_sigma**2,
            -per_gamma * view.per_gamma**2,
            None,
            None,
        )


def _kernels(channels: int, texels: Tensor) -> Any:
    return kernels.kernels(channels, textured=texels.numel() > 0)


def _background_share(state: Tensor, view: Any) -> Tensor:
    """[P] weight of the background in each pixel."""
    _, top, weights, chosen = state.unbind(dim=1)
    if view.hard:
        return (chosen == 0).float()
    return torch.exp((BACKGROUND_DEPTH - top) * view.per_gamma) / weights


def _scalar(value: Tensor | float) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float32).reshape(())


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
    ends = torch.tensor([*counts, 0], dtype=torch.int32).cumsum(0, dtype=torch.int32)
    spans = torch.stack([ends - torch.tensor([*counts, 0]), ends], dim=1).to(device, torch.int32)
    face_layers = spans[face_groups.long().clamp(max=len(counts))]
    table = torch.tensor(rows, dtype=torch.int32, device=device).view(-1, 5)
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
    depth_range: tuple[float, float] = (-1.0, 1.0),
    cutoff: float = 1e-4,
    layers: Sequence[Layer] = (),
    face_groups: Tensor | None = None,
) -> SoftImage:
    """`softras` on checked tensors, with any number of textures and the winner of each pixel.

    Args:
        layers: textures; with any, the last two channels of attr are texture coordinates, and
            a channel of a group has one layer at most.
        face_groups: [N * T] or [T] the group of every face (of every image), for layers.
    """
    sigma, gamma = _scalar(sigma), _scalar(gamma)
    view = _make_view(size, float(sigma.detach()), float(gamma.detach()), aggregation, depth_range, cutoff)
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
    return SoftImage(*_SoftRas.apply(pos, tri, attr, background, texels, sigma, gamma, view, tables))


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
        InputError: an aggregation that does not exist, or a number out of range.
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
        number = float(value.detach() if isinstance(value, Tensor) else value)
        if not 1e-10 <= number <= 1e3:
            raise InputError(f"softras: {name} must be in [1e-10, 1000], got {number:g}")
    if not 0.0 < cutoff < 0.5:
        raise InputError(f"softras: cutoff must be in (0, 0.5), got {cutoff:g}")
    if not depth_range[0] < depth_range[1]:
        raise InputError(f"softras: depth_range must rise, got {depth_range[0]:g} to {depth_range[1]:g}")
