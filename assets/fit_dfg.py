"""Makes the coefficients of the split-sum terms in studio/core/kernels/brdf.py.

    python -m assets.fit_dfg

The directional albedo of the GGX lobe is f0 A + B. Both are fitted as polynomials of degree 3
over one of degree 2 in NoV, alpha and Smith's masking of the view direction, so that the largest
error of A, of B and (relatively) of A + B is least: a linear program for a given error, bisected.
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy.optimize import linprog

CUBIC = [p for p in itertools.product(range(4), repeat=3) if sum(p) <= 3]
CUBIC.sort(key=lambda p: (sum(p), p[::-1]))  # the order of brdf.dfg_parts
LARGEST, LEAST_BELOW = 60.0, 0.05
"""Bounds of the coefficients and of the denominator: float32 has to evaluate them."""


def albedo(nov: np.ndarray, alpha: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(A, B) by quadrature over half vectors, with steps that shrink towards grazing ones."""
    nov, alpha = nov[:, None, None], alpha[:, None, None]
    s, phi = ((np.arange(count) + 0.5) / count)[:, None], (np.arange(count) + 0.5) / count * np.pi
    cos = (1 - s) / np.sqrt(1 + (alpha**2 - 1) * (1 - (1 - s) ** 2))
    voh = np.sqrt(1 - cos**2) * np.cos(phi) * np.sqrt(1 - nov**2) + cos * nov
    nol = 2 * voh * cos - nov
    lit = (nol > 0) & (voh > 0)
    nol, a2 = np.where(lit, nol, 1.0), alpha**2
    vis = 0.5 / (nol * np.sqrt(nov**2 * (1 - a2) + a2) + nov * np.sqrt(nol**2 * (1 - a2) + a2))
    weight = np.where(lit, 4 * vis * nol * voh / cos, 0.0) * 2 * (1 - s)
    fresnel = (1 - voh.clip(0, 1)) ** 5
    return (weight * (1 - fresnel)).mean((1, 2)), (weight * fresnel).mean((1, 2))


def monomials(x: np.ndarray, rough: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """([P, 20], [P, 9]) of the numerators, and of the denominator without its 1."""
    y = rough**2
    g = 2 * x / (x + np.sqrt(x * x * (1 - y * y) + y * y))
    every = np.stack([x**i * y**j * g**k for i, j, k in CUBIC], 1)
    return every, every[:, 1:10]


def solve(worst: float, x: np.ndarray, rough: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """Coefficients [49] that are nowhere more than `worst` off (thrice that below NoV 0.01)."""
    over, under = monomials(x, rough)
    none = np.zeros_like(over)
    rows, limits = [], []
    allowed = worst * np.where(x < 0.01, 3.0, 1.0)
    for value, first, second, error in (
        (a, over, none, 1.0),
        (b, none, over, 1.0),
        (a + b, over, over, a + b),
    ):
        high, low = value + allowed * error, value - allowed * error
        rows += [np.hstack([first, second, -high[:, None] * under])]
        rows += [np.hstack([-first, -second, low[:, None] * under])]
        limits += [high, -low]
    x, rough = (v.ravel() for v in np.meshgrid(np.linspace(0.01, 1, 40) ** 2, np.linspace(0.045, 1, 40)))
    dense = monomials(x, rough)[1]
    rows.append(np.hstack([np.zeros((len(dense), 40)), -dense]))
    limits.append(np.full(len(dense), 1 - LEAST_BELOW))
    box = (-LARGEST, LARGEST)
    found = linprog(np.zeros(49), np.vstack(rows), np.concatenate(limits), bounds=box, method="highs")
    return found.x if found.status == 0 else None


def main() -> None:
    nov = np.unique(np.r_[np.linspace(1e-4 ** (1 / 3), 1, 36) ** 3, np.linspace(0.1, 1, 12)])
    x, rough = (v.ravel() for v in np.meshgrid(nov, np.linspace(0.045, 1, 32)))
    a, b = (
        np.concatenate(v)
        for v in zip(*(albedo(x[i : i + 40], rough[i : i + 40] ** 2, 260) for i in range(0, len(x), 40)))
    )
    low, high, best = 0.0, 0.02, None
    for _ in range(9):
        middle = (low + high) / 2
        found = solve(middle, x, rough, a, b)
        low, high, best = (low, middle, found) if found is not None else (middle, high, best)
    assert best is not None
    print("worst", high)
    for name, values in (("DFG_A", best[:20]), ("DFG_B", best[20:40]), ("DFG_BELOW", [1.0, *best[40:]])):
        print(name, ", ".join(f"{v:.6g}" for v in values))


if __name__ == "__main__":
    main()
