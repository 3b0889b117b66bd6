"""Volumes on a grid as tensors, which of their space is empty, and the rays of a camera."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn.functional import max_pool1d, pad

from studio.core.arrival import constant
from studio.core.errors import InputError, ShapeError
from studio.core.kernels.volume_ray import BRICK
from studio.core.ops import check
from studio.core.scene import Camera, Volume
from studio.core.scene.volume import SHIFT

_LEAST_DEPTH, _MOST_DEPTH = 3e-7, 100.0
"""Range of extinctions per base voxel that distances are turned to: from that of EMPTY on."""

_SHY = 3.0
"""Logistic scales by which densities made of distances begin further inside: rays past a surface are long
in its fog, and these are about what a bend of some tens of voxels asks for."""

_FARTHEST = 255
"""Bricks; what is farther from anything counts as this far."""


@dataclass(eq=False)
class Grid:
    """A Volume whose values are tensors: see studio/core/scene/volume.py for what they mean.

    Also a field like any other: `grid(points, directions)` computes in torch what `march` does in
    kernels.

    With a sharpness the values are distances d to a surface in base voxels, positive inside, and

        extinction = max(0, sharpness * Phi(sharpness * d) * change of d per unit of the way)

    where Phi(x) = 1 / (1 + exp(-x)) is the logistic distribution. A ray that comes as far as d has then
    1 - Phi(sharpness * d) left, so that half of it is gone at the surface, however it enters, and an outline
    lies where the distance is 0 (Wang et al. 2021, "NeuS", Eqs. 10 and 13). A sample stands for a section of
    the ray on which the distance grows evenly; its optical depth is the integral.

    Attributes:
        density: [X, Y, Z] float32; distances with a sharpness.
        colors: [X, Y, Z, K, 3] float32, K = 1, 4 or 9.
        low: the first grid point.
        voxel, base_voxel: world units.
        sharpness: [1] float32, positive, per base voxel; None for a volume of densities.
    """

    density: Tensor
    colors: Tensor
    low: tuple[float, float, float]
    voxel: float
    base_voxel: float
    sharpness: Tensor | None = None

    @classmethod
    def of(cls, volume: Volume, device: torch.device | str = "cpu") -> Grid:
        """The volume's values on a device; a copy."""
        volume.check(volume.name)
        x, y, z = (float(v) for v in volume.low)
        density, colors = (torch.tensor(values, device=device) for values in (volume.density, volume.colors))
        return cls(density, colors, (x, y, z), float(volume.voxel), volume.unit)

    def frozen(self, name: str = "volume", half: bool = False) -> Callable[[], Volume]:
        """The volume of these values as they are now, once it is called: until then on their device. Nobody
        waits before. Distances turn into densities that know no direction, and begin a little further
        inside, so that outlines stay where they are.

        Args:
            half: in half floats, which are enough to look at.
        """
        density, colors = (t.detach() for t in (self.density, self.colors))
        if self.sharpness is not None:
            depth = self.sharpness * torch.sigmoid(self.sharpness * density - _SHY)
            depth = depth.clamp(_LEAST_DEPTH, _MOST_DEPTH)
            density = SHIFT + depth + torch.log(-torch.expm1(-depth))
        kind = torch.float16 if half else torch.float32
        copies = [t.to(kind, copy=True) for t in (density, colors)]
        place = np.array(self.low), self.voxel, self.base_voxel

        def made() -> Volume:
            values, coefficients = (t.cpu().numpy() for t in copies)
            return Volume(values, coefficients, *place, name)

        return made

    @property
    def degree(self) -> int:
        """Of the spherical harmonics."""
        return math.isqrt(self.colors.shape[3]) - 1

    @property
    def box(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """(low, high) of the space it fills."""
        return self.low, tuple(a + self.voxel * (n - 1) for a, n in zip(self.low, self.density.shape))

    def check(self, op: str) -> None:
        """ShapeError or InputError if it cannot be rendered."""
        check.tensor(op, "density", self.density, ("X", "Y", "Z"))
        shape = tuple(self.density.shape)
        if min(shape) < 2 or math.prod(shape) >= 1 << 31:
            raise ShapeError(f"{op}: density must have 2 points or more each way, got {list(shape)}")
        check.tensor(op, "colors", self.colors, (*shape, "K", 3), like=self.density)
        if self.colors.shape[3] not in (1, 4, 9):
            raise ShapeError(f"{op}: colors must have 1, 4 or 9 coefficients, got {self.colors.shape[3]}")
        if self.colors.numel() >= 1 << 31:
            raise ShapeError(f"{op}: colors must have fewer than 2^31 numbers, got {self.colors.numel()}")
        if not (self.voxel > 0 and self.base_voxel > 0):
            raise InputError(f"{op}: voxel and base_voxel must be positive")
        if self.sharpness is not None:
            check.tensor(op, "sharpness", self.sharpness, (1,), like=self.density)

    def least_value(self, least_alpha: float, step: float) -> float:
        """The density value whose samples have an opacity of `least_alpha`; -inf for 0.

        Of distances: the one that a ray straight into the surface has there.
        """
        if self.sharpness is not None:
            return float(self.least_distance(least_alpha, step))
        depth = -math.log1p(-least_alpha) * self.base_voxel / step
        return SHIFT + depth + math.log(-math.expm1(-depth)) if depth > 0 else -math.inf

    def least_distance(self, least_alpha: float, step: float) -> Tensor:
        """[1] float64 `least_value` of distances, where the sharpness is."""
        assert self.sharpness is not None
        sharpness = self.sharpness.detach().double().reshape(1)
        share = -math.log1p(-least_alpha) * self.base_voxel / step / sharpness
        # The logarithm of a share that is not between 0 and 1 ends at one of the infinities.
        share = share.clamp(0.0, 1.0)
        return torch.log(share / (1 - share)) / sharpness

    def __call__(
        self, points: Tensor, directions: Tensor, section: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """([...] extinction per world unit, [..., 3] linear radiance) at points of the box.

        Args:
            section: length of ray around the points whose mean extinction it is, of distances; see above.
        """
        size = torch.tensor(self.density.shape, device=points.device)
        low = torch.tensor(self.low, dtype=points.dtype, device=points.device)
        place = (points - low) / self.voxel
        place = torch.minimum(place.clamp_min(0), (size - 1).to(place.dtype))
        cell = torch.minimum(place.detach().long(), size - 2)
        share = place - cell
        value = torch.zeros_like(share[..., 0])
        change, sums = value, value[..., None, None]
        for corner in np.ndindex(2, 2, 2):
            offset = torch.tensor(corner, device=points.device)
            sides = torch.where(offset == 1, share, 1 - share)
            weight = sides.prod(dim=-1)
            x, y, z = (cell + offset).unbind(-1)
            value = value + weight * self.density[x, y, z]
            sums = sums + weight[..., None, None] * self.colors[x, y, z]
            for axis in range(3 if self.sharpness is not None else 0):
                others = sides[..., (axis + 1) % 3] * sides[..., (axis + 2) % 3]
                along = (2 * corner[axis] - 1) * directions[..., axis] / self.voxel
                change = change + along * others * self.density[x, y, z]
        extinction = self._extinction(value, change, section)
        basis = harmonics(directions, self.colors.shape[3])
        return extinction, torch.sigmoid((basis[..., None] * sums).sum(dim=-2)).square()

    def _extinction(self, value: Tensor, change: Tensor, section: float | None) -> Tensor:
        """Per world unit, of interpolated values of any shape and their change per world unit along rays."""
        if self.sharpness is None:
            return torch.nn.functional.softplus(value - SHIFT) / self.base_voxel
        rising = change.clamp_min(0)
        if section is None:
            return self.sharpness * torch.sigmoid(self.sharpness * value) * rising
        far = 0.5 * section * rising
        ends = [
            torch.nn.functional.softplus(self.sharpness * (value + by), threshold=80) for by in (far, -far)
        ]
        return (ends[0] - ends[1]) / section


def harmonics(directions: Tensor, count: int) -> Tensor:
    """[..., count] the first 1, 4 or 9 real spherical harmonics of unit directions [..., 3]."""
    x, y, z = directions.unbind(-1)
    one = torch.ones_like(x)
    every = [0.28209479 * one, 0.48860251 * y, 0.48860251 * z, 0.48860251 * x]
    every += [1.09254843 * x * y, 1.09254843 * y * z, 0.31539157 * (3 * z * z - 1)]
    every += [1.09254843 * x * z, 0.54627422 * (x * x - y * y)]
    return torch.stack(every[:count], dim=-1)


@dataclass(eq=False)
class Occupancy:
    """Which bricks of BRICK^3 voxels of a box hold something, and how far it is to them.

    Attributes:
        free: [X, Y, Z] uint8: 0 where a brick holds something, else bricks to the nearest that does
            (Chebyshev distance).
        shape: grid points of the box it is for.
        low, voxel: of the same grid.
    """

    free: Tensor
    shape: tuple[int, int, int]
    low: tuple[float, float, float]
    voxel: float

    @classmethod
    def of(cls, grid: Grid, least_value: float) -> Occupancy:
        """Of the bricks in which some density value exceeds `least_value`."""
        return cls.where(grid.density.detach() > least_value, grid.low, grid.voxel)

    @classmethod
    def where(cls, filled: Tensor, low: tuple[float, float, float], voxel: float) -> Occupancy:
        """Of the bricks that touch a grid point of `filled`, [X, Y, Z] bool."""
        x, y, z = filled.shape
        held = bricks(filled).cpu().numpy()
        if held.any():
            far = ndimage.distance_transform_cdt(~held, metric="chessboard")
            free = np.minimum(far, _FARTHEST).astype(np.uint8)
        else:
            free = np.full(held.shape, _FARTHEST, np.uint8)
        return cls(torch.from_numpy(free).to(filled.device), (x, y, z), low, voxel)

    @property
    def share(self) -> float:
        """Of the bricks that hold something."""
        return float((self.free == 0).float().mean())

    def holds(self, points: Tensor) -> Tensor:
        """[...] bool: whether points [..., 3] lie in bricks that hold something."""
        low = constant(self.low, points.dtype, points.device)
        last = constant(self.shape, torch.int64, points.device) - 2
        cell = torch.minimum(((points - low) / self.voxel).long().clamp_min(0), last)
        x, y, z = (cell // BRICK).unbind(-1)
        return self.free[x, y, z] == 0


def bricks(filled: Tensor) -> Tensor:
    """[X, Y, Z] bool of grid points to bool of bricks: whether one of a brick's 5^3 points is set."""
    out = filled.float()
    for axis in range(3):
        out = out.movedim(axis, -1)
        size = out.shape[-1]
        padded = pad(out, (0, BRICK * ((size + 2) // BRICK) + 1 - size))
        out = max_pool1d(padded.flatten(0, 1)[:, None], BRICK + 1, BRICK)[:, 0]
        out = out.unflatten(0, padded.shape[:2]).movedim(-1, axis)
    return out > 0


def camera_rays(camera: Camera, view_to_world: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The rays through the centres of a camera's pixels.

    Args:
        view_to_world: [4, 4] float32, instead of the camera's own; it gets gradients.
    Returns:
        origins, directions: [H, W, 3] float32, row 0 at the bottom; directions are of unit length.
    """
    if view_to_world is None:
        view_to_world = torch.tensor(camera.view_to_world, dtype=torch.float32)
    device = view_to_world.device
    x = (torch.arange(camera.width, device=device) + 0.5 - camera.cx) / camera.fx
    y = (torch.arange(camera.height, device=device) + 0.5 - (camera.height - camera.cy)) / camera.fy
    y, x = torch.meshgrid(y, x, indexing="ij")
    inside = torch.stack([x, y, -torch.ones_like(x)], dim=-1)
    directions = torch.nn.functional.normalize(inside @ view_to_world[:3, :3].T, dim=-1)
    return view_to_world[:3, 3].expand_as(directions), directions
