"""A volume fitted to photos with masks: coarse to fine, from the visual hull on, ray by ray."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn.functional import max_pool2d

from studio.core.arrival import sent
from studio.core.color import srgb_to_linear
from studio.core.errors import Cancelled
from studio.core.kernels import volume, volume_smooth, volume_train
from studio.core.ops import Grid, camera_rays, march
from studio.core.optim.emitted import VolumeView
from studio.core.optim.hull import Cancel, Progress, hull_field
from studio.core.optim.radiance_fit import RadianceFit
from studio.core.optim.radiance_readings import RadianceReadings
from studio.core.optim.recovery import Diverged
from studio.core.optim.settings import FitSettings
from studio.core.optim.targets import Targets
from studio.core.optim.volume_model import Batch, RayTargets, VolumeModel
from studio.core.scene import Camera, Photo, PhotoSet, Volume

TILE = 4
"""Rays are drawn as squares of so many pixels: neighbours share what they read and write."""

_STAGES = ((0.3, 0.05), (0.6, 0.17), (1.0, 1.0))
"""Grid of each stage, of the last one's, and the share of the steps after which it ends."""

_PRUNE_EVERY = 250
_PRUNE_ALPHA = 1e-3
"""Opacity of a step below which a grid point's surroundings are given up, after the first stage."""

_DECAY = 0.1
"""Rates fall to this fraction by the last step."""


class VolumeFit(RadianceFit):
    """Moves a volume until what rays see of it are the pixels of photos; see RadianceFit.

    Its own settings are those called volume_*.

    Attributes:
        model: the values as they are now; there after `prepare`.
    """

    KIND = "volume"
    model: VolumeModel

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._errors: Tensor | None = None
        self._queue = np.empty(0, np.int64)

    # Beginning

    def _modules(self) -> list[Any]:
        degree = int(self.settings["volume_degree"])
        modules = [m.kernels(degree).module for m in (volume, volume_train, volume_smooth)]
        return [*modules, volume.kernels(0).module]  # tiles are found by a march without colours

    def _carve(self, progress: Progress) -> tuple[np.ndarray, np.ndarray, float]:
        return hull_field(
            self.training,
            self.photos.object_center,
            self.photos.object_radius,
            self.settings["hull_resolution"],
            self.settings["hull_misses"],
            progress,
            self._cancel,
        )

    def _load_photos(self) -> None:
        self.targets = _ray_targets(self.training, int(self.settings["resolution"]), self.device)

    def _begin(self, hull: tuple[np.ndarray, np.ndarray, float]) -> None:
        field, low, spacing = hull
        self._stage = 0
        self._extent = spacing * (max(field.shape) - 1)
        self.model = self._first_model(field, low, spacing)
        self._enter_stage(0)

    def _first_model(self, field: np.ndarray, low: np.ndarray, spacing: float) -> VolumeModel:
        """Thin grey fog in the hull and one voxel around it."""
        voxel = self._voxel(0)
        shape = [math.ceil(spacing * (n - 1) / voxel - 1e-4) + 1 for n in field.shape]
        reach = math.ceil(voxel / spacing)
        near = ndimage.maximum_filter(field, 2 * reach + 1)
        index = [np.minimum(np.rint(np.arange(n) * voxel / spacing), m - 1).astype(int)
                 for n, m in zip(shape, field.shape)]  # fmt: skip
        alive = torch.from_numpy(near[np.ix_(*index)] > 0).to(self.device)
        x, y, z = (float(v) for v in low)
        model = VolumeModel(alive, int(self.settings["volume_degree"]), (x, y, z), voxel, voxel)
        model.grid.density[alive] = 0.0
        return model

    def _voxel(self, stage: int) -> float:
        points = max(8, round(_STAGES[stage][0] * int(self.settings[f"{self.KIND}_resolution"])))
        return self._extent / (points - 1)

    def _own_state(self) -> dict[str, Any]:
        return {
            "stage": self._stage,
            "extent": self._extent,
            "model": self.model.state(),
            "queue": self._queue,
        }

    def _adopt(self, own: dict[str, Any]) -> None:
        self._stage, self._extent = own["stage"], own["extent"]
        self.model = self._model_of(own["model"])
        self._find_tiles()
        self._queue = own["queue"]

    def _model_of(self, state: dict[str, Any]) -> VolumeModel:
        return VolumeModel.of_state(state)

    # Stepping

    def step(self) -> None:
        """Compare a batch of rays with their pixels and move what they touched.

        Raises:
            Diverged: the volume has vanished.
        """
        stage = next(n for n, (_, end) in enumerate(_STAGES) if self.steps_done < end * self.steps or n == 2)
        if stage > self._stage:
            self._enter_stage(stage)
        elif stage > 0 and self.steps_done % _PRUNE_EVERY == 0:
            self._prune()
            self._find_tiles()
        batch = self._draw()
        self._errors = self.model.gradients(batch, self.targets)
        pixels = self.targets.height * self.targets.width
        self._note_errors(batch.pixels // pixels, self._errors / 3)
        every = int(self.settings["volume_smooth_every"])
        if every > 0 and self.steps_done % every == 0:
            self._smooth(every / len(batch.pixels))
        self._move(self.caution * _DECAY ** (self.steps_done / max(1, self.steps)))
        self.steps_done += 1

    def _smooth(self, scale: float) -> None:
        """Add the gradients of what keeps values even, times `scale`."""
        density, color = (self.settings[f"volume_{name}_smoothness"] for name in ("density", "color"))
        self.model.smooth(scale * density, scale * color)

    def _move(self, share: float) -> None:
        """Move the values at `share` of their rates."""
        density, color = (self.settings[f"volume_{name}_rate"] for name in ("density", "color"))
        self.model.move(share * density, share * color)

    def _prune(self) -> None:
        self.model.prune(_PRUNE_ALPHA)

    def error(self) -> Tensor | None:
        if self._errors is None:
            return None
        said = self._errors >= 0
        return torch.where(said, self._errors, 0.0).sum() / (3 * said.sum())

    def _enter_stage(self, stage: int) -> None:
        if stage > self._stage:
            if self._stage > 0:
                self._prune()
            self.model = self.model.resampled(self._voxel(stage))
        self._stage = stage
        self._find_tiles()

    def _find_tiles(self) -> None:
        """Those squares of the photos whose rays may meet something, or whose neighbours' may."""
        targets, grid, occupancy = self.targets, self.model.grid, self.model.occupancy
        rows, columns = -(-targets.height // TILE), -(-targets.width // TILE)
        solid = Grid(
            torch.full_like(grid.density, 50.0),
            grid.colors[:, :, :, :1],
            grid.low,
            grid.voxel,
            grid.base_voxel,
        )
        found = []
        for photo in self.training:
            origins, directions = camera_rays(photo.camera.resized(columns, rows))
            start, along = (t.reshape(-1, 3).contiguous().to(self.device) for t in (origins, directions))
            _, alpha, _ = march(solid, start, along, grid.voxel, occupancy=occupancy, least_transmittance=0.5)
            found.append(max_pool2d((alpha > 0).float().view(1, 1, rows, columns), 3, 1, 1)[0, 0] > 0)
        self._tiles = torch.stack(found).nonzero().cpu().numpy()
        if len(self._tiles) == 0:
            raise Diverged("fit: the volume has vanished; lower volume_density_rate")
        self._queue = np.empty(0, np.int64)

    def _draw(self) -> Batch:
        """Squares of pixels: all of them once in random order, then again; shifted at random."""
        count = max(1, int(self.settings["volume_rays"]) // TILE**2)
        while len(self._queue) < count:
            self._queue = np.concatenate([self._queue, self._random.permutation(len(self._tiles))])
        chosen, self._queue = self._tiles[self._queue[:count]], self._queue[count:]
        height, width = self.targets.height, self.targets.width
        shift = self._random.integers(-TILE // 2, TILE // 2 + 1, (count, 2))
        corner = np.clip(chosen[:, 1:] * TILE + shift, 0, (max(0, height - TILE), max(0, width - TILE)))
        side = np.arange(TILE)
        row = np.minimum(corner[:, 0, None, None] + side[:, None], height - 1)
        column = np.minimum(corner[:, 1, None, None] + side, width - 1)
        pixels = ((chosen[:, 0, None, None] * height + row) * width + column).astype(np.int32).ravel()
        rays = len(pixels)
        random = torch.rand(2, rays, generator=self._generator, device=self.device)
        return Batch(sent(pixels, self.device), random[0], srgb_to_linear(random[1]))

    def run(self, report: Progress, cancel: Cancel | None = None) -> None:
        """Prepare and take all steps; raises as `fit_volume`."""
        self.prepare()
        readings = RadianceReadings(self)
        while self.steps_done < self.steps:
            self.step()
            if self.steps_done % 20 == 0 or self.steps_done == self.steps:
                if cancel is not None and cancel():
                    raise Cancelled("stopped while fitting the volume")
                readings.send()
                for step, reached in readings.receive(wait=self.steps_done == self.steps):
                    note = f"Fitting the volume: {step}/{self.steps}, {reached:.1f} dB"
                    report(step / self.steps, note)

    # Results

    def volume(self) -> Volume:
        """The volume as it is now, in the normalised world; a copy."""
        return self.frozen()()

    def frozen(self, half: bool = False) -> Callable[[], Volume]:
        made = self.model.grid.frozen("volume", half)
        return lambda: replace(made(), world_to_input=self.photos.input_to_world.inverse())

    def render(self, camera: Camera) -> np.ndarray:
        """See Look."""
        return VolumeView(self.model.grid, self.model.occupancy).picture(camera)


def fit_volume(
    photos: PhotoSet,
    settings: FitSettings,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    device: str = "auto",
) -> Volume:
    """A volume of the photos' object, in their normalised world.

    Args:
        photos: with masks.
        settings: see VolumeFit; held-out photos take no part.
        progress: called with (0..1, note).
        cancel: asked now and then; true makes it raise Cancelled.
        device: auto, cpu or cuda.
    Raises:
        InputError: photos lack masks or differ in format, or no hull can be carved.
        WorkError: the fit diverged.
        Cancelled: `cancel` said so.
    """
    report = progress or (lambda fraction, note: None)
    fit = VolumeFit(photos, settings, device, lambda share, note: report(0.05 * share, note), cancel)
    fit.run(lambda share, note: report(0.05 + 0.95 * share, note), cancel)
    return fit.volume()


def _ray_targets(photos: list[Photo], resolution: int, device: torch.device) -> RayTargets:
    targets = Targets.build(photos, resolution, device)
    assert targets.mask is not None
    height, width = targets.size
    coverage = targets.mask[..., None]
    colors = torch.cat([srgb_to_linear(targets.color) * coverage, coverage], dim=-1)
    if targets.weight is not None:
        colors[..., 3] = torch.where(targets.weight > 0, colors[..., 3], -1.0)
    rows = []
    for photo in photos:
        camera = photo.camera.resized(width, height)
        pose = camera.view_to_world
        lens = [camera.fx, camera.fy, camera.cx, camera.height - camera.cy]
        rows.append(np.concatenate([pose[:3, :3].ravel(), pose[:3, 3], lens]))
    cameras = torch.tensor(np.stack(rows), dtype=torch.float32, device=device)
    return RayTargets(cameras, colors.view(-1, 4).contiguous(), height, width)
