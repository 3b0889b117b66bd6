"""Lens models: where a ray through the centre of projection meets the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Rays = tuple[np.ndarray, np.ndarray]
"""x / z and y / z of rays, y pointing down; or where they land, in focal lengths from the principal point."""

Distort = Callable[[np.ndarray, np.ndarray, tuple[float, ...]], Rays]


@dataclass(frozen=True)
class Lens:
    """A lens that bends straight lines.

    A ray (x, y) lands at the pixel (fx * xd + cx, fy * yd + cy), where (xd, yd) = distort(x, y).

    Attributes:
        model: a name of LENSES.
        params: the model's coefficients without focal lengths and principal point.
    """

    model: str
    params: tuple[float, ...]

    def distort(self, x: np.ndarray, y: np.ndarray) -> Rays:
        """Where rays land; NaN or infinite where the model does not reach."""
        with np.errstate(all="ignore"):
            return LENSES[self.model].distort(x, y, self.params)

    @property
    def straight(self) -> bool:
        """The coefficients leave a pinhole."""
        if self.model in _NEUTRAL:
            return self.params == _NEUTRAL[self.model]
        return LENSES[self.model].pinhole and not any(self.params)


@dataclass(frozen=True)
class LensModel:
    """How a model is stored and computed.

    Attributes:
        focals: 1 (f) or 2 (fx, fy) focal lengths come first, then the principal point.
        terms: names of the coefficients that follow.
        pinhole: without distortion the model is a pinhole; False for those of fisheyes.
    """

    focals: int
    terms: tuple[str, ...]
    distort: Distort
    pinhole: bool = True


def _brown(x: np.ndarray, y: np.ndarray, radial: np.ndarray | float, p1: float, p2: float) -> Rays:
    """Brown 1966: radial factor and tangential shift, with OpenCV's order of p1 and p2."""
    r2, xy = x * x + y * y, x * y
    across = (2 * p1 * xy + p2 * (r2 + 2 * x * x), 2 * p2 * xy + p1 * (r2 + 2 * y * y))
    return x * radial + across[0], y * radial + across[1]


def _polynomial(square: np.ndarray, terms: tuple[float, ...]) -> np.ndarray:
    """1 + k1 s + k2 s^2 + ..."""
    out = np.zeros_like(square)
    for k in reversed(terms):
        out = (out + k) * square
    return 1 + out


def _perspective(x: np.ndarray, y: np.ndarray, p: tuple[float, ...]) -> Rays:
    """Any number of radial terms and, from the fourth parameter on, p1 and p2 as the last two."""
    radial, (p1, p2) = (p[:-2], p[-2:]) if len(p) >= 4 else (p, (0.0, 0.0))
    return _brown(x, y, _polynomial(x * x + y * y, radial), p1, p2)


def _full_opencv(x: np.ndarray, y: np.ndarray, p: tuple[float, ...]) -> Rays:
    k1, k2, p1, p2, k3, k4, k5, k6 = p
    r2 = x * x + y * y
    return _brown(x, y, _polynomial(r2, (k1, k2, k3)) / _polynomial(r2, (k4, k5, k6)), p1, p2)


def _equidistant(x: np.ndarray, y: np.ndarray) -> Rays:
    """The ideal fisheye: the distance from the centre is the angle."""
    r = np.hypot(x, y)
    factor = np.where(r > 1e-8, np.arctan(r) / np.maximum(r, 1e-8), 1.0)
    return x * factor, y * factor


def _fisheye(x: np.ndarray, y: np.ndarray, p: tuple[float, ...]) -> Rays:
    """Kannala and Brandt 2006: a polynomial of the angle, any number of terms."""
    x, y = _equidistant(x, y)
    radial = _polynomial(x * x + y * y, p)
    return x * radial, y * radial


def _thin_prism(x: np.ndarray, y: np.ndarray, p: tuple[float, ...]) -> Rays:
    k1, k2, p1, p2, k3, k4, sx, sy = p
    x, y = _equidistant(x, y)
    r2 = x * x + y * y
    xd, yd = _brown(x, y, _polynomial(r2, (k1, k2, k3, k4)), p1, p2)
    return xd + sx * r2, yd + sy * r2


def _rad_tan_thin_prism(x: np.ndarray, y: np.ndarray, p: tuple[float, ...]) -> Rays:
    """Six radial terms; tangential and prism shifts of the point that they give."""
    x, y = _fisheye(x, y, p[:6])
    p0, p1, s0, s1, s2, s3 = p[6:]
    r2 = x * x + y * y
    xd, yd = _brown(x, y, 1.0, p1, p0)
    return xd + (s0 + s1 * r2) * r2, yd + (s2 + s3 * r2) * r2


def _fov(x: np.ndarray, y: np.ndarray, p: tuple[float, ...]) -> Rays:
    """Devernay and Faugeras 2001."""
    omega = p[0]
    r = np.hypot(x, y)
    slope = 2 * np.tan(omega / 2)
    factor = np.arctan(r * slope) / (np.maximum(r, 1e-8) * omega) if omega else np.ones_like(r)
    factor = np.where(r > 1e-8, factor, slope / omega if omega else 1.0)
    return x * factor, y * factor


def _division(x: np.ndarray, y: np.ndarray, p: tuple[float, ...]) -> Rays:
    """Fitzgibbon 2001: x = xd / (1 + k rd^2), solved for xd."""
    factor = 2 / (1 + np.sqrt(1 - 4 * p[0] * (x * x + y * y)))
    return x * factor, y * factor


def _eucm(x: np.ndarray, y: np.ndarray, p: tuple[float, ...]) -> Rays:
    """Khomutenko et al. 2016, "An Enhanced Unified Camera Model"."""
    alpha, beta = p
    factor = 1 / (alpha * np.sqrt(beta * (x * x + y * y) + 1) + 1 - alpha)
    return x * factor, y * factor


_K4 = ("k1", "k2", "k3", "k4")

LENSES = {
    "SIMPLE_PINHOLE": LensModel(1, (), _perspective),
    "PINHOLE": LensModel(2, (), _perspective),
    "SIMPLE_RADIAL": LensModel(1, ("k1",), _perspective),
    "RADIAL": LensModel(1, ("k1", "k2"), _perspective),
    "OPENCV": LensModel(2, ("k1", "k2", "p1", "p2"), _perspective),
    "BROWN": LensModel(2, (*_K4, "p1", "p2"), _perspective),
    "FULL_OPENCV": LensModel(2, ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"), _full_opencv),
    "FOV": LensModel(2, ("omega",), _fov),
    "SIMPLE_DIVISION": LensModel(1, ("k",), _division),
    "DIVISION": LensModel(2, ("k",), _division),
    "EUCM": LensModel(2, ("alpha", "beta"), _eucm, False),
    "SIMPLE_FISHEYE": LensModel(1, (), _fisheye, False),
    "FISHEYE": LensModel(2, (), _fisheye, False),
    "SIMPLE_RADIAL_FISHEYE": LensModel(1, ("k1",), _fisheye, False),
    "RADIAL_FISHEYE": LensModel(1, ("k1", "k2"), _fisheye, False),
    "OPENCV_FISHEYE": LensModel(2, _K4, _fisheye, False),
    "THIN_PRISM_FISHEYE": LensModel(
        2, ("k1", "k2", "p1", "p2", "k3", "k4", "sx1", "sy1"), _thin_prism, False
    ),
    "RAD_TAN_THIN_PRISM_FISHEYE": LensModel(
        2,
        ("k0", "k1", "k2", "k3", "k4", "k5", "p0", "p1", "s0", "s1", "s2", "s3"),
        _rad_tan_thin_prism,
        False,
    ),
}
"""COLMAP's models by its names, in the order of its parameters; BROWN is nerfstudio's perspective camera."""

_NEUTRAL = {"EUCM": (0.0, 1.0)}
