"""FLIP: how different two pictures look when one is flipped to the other on a screen."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import convolve1d

PIXELS_PER_DEGREE = 0.7 * 3840 / 0.7 * math.pi / 180
"""Of the paper's viewing conditions: a 4K screen, 0.7 m wide, seen from 0.7 m."""

# Contrast sensitivity as sums of Gaussians, sum of a * sqrt(pi / b) * exp(-pi^2 x^2 / b), x in
# degrees (table 1 of the paper): (a, b) of the achromatic, red-green and blue-yellow channels.
_SENSITIVITY: tuple[tuple[tuple[float, float], ...], ...] = (
    ((1.0, 0.0047),),
    ((1.0, 0.0053),),
    ((34.1, 0.04), (13.5, 0.025)),
)
_WIDEST = 0.04
_COLOR_EXPONENT, _KNEE, _KNEE_VALUE = 0.7, 0.4, 0.95
_FEATURE_WIDTH, _FEATURE_EXPONENT = 0.082, 0.5

_RGB_TO_XYZ = np.array(
    [
        [0.41238656, 0.35759149, 0.18045049],
        [0.21263682, 0.71518298, 0.07218020],
        [0.01933062, 0.11919716, 0.95037259],
    ]
)
_XYZ_TO_RGB = np.linalg.inv(_RGB_TO_XYZ)
_WHITE = _RGB_TO_XYZ.sum(axis=1)


def flip(test: np.ndarray, reference: np.ndarray, pixels_per_degree: float = PIXELS_PER_DEGREE) -> np.ndarray:
    """The perceived difference of each pixel.

    Its mean is the number that is usually given; equal pictures have 0 everywhere.

    Args:
        test, reference: [H, W, 3] sRGB values, 0..1.
        pixels_per_degree: of visual angle; more of them forgive more.
    Returns:
        difference: [H, W] float32, 0..1.
    Reference:
        Andersson, Nilsson, Akenine-Möller, Oskarsson, Åström and Fairchild 2020, "FLIP: A
        Difference Evaluator for Alternating Images"; the form for pictures of low dynamic range.
    """
    a, b = (_opponent(np.clip(image, 0, 1).astype(np.float64)) for image in (test, reference))
    color = _color_difference(_seen(a, pixels_per_degree), _seen(b, pixels_per_degree))
    feature = _feature_difference(a, b, pixels_per_degree)
    result: np.ndarray = (color ** (1 - feature)).astype(np.float32)
    return result


def _opponent(srgb: np.ndarray) -> np.ndarray:
    """[H, W, 3] linearised CIELAB (YCxCz): luminance, red-green, blue-yellow."""
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    x, y, z = np.moveaxis(linear @ (_RGB_TO_XYZ / _WHITE[:, None]).T, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _seen(opponent: np.ndarray, pixels_per_degree: float) -> np.ndarray:
    """[H, W, 3] CIELAB with Hunt's adjustment of what the eye resolves of a picture."""
    radius = math.ceil(3 * math.sqrt(_WIDEST / (2 * math.pi**2)) * pixels_per_degree)
    x = np.arange(-radius, radius + 1) / pixels_per_degree
    filtered = np.empty_like(opponent)
    for channel, gaussians in enumerate(_SENSITIVITY):
        lines = [(a * math.pi / b, np.exp(-((math.pi * x) ** 2) / b)) for a, b in gaussians]
        total = sum(weight * line.sum() ** 2 for weight, line in lines)
        filtered[..., channel] = sum(
            weight / total * _separable(opponent[..., channel], line, line) for weight, line in lines
        )
    y = (filtered[..., 0] + 16) / 116
    relative = np.stack([y + filtered[..., 1] / 500, y, y - filtered[..., 2] / 200], axis=-1)
    return _hunt_lab(np.clip((relative * _WHITE) @ _XYZ_TO_RGB.T, 0, 1))


def _hunt_lab(linear: np.ndarray) -> np.ndarray:
    """CIELAB of linear RGB; colours count less the darker they are (Hunt 1952)."""
    relative = linear @ (_RGB_TO_XYZ / _WHITE[:, None]).T
    delta = 6 / 29
    f = np.where(relative > delta**3, np.cbrt(relative), relative / (3 * delta**2) + 4 / 29)
    lightness = 116 * f[..., 1] - 16
    a, b = 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])
    return np.stack([lightness, 0.01 * lightness * a, 0.01 * lightness * b], axis=-1)


def _hyab(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """HyAB, for large differences of colour (Abasi, Tehran and Fairchild 2020)."""
    d = a - b
    out: np.ndarray = np.abs(d[..., 0]) + np.hypot(d[..., 1], d[..., 2])
    return out


def _color_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[H, W] 0..1: powers of HyAB, most of the range given to what is below the knee."""
    green, blue = _hunt_lab(np.eye(3)[[1]]), _hunt_lab(np.eye(3)[[2]])
    largest = float(_hyab(green, blue)[0]) ** _COLOR_EXPONENT
    error = _hyab(a, b) ** _COLOR_EXPONENT
    knee = _KNEE * largest
    above = _KNEE_VALUE + (error - knee) / (largest - knee) * (1 - _KNEE_VALUE)
    return np.where(error < knee, error * _KNEE_VALUE / knee, np.minimum(above, 1))


def _feature_difference(a: np.ndarray, b: np.ndarray, pixels_per_degree: float) -> np.ndarray:
    """[H, W] 0..1: edges and points that one picture has and the other has not."""
    sigma = 0.5 * _FEATURE_WIDTH * pixels_per_degree
    x = np.arange(-math.ceil(3 * sigma), math.ceil(3 * sigma) + 1, dtype=np.float64)
    smooth = np.exp(-(x**2) / (2 * sigma**2))
    edge, point = -x * smooth, (x**2 / sigma**2 - 1) * smooth
    smooth /= smooth.sum()
    strongest = np.zeros(a.shape[:2])
    for line in (edge, point):
        line = np.where(line > 0, line / line[line > 0].sum(), line / -line[line < 0].sum())
        found = []
        for image in (a, b):
            luminance = (image[..., 0] + 16) / 116
            found.append(np.hypot(_separable(luminance, line, smooth), _separable(luminance, smooth, line)))
        strongest = np.maximum(strongest, np.abs(found[0] - found[1]))
    out: np.ndarray = (np.minimum(strongest, math.sqrt(2)) / math.sqrt(2)) ** _FEATURE_EXPONENT
    return out


def _separable(image: np.ndarray, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """An image filtered along x and y; beyond its border it goes on as it ends."""
    once = convolve1d(image, across[::-1], axis=1, mode="nearest")
    out: np.ndarray = convolve1d(once, down[::-1], axis=0, mode="nearest")
    return out
