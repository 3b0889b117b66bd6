"""Pictures of what emits light of its own: volumes on a grid and Gaussians."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from studio.core.color import srgb_to_linear
from studio.core.gbuffer import CameraBatch
from studio.core.ops import (
    Grid,
    Occupancy,
    Splats,
    camera_rays,
    march,
    pinholes,
    project_gaussians,
    splat,
)
from studio.core.ops.grid import harmonics
from studio.core.scene import Camera, Points, Volume
from studio.core.scene.points import GREY

_LEAST_ALPHA = 1e-4
"""Opacity per sample below which space counts as empty."""

_RAYS_AT_ONCE = 1 << 16

POINTS = ("centers", "log_sizes", "turns", "opacity_logits", "colors")
"""Arrays of a cloud, by their names in Points."""

Look = Callable[[Camera], np.ndarray]
"""[H, W, 4] float32 linear over black, and coverage, row 0 at the bottom."""


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
        """See Look."""
        device = self.grid.density.device
        origins, directions = (t.reshape(-1, 3).to(device) for t in camera_rays(camera))
        parts = []
        for begin in range(0, len(origins), _RAYS_AT_ONCE):
            start, along = (t[begin : begin + _RAYS_AT_ONCE].contiguous() for t in (origins, directions))
            color, alpha, _ = march(self.grid, start, along, self.step, occupancy=self.occupancy)
            parts.append(torch.cat([color, alpha[:, None]], dim=1))
        image: np.ndarray = torch.cat(parts).view(camera.height, camera.width, 4).cpu().numpy()
        return image


class PointsView:
    """Looks at Gaussians.

    Args:
        values: the cloud's arrays as tensors, by the names of POINTS.
    """

    def __init__(self, values: dict[str, Tensor]) -> None:
        self.values = values

    @classmethod
    def of(cls, points: Points, device: torch.device | str = "cpu") -> PointsView:
        arrays = {name: torch.as_tensor(getattr(points, name), dtype=torch.float32) for name in POINTS}
        return cls({name: array.to(device) for name, array in arrays.items()})

    @torch.no_grad()
    def picture(self, camera: Camera) -> np.ndarray:
        """See Look."""
        views = views_of(CameraBatch.from_cameras([camera], self.values["centers"].device))
        _, color, alpha = splatted(self.values, views, (camera.height, camera.width))
        image: np.ndarray = (
            torch.cat([srgb_to_linear(color[0].clamp(0, 1)), alpha[0, ..., None]], dim=-1).cpu().numpy()
        )
        return image


def look_of(what: Volume | Points, device: torch.device | str = "cpu") -> Look:
    """How a volume or a cloud is looked at."""
    view = VolumeView.of(what, device) if isinstance(what, Volume) else PointsView.of(what, device)
    return view.picture


def splatted(
    values: dict[str, Tensor], views: Tensor, size: tuple[int, int]
) -> tuple[Splats, Tensor, Tensor]:
    """Gaussians laid over each other, differentiably.

    Args:
        values: see PointsView.
        views: of `views_of`.
        size: (height, width) in pixels.
    Returns:
        (splats, [V, H, W, 3] display colour times coverage, [V, H, W] coverage).
    """
    eyes = -torch.einsum("vji,vj->vi", views[:, :9].view(-1, 3, 3), views[:, 9:12])
    along = torch.nn.functional.normalize(values["centers"].detach()[:, None] - eyes, dim=-1)
    basis = harmonics(along, values["colors"].shape[1])
    colors = (GREY + torch.einsum("pvk,pkc->pvc", basis, values["colors"])).clamp_min(0)
    opacity = torch.sigmoid(values["opacity_logits"])
    splats = project_gaussians(
        values["centers"], values["log_sizes"], values["turns"], opacity, colors, views, size
    )
    color, alpha, _ = splat(splats, size)
    return splats, color, alpha


def views_of(cameras: CameraBatch) -> Tensor:
    """The cameras as `project_gaussians` takes them."""
    return pinholes(cameras.world_to_view, cameras.view_to_clip, (cameras.height, cameras.width))
