"""A volume that emits and absorbs: density and colour on a grid of points in world space.

Each grid point holds numbers that are interpolated trilinearly *before* they are turned into density
and colour, so that a surface can lie anywhere between two points (Sun et al. 2022, "Direct Voxel Grid
Optimization", section 4.1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from studio.core.errors import InputError
from studio.core.scene.environment import sh_basis
from studio.core.scene.similarity import Similarity

SHIFT = 5.0
"""Subtracted from a density value before softplus: 0 is nearly empty, 0.0067 per base voxel."""

EMPTY = -10.0
"""Density value of points known to be empty: 3e-7 per base voxel, gone beside any other value."""

MAX_DEGREE = 2
"""Highest band of the colours' spherical harmonics."""


@dataclass(eq=False)
class Volume:
    """Density and view-dependent colour on a grid of cubic voxels, in world space.

    Values stand at the *corners* of voxels: index (i, j, k) is the point low + voxel * (i, j, k), axes
    x, y, z. The grid spans the box from `low` to `high`; outside of it is nothing.

    At any point, with values interpolated trilinearly from the eight around it:

        extinction = softplus(density - SHIFT) / base_voxel                   [1 / world unit]
        radiance   = sigmoid(sum_k colors[k] * Y_k(direction)) ** 2           linear RGB

    Light along a ray is the integral of radiance * extinction * transmittance. `direction` is that
    in which the ray runs, from the eye on. Squaring makes steps of a value look about equally large in
    dark and bright colours, as sRGB does.

    Attributes:
        density: [X, Y, Z] float32, at least 2 each way.
        colors: [X, Y, Z, K, 3] float32 coefficients of real spherical harmonics, ordered as in
            Lighting.sh; K = 1, 4 or 9 for degree 0, 1, 2.
        low: [3] float64, the first grid point.
        voxel: distance of neighbouring grid points, world units.
        base_voxel: the length that `density` counts in, world units; it stays when a volume is
            resampled, and so do the values. None means `voxel`.
        name: what the user sees.
        world_to_input: leads to the coordinates of the files that the volume was made from.
    """

    density: np.ndarray = field(repr=False)
    colors: np.ndarray = field(repr=False)
    low: np.ndarray
    voxel: float
    base_voxel: float | None = None
    name: str = "volume"
    world_to_input: Similarity = field(default_factory=Similarity, repr=False)

    def __post_init__(self) -> None:
        self.low = np.asarray(self.low, np.float64)
        self.base_voxel = self.unit

    @property
    def unit(self) -> float:
        """The length that `density` counts in, world units."""
        return float(self.voxel if self.base_voxel is None else self.base_voxel)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Grid points along x, y, z."""
        x, y, z = self.density.shape
        return x, y, z

    @property
    def high(self) -> np.ndarray:
        """[3] float64, the last grid point."""
        return self.low + self.voxel * (np.array(self.shape) - 1)

    @property
    def degree(self) -> int:
        """Highest band of the colours' spherical harmonics: 0, 1 or 2."""
        return math.isqrt(self.colors.shape[3]) - 1

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(low, high), each [3]."""
        return self.low, self.high

    def optical_density(self) -> np.ndarray:
        """[X, Y, Z] float32 extinction at the grid points, per world unit.

        Times `voxel` it is the optical depth of a voxel. Between grid points interpolate `density`
        instead, and apply `extinction_of`: interpolated extinction is another, blurred volume.
        """
        return self.extinction_of(self.density)

    def extinction_of(self, value: np.ndarray) -> np.ndarray:
        """Extinction per world unit of density values of any shape; float32."""
        return np.asarray(np.logaddexp(0.0, np.asarray(value, np.float64) - SHIFT) / self.unit, np.float32)

    def value_of(self, extinction: float) -> float:
        """The density value of an extinction per world unit: the inverse of `extinction_of`."""
        depth = float(extinction) * self.unit
        if not depth > 0:
            raise InputError(f"volume: extinction must be positive, got {extinction:g}")
        return SHIFT + depth + math.log(-math.expm1(-depth))

    def points(self) -> np.ndarray:
        """[X, Y, Z, 3] float64 positions of the grid points in the world."""
        return self.low + self.voxel * np.moveaxis(np.indices(self.shape), 0, -1)

    def sample(self, points: np.ndarray, directions: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
        """What there is at points of the world.

        Args:
            points: [..., 3].
            directions: [..., 3] unit, in which rays run through them; None gives the colours' mean
                over all directions before they are squashed.
        Returns:
            extinction: [...] float32 per world unit, 0 outside the box.
            radiance: [..., 3] float32 linear RGB, that of the nearest point of the box outside.
        """
        points = np.asarray(points, np.float64)
        place = (points - self.low) / self.voxel
        last = np.array(self.shape) - 1
        inside = ((place >= 0) & (place <= last)).all(axis=-1)
        place = np.clip(place, 0, last)
        cell = np.minimum(place.astype(np.int64), last - 1)
        share = place - cell
        if directions is None:
            basis = np.zeros((1, self.colors.shape[3]))
            basis[0, 0] = sh_basis(np.array([0.0, 0.0, 1.0]), 1)[0]
        else:
            basis = sh_basis(np.asarray(directions, np.float64), self.degree + 1)
        value, color = np.zeros(points.shape[:-1]), np.zeros(points.shape)
        for corner in np.ndindex(2, 2, 2):
            weight = np.where(corner, share, 1 - share).prod(axis=-1)
            index = tuple(np.moveaxis(cell + corner, -1, 0))
            value += weight * self.density[index]
            color += weight[..., None] * (self.colors[index] * basis[..., None]).sum(axis=-2)
        extinction = np.where(inside, self.extinction_of(value), np.float32(0))
        return extinction, (_sigmoid(color) ** 2).astype(np.float32)

    def check(self, where: str) -> None:
        """InputError if the volume cannot be rendered; the line starts with `where`."""
        if self.density.ndim != 3 or min(self.density.shape, default=0) < 2:
            raise InputError(
                f"{where}: density has shape {list(self.density.shape)}, expected [X, Y, Z] of at least 2"
            )
        counts = [(band + 1) ** 2 for band in range(MAX_DEGREE + 1)]
        expected = [(*self.density.shape, count, 3) for count in counts]
        if self.colors.shape not in expected:
            raise InputError(
                f"{where}: colors has shape {list(self.colors.shape)}, "
                f"expected {list(self.density.shape)} followed by 1, 4 or 9 coefficients of 3"
            )
        if self.low.shape != (3,) or not np.isfinite(self.low).all():
            raise InputError(f"{where}: low is {self.low.tolist()}, expected three numbers")
        for name, length in (("voxel", self.voxel), ("base_voxel", self.unit)):
            if not (math.isfinite(length) and length > 0):
                raise InputError(f"{where}: {name} is {length:g}, expected a positive length")
        for name, values in (("density", self.density), ("colors", self.colors)):
            if values.dtype != np.float32:
                raise InputError(f"{where}: {name} is of type {values.dtype}, expected float32")
            if not np.isfinite(values).all():
                raise InputError(f"{where}: {name} has values that are NaN or infinite, expected numbers")


def _sigmoid(value: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-np.logaddexp(0.0, -value)))
