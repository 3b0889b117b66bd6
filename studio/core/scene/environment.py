"""Environment maps: which pixel is which direction, as a picture of the sky and as an octahedral map.

Equirectangular maps are [H, W, 3], row 0 at the bottom (straight down, -Y); their middle column is
seen looking along -Z, columns further right lie towards +X. Octahedral maps are [E, E, 3]:
the sphere's upper half (+Y) in the diamond around the middle, the lower half folded into the corners,
x along the columns and z along the rows (Engelhardt and Dachsbacher 2008, "Octahedron
Environment Maps"). Both hold radiance in the space the lights live in.
"""

from __future__ import annotations

import math
import weakref

import numpy as np

OCTAHEDRAL_SIZE = 256
"""Pixels along each side of a scene's octahedral map."""

_FINE = 1024
_made: dict[int, tuple[weakref.ref, np.ndarray]] = {}


def equirect_directions(height: int, width: int) -> np.ndarray:
    """[H, W, 3] float64 unit directions of the middles of an equirectangular map's pixels."""
    elevation = ((np.arange(height) + 0.5) / height - 0.5) * math.pi
    turn = ((np.arange(width) + 0.5) / width - 0.5) * 2 * math.pi
    level = np.cos(elevation)[:, None]
    up = np.broadcast_to(np.sin(elevation)[:, None], (height, width))
    return np.stack([level * np.sin(turn), up, -level * np.cos(turn)], axis=-1)


def octahedral_uv(direction: np.ndarray) -> np.ndarray:
    """[..., 2] place (column, row) in 0..1 of unit directions [..., 3] in an octahedral map."""
    x, y, z = np.moveaxis(np.asarray(direction, np.float64), -1, 0)
    total = np.abs(x) + np.abs(y) + np.abs(z)
    u, v = x / total, z / total
    folded_u = (1 - np.abs(v)) * np.where(u >= 0, 1.0, -1.0)
    folded_v = (1 - np.abs(u)) * np.where(v >= 0, 1.0, -1.0)
    below = y < 0
    return 0.5 + 0.5 * np.stack([np.where(below, folded_u, u), np.where(below, folded_v, v)], axis=-1)


def octahedral_directions(size: int) -> np.ndarray:
    """[E, E, 3] float64 unit directions of the middles of an octahedral map's pixels."""
    middle = 2 * (np.arange(size) + 0.5) / size - 1
    u, v = np.meshgrid(middle, middle)
    y = 1 - np.abs(u) - np.abs(v)
    fold = np.maximum(-y, 0.0)
    out = np.stack([u - np.copysign(fold, u), y, v - np.copysign(fold, v)], axis=-1)
    return np.asarray(out / np.linalg.norm(out, axis=-1, keepdims=True))


def to_octahedral(image: np.ndarray, size: int = OCTAHEDRAL_SIZE) -> np.ndarray:
    """[size, size, 3] float32 octahedral map: the mean of an equirectangular one over each pixel.

    Made once for each array as long as it lives: do not write into `image` afterwards.
    """
    kept = _made.get(id(image))
    if kept is not None and kept[0]() is image and len(kept[1]) == size:
        return kept[1]
    repeat = -(-_FINE // len(image))
    fine = np.repeat(np.repeat(image, repeat, axis=0), repeat, axis=1)
    height, width = fine.shape[:2]
    place = octahedral_uv(equirect_directions(height, width))
    column, row = np.moveaxis(np.minimum((place * size).astype(np.int64), size - 1), -1, 0)
    weight = np.cos(((np.arange(height) + 0.5) / height - 0.5) * math.pi)
    number, weight = (row * size + column).ravel(), np.repeat(weight, width)
    total = np.maximum(np.bincount(number, weight, size * size), 1e-12)
    sums = [np.bincount(number, weight * fine[..., c].ravel(), size * size) for c in range(3)]
    out = (np.stack(sums, axis=-1) / total[:, None]).reshape(size, size, 3).astype(np.float32)
    _made.clear()  # one map at a time: a scene has one, and a dragged-in file replaces it
    _made[id(image)] = (weakref.ref(image), out)
    return out


def sh_basis(direction: np.ndarray, bands: int = 5) -> np.ndarray:
    """[..., bands^2] real spherical harmonics of unit directions, ordered as Lighting.sh.

    Reference:
        Sloan 2008, "Stupid Spherical Harmonics Tricks", Appendix A1, without the
        Condon-Shortley phase.
    """
    x, y, z = np.moveaxis(np.asarray(direction, np.float64), -1, 0)
    out = np.empty((*x.shape, bands * bands))
    sine, cosine = np.zeros_like(x), np.ones_like(x)  # r^m sin(m phi), r^m cos(m phi)
    diagonal = 1.0  # P_mm / r^m
    for m in range(bands):
        below, legendre = np.zeros_like(x), np.full_like(x, diagonal)
        for band in range(m, bands):
            ratio = math.factorial(band - m) / math.factorial(band + m)
            scale = math.sqrt((2 * band + 1) / (4 * math.pi) * ratio) * (math.sqrt(2) if m else 1.0)
            middle = band * (band + 1)
            out[..., middle - m] = scale * legendre * sine
            out[..., middle + m] = scale * legendre * cosine
            above = ((2 * band + 1) * z * legendre - (band + m) * below) / (band - m + 1)
            below, legendre = legendre, above
        diagonal *= 2 * m + 1
        sine, cosine = x * sine + y * cosine, x * cosine - y * sine
    return out


def project_sh(image: np.ndarray) -> np.ndarray:
    """[25, 3] float32 coefficients of an equirectangular map [H, W, 3]; see Lighting.sh."""
    height, width = image.shape[:2]
    basis = sh_basis(equirect_directions(height, width))
    edges = np.sin(np.linspace(-0.5, 0.5, height + 1) * math.pi)
    solid = np.diff(edges) * (2 * math.pi / width)  # of a pixel of each row
    return np.asarray(np.einsum("h,hwb,hwc->bc", solid, basis, image, optimize=True), np.float32)
