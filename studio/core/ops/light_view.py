"""What lights see: the matrices under which shadow maps are drawn, and where the maps lie.

Suns look through an orthographic box around the scene, spots through their cone. A point or area
light outside the scene looks at all of it through one perspective. Inside, a point light looks
through the six faces of a cube, each of half the side, and an area light straight ahead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from studio.core.gbuffer import LightTensors

DIRECTIONAL, POINT, SPOT, AREA = range(4)

SLACK = 1.25
"""The scene's sphere is taken this much larger, so that what moves a little stays in the map."""
CUBE_MARGIN = 1.3
"""A cube's faces see this much beyond 45 degrees, for filters at their border."""
OUTSIDE = 1.2
"""A light this many radii from the scene's centre sees the scene through one perspective."""
WIDEST = math.tan(math.radians(78))
"""Tangent of the widest half angle of one map; an area light inside the scene has it."""
_CUBE = ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))


@dataclass(frozen=True, eq=False)
class LightViews:
    """Maps of all lights that cast shadows, A views of T tiles.

    Attributes:
        matrices: [A, T, 4, 4] world to (x, y, depth, w): x/w and y/w are -1..1 across the tile,
            depth is 0..1 and linear along the light's axis. Differentiable.
        tiles: [A, T, 12] constants, see studio.core.kernels.shadow_map.vec12.
        clip: [A, T, 2] factor and summand that make clip-space z of depth.
        sides: side of each tile in texels.
        first: [L] int32 first tile of a light, -1 if it casts no shadow.
        faces: [L] int32 tiles of a light: 1, or 6 in the order +x -x +y -y +z -z.
        sizes: [L] radius of the light (of an area light's disc of the same area), world units;
            tangent of the angular radius of a directional light. Differentiable.
        height, width: of the atlas, texels.
        count: levels of the atlas, the finest included.
    """

    matrices: Tensor
    tiles: Tensor
    clip: Tensor
    sides: tuple[int, ...]
    first: Tensor
    faces: Tensor
    sizes: Tensor
    height: int
    width: int
    count: int

    def starts(self) -> list[int]:
        """Texels before each level of a view's row, and the number of all."""
        out = [0]
        for level in range(self.count):
            out.append(out[-1] + (self.height >> level) * (self.width >> level))
        return out

    def corner(self, tile: int) -> tuple[int, int]:
        """Row and column of a tile's lower left texel."""
        left, bottom = self.tiles[0, tile, :2].tolist()
        return int(bottom), int(left)


@dataclass(eq=False)
class _Lens:
    """One light's tiles in light space, before they get a place in the atlas."""

    matrices: Tensor  # [A, k, 4, 4]
    scale: Tensor  # [A] 1 / half width, or 1 / tangent of the half angle
    length: Tensor  # [A] depth 1, world units
    near: Tensor  # [A] world units, for clipping
    perspective: bool


def _basis(forward: Tensor) -> tuple[Tensor, Tensor]:
    """Two axes across [A, 3] unit vectors; which way is up has no gradient."""
    away = torch.zeros_like(forward)
    away.scatter_(1, forward.detach().abs().argmin(1, keepdim=True), 1.0)
    right = normalize(torch.linalg.cross(away, forward), dim=1)
    return right, torch.linalg.cross(forward, right)


def _matrix(axes: tuple[Tensor, Tensor, Tensor], origin: Tensor, lens: tuple[Tensor, Tensor]) -> Tensor:
    """[A, 4, 4] perspective from [A, 3] axes right, up, forward and an origin."""
    scale, length = lens
    right, up, forward = axes
    rows = torch.stack([right * scale[:, None], up * scale[:, None], forward / length[:, None], forward], 1)
    return torch.cat([rows, -torch.einsum("ahc,ac->ah", rows, origin)[..., None]], dim=2)


def _sun(vector: Tensor, centre: Tensor, radius: Tensor) -> _Lens:
    """An orthographic view along -vector of a sphere."""
    forward = -normalize(vector.expand_as(centre), dim=1)
    right, up = _basis(forward)
    scale, length = (1.0 / radius).expand(len(centre)), (2.0 * radius).expand(len(centre))
    begin = centre - forward * radius
    rows = torch.stack([right * scale[:, None], up * scale[:, None], forward / length[:, None]], 1)
    points = torch.stack([centre, centre, begin], 1)
    matrix = torch.cat([rows, -(rows * points).sum(2, keepdim=True)], dim=2)
    last = torch.tensor([0.0, 0, 0, 1], device=matrix.device).expand(len(matrix), 1, 4)
    whole = torch.cat([matrix, last], dim=1)[:, None]
    return _Lens(whole, scale, length, torch.zeros_like(scale), False)


def _cone(origin: Tensor, forward: Tensor, tangent: Tensor, centre: Tensor, radius: Tensor) -> _Lens:
    """One perspective along [A, 3] unit forward."""
    origin = origin.expand_as(centre)
    distance = (origin.detach() - centre).norm(dim=1)
    length = distance + radius
    near = torch.maximum(distance - radius, 0.01 * length)
    scale = 1.0 / tangent
    matrix = _matrix((*_basis(forward), forward), origin, (scale, length))
    return _Lens(matrix[:, None], scale, length, near, True)


def _faces(origin: Tensor, centre: Tensor, radius: Tensor) -> _Lens:
    """Six perspectives from a point."""
    distance = (centre - origin.detach()).norm(dim=1)
    length = distance + radius
    scale = torch.full_like(length, 1.0 / CUBE_MARGIN)
    faces = []
    for direction in _CUBE:
        forward = torch.tensor(direction, dtype=centre.dtype, device=centre.device).expand_as(centre)
        faces.append(_matrix((*_basis(forward), forward), origin.expand_as(centre), (scale, length)))
    return _Lens(torch.stack(faces, 1), scale, length, 0.01 * length, True)


def _lens(lights: LightTensors, number: int, kind: int, centre: Tensor, radius: Tensor) -> _Lens:
    vector = lights.vector[number]
    if kind == DIRECTIONAL:
        return _sun(vector, centre, radius)
    if kind == SPOT:
        cosine = lights.shape[number, 0].detach().clamp(min=1e-3)
        tangent = (1.05 * (1 - cosine**2).clamp(min=1e-6).sqrt() / cosine).clamp(max=WIDEST)
        forward = -normalize(lights.axis[number].expand_as(centre), dim=1)
        return _cone(vector, forward, tangent.expand(len(centre)), centre, radius)
    toward = centre - vector
    distance = toward.detach().norm(dim=1)
    if bool((distance > OUTSIDE * radius).all()):
        tangent = radius / (distance**2 - radius**2).sqrt()
        return _cone(vector, normalize(toward.detach(), dim=1), tangent, centre, radius)
    if kind == AREA:
        forward = -normalize(lights.axis[number].expand_as(centre), dim=1)
        return _cone(vector, forward, torch.full_like(distance, WIDEST), centre, radius)
    return _faces(vector, centre, radius)


def _sizes(lights: LightTensors, kinds: list[int]) -> Tensor:
    """[L] sizes; an area light's is the radius of a disc of its area."""
    area = torch.tensor([k == AREA for k in kinds], dtype=torch.bool, device=lights.vector.device)
    disc = (4.0 / math.pi * (lights.shape[:, 2] * lights.shape[:, 3]).clamp(min=1e-12)).sqrt()
    return torch.where(area, disc, lights.size)


def light_views(
    lights: LightTensors, bounds: tuple[Tensor, Tensor], side: int, world_to_light: Tensor
) -> LightViews:
    """The maps that a set of lights needs for a scene.

    Args:
        lights: kinds 0 directional, 1 point, 2 spot, 3 area.
        bounds: low and high corner of the scene, [3] each, world; no gradient.
        side: texels along a map, a power of two.
        world_to_light: [A, 4, 4] rigid: one, or one per view where lights go with the camera.
    Gradients:
        matrices to vector and axis of the lights; sizes to size and shape.
        Not to: what the maps enclose (angle of view, depth range), which only sets resolution.
    """
    low, high = (b.detach().to(world_to_light) for b in bounds)
    radius = (0.5 * SLACK * (high - low).norm()).clamp(min=1e-6)
    middle = 0.5 * (low + high)
    centre = world_to_light[:, :3, :3] @ middle + world_to_light[:, :3, 3]
    kinds = lights.kind.tolist()
    first: list[int] = []
    faces: list[int] = []
    lenses: list[_Lens] = []
    places: list[list[tuple[int, int, int]]] = []
    tiles = 0
    wide = 1
    for number, kind in enumerate(kinds):
        if not lights.casts[number]:
            first.append(-1)
            faces.append(0)
            continue
        lens = _lens(lights, number, kind, centre, radius)
        count = lens.matrices.shape[1]
        own = side if count == 1 else side // 2
        bottom = len(lenses) * side
        places.append([((f % 4) * own, bottom + (f // 4) * own, own) for f in range(count)])
        wide = wide if count == 1 else 2
        first.append(tiles)
        faces.append(count)
        lenses.append(lens)
        tiles += count
    device = world_to_light.device

    def numbers(values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int32, device=device)

    corners = torch.cartesian_prod(*torch.stack([low, high], 1))
    ranges = [_range(lens.matrices @ world_to_light[:, None], corners) for lens in lenses]
    constants = [
        _constants(lens, place, ends) for lens, row, ends in zip(lenses, places, ranges) for place in row
    ]
    empty = world_to_light.new_zeros(len(world_to_light), 0, 4, 4)
    return LightViews(
        matrices=torch.cat([lens.matrices for lens in lenses], 1) @ world_to_light[:, None]
        if lenses
        else empty,
        tiles=torch.stack([c[0] for c in constants], 1) if lenses else empty.flatten(2)[..., :12],
        clip=torch.stack([c[1] for c in constants], 1) if lenses else empty.flatten(2)[..., :2],
        sides=tuple(place[2] for row in places for place in row),
        first=numbers(first),
        faces=numbers(faces),
        sizes=_sizes(lights, kinds),
        height=max(1, len(lenses)) * side,
        width=wide * side,
        count=int(math.log2(side)),
    )


def _range(matrices: Tensor, corners: Tensor) -> tuple[Tensor, Tensor]:
    """[A] least and greatest depth of the scene's box, with some room."""
    with torch.no_grad():
        depth = corners @ matrices[:, 0, 2, :3].T + matrices[:, 0, 2, 3]
        low, high = depth.amin(0), depth.amax(0)
        room = 0.05 * (high - low)
        return (low - room).clamp(min=0.0), (high + room).clamp(max=1.0)


def _constants(
    lens: _Lens, place: tuple[int, int, int], ends: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """[A, 12] constants of a tile and [A, 2] of its clip-space z."""
    left, bottom, side = place
    scale, length, near = lens.scale, lens.length, lens.near
    nearest, farthest = ends
    if lens.perspective:
        nearest = torch.maximum(nearest, near / length)
    if lens.matrices.shape[1] > 1:
        nearest, farthest = near / length, torch.ones_like(near)
    one = torch.ones_like(scale)
    flag = one * float(lens.perspective)
    reach = 0.5 * side * scale * (1.0 / length if lens.perspective else length)
    values = [one * left, one * bottom, one * side, 2.0 / (side * scale), reach]
    values += [1.0 / (scale**2 * length), length, flag, flag / scale**2, nearest, farthest, 0 * one]
    if lens.perspective:
        span = length - near
        clip = torch.stack([length * (length + near) / span, -2.0 * length * near / span], 1)
    else:
        clip = torch.stack([2.0 * one, -one], 1)
    return torch.stack(values, 1), clip
