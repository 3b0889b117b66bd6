"""Perceptual colour maps as polynomials: the same numbers for shaders and for legends."""

from __future__ import annotations

import numpy as np

# Least-squares fits of degree 6 to matplotlib's 256 table entries (sRGB values), by
# numpy.polynomial; largest error 0.042 (inferno) and 0.017 (viridis). Row i multiplies t^i.
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
}
DIFFERENCE_MAP = "inferno"
"""Black is no error: dark ground, so that small errors stand out by lightness."""
DEPTH_MAP = "viridis"
"""Near is light."""


def colormap(name: str, t: np.ndarray) -> np.ndarray:
    """Colours of a map, for legends.

    Args:
        name: inferno or viridis.
        t: any shape, clipped to 0..1.
    Returns:
        [..., 3] float32 sRGB values, 0..1.
    """
    x = np.clip(np.asarray(t, np.float32), 0, 1)[..., None]
    out = np.zeros((*x.shape[:-1], 3), np.float32)
    for coefficients in COLORMAPS[name][::-1]:
        out = out * x + coefficients
    return np.clip(out, 0, 1)
