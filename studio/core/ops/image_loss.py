"""The loss against photos: value and gradient in one pass over the images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from studio.core.errors import InputError
from studio.core.kernels import launcher
from studio.core.kernels import loss as kernels
from studio.core.ops import check

KINDS = ("l1", "l2", "huber")
_CUDA_STRIDE = 32
"""Threads that share a row on CUDA; on CPU one thread walks it."""


@dataclass(frozen=True, eq=False)
class ImageLoss:
    """Terms of the loss.

    Attributes:
        total: [] color_weight * color + mask_weight * mask; the one to call backward on.
        color: [] mean penalty over pixels and channels; no gradient.
        mask: [] mean squared error of alpha; no gradient.
        view_error: [N] mean squared error of sRGB values over the weighted pixels of each view;
            -10 log10 of it is the PSNR. No gradient.
        view_mask_error: [N] the same for alpha.
    """

    total: Tensor
    color: Tensor
    mask: Tensor
    view_error: Tensor
    view_mask_error: Tensor


@dataclass(frozen=True, eq=False)
class _Settings:
    target: Tensor
    mask: Tensor | None
    weight: Tensor | None
    background: Tensor | None
    kind: int
    delta: float
    color_weight: float
    mask_weight: float


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rgba: Tensor, gain: Tensor, s: _Settings) -> tuple[Tensor, Tensor]:
        n, height, width, _ = rgba.shape
        pixels = n * height * width
        device = rgba.device
        grad = torch.empty_like(rgba)
        g_gain = torch.zeros(n, 3, device=device)
        sums = torch.zeros(n, 4, device=device)
        none = torch.zeros(3, device=device)
        background = s.background if s.background is not None else none
        stride = 1 if device.type == "cpu" else _CUDA_STRIDE
        launcher.launch(
            kernels.image_loss,
            (n * height, stride),
            [
                launcher.BEGIN,
                width,
                height,
                stride,
                rgba.view(-1, 4),
                s.target.view(-1, 3),
                s.mask.view(-1) if s.mask is not None else none,
                int(s.mask is not None),
                s.weight.view(-1) if s.weight is not None else none,
                int(s.weight is not None),
                gain,
                background.view(-1, 3),
                int(background.ndim == 4),
                int(s.background is not None),
                s.kind,
                s.delta,
                s.color_weight / (3 * pixels),
                s.mask_weight / pixels,
                grad.view(-1, 4),
                launcher.Scatter(g_gain),
                launcher.Scatter(sums),
            ],
            device,
        )
        ctx.save_for_backward(grad, g_gain)
        numbers = torch.empty(3 + 2 * n, device=device)
        weights = [s.color_weight, s.mask_weight]
        launcher.launch(kernels.numbers_of, 1, [float(pixels), *weights, sums, numbers], device)
        ctx.mark_non_differentiable(numbers)
        return numbers[0].clone(), numbers

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad, g_gain = ctx.saved_tensors
        # A loss that stands alone needs no second pass over the images.
        if grads[0].device.type == "cpu" and float(grads[0]) == 1.0:
            return grad, g_gain, None
        return grad * grads[0], g_gain * grads[0], None


def image_loss(
    rgba: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    weight: Tensor | None = None,
    exposure: Tensor | None = None,
    background: Tensor | None = None,
    kind: str = "l1",
    color_weight: float = 1.0,
    mask_weight: float = 1.0,
    huber_delta: float = 0.1,
) -> ImageLoss:
    """Compare rendered pictures with photos, in sRGB values, and coverage with masks.

    Comes after antialias. The rendered colour is multiplied by the view's exposure and
    encoded; the curve is not clipped at 1, so overexposed pixels still pull.

    Args:
        rgba: [N, H, W, 4] linear colour over the background, and coverage.
        target: [N, H, W, 3] sRGB-encoded photos, 0..1.
        mask: [N, H, W] coverage of the object in the photos, 0..1. None: no mask term.
        weight: [N, H, W] weight per pixel for both terms; 0 ignores it. None: 1 everywhere.
        exposure: [N] or [N, 3] stops per view (and channel, for white balance); None: 0.
        background: [3] or [N, H, W, 3] linear, the one `rgba` was rendered over. Given with a
            mask, the target is put over it too, and exposure acts on the object alone.
        kind: l1, l2 or huber, the penalty of the colour error.
        huber_delta: error at which huber turns from square to line.
    Returns:
        The terms. Both are means over all pixels of the batch, weighted or not.
    Gradients:
        To: rgba, exposure. Discontinuous in: the sign of the error (l1).
    Raises:
        ShapeError: names the tensor, expected and actual shape. InputError: an unknown kind.
    Reference:
        IEC 61966-2-1 for the encoding; Huber 1964.
    """
    op = "image_loss"
    if kind not in KINDS:
        raise InputError(f"{op}: kind must be one of {', '.join(KINDS)}, got {kind!r}")
    rgba = check.tensor(op, "rgba", rgba, ("N", "H", "W", 4))
    n, height, width, _ = rgba.shape
    target = check.tensor(op, "target", target, (n, height, width, 3), like=rgba)
    if mask is not None:
        mask = check.tensor(op, "mask", mask, (n, height, width), like=rgba)
    if weight is not None:
        weight = check.tensor(op, "weight", weight, (n, height, width), like=rgba)
    if background is not None:
        shape = (3,) if background.ndim == 1 else (n, height, width, 3)
        background = check.tensor(op, "background", background.detach(), shape, like=rgba)
    settings = _Settings(
        target,
        mask,
        weight,
        background if mask is not None else None,
        KINDS.index(kind),
        huber_delta,
        color_weight,
        mask_weight if mask is not None else 0.0,
    )
    total, numbers = _Loss.apply(rgba, _gain(op, exposure, rgba), settings)
    return ImageLoss(total, numbers[1], numbers[2], numbers[3 : 3 + n], numbers[3 + n :])


def _gain(op: str, exposure: Tensor | None, rgba: Tensor) -> Tensor:
    """[N, 3] factors of exposures in stops."""
    n = len(rgba)
    if exposure is None:
        return torch.ones(n, 3, device=rgba.device)
    shape = (n,) if exposure.ndim == 1 else (n, 3)
    exposure = check.tensor(op, "exposure", exposure, shape, like=rgba)
    return torch.exp2(exposure.reshape(n, -1).expand(n, 3)).contiguous()
