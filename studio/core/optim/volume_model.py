"""A volume that is being fitted: its values, their moments, and what one step does to them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from mmap import mmap
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.functional import max_pool1d

from studio.core.kernels import launcher, volume_smooth, volume_train
from studio.core.kernels.bands import Band
from studio.core.kernels.volume_smooth import CHUNK
from studio.core.kernels.volume_train import ENTRY, MOST
from studio.core.ops import Grid, Occupancy
from studio.core.ops.march import frame_of
from studio.core.scene.volume import EMPTY

_COPIES_BYTES = 1 << 30
"""Bands write into gradients of their own; with many cores only as many take part as fit in this."""

_LINES = 16384
"""Rays that are followed at once on CUDA."""

_AT_ONCE = 1 << 16
"""Grid points that are resampled at once."""

LEAST_ALPHA = 1e-4
LEAST_TRANSMITTANCE = 1e-3
"""Limits while training: they change gradients by up to a few per cent, of samples that hardly count."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Rays of one step.

    Attributes:
        pixels: [R] int32 into the photos' pixels, one photo after the other.
        jitters: [R] 0..1, where in its steps a ray is sampled.
        shades: [R] linear grey behind volume and photo.
    """

    pixels: Tensor
    jitters: Tensor
    shades: Tensor


@dataclass(frozen=True, eq=False)
class RayTargets:
    """Photos as `train` reads them.

    Attributes:
        cameras: [N, 16], see kernels/volume_train.py.
        colors: [N * H * W, 4] linear colour times coverage, coverage; coverage -1 says nothing.
        height, width: of all photos.
    """

    cameras: Tensor
    colors: Tensor
    height: int
    width: int


class VolumeModel:
    """Values on a grid with Adam's moments, gradients per band, and what is known to be empty.

    It begins as nothing: densities are EMPTY, colours 0.

    Args:
        alive: [X, Y, Z] bool, grid points that may hold something; the others stay empty.
        degree: of the colours' harmonics.
        low, voxel, base_voxel, sharpness: as of a Grid.
    Attributes:
        grid: the values, moved in place.
        occupancy: of the bricks that touch living points.
    """

    def __init__(
        self,
        alive: Tensor,
        degree: int,
        low: tuple[float, float, float],
        voxel: float,
        base_voxel: float,
        sharpness: Tensor | None = None,
    ) -> None:
        self.device = alive.device
        self.step_length = 0.5 * voxel
        numbers = 3 * (degree + 1) ** 2
        chunks = -(-alive.numel() // CHUNK)
        nodes = chunks * CHUNK  # whole runs of grid points, for kernels that move runs
        self._density, self._colors = self._untouched(nodes), self._untouched(nodes * numbers)
        density = self._density[: alive.numel()].view(alive.shape)
        colors = self._colors[: alive.numel() * numbers].view(*alive.shape, -1, 3)
        self.grid = Grid(density, colors, low, voxel, base_voxel, sharpness)
        # The launcher's bands, whatever the number of rays, and no more of them than copies fit.
        fitting = max(1, _COPIES_BYTES // (4 * nodes * (1 + numbers)))
        self._bands = min(fitting, 63, len(launcher.bands(self.device, 1 << 20)))
        self._train, self._even = (
            m.kernels(degree, sharpness is not None) for m in (volume_train, volume_smooth)
        )
        self._to_density, self._to_colors = (self._untouched(self._bands, nodes * n) for n in (1, numbers))
        self._density_moments, self._color_moments = (self._untouched(2 * nodes * n) for n in (1, numbers))
        self._marks = torch.zeros(self._bands, chunks, dtype=torch.uint8, device=self.device)
        lines = 1 if self.device.type == "cpu" else _LINES
        self._lines = self._untouched(self._bands, lines, MOST * ENTRY)
        self._smoothed = False
        self.keep(alive)

    def _untouched(self, *shape: int) -> Tensor:
        """Zeros, on a CPU in pages that take memory only once written to: most of space is empty."""
        if self.device.type == "cpu":
            return torch.frombuffer(mmap(-1, 4 * math.prod(shape)), dtype=torch.float32).view(shape)
        return torch.zeros(shape, device=self.device)

    def keep(self, alive: Tensor) -> None:
        """Empty all grid points but these, and leap over what is empty from now on."""
        self.grid.density[~alive] = EMPTY
        self._occupy(alive)

    def _occupy(self, alive: Tensor) -> None:
        self.alive = alive
        self.occupancy = Occupancy.where(alive, self.grid.low, self.grid.voxel)

    def prune(self, least_alpha: float) -> None:
        """Give up grid points around which no opacity, per step, is above `least_alpha`."""
        value = self.grid.least_value(least_alpha, self.step_length)
        self.keep(dilated(self.grid.density > value))

    def resampled(self, voxel: float) -> Self:
        """The same volume with another voxel size; space given up before stays so. Uses this one up."""
        old = self.grid
        del self._to_density, self._to_colors, self._density_moments, self._color_moments
        ratio = voxel / old.voxel
        sides = [torch.arange(_points(n, ratio), device=self.device) * ratio for n in self.alive.shape]
        near = [side.round().long().clamp_max(n - 1) for side, n in zip(sides, self.alive.shape)]
        alive = dilated(self.alive)[near[0]][:, near[1]][:, :, near[2]]
        new = type(self)(alive, old.degree, old.low, voxel, old.base_voxel, old.sharpness)
        distances = old.sharpness is not None  # which are known everywhere
        for part in (torch.ones_like(alive) if distances else alive).nonzero().split(_AT_ONCE):
            x, y, z = part.unbind(-1)
            new.grid.density[x, y, z] = _interpolated(old.density, part * ratio)
        for part in alive.nonzero().split(_AT_ONCE):
            x, y, z = part.unbind(-1)
            new.grid.colors[x, y, z] = _interpolated(old.colors, part * ratio)
        return new

    # For checkpoints

    def state(self) -> dict[str, Any]:
        """All that `of_state` needs; it refers to the values, which go on moving."""
        parts = (self._colors, self._color_moments, self._density_moments)
        used = torch.zeros(self._marks.shape[1], dtype=torch.bool, device=self.device)
        for part in parts:
            used |= self._in_chunks(part).any(dim=2).any(dim=0)
        grid = self.grid
        return {
            "degree": grid.degree,
            "place": (*grid.low, grid.voxel, grid.base_voxel),
            "sharpness": grid.sharpness,
            "alive": self.alive,
            "density": grid.density,
            "used": used,
            "rest": [self._in_chunks(part)[:, used] for part in parts],
        }

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> Self:
        """The model that gave a state."""
        x, y, z, voxel, base = state["place"]
        model = cls(state["alive"], state["degree"], (x, y, z), voxel, base, state["sharpness"])
        model.grid.density.copy_(state["density"])
        for part, values in zip((model._colors, model._color_moments, model._density_moments), state["rest"]):
            model._in_chunks(part)[:, state["used"]] = values
        return model

    def _in_chunks(self, part: Tensor) -> Tensor:
        """[1 or 2, chunks, numbers of one] of values or moments."""
        several = 2 if part is self._color_moments or part is self._density_moments else 1
        return part.view(several, self._marks.shape[1], -1)

    def gradients(self, batch: Batch, targets: RayTargets) -> Tensor:
        """Compare rays with their pixels and add the loss's gradient to the bands' copies.

        The loss is the mean squared difference of sRGB values.

        Returns:
            [R] the sum of each ray's three squared differences, -1 where the photo says nothing.
        """
        errors = batch.jitters.new_empty(len(batch.pixels))
        free, grid = self.occupancy.free.view(-1), self.grid
        frame = frame_of(grid, self.step_length, LEAST_ALPHA, LEAST_TRANSMITTANCE)
        self._to_sharpness = errors if grid.sharpness is None else torch.empty_like(errors)
        kernel = self._train.train

        def body(band: Band) -> None:
            inputs = [
                *(band.begin, band.end, *grid.density.shape),
                *(self._density, self._colors, free, frame),
                *(batch.pixels, targets.cameras, targets.width, targets.height, targets.colors),
                *(batch.jitters, batch.shades, 2.0 / (3.0 * len(batch.pixels))),
                *(self._lines[band.index], self._to_density[band.index]),
                *(self._to_colors[band.index], self._marks[band.index], self._to_sharpness, errors),
            ]
            arguments = launcher.arguments(kernel, inputs, self.device)
            launcher.launch_in_band(kernel, self._lines.shape[1], arguments, self.device)

        launcher.run(self.device, len(batch.pixels), body, self._bands)
        return errors

    def smooth(self, density_weight: float, color_weight: float) -> None:
        """Add the gradient of the total variation around the grid points that rays have touched."""
        self._smoothed = density_weight > 0 or color_weight > 0
        if not self._smoothed:
            return
        weights = [density_weight, color_weight]
        grids = [self._density, self._colors, self._marks]
        inputs = [launcher.BEGIN, *self.grid.density.shape, *grids, *weights]
        launcher.launch(
            self._even.smooth,
            self._marks.shape[1],
            [*inputs, self._to_density, self._to_colors],
            self.device,
        )

    def move(self, density_rate: float, color_rate: float) -> None:
        """One step of Adam for the grid points that have a gradient, which is used up."""
        grids = [self._density, self._colors, self._marks]
        inputs = [launcher.BEGIN, *grids, int(self._smoothed), density_rate, color_rate]
        moments = [self._density_moments, self._color_moments]
        launcher.launch(
            self._train.adam,
            self._marks.shape[1],
            [*inputs, self._to_density, self._to_colors, *moments],
            self.device,
        )
        self._smoothed = False


def dilated(filled: Tensor) -> Tensor:
    """[X, Y, Z] bool with all 26 neighbours of what is set."""
    out = filled.float()
    for axis in range(3):
        out = out.movedim(axis, -1)
        rest = out.shape[:2]
        out = max_pool1d(out.flatten(0, 1)[:, None], 3, 1, 1)[:, 0].unflatten(0, rest).movedim(-1, axis)
    return out > 0


def _points(count: int, ratio: float) -> int:
    """Grid points that span at least what `count` of them did before voxels shrank to `ratio`."""
    return math.ceil((count - 1) / ratio - 1e-4) + 1


def _interpolated(values: Tensor, place: Tensor) -> Tensor:
    """[P, ...] of values [X, Y, Z, ...] at places [P, 3] in voxels, the sides' values beyond them."""
    last = torch.tensor(values.shape[:3], device=values.device) - 1
    place = torch.minimum(place, last)
    cell = torch.minimum(place.long(), last - 1)
    share = place - cell
    total = torch.zeros(len(place), *values.shape[3:], device=values.device)
    for corner in product((0, 1), repeat=3):
        offset = torch.tensor(corner, device=values.device)
        weight = torch.where(offset == 1, share, 1 - share).prod(dim=-1)
        x, y, z = (cell + offset).unbind(-1)
        total += weight.view(-1, *(1,) * (values.ndim - 3)) * values[x, y, z]
    return total
