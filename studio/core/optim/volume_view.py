"""Pictures of volumes: of one camera, and of a turn around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from studio.core.color import display
from studio.core.ops import Grid, Occupancy, camera_rays, march
from studio.core.optim.turntable import RATE, film_frames, orbit, save_film
from studio.core.scene import Camera, Volume

_LEAST_ALPHA = 1e-4
"""Opacity per sample below which space counts as empty."""

_RAYS_AT_ONCE = 1 << 16

_DARK = 0.009
"""Linear grey behind a turning volume."""


class VolumeView:
    """Looks at values on a grid.

    Args:
        grid: on the device where the work is done.
        occupancy: of the grid; found from its densities if None.
    """

    def __init__(self, grid: Grid, occupancy: Occupancy | None = None) -> None:
        self.grid = grid
        self.step = 0.5 * grid.voxel
        self.occupancy = occupancy or Occupancy.of(grid, grid.least_value(_LEAST_ALPHA, self.step))

    @classmethod
    def of(cls, volume: Volume, device: torch.device | str = "cpu") -> VolumeView:
        return cls(Grid.of(volume, device))

    @torch.no_grad()
    def picture(self, camera: Camera) -> np.ndarray:
        """[H, W, 4] float32 linear over black, and coverage, row 0 at the bottom."""
        device = self.grid.density.device
        origins, directions = (t.reshape(-1, 3).to(device) for t in camera_rays(camera))
        parts = []
        for begin in range(0, len(origins), _RAYS_AT_ONCE):
            start, along = (t[begin : begin + _RAYS_AT_ONCE].contiguous() for t in (origins, directions))
            color, alpha, _ = march(self.grid, start, along, self.step, occupancy=self.occupancy)
            parts.append(torch.cat([color, alpha[:, None]], dim=1))
        image: np.ndarray = torch.cat(parts).view(camera.height, camera.width, 4).cpu().numpy()
        return image

    def frames(self, cameras: list[Camera]) -> Iterator[np.ndarray]:
        """[H, W, 3] uint8 sRGB over dark grey, row 0 at the top, of every camera."""
        for camera in cameras:
            image = self.picture(camera)
            shown = display(image[..., :3] + (1 - image[..., 3:]) * _DARK)
            yield np.ascontiguousarray((shown[::-1] * 255 + 0.5).astype(np.uint8))


def save_volume_turntable(
    volume: Volume,
    path: Path | str,
    seconds: float = 3.0,
    size: tuple[int, int] = (320, 320),
    device: torch.device | str = "cpu",
    progress: Callable[[float, str], None] | None = None,
    fps: float = RATE,
) -> None:
    """Turn a volume once and write what is seen; arguments and errors as of `save_turntable`."""
    count = film_frames(path, seconds, size, fps)
    frames = VolumeView.of(volume, device).frames(orbit(volume, count, *size))
    save_film(path, frames, count, progress, fps)
