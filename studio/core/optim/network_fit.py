"""A network field fitted to photos with masks: any field that `march` takes would train like this."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from studio.core.color import linear_to_srgb, srgb_to_linear
from studio.core.kernels import volume
from studio.core.ops import Grid, Occupancy, camera_rays, march
from studio.core.ops.grid import harmonics
from studio.core.ops.samples import Box, Samples
from studio.core.optim.hull import Progress, hull_field
from studio.core.optim.network_field import NetworkField
from studio.core.optim.radiance_fit import RadianceFit
from studio.core.optim.recovery import Diverged
from studio.core.optim.targets import Targets
from studio.core.optim.volume_model import dilated
from studio.core.scene import Camera, Photo, Volume
from studio.core.scene.volume import EMPTY, SHIFT

_STEPS_ALONG = 128
"""Samples along the object's box."""

_BAKED, _WATCHED = 128, 48
"""Points along the box of the volume that is left, and of one to watch the run by, at least."""

_OCCUPIED_EVERY = 100
_OCCUPIED_DEPTH = 1e-2
"""Steps between looks at what is empty, and the optical depth of a sample from which on it is not."""

_DECAY = 0.1
"""The rate falls to this fraction by the last step."""

_BATCH = 1 << 16
"""Points or rays that are looked at at once where nothing learns."""

_PROBED, _SIGMAS = 4096, 6.0
"""Rays whose samples are counted to know those of a step, and standard deviations that it may be above."""

_AXES = torch.cat([torch.eye(3), -torch.eye(3)])
"""Six directions; their mean integrates products of the first two bands of harmonics exactly."""


class NetworkFit(RadianceFit):
    """Trains a network until what rays see of it are the pixels of photos; see RadianceFit.

    It needs memory per sample, and a hundred times the time of a grid. Its own settings are those called
    network_*.

    Attributes:
        field: the network; there after `prepare`.
    """

    KIND = "network"
    field: NetworkField

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._error: Tensor | None = None

    # Beginning

    def _modules(self) -> list[Any]:
        return [volume.kernels(0).module]

    def _carve(self, progress: Progress) -> tuple[np.ndarray, np.ndarray, float]:
        settings = self.settings
        return hull_field(
            self.training,
            self.photos.object_center,
            self.photos.object_radius,
            settings["hull_resolution"],
            settings["hull_misses"],
            progress,
            self._cancel,
        )

    def _load_photos(self) -> None:
        """Pixels and their rays, one photo after the other."""
        targets = Targets.build(self.training, int(self.settings["resolution"]), self.device)
        assert targets.mask is not None
        height, width = targets.size
        coverage = targets.mask[..., None]
        self._pixels = torch.cat([srgb_to_linear(targets.color) * coverage, coverage], dim=-1).view(-1, 4)
        self._said = None if targets.weight is None else (targets.weight > 0).view(-1)
        rays = [_rays(photo, height, width) for photo in self.training]
        self._rays = torch.cat(rays).to(self.device)

    def _begin(self, hull: tuple[np.ndarray, np.ndarray, float]) -> None:
        field, low, spacing = hull
        size = spacing * (np.array(field.shape) - 1)
        x, y, z = (float(v) for v in low)
        self._frame: tuple[tuple[float, float, float], float] = ((x, y, z), spacing)
        self._hull = torch.from_numpy(ndimage.maximum_filter(field, 3) > 0).to(self.device)
        self._alive = self._hull
        self._make((x, y, z), [float(v) for v in (low + size).astype(np.float32)])  # as checkpoints have it
        self._find_pixels()

    def _make(self, low: tuple[float, float, float], high: list[float]) -> None:
        step = max(b - a for a, b in zip(low, high)) / _STEPS_ALONG
        field = NetworkField(low, tuple(high), step, seed=int(self.settings["seed"]))
        self._box: Box = (tuple(field.low.tolist()), tuple(field.high.tolist()))
        self.field = field.to(self.device)
        self._adam = torch.optim.Adam(
            self.field.parameters(), lr=0.0, betas=(0.9, 0.99), eps=1e-15, fused=True
        )

    def _own_state(self) -> dict[str, Any]:
        return {
            "frame": self._frame,
            "high": self.field.high,
            "hull": self._hull,
            "alive": self._alive,
            "candidates": self._candidates,
            "values": dict(self.field.state_dict()),
            "moments": self._adam.state_dict()["state"],
        }

    def _adopt(self, own: dict[str, Any]) -> None:
        self._frame, self._hull, self._alive = own["frame"], own["hull"], own["alive"]
        self._make(self._frame[0], own["high"].tolist())
        self.field.load_state_dict(own["values"])
        self._adam.load_state_dict(self._adam.state_dict() | {"state": own["moments"]})
        self._candidates = own["candidates"]
        self._occupancy = Occupancy.where(self._alive, *self._frame)
        self._make_room()

    # Stepping

    def step(self) -> None:
        """Compare random rays with their pixels and learn.

        Raises:
            Diverged: nothing is left.
        """
        if self.steps_done and self.steps_done % _OCCUPIED_EVERY == 0:
            self._look()
        count = int(self.settings["network_rays"])
        draw = torch.randint(len(self._candidates), (count,), generator=self._generator, device=self.device)
        jitter, shade = torch.rand(2, count, generator=self._generator, device=self.device)
        chosen = self._candidates[draw]
        behind = srgb_to_linear(shade)[:, None].expand(-1, 3)
        color = self._seen(self._rays[chosen], jitter, behind, self._room)
        pixel = self._pixels[chosen]
        wanted = pixel[:, :3] + (1 - pixel[:, 3:]) * behind
        squares = (linear_to_srgb(color) - linear_to_srgb(wanted)).square().mean(dim=1)
        loss = squares.mean()
        self._note_errors(chosen * len(self.training) // len(self._pixels), squares.detach())
        rate = self.settings["network_rate"] * _DECAY ** (self.steps_done / max(1, self.steps))
        for group in self._adam.param_groups:
            group["lr"] = self.caution * rate
        self._adam.zero_grad()
        loss.backward()
        self._adam.step()
        self._error = loss.detach()
        self.steps_done += 1

    def error(self) -> Tensor | None:
        return self._error

    def _seen(
        self, rays: Tensor, jitter: Tensor | None, background: Tensor | None, room: int | None = None
    ) -> Tensor:
        """[R, 3] over a background, or [R, 4] linear over black and coverage."""
        color, alpha, _ = march(
            self.field, rays[:, :3].contiguous(), rays[:, 3:].contiguous(), self.field.step, jitter,
            None if background is None else background.contiguous(), self._occupancy,
            box=self._box, room=room,
        )  # fmt: skip
        return color if background is not None else torch.cat([color, alpha[:, None]], dim=1)

    @torch.no_grad()
    def _look(self) -> None:
        """Where the network has something, within the hull: only there samples are taken.

        What counts is looked at on the host, so here a GPU is waited for; in between no step does.
        """
        values, _ = self._on_grid(self.field, self._occupancy, 1, _AXES[:0])
        alive = dilated(values > _OCCUPIED_DEPTH) & self._hull
        if not alive.any():
            raise Diverged("fit: the network has become empty; lower network_rate")
        self._alive = alive
        self._find_pixels()

    def _find_pixels(self) -> None:
        """Those whose rays may meet something; they are chosen from."""
        self._occupancy = Occupancy.where(self._alive, *self._frame)
        low, voxel = self._frame
        solid = torch.where(self._alive, 50.0, EMPTY)
        grid = Grid(solid, solid.new_zeros(*solid.shape, 1, 3), low, voxel, voxel)
        found = []
        for rays in self._rays.split(_BATCH):
            origins, directions = rays[:, :3].contiguous(), rays[:, 3:].contiguous()
            found.append(march(grid, origins, directions, occupancy=self._occupancy)[1] > 0)
        near = torch.cat(found)
        if self._said is not None:
            near &= self._said
        self._candidates = near.nonzero()[:, 0]
        self._make_room()

    def _make_room(self) -> None:
        """Samples that a step may take on a GPU, so that it need not wait to count them.

        By those of some rays, evenly among all: a step has more than this once in a billion, and then the
        last of its rays show the background.
        """
        self._room = None
        if self.device.type != "cpu":
            self._room = self._expected()

    def _expected(self) -> int:
        """Samples that steps take at most, nearly always."""
        places = torch.linspace(0, len(self._candidates) - 1, _PROBED, device=self.device).round().long()
        origins, directions = self._rays[self._candidates[places]].split(3, dim=1)
        middle = torch.full_like(origins[:, 0], 0.5)
        samples = Samples.along(origins, directions, middle, self.field.step, self._box, self._occupancy)
        counts = samples.counts.sum(dim=1).double()
        rays = int(self.settings["network_rays"])
        spread = math.sqrt(rays) + rays / math.sqrt(_PROBED)
        return math.ceil(rays * float(counts.mean()) + _SIGMAS * spread * float(counts.std())) + rays

    # Results

    @torch.no_grad()
    def _on_grid(
        self, field: NetworkField, occupancy: Occupancy, finer: int, along: Tensor
    ) -> tuple[Tensor, Tensor]:
        """([X, Y, Z] optical depth of a step, [X, Y, Z, 4, 3] colours' coefficients) on the hull's grid.

        Args:
            field, occupancy: the fit's, as they are or were.
            finer: points of the grid for one of the hull's, each way.
            along: [D, 3] directions from which colours are read.
        """
        (low, voxel), shape = self._frame, self._hull.shape
        axes = [torch.arange((n - 1) * finer + 1) * (voxel / finer) + start for n, start in zip(shape, low)]
        places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).to(self.device)
        depth = places.new_zeros(places.shape[:3])
        colors = places.new_zeros(*places.shape[:3], 4, 3)
        for part in occupancy.holds(places).nonzero().split(_BATCH):
            x, y, z = part.unbind(dim=1)
            depth[x, y, z], colors[x, y, z] = _linear(field, places[x, y, z], along)
        return depth, colors

    def frozen(self, half: bool = False) -> Callable[[], Volume]:
        """The network on a grid, colours of degree 1; coarser and of half floats if so asked."""
        finer = max(1, round((_WATCHED if half else _BAKED) / max(self._hull.shape)))
        field, occupancy = copy.deepcopy(self.field), self._occupancy
        return lambda: self._baked(field, occupancy, finer, torch.float16 if half else torch.float32)

    @torch.no_grad()
    def _baked(self, field: NetworkField, occupancy: Occupancy, finer: int, kind: torch.dtype) -> Volume:
        depth, colors = self._on_grid(field, occupancy, finer, _AXES)
        (low, voxel), unit = self._frame, field.step
        depth = depth.clamp(3e-7, 80.0)
        density = SHIFT + depth + torch.log(-torch.expm1(-depth))
        values, coefficients = (t.to(kind).cpu().numpy() for t in (density, colors))
        made = Volume(values, coefficients, np.array(low), voxel / finer, unit, "network")
        return replace(made, world_to_input=self.photos.input_to_world.inverse())

    @torch.no_grad()
    def render(self, camera: Camera) -> np.ndarray:
        """See Look."""
        rays = torch.cat([t.reshape(-1, 3) for t in camera_rays(camera)], dim=1).to(self.device)
        parts = [self._seen(part, None, None) for part in rays.split(_BATCH // 16)]
        image: np.ndarray = torch.cat(parts).view(camera.height, camera.width, 4).cpu().numpy()
        return image


def _linear(field: NetworkField, points: Tensor, along: Tensor) -> tuple[Tensor, Tensor]:
    """([P] optical depth of a step, [P, 4, 3] first two bands of what colours are before squashing)."""
    total = points.new_zeros(len(points), 4, 3)
    depth, features = field.looked_up(points)
    for direction in along.to(points.device):
        radiance = field.radiance(features, direction.expand_as(points))
        raw = torch.logit(radiance.sqrt().clamp(1e-4, 1 - 1e-4))
        total += harmonics(direction[None], 4)[0][:, None] * raw[:, None]
    return depth, total * (4 * math.pi / max(1, len(along)))


def _rays(photo: Photo, height: int, width: int) -> Tensor:
    """[H * W, 6] origins and directions."""
    rays = camera_rays(photo.camera.resized(width, height))
    return torch.cat([t.reshape(-1, 3) for t in rays], dim=1)
