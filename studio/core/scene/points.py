"""A cloud of Gaussians that cover what is behind them, in world space."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from studio.core.errors import InputError
from studio.core.scene.environment import sh_basis
from studio.core.scene.similarity import Similarity

GREY = 0.5
"""Display value of a point whose coefficients are all zero."""

_OUTER = 0.01
_STRAY = 0.5
"""Centres farther out than this, in lengths of the box that holds all but the outer hundredths, are strays:
clouds of photographs have some, and no view is framed by them."""

MAX_DEGREE = 2
"""Highest band of the colours' spherical harmonics."""


@dataclass(eq=False)
class Points:
    """Gaussians of any shape, with view-dependent colours.

    Colours are *display* values (sRGB), and are laid over each other as such: other programs that show
    such clouds do, and so do the files.

        opacity = sigmoid(opacity_logits)                                 at the centre
        color   = max(GREY + sum_k colors[k] * Y_k(direction), 0)         sRGB; direction from the eye on

    Attributes:
        centers: [P, 3] float32.
        log_sizes: [P, 3] float32, logarithms of the standard deviations along the own axes, world units.
        turns: [P, 4] float32 quaternions (w, x, y, z) that turn the axes; of any length but zero.
        opacity_logits: [P] float32.
        colors: [P, K, 3] float32 coefficients of real spherical harmonics, ordered as in Lighting.sh;
            K = 1, 4 or 9 for degree 0, 1, 2.
        name: what the user sees.
        world_to_input: leads to the coordinates of the files that the cloud was made from.
    """

    centers: np.ndarray = field(repr=False)
    log_sizes: np.ndarray = field(repr=False)
    turns: np.ndarray = field(repr=False)
    opacity_logits: np.ndarray = field(repr=False)
    colors: np.ndarray = field(repr=False)
    name: str = "points"
    world_to_input: Similarity = field(default_factory=Similarity, repr=False)

    def __len__(self) -> int:
        return len(self.centers)

    @property
    def degree(self) -> int:
        """Highest band of the colours' spherical harmonics: 0, 1 or 2."""
        return math.isqrt(self.colors.shape[1]) - 1

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(low, high), each [3], of the centres, without the few that lie far from all others."""
        low, high = self.centers.min(axis=0), self.centers.max(axis=0)
        most = np.quantile(self.centers, (_OUTER, 1 - _OUTER), axis=0)
        reach = _STRAY * (most[1] - most[0])
        return np.maximum(low, most[0] - reach), np.minimum(high, most[1] + reach)

    def moved(self, by: Similarity) -> Points:
        """The cloud in other coordinates, its colours turned along."""
        w, x, y, z = _quaternion(by.rotation)
        a, b, c, d = self.turns.astype(np.float64).T
        turns = [
            w * a - x * b - y * c - z * d,
            w * b + x * a + y * d - z * c,
            w * c - x * d + y * a + z * b,
            w * d + x * c - y * b + z * a,
        ]
        turned = _turned_harmonics(self.colors.astype(np.float64), by.rotation)
        return Points(
            by.apply(self.centers).astype(np.float32),
            (self.log_sizes + math.log(by.scale)).astype(np.float32),
            np.stack(turns, axis=1).astype(np.float32),
            self.opacity_logits,
            turned.astype(np.float32),
            self.name,
        )

    def check(self, where: str) -> None:
        """InputError if the cloud cannot be drawn; the line starts with `where`."""
        count = len(self.centers)
        shapes: dict[str, tuple[int, ...]] = {
            "centers": (count, 3),
            "log_sizes": (count, 3),
            "turns": (count, 4),
        }
        shapes["opacity_logits"] = (count,)
        for name, shape in shapes.items():
            found = getattr(self, name).shape
            if found != shape:
                raise InputError(f"{where}: {name} has shape {list(found)}, expected {list(shape)}")
        if self.colors.ndim != 3 or self.colors.shape not in [(count, k * k, 3) for k in (1, 2, 3)]:
            raise InputError(
                f"{where}: colors has shape {list(self.colors.shape)}, "
                f"expected [{count}] followed by 1, 4 or 9 coefficients of 3"
            )
        if count == 0:
            raise InputError(f"{where}: has no points, expected at least one")
        for name in (*shapes, "colors"):
            if not np.isfinite(getattr(self, name)).all():
                raise InputError(f"{where}: {name} has values that are NaN or infinite, expected numbers")


def _quaternion(rotation: np.ndarray) -> np.ndarray:
    """(w, x, y, z) of a rotation matrix."""
    from scipy.spatial.transform import Rotation

    return np.asarray(np.roll(Rotation.from_matrix(rotation).as_quat(), 1))


def _turned_harmonics(colors: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """[P, K, 3] coefficients of the same function of turned directions.

    Found from its values: a band of harmonics turned is harmonics of that band.
    """
    bands = math.isqrt(colors.shape[1])
    if bands == 1:
        return colors
    directions = np.random.default_rng(0).normal(size=(4 * bands * bands, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    here, there = sh_basis(directions, bands), sh_basis(directions @ rotation.T, bands)
    # Y(R d) c' = Y(d) c for every d
    turn = np.linalg.lstsq(there, here, rcond=None)[0]
    return np.asarray(np.einsum("jk,pkc->pjc", turn, colors))
