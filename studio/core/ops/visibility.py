"""Visibility shared by the rasterizing operations: nearest triangle per pixel as sortable keys."""

from __future__ import annotations

import torch
from torch import Tensor

from studio.core.kernels import launcher
from studio.core.kernels import visibility as kernels


def project(pos: Tensor, height: int, width: int) -> Tensor:
    """[N, V, 4] clip space to pixels (x, y, z/w, ok); pixel centres at integers."""
    screen = torch.empty_like(pos)
    count = pos.shape[0] * pos.shape[1]
    launcher.launch(
        kernels.project,
        count,
        [launcher.BEGIN, pos.view(-1, 4), 0.5 * width, 0.5 * height, screen.view(-1, 4)],
        pos.device,
    )
    return screen


def run_length(device: torch.device, width: int) -> int:
    """Pixels a thread walks: a row on CPU (values stay in registers), one on CUDA."""
    return width if device.type == "cpu" else 1


def triangle_chunk(device: torch.device, count: int) -> int:
    """Triangles or edges a thread works through: all on CPU, where starting a thread's work
    costs as much as a tiny triangle; one on CUDA.
    """
    return max(1, count) if device.type == "cpu" else 1


def whole_mesh(images: int, tri: Tensor) -> Tensor:
    """[N, 2] ranges of instanced mode: every image shows all triangles."""
    return torch.tensor([[0, len(tri)]], dtype=torch.int32, device=tri.device).repeat(images, 1)


def visible(
    pos: Tensor, tri: Tensor, height: int, width: int, cull: bool, ranges: Tensor | None = None
) -> Tensor:
    """[N * H * W] int64 keys of the nearest triangle: depth above, triangle below.

    Args:
        ranges: [N, 2] int32 on the device of `pos`, first triangle and number of triangles per
            image, within `tri`; all triangles by default.
        pos: [N, V, 4], or [1, V, 4] for all images of `ranges`.
    """
    n = pos.shape[0] if ranges is None else len(ranges)
    device = pos.device
    keys = torch.empty(n * height * width, dtype=torch.int64, device=device)
    if len(tri) == 0 or pos.shape[1] == 0:
        return keys.fill_(kernels.EMPTY_KEY)
    screen = project(pos, height, width)
    chunk = triangle_chunk(device, len(tri))
    shared = launcher.arguments(
        kernels.cover,
        [
            *(0, 0, 0, chunk),
            *(pos, screen, tri),
            whole_mesh(n, tri) if ranges is None else ranges,
            *(width, height, int(cull), keys),
        ],
        device,
    )

    def cover_rows(band: launcher.Band) -> None:
        keys[band.begin * width : band.end * width].fill_(kernels.EMPTY_KEY)
        first = band.begin // height
        images = (band.end - 1) // height + 1 - first
        launcher.launch_in_band(
            kernels.cover, (images, -(-len(tri) // chunk)), [first, band.begin, band.end, *shared[3:]], device
        )

    launcher.run(device, n * height, cover_rows)
    return keys
