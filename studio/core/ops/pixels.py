"""Images as lists of pixels, as kernels over single pixels take them."""

from __future__ import annotations

import torch
from torch import Tensor

_CUDA_RUN = 32
"""Pixels a CUDA thread walks before it adds what it has summed up over them."""


def runs(pixels: int, width: int, device: torch.device, sums: bool = True) -> tuple[int, int]:
    """(number of runs, pixels in each): rows on CPU; on CUDA short runs, or without `sums` over
    them single pixels."""
    run = width if device.type == "cpu" else _CUDA_RUN if sums else 1
    return (pixels + run - 1) // run, run


def flat(image: Tensor) -> Tensor:
    """[N, H, W, C] as [P, C] or [P], without a copy where the strides allow.

    Channels of a frame are views of one packed image: kernels must go by the strides.
    """
    if image.stride(-1) != 1:  # e.g. the gradient of a plain sum, one number for all pixels
        image = image.contiguous()
    out = image.reshape(-1, image.shape[-1])
    return out[:, 0] if out.shape[1] == 1 else out
