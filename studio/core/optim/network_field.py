"""A network as a field: positions in a hash table of several grids, a small perceptron behind it."""

from __future__ import annotations

import math
from itertools import product

import torch
from torch import Tensor, nn

from studio.core.ops.grid import harmonics

_PRIMES = (1, 2_654_435_761, 805_459_861)
"""Of the hash; Müller et al. 2022, Eq. 4."""

_DEPTH_AT_FIRST = 0.1
"""Optical depth of a step where the network says nothing yet: fog through which gradients reach."""

_FEATURES = 15
"""Numbers that the density's perceptron hands to the colour's, as in the paper."""


class HashEncoding(nn.Module):
    """Features of points, interpolated from tables that grids of growing resolution look up.

    Args:
        levels: grids.
        features: numbers of a table's entry.
        entries: of each table, a power of 2; grids of fewer points have no collisions.
        coarsest, finest: voxels along the box.
    Reference:
        Müller et al. 2022, "Instant Neural Graphics Primitives with a Multiresolution Hash Encoding",
        Eqs. 1 to 4.
    """

    corners: Tensor

    def __init__(
        self,
        levels: int = 8,
        features: int = 2,
        entries: int = 1 << 15,
        coarsest: int = 12,
        finest: int = 128,
    ) -> None:
        super().__init__()
        growth = (finest / coarsest) ** (1 / max(1, levels - 1))
        self.voxels = [round(coarsest * growth**level) for level in range(levels)]
        self.entries, self.size = entries, levels * features
        self.tables = nn.Parameter(1e-4 * (2 * torch.rand(levels, entries, features) - 1))
        corners = torch.tensor(list(product((0, 1), repeat=3)))
        self.register_buffer("corners", corners, persistent=False)

    def forward(self, points: Tensor) -> Tensor:
        """[P, levels * features] at points [P, 3] in 0..1. Gradients: to the tables, not to the points."""
        found = []
        for table, voxels in zip(self.tables, self.voxels):
            place = points.detach().clamp(0, 1) * voxels
            cell = place.long().clamp_max(voxels - 1)
            share = (place - cell)[:, None]
            weight = torch.where(self.corners == 1, share, 1 - share).prod(dim=2)
            entries = torch.nn.functional.embedding(self._entry(cell[:, None] + self.corners, voxels), table)
            found.append((weight[..., None] * entries).sum(dim=1))
        return torch.cat(found, dim=1)

    def _entry(self, node: Tensor, voxels: int) -> Tensor:
        """[...] entries of grid points [..., 3]: their own where the table is large enough, else hashed."""
        x, y, z = node.unbind(dim=-1)
        if (voxels + 1) ** 3 <= self.entries:
            return (x * (voxels + 1) + y) * (voxels + 1) + z
        mixed = (x * _PRIMES[0]) ^ (y * _PRIMES[1]) ^ (z * _PRIMES[2])
        return mixed & (self.entries - 1)


class NetworkField(nn.Module):
    """Density and colour of a box by a hash encoding and two small perceptrons; a field for `march`.

    Args:
        low, high: the box.
        step: of the march, world units; sets the unit of the density.
        width: of the hidden layers.
        seed: of the first values.
    """

    low: Tensor
    high: Tensor

    def __init__(
        self, low: tuple[float, ...], high: tuple[float, ...], step: float, width: int = 32, seed: int = 0
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoding = HashEncoding()
            self.body = nn.Sequential(
                nn.Linear(self.encoding.size, width), nn.ReLU(), nn.Linear(width, 1 + _FEATURES)
            )
            self.color = nn.Sequential(nn.Linear(_FEATURES + 9, width), nn.ReLU(), nn.Linear(width, 3))
        self.register_buffer("low", torch.tensor(low, dtype=torch.float32))
        self.register_buffer("high", torch.tensor(high, dtype=torch.float32))
        self.step = step

    def forward(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """([P] extinction per world unit, [P, 3] linear radiance) at points [P, 3], seen along [P, 3]."""
        depth, features = self.looked_up(points)
        return depth / self.step, self.radiance(features, directions)

    def looked_up(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """([P] optical depth of a step, [P, F] what colours are made of) at points [P, 3]."""
        features = self.body(self.encoding((points - self.low) / (self.high - self.low).max()))
        depth = torch.nn.functional.softplus(features[:, 0] + math.log(math.expm1(_DEPTH_AT_FIRST)))
        return depth, features[:, 1:]

    def radiance(self, features: Tensor, directions: Tensor) -> Tensor:
        """[P, 3] linear, of what was looked up, seen along [P, 3]."""
        seen = torch.cat([features, harmonics(directions, 9)], dim=1)
        return torch.sigmoid(self.color(seen)).square()
