"""Samples along rays through a field of any kind, and what they add up to: in torch, for `march`."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from studio.core.arrival import constant
from studio.core.errors import ShapeError
from studio.core.ops.grid import Occupancy

Field = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(points [P, 3], unit directions [P, 3]) to (extinction [P] per world unit, radiance [P, 3])."""

Box = tuple[tuple[float, ...], tuple[float, ...]]

_MOST_STEPS = 1_000_000


class Samples:
    """The samples of R rays for a field of any kind: S each, of which some count.

    Attributes:
        counts: [R, S] bool.
    """

    def __init__(self, origins: Tensor, directions: Tensor, distance: Tensor, counts: Tensor, step: float):
        self.origins, self.directions = origins, directions
        self.distance, self.counts, self.step = distance, counts, step

    @classmethod
    @torch.no_grad()
    def along(
        cls,
        origins: Tensor,
        directions: Tensor,
        jitter: Tensor,
        step: float,
        box: Box,
        occupancy: Occupancy | None,
        fewest: bool = True,
    ) -> Samples:
        """Those that lie in the box, and in what is occupied; see `march`.

        Args:
            fewest: S is what the longest ray needs, for which the host waits where a GPU does the work;
                else what a ray along the box's diagonal would.
        """
        low, high = (constant(side, torch.float32, origins.device) for side in box)
        slope = torch.where(directions.abs() < 1e-9, 1e-9, directions)
        a, b = (low - origins) / slope, (high - origins) / slope
        near = torch.minimum(a, b).amax(dim=-1).clamp_min(0)
        far = torch.maximum(a, b).amin(dim=-1).clamp_max(_MOST_STEPS * step)
        first = torch.ceil(near / step - jitter).clamp_min(0)
        last = torch.floor(far / step - jitter)
        if fewest:
            most = max(0, int((last - first).max().item()) + 1)
        else:
            most = min(_MOST_STEPS, math.ceil(math.dist(*box) / step)) + 1
        number = first[:, None] + torch.arange(most, device=origins.device)
        distance = (number + jitter[:, None]) * step
        counts = number <= last[:, None]
        if occupancy is not None:
            counts &= occupancy.holds(origins[:, None] + distance[..., None] * directions[:, None])
        return cls(origins, directions, distance, counts, step)

    def _chosen(self, room: int | None) -> tuple[Tensor, Tensor]:
        """([P] places in [R * S] of samples that count, [P] 1, or 0 where the first fills up the room)."""
        counts = self.counts.view(-1)
        if room is None:
            places = counts.nonzero()[:, 0]
            return places, torch.ones_like(places, dtype=self.distance.dtype)
        ends = counts.cumsum(0)
        number = torch.arange(1, room + 1, device=counts.device)
        places = torch.searchsorted(ends, number).clamp_max(len(ends) - 1)
        there = number <= ends[-1]
        return torch.where(there, places, places[:1]), there.to(self.distance.dtype)

    def composited(
        self, field: Field, least_alpha: float, least_transmittance: float, room: int | None = None
    ) -> Tensor:
        """[R, 5]: colour, alpha, distance times alpha; of `room` samples at most, see `march`."""
        rays, steps = self.counts.shape
        places, there = self._chosen(room)
        ray, distance = places // max(1, steps), self.distance.reshape(-1)[places]
        directions = self.directions[ray]
        points = self.origins[ray] + distance[:, None] * directions
        extinction, radiance = field(points, directions)
        if extinction.shape != distance.shape or radiance.shape != points.shape:
            raise ShapeError(
                f"march: field must give [{len(points)}] and [{len(points)}, 3] for that many points, "
                f"got {list(extinction.shape)} and {list(radiance.shape)}"
            )
        flat = extinction.new_zeros(rays * steps).index_add(0, places, extinction * self.step * there)
        depth = flat.view(rays, steps)
        alpha = -torch.expm1(-depth)
        if least_alpha > 0:
            seen = alpha.detach() >= least_alpha
            depth, alpha = depth * seen, alpha * seen
        before = torch.exp(depth - depth.cumsum(dim=1))
        weight = alpha * before * (before.detach() >= least_transmittance)
        own = weight.view(-1).index_select(0, places) * there
        values = torch.cat([radiance, torch.ones_like(own)[:, None], distance[:, None]], dim=1)
        return values.new_zeros(rays, 5).index_add(0, ray, own[:, None] * values)
