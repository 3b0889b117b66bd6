"""A G-buffer kept as one image, seen as named channels, without copies in either direction.

Rasterization writes all attributes of a pixel side by side and wants their gradient in the
same form. Effects want named channels. Slicing with torch would cost a full copy per channel
in the backward pass; here the channels are views of the one image, and gradients that already
lie in one image of the same layout are recognised and handed on as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from studio.core.ops import normals


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
    @staticmethod
    def forward(
        ctx: Any, packed: Tensor, rast: Tensor, sizes: tuple[int, ...], normal: int
    ) -> tuple[Tensor, ...]:
        ctx.sizes, ctx.normal, ctx.shape = sizes, normal, packed.shape
        ctx.set_materialize_grads(False)
        image = packed.detach()
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        channels = tuple(image[..., s : s + size] for s, size in zip(starts, sizes))
        if normal >= 0:
            length = torch.empty(packed.shape[:3], device=packed.device)
            normals.normalize_pixels(rast, channels[normal], length)
            ctx.save_for_backward(rast, channels[normal], length)
        return channels

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        channels = ctx.shape[3]
        base: Tensor | None = None
        start = 0
        for size, grad in zip(ctx.sizes, grads):
            if base is None and grad is not None:
                base = _as_packed(grad, start, channels)
            start += size
        if base is None:
            base = torch.zeros(ctx.shape, device=_device(grads))
        start = 0
        for i, (size, grad) in enumerate(zip(ctx.sizes, grads)):
            part = base[..., start : start + size]
            start += size
            if grad is None:
                part.zero_()
            elif grad.data_ptr() != part.data_ptr() or grad.stride() != part.stride():
                part.copy_(grad)
            if i == ctx.normal and grad is not None:
                rast, unit, length = ctx.saved_tensors
                normals.normalize_pixels_backward(rast, unit, length, part)
        return base, None, None, None


def _device(grads: Sequence[Tensor | None]) -> torch.device:
    """Device of the first gradient there is."""
    return next(g.device for g in grads if g is not None)


def unpack(packed: Tensor, rast: Tensor, sizes: tuple[int, ...], normal: int = -1) -> tuple[Tensor, ...]:
    """The channels of a packed G-buffer as views; the normals are made unit length.

    Args:
        packed: [N, H, W, C] contiguous, from rasterize_interpolate. It is written to, and must
            not be used otherwise.
        rast: [N, H, W, 4].
        sizes: channels of each view; they add up to C.
        normal: which view holds normals, -1 for none.
    Returns:
        One [N, H, W, size] view per size.
    Gradients:
        To: packed.
    """
    channels: tuple[Tensor, ...] = _Unpack.apply(packed, rast, sizes, normal)
    return channels
