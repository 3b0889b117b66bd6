"""Makes studio/core/data/ltc.npy: the GGX lobe as linearly transformed cosines.

    python -m assets.fit_ltc

Heitz, Dupuy, Hill and Neubelt 2016, "Real-Time Polygonal-Light Shading with Linearly Transformed
Cosines": a cosine lobe under a 3x3 matrix follows the lobe of each roughness and view angle, and
the integral of a transformed cosine over a polygon is that of the cosine over the polygon
transformed back. Fitted here from the lobe of studio/core/kernels/ggx.py, normalised to 1; what
it adds up to is `dfg`, with the Fresnel term. A transformed cosine is dark beyond its own horizon,
where GGX still has a tail: a share of the plain cosine makes up for it.

The table is [2 SIZE, SIZE, 4] float32: rows by perceptual roughness 0..1, columns by
sqrt(1 - NoV) 0..1; first the elements 11, 13, 31 and 33 of the inverse matrix over its element 22,
then the share of the plain cosine.
"""

from __future__ import annotations

from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

SIZE = 32
LEAST_ROUGHNESS = 0.02
SAMPLES = 24
OUT = Path(__file__).parent.parent / "studio" / "core" / "data" / "ltc.npy"

_U = (np.arange(SAMPLES) + 0.5) / SAMPLES
_U, _PHI = (g.ravel() for g in np.meshgrid(_U, _U * 2 * np.pi, indexing="ij"))


def lobe(light: np.ndarray, view: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """(D V NoL, density of `mirrored`) of directions [n, 3]; 0 below the horizon."""
    half = light + view
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    noh, voh = half[:, 2], np.maximum(np.abs(half @ view), 1e-6)
    nol, nov, a2 = light[:, 2], view[2], alpha**2
    d = a2 / (np.pi * ((1 - noh**2) + a2 * noh**2) ** 2)
    above = nol > 0
    safe = np.where(above, nol, 1.0)
    v = 0.5 / (safe * np.sqrt(nov**2 * (1 - a2) + a2) + nov * np.sqrt(safe**2 * (1 - a2) + a2))
    return np.where(above, d * v * nol, 0.0), d * np.maximum(noh, 0) / (4 * voh)


def mirrored(view: np.ndarray, alpha: float) -> np.ndarray:
    """[n, 3] directions of a mirror with GGX's normals."""
    cos = np.sqrt((1 - _U) / (1 + (alpha**2 - 1) * _U))
    sin = np.sqrt(1 - cos**2)
    half = np.stack([sin * np.cos(_PHI), sin * np.sin(_PHI), cos], axis=1)
    return np.asarray(2 * (half @ view)[:, None] * half - view)


def matrix(frame: np.ndarray, m: np.ndarray) -> np.ndarray:
    """[3, 3] transform of the cosine: axes of `frame`, scaled and sheared by (m11, m22, m13)."""
    return np.asarray(frame @ np.array([[m[0], 0, m[2]], [0, m[1], 0], [0, 0, 1.0]]))


def transformed(light: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """[n] density of the transformed cosine."""
    back = light @ inverse.T
    length = np.linalg.norm(back, axis=1)
    return np.asarray(np.maximum(back[:, 2], 0) / length**4 * np.abs(np.linalg.det(inverse)) / np.pi)


def distance(m: np.ndarray, frame: np.ndarray, view: np.ndarray, alpha: float, norm: float) -> float:
    """Light that goes another way than in the lobe, sampled after all the parts."""
    forward = matrix(frame, m)
    inverse = np.linalg.inv(forward)
    cos, sin = np.sqrt(1 - _U), np.sqrt(_U)
    plain = np.stack([sin * np.cos(_PHI), sin * np.sin(_PHI), cos], axis=1)
    light = plain @ forward.T
    light /= np.linalg.norm(light, axis=1, keepdims=True)
    light = np.concatenate([light, mirrored(view, alpha), plain])
    value, density = lobe(light, view, alpha)
    cosine, wide = transformed(light, inverse), np.maximum(light[:, 2], 0) / np.pi
    both = (1 - m[3]) * cosine + m[3] * wide
    return float((np.abs(value / norm - both) / (density + cosine + wide + 1e-9)).mean())


def unpacked(p: np.ndarray, even: bool) -> np.ndarray:
    """(m11, m22, m13, share of the plain cosine) of what is searched; `even` all around."""
    share = min(p[3] ** 2, 1.0)
    return np.array([np.exp(p[0]), np.exp(p[0]), 0.0, share] if even else [*np.exp(p[:2]), p[2], share])


def fit_row(row: int) -> np.ndarray:
    """[SIZE, 5] of one roughness, from the view along the normal to the grazing one."""
    rough = max(row / (SIZE - 1), LEAST_ROUGHNESS)
    alpha = rough**2
    out = np.zeros((SIZE, 5))
    m = np.array([alpha, alpha, 0.0, 0.02])
    for column in range(SIZE):
        nov = max(1 - (column / (SIZE - 1)) ** 2, 1e-3)
        view = np.array([np.sqrt(1 - nov**2), 0.0, nov])
        light = mirrored(view, alpha)
        value, density = lobe(light, view, alpha)
        weight = value / np.maximum(density, 1e-30)
        norm = float(weight.mean())
        mean = (light * weight[:, None]).mean(0) * (1, 0, 1)
        z = mean / np.linalg.norm(mean) if column else np.array([0.0, 0.0, 1.0])
        frame = np.stack([np.array([z[2], 0, -z[0]]), np.array([0.0, 1, 0]), z], axis=1)

        def error(
            p: np.ndarray, fixed: tuple[Any, ...] = (frame, view, alpha, norm), even: bool = column == 0
        ) -> float:
            return distance(unpacked(p, even), *fixed)

        start = np.array([*np.log(m[:2]), m[2], np.sqrt(m[3])])
        steps = np.diag((0.1, 0.1, 0.1 * max(alpha, 0.02), 0.05))
        first = start + np.concatenate([np.zeros((1, 4)), steps])
        options = {"maxiter": 160, "xatol": 1e-4, "fatol": 1e-9, "initial_simplex": first}
        found = minimize(error, start, method="Nelder-Mead", options=options).x
        m = unpacked(found, column == 0)
        inverse = np.linalg.inv(matrix(frame, m))
        out[column] = *(inverse[[0, 0, 2, 2], [0, 2, 0, 2]] / inverse[1, 1]), m[3]
    return out


def main() -> None:
    with Pool() as pool:
        table = np.stack(pool.map(fit_row, range(SIZE), chunksize=1))
    OUT.parent.mkdir(exist_ok=True)
    shares = np.repeat(table[..., 4:], 4, axis=2)
    table = np.concatenate([table[..., :4], shares])
    np.save(OUT, table.astype(np.float32))
    print(OUT, table.shape, float(np.abs(table).max()))


if __name__ == "__main__":
    main()
