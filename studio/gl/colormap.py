"""Perceptual colour maps as polynomials: the same numbers for shaders and for legends."""

from __future__ import annotations

import numpy as np

# Least-squares fits of degree 6 to matplotlib's 256 table entries (sRGB values), by
# numpy.polynomial; largest error 0.042 (inferno), 0.023 (magma) and 0.017 (viridis). Row i multiplies t^i.
# Maps: van der Walt and Smith 2015, "A Better Default Colormap for Matplotlib".
COLORMAPS: dict[str, np.ndarray] = {
    "inferno": np.array(
        [
            [0.00021, 0.00163, -0.03713],
            [0.10587, 0.56636, 4.11793],
            [11.61711, -3.94772, -16.25732],
            [-41.70928, 17.45772, 44.64512],
            [77.15745, -33.41568, -82.25392],
            [-71.28767, 32.55388, 73.58813],
            [25.09262, -12.22216, -23.11565],
        ],
        np.float32,
    ),
    "viridis": np.array(
        [
            [0.27446, 0.00577, 0.33266],
            [0.10771, 1.39647, 1.38677],
            [-0.32724, 0.21481, 0.09198],
            [-4.59993, -5.75824, -19.29181],
            [6.20374, 14.15396, 56.6563],
            [4.75179, -13.74944, -65.32097],
            [-5.43208, 4.64157, 26.27211],
        ],
        np.float32,
    ),
    "magma": np.array(
        [
            [-0.00207, -0.00069, -0.00955],
            [0.25049, 0.69446, 2.49529],
            [8.3459, -3.59603, 0.32906],
            [-27.66697, 14.25385, -13.64658],
            [52.17068, -27.94458, 12.88109],
            [-50.75857, 29.05388, 4.26994],
            [18.66425, -11.49003, -5.57077],
        ],
        np.float32,
    ),
    "gray": np.array([[0.0] * 3, [1.0] * 3, *[[0.0] * 3] * 5], np.float32),
}
DIFFERENCE_MAP = "inferno"
"""Black is no error: dark ground, so that small errors stand out by lightness."""
PERCEIVED_MAP = "magma"
"""The one that FLIP's authors show it in."""
DEPTH_MAP = "viridis"
"""Near is light."""


def colormap(name: str, t: np.ndarray) -> np.ndarray:
    """Colours of a map, for legends.

    Args:
        name: one of COLORMAPS.
        t: any shape, clipped to 0..1.
    Returns:
        [..., 3] float32 sRGB values, 0..1.
    """
    x = np.clip(np.asarray(t, np.float32), 0, 1)[..., None]
    out = np.zeros((*x.shape[:-1], 3), np.float32)
    for coefficients in COLORMAPS[name][::-1]:
        out = out * x + coefficients
    return np.clip(out, 0, 1)
