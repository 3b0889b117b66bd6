"""Distances to a surface fitted to photos with masks: a volume whose fog clears up to a surface."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from studio.core.kernels import volume, volume_smooth, volume_train
from studio.core.optim.hull import Cancel, Progress
from studio.core.optim.isosurface import Evidence, closed_surface, with_colors
from studio.core.optim.sdf_model import DistanceModel, distance_to_level
from studio.core.optim.settings import FitSettings
from studio.core.optim.volume_fit import VolumeFit
from studio.core.scene import Mesh, PhotoSet

_DRAWN_ALPHA = 1e-3
"""Opacity of a step from which on space is drawn."""

_SHARPEST = 0.3
"""Voxels of the logistic distribution's scale at least: samples are half a voxel apart."""

_CLEAR_AT = 0.8
"""Share of the steps after which the fog is as thin as that at the latest: what is seen through thick fog
is blurred, and no detail of it can be fitted."""


class SdfFit(VolumeFit):
    """Moves distances until what rays see of them are the pixels of photos; see RadianceFit.

    How it hides follows the logistic distribution of the distance, see Grid; its sharpness is learnt, and
    grows at least as a schedule says. Its own settings are those called sdf_*, and volume_degree,
    volume_rays, volume_color_rate, volume_color_smoothness and volume_smooth_every.

    Attributes:
        model: the values as they are now; there after `prepare`.
    """

    KIND = "sdf"
    model: DistanceModel

    # Beginning

    def _modules(self) -> list[Any]:
        degree = int(self.settings["volume_degree"])
        modules = [m.kernels(degree, True).module for m in (volume, volume_train, volume_smooth)]
        return [*modules, volume.kernels(0).module]

    def _first_model(self, field: np.ndarray, low: np.ndarray, spacing: float) -> DistanceModel:
        """The distance to the hull, grey, as thick fog."""
        voxel = self._voxel(0)
        shape = [int(np.ceil(spacing * (n - 1) / voxel - 1e-4)) + 1 for n in field.shape]
        places = np.indices(shape) * (voxel / spacing)
        inside = ndimage.map_coordinates(field, places, order=1, mode="nearest")
        distances = torch.from_numpy(distance_to_level(inside, 1.0)).to(self.device)
        thickness = self.settings["sdf_thickness"] * self._extent / voxel
        sharpness = torch.tensor([1.0 / thickness], dtype=torch.float32, device=self.device)
        x, y, z = (float(v) for v in low)
        alive = torch.ones(shape, dtype=torch.bool, device=self.device)
        model = DistanceModel(alive, int(self.settings["volume_degree"]), (x, y, z), voxel, voxel, sharpness)
        model.grid.density.copy_(distances)
        model.prune(_DRAWN_ALPHA)
        return model

    def _model_of(self, state: dict[str, Any]) -> DistanceModel:
        return DistanceModel.of_state(state)

    # Stepping

    def _smooth(self, scale: float) -> None:
        self.model.smooth(0.0, scale * self.settings["volume_color_smoothness"])
        self.model.even(scale * self.settings["sdf_eikonal_weight"], scale * self.settings["sdf_bend_weight"])

    def _move(self, share: float) -> None:
        self.model.move(
            share * self.settings["sdf_distance_rate"], share * self.settings["volume_color_rate"]
        )
        grid = self.model.grid
        first = grid.base_voxel / (self.settings["sdf_thickness"] * self._extent)
        most = max(first, grid.base_voxel / (_SHARPEST * grid.voxel))
        done = min(1.0, self.steps_done / (_CLEAR_AT * self.steps))
        limits = (first * (most / first) ** done, most)
        self.model.sharpen(self.caution * self.settings["sdf_sharpness_rate"], limits)

    def _prune(self) -> None:
        self.model.prune(_DRAWN_ALPHA)

    def _enter_stage(self, stage: int) -> None:
        if stage > self._stage:
            self.model.redistance()
        super()._enter_stage(stage)

    # Results

    def surface(self, cancel: Cancel | None = None) -> Mesh:
        """The zero level as a closed mesh in the normalised world, with the volume's colours.

        Raises:
            InputError: there is none.
            Cancelled: `cancel` said so.
        """
        made, grid = self.volume(), self.model.grid
        misses = self.settings["hull_misses"]
        evidence = Evidence.of_photos(made, self.training, misses, None, cancel)
        distances = (grid.density * (grid.base_voxel / grid.voxel)).cpu().numpy()
        mesh = closed_surface(
            made, distances, evidence, "sdf: there is no surface; fit it longer", 0.0, cancel
        )
        return replace(with_colors(mesh, made), name="sdf")


def fit_sdf(
    photos: PhotoSet,
    settings: FitSettings,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    device: str = "auto",
) -> Mesh:
    """The surface of the photos' object by distances, in their normalised world; as `fit_volume`.

    Raises:
        InputError: photos lack masks or differ in format, or no surface is found.
        WorkError: the fit diverged.
        Cancelled: `cancel` said so.
    """
    report = progress or (lambda fraction, note: None)
    fit = SdfFit(photos, settings, device, lambda share, note: report(0.05 * share, note), cancel)
    fit.run(lambda share, note: report(0.05 + 0.9 * share, note), cancel)
    return fit.surface(cancel)
