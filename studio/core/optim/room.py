"""How many photos a step may have, before a GPU's memory says it the hard way."""

from __future__ import annotations

import torch

from studio.core.arrival import on_cuda

PIXEL, TEXEL_PIXEL = 900, 1500
"""Bytes that a step makes for each pixel of its photos, with attributes at vertices and with textures;
as if it gave none back before it ends (tests/unit/test_cuda_step.py adds them up)."""

VERTEX = 1500
"""The same for each vertex, and for each texel."""

SHARE = 0.9
"""Of the free memory: the rest is for what splits it."""


def needed(pixels: int, views: int, vertices: int, texels: int = 0) -> int:
    """Bytes of a step, at most.

    Args:
        pixels: of one photo.
    """
    each = TEXEL_PIXEL if texels else PIXEL
    return views * pixels * each + (vertices + texels) * VERTEX


def free_bytes(device: torch.device) -> int | None:
    """What a step can have: free on the card, and held by torch without being in use; None on CPU."""
    if not on_cuda(device):
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def views_that_fit(
    free: int | None, size: tuple[int, int], views: int, least: int, vertices: int, texels: int = 0
) -> tuple[int, str]:
    """Photos per step that fit into the memory that is free, and a line that says why fewer.

    Args:
        free: bytes, or None for no limit.
        size: (height, width) of a photo.
        views: wanted.
        least: what there must be, however little is free.
    Returns:
        (photos per step, "" if all of them fit).
    """
    pixels = size[0] * size[1]
    fitting = views
    while free is not None and fitting > least and needed(pixels, fitting, vertices, texels) > SHARE * free:
        fitting -= 1
    if fitting == views or free is None:
        return views, ""
    wanted = needed(pixels, views, vertices, texels) / 2**30
    count = f"{fitting} photo{'s' if fitting > 1 else ''}"
    return fitting, (
        f"{views} photos of {size[1]}x{size[0]} per step may take {wanted:.1f} GB, "
        f"{free / 2**30:.1f} GB of GPU memory are free: on with {count} per step"
    )
