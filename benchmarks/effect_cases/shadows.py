"""Shadow of a turned square on a floor: what tests and benchmarks measure shadows with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from studio.core.gbuffer import LightTensors
from studio.core.ops.light_view import light_views
from studio.core.ops.shadow import shadow_atlas, shadow_thickness, shadow_visibility
from studio.core.ops.topology import Topology

SUN, POINT, SPOT, AREA = range(4)
HEIGHT, HALF = 0.6, 0.3
"""Of the square: above the floor, and half its side."""
BOUNDS = (torch.tensor([-2.0, 0.0, -2.0]), torch.tensor([2.0, 0.8, 2.0]))
FACES = torch.tensor([[0, 2, 1], [0, 3, 2], [4, 6, 5], [4, 7, 6]], dtype=torch.int32)


def scene(angle: float = 0.35, half: float = HALF) -> Tensor:
    """[8, 3] corners of the floor, then of the square, turned by an angle about y."""
    sides = torch.tensor([[-1.0, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]])
    c, s = math.cos(angle), math.sin(angle)
    turn = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return torch.cat([2 * sides, half * sides @ turn.T + torch.tensor([0, HEIGHT, 0])])


@dataclass(frozen=True, eq=False)
class Setting:
    """A light, the square, and receivers on the floor; tensors may carry gradients.

    Attributes:
        vector: [3] direction of a sun, or position. size: [] of the light.
        vertices: [8, 3] as `scene`. count: receivers along a side of the floor's middle, 2 wide.
        offset: (x, z) of the receivers.
    """

    kind: int = SPOT
    vector: Tensor = field(default_factory=lambda: torch.tensor([0.4, 2.4, 0.3]))
    size: Tensor = field(default_factory=lambda: torch.tensor(0.15))
    vertices: Tensor = field(default_factory=scene)
    mode: str = "vssm"
    side: int = 512
    count: int = 128
    offset: tuple[float, float] = (0.0, 0.0)
    axis: tuple[float, float, float] = (0.0, 1.0, 0.0)

    def receivers(self) -> tuple[Tensor, Tensor, Tensor]:
        """rast, position and normal, [1, count, count, C]."""
        line = (torch.arange(self.count) + 0.5) / self.count * 2 - 1
        z, x = torch.meshgrid(line + self.offset[1], line + self.offset[0], indexing="ij")
        position = torch.stack([x, torch.zeros_like(x), z], -1)[None].contiguous()
        normal = torch.tensor([0.0, 1, 0]).expand_as(position).contiguous()
        return torch.ones(1, self.count, self.count, 4), position, normal

    def maps(self) -> tuple:
        """The atlas and the views it was drawn from."""
        lights = LightTensors(
            torch.tensor([self.kind], dtype=torch.int32),
            self.vector[None],
            torch.ones(1, 3),
            torch.zeros(25, 3),
            axis=torch.tensor([self.axis]),
            shape=torch.tensor([[0.75, 0.8, 0.3, 0.2]]),
            size=self.size[None],
        )
        views = light_views(lights, BOUNDS, self.side, torch.eye(4)[None])
        topology = Topology.build(FACES, self.vertices.detach())
        return shadow_atlas(self.vertices, FACES, topology, views), views

    def image(self) -> Tensor:
        """[count, count] visibility of the light; rows along z, columns along x."""
        atlas, views = self.maps()
        seen = shadow_visibility(*self.receivers(), atlas, views, views.sizes, self.mode)
        return seen[0, ..., 0]

    def thickness(self) -> Tensor:
        """[count, count]."""
        return shadow_thickness(*self.receivers(), *self.maps())[0, ..., 0]


def moved(vertices: Tensor, by: Tensor) -> Tensor:
    """[8, 3] with the square moved by [3]."""
    return torch.cat([vertices[:4], vertices[4:] + by])


def case() -> tuple[Callable[[], Tensor], Callable[[], None], None]:
    """One soft light: maps, lookups and all gradients. The formula has no twin in plain torch."""
    base = Setting(count=512)

    def forward() -> Tensor:
        with torch.no_grad():
            return base.image()

    def both() -> None:
        leaves = [t.clone().requires_grad_() for t in (base.vector, base.size, base.vertices)]
        vector, size, vertices = leaves
        replace(base, vector=vector, size=size, vertices=vertices).image().mean().backward()

    return forward, both, None
