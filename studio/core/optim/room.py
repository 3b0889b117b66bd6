"""How many photos a step may have, before a GPU's memory says it the hard way."""

from __future__ import annotations

import torch

from studio.core.arrival import on_cuda

PIXEL, TEXTURED_PIXEL, SSIM_PIXEL = 400, 1400, 1600
"""Bytes that a step makes for each pixel of its photos, with attributes at vertices and with textures, and
what SSIM adds; as if nothing were given back before the step ends. tests/unit/test_cuda_step.py adds up what
is made: 282, 1061 and 1484 bytes."""

VERTEX, TEXEL, LEAST = 4000, 1300, 1 << 25
"""The same for each vertex and texel, and anyhow (maps of the sky): 3251, 982 and 2e7 bytes were made."""

SHARE = 0.9
"""Of the free memory: the rest is for what splits it."""


def needed(pixels: int, views: int, vertices: int, texels: int = 0, ssim: bool = False) -> int:
    """Bytes of a step, at most.

    Args:
        pixels: of one photo.
        ssim: it is among the losses.
    """
    each = (TEXTURED_PIXEL if texels else PIXEL) + SSIM_PIXEL * ssim
    return views * pixels * each + vertices * VERTEX + texels * TEXEL + LEAST


def free_bytes(device: torch.device) -> int | None:
    """What a step can have: free on the card, and held by torch without being in use; None on CPU."""
    if not on_cuda(device):
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def views_that_fit(
    free: int | None,
    size: tuple[int, int],
    views: int,
    least: int,
    vertices: int,
    texels: int = 0,
    ssim: bool = False,
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

    def takes(count: int) -> int:
        return needed(size[0] * size[1], count, vertices, texels, ssim)

    fitting = views
    while free is not None and fitting > least and takes(fitting) > SHARE * free:
        fitting -= 1
    if fitting == views or free is None:
        return views, ""
    count = f"{fitting} photo{'s' if fitting > 1 else ''}"
    return fitting, (
        f"{views} photos of {size[1]}x{size[0]} per step may take {takes(views) / 2**30:.1f} GB, "
        f"{free / 2**30:.1f} GB of GPU memory are free: on with {count} per step"
    )
