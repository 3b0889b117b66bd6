"""A G-buffer kept as one image, seen as named channels, without copies in either direction.

Rasterization writes all attributes of a pixel side by side and wants their gradient in the
same form. Effects want named channels. Slicing with torch would cost a full copy per channel
in the backward pass; here the channels are views of the one image, and gradients that already
lie in one image of the same layout are recognised and handed on as it is. What textures say is
worked into the image on the way, for the same reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from studio.core.arrival import constant
from studio.core.kernels import coat as kernels
from studio.core.kernels import launcher
from studio.core.ops import normals
from studio.core.ops.bend import bend, bend_backward
from studio.core.ops.pixels import runs


@dataclass(frozen=True, eq=False)
class Coat:
    """What the textures of one part say.

    Attributes:
        texels: [N, H, W, K] looked up; numbers that channels are multiplied by, then, if `along`
            is there, three of a normal in tangent space, encoded as 0..1.
        factor: for each channel that comes out the texels' channel it is multiplied by, or -1.
        face_part: [T] int64.
        part: whose pixels; -1 for all.
        along, turn: see studio.core.ops.bend.
    """

    texels: Tensor
    factor: tuple[int, ...]
    face_part: Tensor
    part: int = -1
    along: Tensor | None = None
    turn: Tensor | None = None

    @property
    def factors(self) -> int:
        """How many of the texels' channels are no normal."""
        return self.texels.shape[3] - (0 if self.along is None else 3)


def _numbers(values: tuple[int, ...], device: torch.device) -> Tensor:
    return constant(values, torch.int32, device)


def _multiply(packed: Tensor, rast: Tensor, source: tuple[int, ...], coats: Sequence[Coat]) -> Tensor:
    """[N, H, W, len(source)] channels with their factors; see studio.core.kernels.coat."""
    out = packed.new_empty(*packed.shape[:3], len(source))
    count, run = runs(rast[..., 0].numel(), rast.shape[2], rast.device, sums=False)
    for i, coat in enumerate(coats):
        tables = [_numbers(source, rast.device), _numbers(coat.factor, rast.device)]
        head = [launcher.BEGIN, run, rast.view(-1, 4), coat.face_part, coat.part, int(i == 0), *tables]
        images = [t.view(-1, t.shape[3]) for t in (packed, coat.texels, out)]
        launcher.launch(kernels.coat_forward, count, [*head, *images], rast.device)
    return out


def _multiply_backward(
    packed: Tensor,
    rast: Tensor,
    source: tuple[int, ...],
    coats: Sequence[Coat],
    grad: Tensor,
    g_texels: Sequence[Tensor],
) -> Tensor:
    """The gradient of `packed`; writes that of the factors, the first channels of `g_texels`."""
    g_packed = torch.empty_like(packed)
    count, run = runs(rast[..., 0].numel(), rast.shape[2], rast.device, sums=False)
    for i, coat in enumerate(coats):
        tables = [_numbers(source, rast.device), _numbers(coat.factor, rast.device)]
        head = [launcher.BEGIN, run, rast.view(-1, 4), coat.face_part, coat.part, int(i == 0), *tables]
        images = [t.view(-1, t.shape[3]) for t in (packed, coat.texels, grad, g_packed, g_texels[i])]
        launcher.launch(kernels.coat_backward, count, [*head, coat.factors, *images], rast.device)
    return g_packed


def _packed_strides(shape: Sequence[int], channels: int) -> tuple[int, ...]:
    _, height, width, _ = shape
    return (height * width * channels, width * channels, channels, 1)


def empty_like_views(views: Sequence[Tensor]) -> list[Tensor]:
    """Zeroed tensors for the gradients of images: in one packed image if the images are."""
    first = views[0]
    channels = first.stride(2)
    storage = first.untyped_storage().data_ptr()
    packed = channels > first.shape[3] and all(
        v.untyped_storage().data_ptr() == storage
        and v.stride() == _packed_strides(v.shape, channels)
        and v.storage_offset() < channels
        for v in views
    )
    if not packed:
        return [torch.zeros(v.shape, dtype=v.dtype, device=v.device) for v in views]
    n, height, width, _ = first.shape
    base = torch.zeros(n, height, width, channels, device=first.device)
    return [base[..., v.storage_offset() : v.storage_offset() + v.shape[3]] for v in views]


def _as_packed(grad: Tensor, offset: int, channels: int) -> Tensor | None:
    """The packed image that `grad` is the channels from `offset` of, or None."""
    n, height, width, _ = grad.shape
    if grad.stride() != _packed_strides(grad.shape, channels) or grad.storage_offset() != offset:
        return None
    if grad.untyped_storage().nbytes() != n * height * width * channels * grad.element_size():
        return None
    return grad.as_strided((n, height, width, channels), grad.stride(), 0)


class _Unpack(torch.autograd.Function):
    """Texels and tangents of the coats come last, once more, for their gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        packed: Tensor,
        rast: Tensor,
        sizes: tuple[int, ...],
        normal: int,
        source: tuple[int, ...],
        coats: tuple[Coat, ...],
        *tensors: Tensor | None,
    ) -> tuple[Tensor, ...]:
        ctx.sizes, ctx.normal, ctx.source, ctx.coats = sizes, normal, source, coats
        ctx.set_materialize_grads(False)
        image = _multiply(packed, rast, source, coats) if coats else packed.detach()
        ctx.packed = packed.detach() if coats else None  # without coats it is written to
        ctx.shape = image.shape
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        channels = tuple(image[..., s : s + size] for s, size in zip(starts, sizes))
        if normal >= 0:
            length = torch.empty(packed.shape[:3], device=packed.device)
            unit = channels[normal]
            normals.normalize_pixels(rast, unit, length)
            bent = [coat for coat in coats if coat.along is not None]
            if bent:
                unit = unit.clone(memory_format=torch.contiguous_format)
            for coat in bent:
                assert coat.along is not None
                assert coat.turn is not None
                tilt = coat.texels[..., coat.factors :]
                bend(rast, channels[normal], tilt, coat.along, coat.turn, channels[normal])
            ctx.save_for_backward(rast, unit, length)
        else:
            ctx.save_for_backward(rast)
        return channels

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        coats: tuple[Coat, ...] = ctx.coats
        if all(grad is None for grad in grads):
            return (None,) * (6 + 2 * len(coats))
        base = _gathered(grads, ctx.sizes, ctx.shape)
        g_texels = [torch.empty_like(coat.texels) for coat in coats]
        g_along = [None if coat.along is None else torch.zeros_like(coat.along) for coat in coats]
        rast = ctx.saved_tensors[0]
        if ctx.normal >= 0:
            _, unit, length = ctx.saved_tensors
            start = sum(ctx.sizes[: ctx.normal])
            part = base[..., start : start + 3]
            for coat, to_texels, to_along in zip(coats, g_texels, g_along):
                if to_along is not None:
                    assert coat.along is not None
                    assert coat.turn is not None
                    tilt, to_tilt = (t[..., coat.factors :] for t in (coat.texels, to_texels))
                    bend_backward(rast, unit, tilt, coat.along, coat.turn, part, to_tilt, to_along)
            normals.normalize_pixels_backward(rast, unit, length, part)
        if coats:
            base = _multiply_backward(ctx.packed, rast, ctx.source, coats, base, g_texels)
        return base, None, None, None, None, None, *g_texels, *g_along


def _gathered(grads: Sequence[Tensor | None], sizes: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Gradients of channels as one packed image; that in which one of them lies already, if one does."""
    base: Tensor | None = None
    start = 0
    for size, grad in zip(sizes, grads):
        if base is None and grad is not None:
            base = _as_packed(grad, start, shape[3])
        start += size
    if base is None:
        base = torch.zeros(tuple(shape), device=_device(grads))
    start = 0
    for size, grad in zip(sizes, grads):
        part = base[..., start : start + size]
        start += size
        if grad is None:
            part.zero_()
        elif grad.data_ptr() != part.data_ptr() or grad.stride() != part.stride():
            part.copy_(grad)
    return base


def _device(grads: Sequence[Tensor | None]) -> torch.device:
    """Device of the first gradient there is."""
    return next(g.device for g in grads if g is not None)


def unpack(
    packed: Tensor,
    rast: Tensor,
    sizes: tuple[int, ...],
    normal: int = -1,
    source: tuple[int, ...] = (),
    coats: Sequence[Coat] = (),
) -> tuple[Tensor, ...]:
    """The channels of a packed G-buffer as views; the normals are made unit length.

    Args:
        packed: [N, H, W, C] contiguous, from rasterize_interpolate. Without coats it is written
            to, and must not be used otherwise.
        rast: [N, H, W, 4].
        sizes: channels of each view; they add up to C, or to the length of `source`.
        normal: which view holds normals, -1 for none.
        source: with coats, the channel of `packed` that each channel is made from; -1 for 1 where
            a surface is.
        coats: what textures say, each of its own part. Normals are bent once they have unit length.
    Returns:
        One [N, H, W, size] view per size.
    Gradients:
        To: packed, and texels and along of the coats.
    """
    inputs = [*(coat.texels for coat in coats), *(coat.along for coat in coats)]
    channels: tuple[Tensor, ...] = _Unpack.apply(
        packed, rast, sizes, normal, tuple(source), tuple(coats), *inputs
    )
    return channels


class _Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, packed: Tensor, first: int, size: int) -> tuple[Tensor, Tensor]:
        ctx.first, ctx.size, ctx.shape = first, size, packed.shape
        ctx.set_materialize_grads(False)
        return packed.detach(), packed[..., first : first + size].contiguous()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        g_packed, g_part = grads
        if g_part is None:
            return g_packed, None, None
        if g_packed is None:
            g_packed = g_part.new_zeros(ctx.shape)
        g_packed[..., ctx.first : ctx.first + ctx.size].add_(g_part)
        return g_packed, None, None


def set_apart(packed: Tensor, first: int, size: int) -> tuple[Tensor, Tensor]:
    """The packed image, to be used from now on in its place, and a copy of some of its channels.

    Gradients:
        To: packed; that of the copy is added in place to what `unpack` made for the image.
    """
    image, part = _Lookup.apply(packed, first, size)
    return image, part
