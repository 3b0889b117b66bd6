"""Which faces SoftRas has to look at in which tile of the picture."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from studio.core.errors import InputError
from studio.core.kernels import launcher
from studio.core.kernels import softras_faces as kernels
from studio.core.kernels.softras_faces import TILE
from studio.core.ops.visibility import triangle_chunk

MOST_LISTED = 1 << 30
"""Pairs of a face and a tile that it reaches; 8 bytes each, and counted in int32."""

NUMBERS = 8
PER_SHARPNESS = slice(6, 8)
"""Of a view's numbers: 1 / sigma, 1 / gamma."""

_USUAL_SIGMA = 1e-4
"""Where nobody knows sigma without waiting for it."""

_LAYERS = 4
"""Times that the faces of a mesh are expected to cover the picture: all of it, back, front and folds."""


class View(NamedTuple):
    """What holds for a whole batch of images.

    Attributes:
        hard: 1 for the nearest face's colour instead of a mean.
        cutoff: faces less probable than this at a pixel are left out.
        depths: [2] float64, z/w that count as normalised depth 1 and 0.
        sigma: if the host knows it.
    """

    width: int
    height: int
    hard: int
    cutoff: float
    depths: Tensor
    sigma: float | None

    @property
    def tiles(self) -> tuple[int, int]:
        """(down, across) an image."""
        return -(-self.height // TILE), -(-self.width // TILE)

    @property
    def lowest(self) -> float:
        """Logit of the cutoff."""
        return math.log(self.cutoff / (1.0 - self.cutoff))

    def numbers(self, sharpness: Tensor) -> Tensor:
        """[NUMBERS] as kernels read them; from [2] sigma and gamma, made on their device."""
        out = torch.empty(NUMBERS, device=sharpness.device)
        inputs = [self.lowest, sharpness.detach(), self.depths, out]
        launcher.launch(kernels.measure, 1, inputs, sharpness.device)
        return out


class Lists(NamedTuple):
    """Faces ready to draw, and which reach which tile.

    Tile i has listed[ends[i - 1] : ends[i]], if that ends within `listed`. On CUDA it may not: then the tile
    is drawn from all faces.
    """

    faces: Tensor
    bounds: Tensor
    ends: Tensor
    listed: Tensor
    owner: Tensor


def list_faces(pos: Tensor, tri: Tensor, view: View, numbers: Tensor) -> Lists:
    """Set the faces up and list them by tile."""
    device = pos.device
    n, count = len(pos), len(tri)
    down, across = view.tiles
    size = [view.width, view.height]
    faces = torch.empty(n * count, 4, 4, device=device)
    bounds = torch.empty(n * count, 4, dtype=torch.int32, device=device)
    inputs = [launcher.BEGIN, pos, tri, *size, numbers, faces, bounds]
    launcher.launch(kernels.set_up, n * count, inputs, device)
    chunk = triangle_chunk(device, count)
    head = [launcher.BEGIN, chunk, count, *size, bounds]
    dim = (n * down, -(-count // chunk))
    cursor = torch.zeros(n * down * across, dtype=torch.int32, device=device)
    launcher.launch(kernels.list_faces, dim, [*head, cursor, 0, cursor, cursor], device)
    ends = torch.cumsum(cursor, 0, dtype=torch.int64)
    room = _found(ends) if counted(device) else expected(n, count, view)
    cursor = (ends - cursor).clamp_(max=room + 1).int()
    ends = ends.clamp_(max=room + 1).int()
    listed = torch.empty(room, dtype=torch.int32, device=device)
    owner = torch.empty_like(listed)
    launcher.launch(kernels.list_faces, dim, [*head, cursor, 1, listed, owner], device)
    return Lists(faces, bounds, ends, listed, owner)


def counted(device: torch.device) -> bool:
    """Whether lists get exactly the memory that they need: on a GPU, to ask for their length is to wait."""
    return device.type == "cpu"


def _found(ends: Tensor) -> int:
    total = int(ends[-1])
    if total > MOST_LISTED:
        raise InputError(
            f"softras: faces reach {total} tiles in all, expected at most {MOST_LISTED}; "
            "lower sigma, the resolution or the number of images"
        )
    return total


def expected(n: int, count: int, view: View) -> int:
    """Pairs of faces and tiles that there is to be room for, where their number is not known in time.

    Faces of one size that cover the picture _LAYERS times, each with its blur around it.
    """
    sigma = _USUAL_SIGMA if view.sigma is None else view.sigma
    reach = 0.5 * max(view.width, view.height) * math.sqrt(-view.lowest * sigma)
    down, across = view.tiles
    side = math.sqrt(2.0 * _LAYERS * view.width * view.height / count)
    reached = math.prod(min(tiles, (side + 2.0 * reach) / TILE + 1.0) for tiles in (down, across))
    return max(1, min(MOST_LISTED, math.ceil(n * count * reached)))
