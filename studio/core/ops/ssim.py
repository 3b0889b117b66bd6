"""Structural similarity, differentiable."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from studio.core.errors import ShapeError

_SIZE = 11
_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2
"""Window and constants of the paper, for values in 0..1."""


def _window(like: Tensor) -> Tensor:
    x = torch.arange(_SIZE, dtype=like.dtype, device=like.device) - _SIZE // 2
    weights = torch.exp(-0.5 * (x / _SIGMA) ** 2)
    return weights / weights.sum()


def _blur(images: Tensor, window: Tensor) -> Tensor:
    """[M, 1, H, W] filtered along both axes, only where the window fits."""
    return conv2d(conv2d(images, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))


def ssim_map(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity at every pixel whose window lies inside the picture.

    Args:
        a, b: [N, H, W, C] display values, 0..1; at least 11 pixels along both sides.
    Returns:
        [N, H - 10, W - 10, C], 1 where equal.
    Gradients:
        To: a and b.
    Raises:
        ShapeError: shapes that differ, or pictures smaller than the window.
    Reference:
        Wang et al. 2004, "Image Quality Assessment: From Error Visibility to Structural
        Similarity", Eq. 13; Gaussian window 11, sigma 1.5, no padding (as in the paper).
    """
    if a.shape != b.shape or a.ndim != 4:
        raise ShapeError(f"ssim: expected two images [N, H, W, C], got {list(a.shape)} and {list(b.shape)}")
    n, height, width, channels = a.shape
    if min(height, width) < _SIZE:
        raise ShapeError(
            f"ssim: pictures must be at least {_SIZE} pixels wide and high, got {width}x{height}"
        )

    def planes(x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2).reshape(n * channels, 1, height, width)

    x, y = planes(a), planes(b)
    stacked = torch.cat([x, y, x * x, y * y, x * y])
    mx, my, xx, yy, xy = _blur(stacked, _window(a)).chunk(5)
    variance = xx - mx * mx + yy - my * my
    covariance = xy - mx * my
    value = (2 * mx * my + _C1) * (2 * covariance + _C2)
    value = value / ((mx * mx + my * my + _C1) * (variance + _C2))
    out = value.reshape(n, channels, height - _SIZE + 1, width - _SIZE + 1)
    return out.permute(0, 2, 3, 1)


def ssim(a: Tensor, b: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean structural similarity of display values; see ssim_map.

    Args:
        a, b: [N, H, W, C], 0..1.
        mask: [N, H, W] weights; only windows centred where it is set count. None: all.
    Returns:
        [] mean, 1 for equal pictures.
    """
    values = ssim_map(a, b).mean(dim=3)
    if mask is None:
        return values.mean()
    border = _SIZE // 2
    weight = mask[:, border:-border, border:-border].to(values.dtype)
    return (values * weight).sum() / weight.sum().clamp(min=1e-12)
