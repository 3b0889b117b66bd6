"""sRGB encoding and decoding, and the space in which pictures are compared.

Everything inside the studio is linear light. Files and screens are sRGB (IEC 61966-2-1);
losses, PSNR and SSIM are taken on sRGB values, which are nearer to what an eye sees.
"""

from __future__ import annotations

from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

LINEAR_LIMIT = 0.0031308
"""Linear values below this lie on the straight part of the curve."""
ENCODED_LIMIT = 0.04045
"""The same joint in encoded values."""
MAX_PSNR = 100.0
"""dB reported for identical pictures, where the true value is infinite."""


@overload
def linear_to_srgb(linear: Tensor) -> Tensor: ...
@overload
def linear_to_srgb(linear: Any) -> np.ndarray: ...
def linear_to_srgb(linear: Any) -> Any:
    """Encode linear light as sRGB values.

    The curve is not clipped: above 1 the power law goes on, below 0 the straight part does,
    so that an optimizer gets a gradient from over- and underexposed pixels. Clip after it.

    Args:
        linear: any shape; a torch tensor (differentiable) or anything numpy takes.
    Returns:
        The same shape and library; 0..1 for 0..1.
    Reference:
        IEC 61966-2-1:1999.
    """
    if isinstance(linear, Tensor):
        # The clamp keeps the unused branch of `where` from sending NaN into the gradient.
        curved = 1.055 * linear.clamp(min=LINEAR_LIMIT).pow(1 / 2.4) - 0.055
        return torch.where(linear <= LINEAR_LIMIT, 12.92 * linear, curved)
    x = np.asarray(linear)
    curved_array = 1.055 * np.maximum(x, LINEAR_LIMIT) ** (1 / 2.4) - 0.055
    return np.where(x <= LINEAR_LIMIT, 12.92 * x, curved_array).astype(_float_type(x))


@overload
def srgb_to_linear(encoded: Tensor) -> Tensor: ...
@overload
def srgb_to_linear(encoded: Any) -> np.ndarray: ...
def srgb_to_linear(encoded: Any) -> Any:
    """Decode sRGB values to linear light; the inverse of `linear_to_srgb`, also outside 0..1."""
    if isinstance(encoded, Tensor):
        curved = ((encoded.clamp(min=ENCODED_LIMIT) + 0.055) / 1.055).pow(2.4)
        return torch.where(encoded <= ENCODED_LIMIT, encoded / 12.92, curved)
    x = np.asarray(encoded)
    curved_array = ((np.maximum(x, ENCODED_LIMIT) + 0.055) / 1.055) ** 2.4
    return np.where(x <= ENCODED_LIMIT, x / 12.92, curved_array).astype(_float_type(x))


def display(linear: Any) -> Any:
    """Linear light as a screen shows it: sRGB values clipped to 0..1."""
    encoded = linear_to_srgb(linear)
    return encoded.clamp(0, 1) if isinstance(encoded, Tensor) else np.clip(encoded, 0, 1)


def mse(linear_a: Any, linear_b: Any, mask: Any = None) -> float:
    """Mean squared error of the displayed pictures, over the pixels where `mask` is set.

    Args:
        linear_a, linear_b: [..., H, W, 3] linear light, numpy or torch.
        mask: [..., H, W] weights, 0..1, or None for all pixels.
    Returns:
        The mean over pixels and channels; 0 if the mask is empty.
    """
    error = (_numpy(display(linear_a)).astype(np.float64) - _numpy(display(linear_b))) ** 2
    if mask is None:
        return float(error.mean())
    weight = _numpy(mask).astype(np.float64)
    return float((error.mean(-1) * weight).sum() / max(weight.sum(), 1e-12))


def psnr(linear_a: Any, linear_b: Any, mask: Any = None) -> float:
    """Peak signal-to-noise ratio in dB of the displayed pictures; arguments as in `mse`."""
    return mse_to_psnr(mse(linear_a, linear_b, mask))


def mse_to_psnr(error: float) -> float:
    """dB for a mean squared error of values in 0..1, at most MAX_PSNR."""
    return min(MAX_PSNR, -10.0 * float(np.log10(max(error, 1e-30))))


def _numpy(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)


def _float_type(x: np.ndarray) -> np.dtype:
    return x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)
