"""Distances to a surface on a grid that are being fitted, and the sharpness of the density around it."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from scipy import ndimage
from scipy.spatial import cKDTree
from torch import Tensor

from studio.core.kernels import launcher
from studio.core.optim.volume_model import Batch, RayTargets, VolumeModel, dilated

_BETAS = (0.9, 0.99)
"""Of Adam, as for the values."""

_BESIDE, _EXACT = 1.5, 4.0
"""Spacings up to which distances follow from values, and are measured to the level itself."""

_LEAST_SLOPE = 0.2
"""Of values: a flat field would throw the level far away."""


class DistanceModel(VolumeModel):
    """A VolumeModel of distances: known everywhere, drawn only where they have an opacity.

    `sharpness` is one number more that moves, as the logarithm; see Grid for what it does.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._sharpness_moments = torch.zeros(2, device=self.device)
        self._moves = 0

    @property
    def sharpness(self) -> Tensor:
        """[1] per base voxel."""
        assert self.grid.sharpness is not None
        return self.grid.sharpness

    def keep(self, alive: Tensor) -> None:
        """Leap over all other points from now on; their distances stay."""
        self._occupy(alive)

    def prune(self, least_alpha: float) -> None:
        """Draw only where the opacity, per step, is above `least_alpha`, and one point around."""
        self.keep(dilated(self.grid.density > self.grid.least_value(least_alpha, self.step_length)))

    def resampled(self, voxel: float) -> Self:
        new = super().resampled(voxel)
        new._sharpness_moments, new._moves = self._sharpness_moments, self._moves
        return new

    def even(self, slope_weight: float, bend_weight: float) -> None:
        """Add the gradients of slopes other than 1 and of bending where rays have touched; see `even`."""
        self._smoothed = True
        grid = self.grid
        inputs = [launcher.BEGIN, *grid.density.shape, self._density, self._marks]
        inputs += [grid.voxel / grid.base_voxel, slope_weight, bend_weight, self._to_density]
        launcher.launch(self._even.even, self._marks.shape[1], inputs, self.device)

    def gradients(self, batch: Batch, targets: RayTargets) -> Tensor:
        errors = super().gradients(batch, targets)
        self._sharper = self._to_sharpness.sum()
        return errors

    def sharpen(self, rate: float, limits: tuple[float, float]) -> None:
        """One step of Adam for the logarithm of the sharpness, within limits."""
        slope = self._sharper * self.sharpness[0]
        self._moves += 1
        mean, square = self._sharpness_moments
        mean.lerp_(slope, 1 - _BETAS[0])
        square.lerp_(slope.square(), 1 - _BETAS[1])
        mean, square = mean / (1 - _BETAS[0] ** self._moves), square / (1 - _BETAS[1] ** self._moves)
        moved = self.sharpness * torch.exp(-rate * mean / (square.sqrt() + 1e-12))
        self.sharpness.copy_(moved.clamp(*limits))

    def redistance(self) -> None:
        """Make the values distances again; their zero level stays."""
        grid = self.grid
        spacing = grid.voxel / grid.base_voxel
        values = distance_to_level(grid.density.cpu().numpy(), spacing)
        grid.density.copy_(torch.from_numpy(values))

    def state(self) -> dict[str, Any]:
        more = {"sharpness_moments": self._sharpness_moments, "moves": self._moves}
        return super().state() | more

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> Self:
        model = super().of_state(state)
        model._sharpness_moments, model._moves = state["sharpness_moments"], state["moves"]
        return model


def distance_to_level(values: np.ndarray, spacing: float) -> np.ndarray:
    """[X, Y, Z] float32 distance to the zero level of a field, with its signs, however far.

    Beside the level it is the value over its slope, which leaves the level where it is; from two spacings
    on that to where the grid's edges cross it; far away that to the nearest point of the other sign.

    Raises:
        ValueError: the field has one sign only.
    """
    inside = values > 0
    if inside.all() or not inside.any():
        raise ValueError("the field does not change sign")
    crossings = []
    for axis in range(3):
        a, b = (
            np.take(values, range(*ends), axis)
            for ends in ((0, values.shape[axis] - 1), (1, values.shape[axis]))
        )
        index = np.argwhere((a > 0) != (b > 0)).astype(np.float64)
        at = tuple(index.T.astype(int))
        index[:, axis] += a[at] / (a[at] - b[at])
        crossings.append(index)
    steps = ndimage.distance_transform_edt(inside) + ndimage.distance_transform_edt(~inside)
    out = np.maximum(steps - 0.5, 0.0)
    near = np.argwhere((steps > _BESIDE) & (steps < _EXACT))
    out[tuple(near.T)] = cKDTree(np.concatenate(crossings)).query(near)[0]
    slope = np.linalg.norm(np.gradient(values), axis=0)
    out = np.where(steps <= _BESIDE, np.abs(values) / np.maximum(slope, _LEAST_SLOPE * spacing), out)
    return (np.where(inside, out, -out) * spacing).astype(np.float32)
