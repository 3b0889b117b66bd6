"""Cube maps made of noise: a globe and a surrounding, the same on every machine.

Everything is a function of the direction, so faces meet without seams and a map of any size shows
the same world.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from studio.core.ops import texture


def face_directions(size: int) -> Tensor:
    """[6, size, size, 3] through the texel centres of a cube map, not normalised.

    Faces +x, -x, +y, -y, +z, -z in OpenGL's orientation, as `texture` samples them.
    """
    line = (2 * torch.arange(size) + 1) / size - 1
    t, s = torch.meshgrid(line, line, indexing="ij")
    one = torch.ones_like(s)
    faces = [(one, -t, -s), (-one, -t, s), (s, one, t), (s, -one, -t), (s, -t, one), (-s, -t, -one)]
    return torch.stack([torch.stack(face, dim=-1) for face in faces])


def unfolded(cube: Tensor, height: int) -> Tensor:
    """[height, 2 height, C]: all directions of a [1, 6, S, S, C] map, latitude over longitude."""
    latitude = ((torch.arange(height) + 0.5) / height - 0.5) * torch.pi
    longitude = ((torch.arange(2 * height) + 0.5) / height - 1) * torch.pi
    y, a = torch.meshgrid(latitude, longitude, indexing="ij")
    direction = torch.stack([y.cos() * a.sin(), y.sin(), y.cos() * a.cos()], dim=-1)
    return texture(cube, direction[None].to(cube.device), filter_mode="linear", boundary_mode="cube")[0]


_LATTICE = 64
"""Noise repeats after this many features: finer than anything the eye compares."""


@functools.cache
def _lattice(seed: int) -> Tensor:
    """[n + 1, n + 1, n + 1] random values, -1..1, periodic."""
    values = 2 * torch.rand((_LATTICE,) * 3, generator=torch.Generator().manual_seed(seed)) - 1
    for axis in range(3):
        values = torch.cat([values, values.narrow(axis, 0, 1)], dim=axis)
    return values


def cell_values(points: Tensor, seed: int) -> Tensor:
    """[...] one random value 0..1 for each unit cell, of [..., 3] points."""
    x, y, z = (points.floor().long() % _LATTICE).unbind(-1)
    return (_lattice(seed)[z, y, x] + 1) / 2


def value_noise(points: Tensor, seed: int) -> Tensor:
    """[...] smooth noise, -1..1, with features of size 1, of [..., 3] points."""
    low = points.floor()
    f = points - low
    place = (low % _LATTICE + f * f * (3 - 2 * f)) * (2 / _LATTICE) - 1
    volume = _lattice(seed)[None, None]
    return torch.nn.functional.grid_sample(volume, place.reshape(1, 1, 1, -1, 3), align_corners=True).view(
        points.shape[:-1]
    )


def fractal(points: Tensor, frequency: float, octaves: int, seed: int, gain: float = 0.5) -> Tensor:
    """[...] sum of noises of doubling frequency, about -1..1 (Perlin 1985)."""
    total = torch.zeros(points.shape[:-1])
    amplitude = 1.0
    for octave in range(octaves):
        # Each octave is shifted, so that the lattices do not line up at the origin.
        total += amplitude * value_noise(points * frequency * 2**octave + 17.3 * octave, seed + octave)
        amplitude *= gain
    return total * (1 - gain) / (1 - gain**octaves) * 1.6


def _step(low: float, high: float, x: Tensor) -> Tensor:
    """0 below low, 1 above high, smooth between."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _mix(a: Tensor, b: tuple[float, float, float] | Tensor, share: Tensor) -> Tensor:
    return a + share[..., None] * (torch.as_tensor(b) - a)


def globe(size: int) -> Tensor:
    """[1, 6, size, size, 3] a planet in sRGB-like values 0..1: continents, ice, towns and clouds.

    Texels are the means of four, so that coasts and roofs are not jagged.
    """
    fine = _planet(2 * size)[0].permute(0, 3, 1, 2)
    return torch.nn.functional.avg_pool2d(fine, 2).permute(0, 2, 3, 1)[None].contiguous()


def _planet(size: int) -> Tensor:
    """[1, 6, size, size, 3] the planet, each texel the colour at its centre."""
    p = torch.nn.functional.normalize(face_directions(size), dim=-1)
    # The finest noise has cells of about three of these texels, one and a half of the map's: like a
    # photograph, the map holds no detail that it could not show.
    octaves = max(3, size.bit_length() - 3)
    bent = p + 0.18 * torch.stack([fractal(p, 2.1, 5, 100 + 10 * k) for k in range(3)], dim=-1)
    height = fractal(bent, 1.3, octaves, 1, gain=0.56)
    wet = fractal(bent, 2.3, octaves - 1, 31)
    latitude = p[..., 1].abs() + 0.12 * fractal(p, 5.0, max(1, octaves - 2), 51)
    sea = _mix(
        torch.tensor([0.01, 0.05, 0.16]).expand(*p.shape), (0.05, 0.34, 0.46), _step(-0.28, 0.0, height)
    )
    land = _mix(torch.tensor([0.72, 0.58, 0.33]).expand(*p.shape), (0.07, 0.25, 0.06), _step(-0.15, 0.2, wet))
    land = _mix(land, (0.30, 0.22, 0.15), _step(0.3, 0.55, height))
    land = _mix(land, (0.36, 0.38, 0.30), _step(0.78, 0.9, latitude))
    land = land * (1 + 0.35 * fractal(bent, 24.0, max(1, octaves - 4), 71))[..., None]
    land = _mix(land, (0.95, 0.96, 1.0), _step(0.62, 0.72, height))
    out = torch.where((height > 0)[..., None], _towns(land, p, height), sea)
    out = _mix(out, (0.93, 0.96, 1.0), _step(0.93, 0.96, latitude))
    swirl = p + 0.12 * torch.stack([fractal(p, 3.0, 5, 200 + 10 * k) for k in range(3)], dim=-1)
    clouds = fractal(swirl * torch.tensor([1.0, 1.9, 1.0]), 2.6, octaves - 1, 81, gain=0.58)
    return _mix(out, (1.0, 1.0, 1.0), 0.95 * _step(0.12, 0.5, clouds))[None].clamp(0, 1).contiguous()


def _towns(land: Tensor, p: Tensor, height: Tensor) -> Tensor:
    """Bright blocks in the inhabited lowlands, of one texel of a map of 512, whatever this one's size."""
    inhabited = _step(0.15, 0.35, fractal(p, 4.0, 5, 91)) * (height < 0.22)
    lit = cell_values(p * 256, 7) < 0.35
    return _mix(land, (1.0, 0.93, 0.72), inhabited * lit)


def surrounding(size: int) -> Tensor:
    """[1, 6, size, size, 3] sky with sun and clouds over a town on a tiled ground, values 0..1."""
    p = torch.nn.functional.normalize(face_directions(size), dim=-1)
    x, y, z = p.unbind(-1)
    sky = _mix(torch.tensor([0.75, 0.84, 0.93]).expand(*p.shape), (0.12, 0.32, 0.72), _step(0.0, 0.8, y))
    above = p / (y.abs() + 0.25)[..., None]
    sky = _mix(sky, (1.0, 1.0, 1.0), 0.9 * _step(0.05, 0.5, fractal(above, 2.0, 5, 11)))
    sun = torch.nn.functional.normalize(torch.tensor([0.5, 0.6, 0.62]), dim=0)
    sky = _mix(sky, (1.0, 0.93, 0.7), _step(0.985, 0.992, p @ sun))
    tiles = ((above[..., 0] * 3).floor() + (above[..., 2] * 3).floor()) % 2
    ground = _mix(torch.tensor([0.22, 0.16, 0.12]).expand(*p.shape), (0.78, 0.7, 0.58), tiles)
    out = torch.where((y > 0)[..., None], sky, ground)
    around = torch.atan2(x, z) / torch.pi
    block = (around * 24).floor()
    key = torch.stack([block, torch.zeros_like(block), torch.zeros_like(block)], dim=-1)
    roof = 0.08 + 0.3 * cell_values(key, 3)
    tint = torch.stack([0.2 + 0.6 * cell_values(key, 20 + k) for k in range(3)], dim=-1)
    wall = (y / (1 - y * y).clamp_min(1e-6).sqrt() < roof) & (y > -0.06)
    windows = (around * 120).floor() % 2 * ((y * 30).floor() % 2)
    return (
        torch.where(wall[..., None], _mix(tint, (1.0, 0.9, 0.5), windows), out)[None].clamp(0, 1).contiguous()
    )
