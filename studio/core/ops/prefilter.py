"""Prefiltering of an environment map by a constant sparse matrix, which gradients go back through.

The split sum needs radiance averaged by the GGX lobe around the mirror direction, with the view
along the normal (Karis 2013). That average is linear in the map's texels: a matrix, whose adjoint
is its transpose. The octahedral map has the cube's mirror symmetries, so the matrix is made for
one octant only and applied to the eight mirrored maps side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix, vstack
from torch import Tensor

from studio.core.kernels import launcher, sparse
from studio.core.ops import check
from studio.core.scene.environment import (
    OCTAHEDRAL_SIZE,
    octahedral_directions,
    octahedral_uv,
    sh_basis,
)
from studio.core.scene.light import SH_Y00

LEVELS = ((0.0, OCTAHEDRAL_SIZE), (0.1, 128), (0.2, 64), (0.35, 32), (0.55, 32), (1.0, 32))
"""(perceptual roughness, texels along a side) of each level. The lobe of roughness 1 with the view
along the normal is the cosine: the last level is irradiance over pi as well."""

KEPT = 0.99
"""Part of the GGX lobe's energy that is kept; its long tail would fill the matrix."""

_ENTRY = 5.0
"""Nanoseconds of an entry of the matrix on one core."""

_LONG, _LANES = 64, 128
"""Entries from which on many threads share a row on CUDA, and how many."""

_SAMPLES = 4
"""Samples along the side of a texel: the sharpest lobe is as wide as one."""


@cache
def texel_directions(size: int, samples: int = 1) -> np.ndarray:
    """[size * size, samples * samples, 3] float64 unit vectors, spread evenly in each texel."""
    fine = octahedral_directions(size * samples).reshape(size, samples, size, samples, 3)
    return np.ascontiguousarray(fine.transpose(0, 2, 1, 3, 4)).reshape(size * size, samples * samples, 3)


@cache
def texel_solid_angles(size: int, samples: int = 1) -> np.ndarray:
    """[size * size, samples * samples] steradians of the parts of texels; they add up to 4 pi.

    An area dA of the square is 4 dA / r^3 of the sphere, r the distance of its point of the
    octahedron |x| + |y| + |z| = 1.
    """
    finer = max(1, 4 // samples)
    inverse = np.abs(texel_directions(size, finer * samples)).sum(axis=-1) ** 3
    shape = (size * size, samples, finer, samples, finer)
    area = inverse.reshape(shape).sum(axis=(2, 4)).reshape(size * size, samples * samples)
    return np.asarray(area * (4 * np.pi / area.sum()))


@cache
def mirrored(size: int) -> np.ndarray:
    """[8, size * size] for each of the 8 combinations of signs the texel that a texel goes to.

    Combination s turns the sign of x, y, z where bits 0, 1, 2 of s are set; the first changes
    nothing, and each undoes itself.
    """
    directions = texel_directions(size)[:, 0]
    out = []
    for s in range(8):
        signs = np.array([-1.0 if s >> k & 1 else 1.0 for k in range(3)])
        place = np.rint(octahedral_uv(directions * signs) * size - 0.5).astype(np.int64)
        out.append(place[:, 1] * size + place[:, 0])
    return np.stack(out)


@cache
def octant(size: int) -> np.ndarray:
    """[R] texels with x, y, z >= 0; the mirrored ones of these are all."""
    d = texel_directions(size)[:, 0]
    return np.flatnonzero((d > -1e-9).all(axis=1))


@dataclass(frozen=True, eq=False)
class Rows:
    """A sparse matrix by rows.

    Attributes:
        starts: [R + 1] int32 first entry of each row.
        columns, weights: [K] int32 and float32 entries.
    """

    starts: Tensor
    columns: Tensor
    weights: Tensor

    @classmethod
    def build(
        cls, rows: np.ndarray, columns: np.ndarray, weights: np.ndarray, count: int, device: torch.device
    ) -> Rows:
        order = np.argsort(rows, kind="stable")
        starts = np.searchsorted(rows[order], np.arange(count + 1))
        return cls(
            torch.tensor(starts, dtype=torch.int32, device=device),
            torch.tensor(columns[order], dtype=torch.int32, device=device),
            torch.tensor(weights[order], dtype=torch.float32, device=device),
        )

    @classmethod
    def of(cls, matrix: Any, device: torch.device) -> Rows:
        """A matrix of scipy's."""
        rows = matrix.tocsr()
        arrays = (rows.indptr, rows.indices, rows.data)
        kinds = (torch.int32, torch.int32, torch.float32)
        return cls(*(torch.tensor(a, dtype=kind, device=device) for a, kind in zip(arrays, kinds)))

    def times(self, dense: Tensor) -> Tensor:
        """[R, 24] of [C, 24], or [R, 3] of [C, 3]."""
        count = len(self.starts) - 1
        if dense.shape[1] == 3:
            return self._times_colors(dense, count)
        out = dense.new_empty(count, 24)
        launcher.launch(
            sparse.multiply,
            count,
            [launcher.BEGIN, self.starts, self.columns, self.weights, dense.contiguous(), out],
            dense.device,
            limit=launcher.worth(_ENTRY * len(self.weights)),
        )
        return out

    def _times_colors(self, dense: Tensor, count: int) -> Tensor:
        # On CUDA a few long rows would keep a few threads busy.
        lanes = 1 if dense.device.type == "cpu" or len(self.weights) < _LONG * count else _LANES
        out = dense.new_empty(count, 3) if lanes == 1 else dense.new_zeros(count, 3)
        launcher.launch(
            sparse.multiply_colors,
            (count, lanes),
            [launcher.BEGIN, lanes, self.starts, self.columns, self.weights, dense.contiguous(), out],
            dense.device,
            limit=launcher.worth(_ENTRY * len(self.weights)),
        )
        return out


class Multiply(torch.autograd.Function):
    """A matrix (and its transpose) times dense columns."""

    @staticmethod
    def forward(ctx: Any, dense: Tensor, forth: Rows, back: Rows) -> Tensor:
        ctx.back = back
        return forth.times(dense)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return ctx.back.times(grads[0]), None, None


@dataclass(frozen=True, eq=False)
class _Filter:
    """Matrix of one level for one octant, and how to mirror into and out of it.

    Attributes:
        forth, back: the matrix, whose rows sum to 1, and its transpose.
        inward: [S * 8] texel of the source for each column and mirroring.
        outward: [P] which of the R * 8 results each texel of the level takes.
    """

    forth: Rows
    back: Rows
    inward: Tensor
    outward: Tensor


def _lobe_weights(size: int, source: int, alpha: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, column, weight) of the matrix: GGX times cosine times solid angle, rows summing to 1."""
    centres = texel_directions(source)[:, 0]
    inside = texel_directions(source, _SAMPLES).reshape(-1, 3)
    area = texel_solid_angles(source, _SAMPLES)
    # tan^2 of the half vector's angle within which GGX has KEPT of its energy; the lobe is twice as wide
    cut = 2 * np.arctan(alpha * np.sqrt(KEPT / (1 - KEPT)))
    margin = 2.0 / source  # a texel's half diagonal
    reach = np.cos(min(cut + margin, np.pi / 2 + margin))
    rows, columns, weights = [], [], []
    for row, n in enumerate(texel_directions(size)[octant(size), 0]):
        column = np.flatnonzero(centres @ n > reach)
        samples = inside.reshape(-1, _SAMPLES**2, 3)[column]
        cosine = samples @ n
        half2 = 0.5 + 0.5 * cosine  # squared cosine of the half vector, halfway between n and light
        d = alpha**2 / (1 + (alpha**2 - 1) * half2) ** 2
        lit = (cosine > max(np.cos(cut), 0.0)) * cosine * d * area[column]
        weight = lit.sum(axis=1)
        rows.append(np.full(len(column), row))
        columns.append(column)
        weights.append(weight / weight.sum())
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(weights)


@cache
def _filter(size: int, source: int, alpha: float, device: torch.device) -> _Filter:
    rows, columns, weights = _lobe_weights(size, source, alpha)
    keep = weights > 0
    rows, columns, weights = rows[keep], columns[keep], weights[keep]
    count = len(octant(size))
    forth = Rows.build(rows, columns, weights, count, device)
    back = Rows.build(columns, rows, weights, source * source, device)
    outward = np.empty(size * size, np.int64)
    for s, to in enumerate(mirrored(size)):
        outward[to[octant(size)]] = np.arange(count) * 8 + s
    inward = torch.tensor(mirrored(source).T.reshape(-1)).to(device)
    return _Filter(forth, back, inward, torch.tensor(outward).to(device))


def _apply(how: _Filter, texels: Tensor) -> Tensor:
    """[P, 3] texels of a level from [S, 3] of its source."""
    eight = texels[how.inward].view(len(texels), 24)
    product: Tensor = Multiply.apply(eight, how.forth, how.back)
    return product.view(-1, 3)[how.outward]


@cache
def _shares(size: int, device: torch.device) -> Tensor:
    """[size / 2, size / 2, 4, 1] part of each of four texels in the solid angle of the four."""
    half = size // 2
    four = texel_solid_angles(size).reshape(half, 2, half, 2).transpose(0, 2, 1, 3)
    area = four.reshape(half, half, 4)
    shares = area / area.sum(axis=2, keepdims=True)
    return torch.tensor(shares[..., None], dtype=torch.float32, device=device)


def _halved(texels: Tensor, size: int) -> Tensor:
    """[P / 4, 3] mean radiance of each four texels."""
    half = size // 2
    four = texels.view(half, 2, half, 2, 3).permute(0, 2, 1, 3, 4).reshape(half, half, 4, 3)
    return (four * _shares(size, texels.device)).sum(2).view(-1, 3)


def _halving(size: int) -> Any:
    """What `_halved` does, as a sparse matrix."""
    four = np.arange(size * size).reshape(size // 2, 2, size // 2, 2).transpose(0, 2, 1, 3).reshape(-1)
    shares = _shares(size, torch.device("cpu")).numpy().ravel()
    rows = np.arange(size * size) // 4
    return csr_matrix((shares, (rows, four)), shape=(size * size // 4, size * size))


def _whole(how: _Filter, size: int) -> Any:
    """What `_apply` does, as a sparse matrix."""
    starts, columns, weights = (t.numpy() for t in (how.forth.starts, how.forth.columns, how.forth.weights))
    texels = size * size
    taken = how.outward.numpy()
    octant_rows = csr_matrix((weights, columns, starts), shape=(len(starts) - 1, texels))
    rows = octant_rows[taken // 8]
    mirror = np.repeat(taken % 8, np.diff(rows.indptr))
    places = how.inward.numpy().reshape(texels, 8)[rows.indices, mirror]
    return csr_matrix((rows.data, places, rows.indptr), shape=(texels, texels))


def filtered(source: Any) -> Any:
    """`prefilter` of maps that are given by a sparse matrix of scipy's.

    Args:
        source: [256 * 256, K], what each of K numbers adds to the texels.
    Returns:
        [sum of the levels' texels, K].
    """
    sources, size = {OCTAHEDRAL_SIZE: source.tocsr()}, OCTAHEDRAL_SIZE
    while size > min(s for _, s in LEVELS):
        sources[size // 2] = _halving(size) @ sources[size]
        size //= 2
    cpu = torch.device("cpu")
    levels = [_whole(_filter(side, side, rough**2, cpu), side) @ sources[side] for rough, side in LEVELS[1:]]
    return vstack([sources[OCTAHEDRAL_SIZE], *levels], format="csr")


def make_filters(device: torch.device) -> None:
    """Make the matrices, which takes a second, so that `prefilter` finds them."""
    for roughness, side in LEVELS[1:]:
        _filter(side, side, roughness**2, device)


def prefilter(environment: Tensor) -> Tensor:
    """All levels of a map, one after the other.

    Args:
        environment: [256, 256, 3] octahedral radiance, any sign.
    Returns:
        [sum of the levels' texels, 3]; sizes and roughness are in LEVELS.
    Gradients:
        To: environment, exactly: the filter is linear.
    Raises:
        ShapeError: a map of another size.
    Reference:
        Karis 2013, "Real Shading in Unreal Engine 4"; Walter et al. 2007 (GGX). The lobe is cut
        where it has 99 % of its energy, and what is left is normalised: a constant stays one.
    """
    environment = check.tensor("prefilter", "environment", environment, (OCTAHEDRAL_SIZE, OCTAHEDRAL_SIZE, 3))
    sources = {OCTAHEDRAL_SIZE: environment.reshape(-1, 3)}
    size = OCTAHEDRAL_SIZE
    while size > min(s for _, s in LEVELS):
        sources[size // 2] = _halved(sources[size], size)
        size //= 2
    levels = [sources[OCTAHEDRAL_SIZE]]
    for roughness, side in LEVELS[1:]:
        levels.append(_apply(_filter(side, side, roughness**2, environment.device), sources[side]))
    return torch.cat(levels)


@cache
def _sh_matrix(device: torch.device) -> Tensor:
    """[P, 25] basis functions at the texels of a map."""
    return torch.tensor(sh_basis(texel_directions(OCTAHEDRAL_SIZE)[:, 0]), dtype=torch.float32, device=device)


SOFT_CLAMP = 0.02
"""Width of the rounded corner at zero as a part of the mean radiance."""


def from_harmonics(sh: Tensor) -> Tensor:
    """[256, 256, 3] map of an environment that is given by coefficients.

    Where the polynomials go below zero they are clamped softly, as pbr does with its lookups.

    Args:
        sh: [K, 3] coefficients, K at most 25.
    Gradients:
        To: sh.
    """
    sh = check.tensor("from_harmonics", "sh", sh, ("K", 3))
    radiance = _sh_matrix(sh.device)[:, : len(sh)] @ sh
    width = SOFT_CLAMP * SH_Y00 * sh[0] + 1e-12
    return (0.5 * (radiance + torch.sqrt(radiance**2 + width**2))).view(OCTAHEDRAL_SIZE, OCTAHEDRAL_SIZE, 3)
