"""The environment as a small map whose texels move, in the logarithm of their radiance.

Harmonics have no edges: a window or a lamp needs a map. It is equirectangular and small, since the
photos of one object say little more; looked up bilinearly and prefiltered it becomes what the
environment effect makes of the picture, so a fit sees the light that the window shows.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor

from studio.core.io.files import write_bytes
from studio.core.io.radiance import encode
from studio.core.ops.prefilter import SOFT_CLAMP, Multiply, Rows, filtered
from studio.core.scene.environment import (
    OCTAHEDRAL_SIZE,
    equirect_directions,
    octahedral_directions,
    sh_basis,
)

SIZE = (32, 64)
"""Texels up and around: 5.6 degrees. Half as many cost polished metal .4 dB of held-out photos."""

_SHOWN = (128, 256)
"""Size of the picture for scene and file, large enough to hold the bilinear slopes."""

_DARKEST = 1e-4


def from_harmonics(sh: Tensor) -> Tensor:
    """[H, W, 3] logarithms of the radiance of [K, 3] harmonics, which may not fall below a floor."""
    basis = torch.tensor(sh_basis(equirect_directions(*SIZE)), dtype=sh.dtype, device=sh.device)
    radiance = basis[..., : len(sh)] @ sh.detach()
    floor = SOFT_CLAMP * radiance.mean(dim=(0, 1)).clamp_min(_DARKEST)
    return torch.log(torch.maximum(radiance, floor))


def levels(sky: Tensor) -> Tensor:
    """[T, 3] the map as the environment effect looks it up: octahedral, and prefiltered.

    As if `prefilter` had been given the bilinear octahedral map, but at once: a map of few texels
    is spread over all levels by one sparse matrix.

    Gradients: to sky.
    """
    forth, back = _spread(sky.device)
    out: Tensor = Multiply.apply(sky.exp().view(-1, 3), forth, back)
    return out


@torch.no_grad()
def radiance(sky: Tensor, directions: Tensor) -> Tensor:
    """[A, B, 3] radiance from [A, B, 3] unit directions."""
    return _looked_up(sky, _grid(directions))


@torch.no_grad()
def picture(sky: Tensor, world_to_output: np.ndarray | None = None) -> np.ndarray:
    """[128, 256, 3] float32 equirectangular radiance, as scene.environment has it.

    Args:
        world_to_output: [3, 3] rotation of the picture's directions.
    """
    directions = equirect_directions(*_SHOWN)
    if world_to_output is not None:
        directions = directions @ world_to_output
    grid = _grid(torch.tensor(directions, dtype=torch.float32, device=sky.device))
    out: np.ndarray = _looked_up(sky, grid).cpu().numpy()
    return out


def save_sky(path: Path | str, sky: Tensor, world_to_output: np.ndarray | None = None) -> None:
    """Write a map as a Radiance picture; see `picture` and write_bytes for arguments and errors."""
    write_bytes(path, encode(picture(sky, world_to_output)[::-1]))


def white(sky: Tensor) -> Tensor:
    """Squared departure of the mean radiance from grey, of its brightness. Gradients: to sky.

    Of the mean alone: light and base colour can trade one tint, which this settles. A pull on
    every texel would take the colour from windows and give it to the paint that they light.
    """
    mean = (sky.exp() * _shares(len(sky), sky.device)[:, None, None]).sum(dim=(0, 1))
    grey = mean.mean()
    return (mean - grey).square().sum() / grey.square().clamp_min(1e-12)


def curvature(sky: Tensor) -> Tensor:
    """Mean squared second difference of the logarithms, weighted by area. Gradients: to sky.

    Slopes are free: a sky that is bright above and dark below costs nothing, where first
    differences flatten it and their absolute values make it blocks. Columns close over the poles.
    """
    forth, back = _bends(*sky.shape[:2], sky.device)
    return Multiply.apply(sky.reshape(-1, 3), forth, back).square().sum()


@cache
def _shares(height: int, device: torch.device) -> Tensor:
    """[H] share of a texel of each row in the sphere; W = 2 H of each add up to 1."""
    edges = np.sin(np.linspace(-0.5, 0.5, height + 1) * math.pi)
    return torch.tensor(np.diff(edges) / (4 * height), dtype=torch.float32, device=device)


@cache
def _bends(height: int, width: int, device: torch.device) -> tuple[Rows, Rows]:
    """The matrix of second differences around and up, by the roots of their weights, and its transpose."""
    texels = np.arange(height * width).reshape(height, width)
    beyond = (texels[:1], texels[-1:])
    tall = np.concatenate([np.roll(beyond[0], width // 2), texels, np.roll(beyond[1], width // 2)])
    pairs = ((np.roll(texels, 1, axis=1), np.roll(texels, -1, axis=1)), (tall[2:], tall[:-2]))
    columns = np.stack([np.stack([texels, *pair], axis=-1) for pair in pairs])
    share = _shares(height, torch.device("cpu")).double().numpy() / 3
    weights = np.sqrt(share)[:, None, None] * np.array([2.0, -1.0, -1.0])
    entries = (
        np.broadcast_to(weights, columns.shape).ravel(),
        columns.ravel(),
        np.arange(columns.size + 1)[::3],
    )
    matrix = csr_matrix(entries, shape=(2 * texels.size, texels.size))
    return Rows.of(matrix, device), Rows.of(matrix.T, device)


def _looked_up(sky: Tensor, grid: Tensor) -> Tensor:
    """[..., 3] bilinear radiance at a grid of `_grid`; the map closes around."""
    radiance = sky.exp()
    closed = torch.cat([radiance[:, -1:], radiance, radiance[:, :1]], dim=1).permute(2, 0, 1)
    found = F.grid_sample(closed[None], grid[None], padding_mode="border", align_corners=False)
    return found[0].permute(1, 2, 0)


def _grid(directions: Tensor) -> Tensor:
    """[..., 2] places of [..., 3] unit directions in a map with one more column on either side."""
    x, y, z = directions.unbind(dim=-1)
    around = torch.atan2(x, -z) / math.pi * (SIZE[1] / (SIZE[1] + 2))
    up = torch.asin(y.clamp(-1, 1)) / (0.5 * math.pi)
    return torch.stack([around, up], dim=-1)


@cache
def _spread(device: torch.device) -> tuple[Rows, Rows]:
    """The matrix of `levels`, and its transpose."""
    height, width = SIZE
    directions = octahedral_directions(OCTAHEDRAL_SIZE).reshape(-1, 3)
    grid = _grid(torch.tensor(directions)).numpy()
    # As grid_sample finds its texels, in the map with one more column on either side.
    x = 0.5 * ((grid[:, 0] + 1) * (width + 2) - 1)
    y = np.clip(0.5 * ((grid[:, 1] + 1) * height - 1), 0, height - 1)
    left, low = np.floor(x).astype(int), np.minimum(np.floor(y).astype(int), height - 2)
    rows, columns, weights = [], [], []
    for i in range(2):
        for j in range(2):
            rows.append(np.arange(len(grid)))
            columns.append((low + i) * width + (left + j - 1) % width)
            weights.append(np.abs(1 - i - (y - low)) * np.abs(1 - j - (x - left)))
    entries = (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns)))
    matrix = filtered(csr_matrix(entries, shape=(len(grid), height * width)))
    return Rows.of(matrix, device), Rows.of(matrix.T, device)
