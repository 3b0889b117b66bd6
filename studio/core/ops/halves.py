"""Half-size pictures of an effect: every second pixel, and back to full size along surfaces."""

from __future__ import annotations

import torch
from torch import Tensor

DEPTH_SCALE = 0.02
"""Relative difference in depth at which a neighbour counts half."""
NORMAL_FLOOR = 0.01
"""Weight of a neighbour whose normal points elsewhere, so that some weight is always left."""


def take_half(image: Tensor) -> Tensor:
    """[N, ceil(H / 2), ceil(W / 2), C] of [N, H, W, C]: half pixel (i, j) is pixel (2 i, 2 j)."""
    return image[:, ::2, ::2]


def spread(low: Tensor, soft_depth: Tensor, normal: Tensor) -> Tensor:
    """A half-size picture at full size, from neighbours that lie on the same surface.

    Pixels that the half-size picture has keep their value. Those between are means of two or four
    neighbours i, weighted by

        (NORMAL_FLOOR + max(0, n . n_i)^4) / (1 + ((z_i - z) / (DEPTH_SCALE z))^2)

    Args:
        low: [N, ceil(H / 2), ceil(W / 2), C].
        soft_depth: [N, H, W, 1], positive everywhere.
        normal: [N, H, W, 3] unit, 0 where nothing is.
    Returns:
        [N, H, W, C].
    Gradients:
        To: all three.
    Reference:
        Kopf et al. 2007, "Joint Bilateral Upsampling".
    """
    height, width = soft_depth.shape[1:3]
    total = weights = torch.zeros_like(soft_depth)
    rows = torch.arange(height, device=low.device)
    columns = torch.arange(width, device=low.device)
    for right in (0, 1):
        for up in (0, 1):
            i, j = rows // 2 + up, columns // 2 + right
            # The second neighbour counts for odd pixels only, and where there is one.
            inside = ((up == 0) | ((rows & 1 == 1) & (i < low.shape[1])))[:, None]
            inside = inside & ((right == 0) | ((columns & 1 == 1) & (j < low.shape[2])))
            i, j = i.clamp(max=low.shape[1] - 1)[:, None], j.clamp(max=low.shape[2] - 1)
            z, n = take_half(soft_depth)[:, i, j], take_half(normal)[:, i, j]
            near = 1.0 / (1.0 + ((z - soft_depth) / (DEPTH_SCALE * soft_depth)) ** 2)
            same = NORMAL_FLOOR + (n * normal).sum(dim=3, keepdim=True).clamp(min=0.0) ** 4
            weight = inside[..., None] * near * same
            total = total + weight * low[:, i, j]
            weights = weights + weight
    return total / weights
