"""A head on shoulders from distance functions, for light that scatters below the surface.

Ellipsoids and round cones joined by smooth minima (Quilez 2013), cut by the plane it stands on.
Thin ears, nose and lips are where scattering shows.
"""

from __future__ import annotations

import numpy as np
from make_demo import ellipsoid, smooth_min
from skimage.measure import marching_cubes

from studio.core.scene import Material, Mesh

GRID = 104  # cells along the longest side: about 50k triangles, below 2 MB
LOW, HIGH = np.array((-1.02, -1.0, -0.62)), np.array((1.02, 1.2, 0.82))
SHELF = -0.95  # the bust stands on this height


def smooth_max(a: np.ndarray, b: np.ndarray, k: float) -> np.ndarray:
    return -smooth_min(-a, -b, k)


def capsule(p: np.ndarray, a: tuple, b: tuple, radius: float) -> np.ndarray:
    """Distance to a segment with round ends."""
    start, along = np.array(a), np.array(b) - np.array(a)
    t = np.clip((p - start) @ along / (along @ along), 0.0, 1.0)
    return np.linalg.norm(p - start - t[..., None] * along, axis=-1) - radius


def head(p: np.ndarray, m: np.ndarray) -> np.ndarray:
    """Distance to the head, which looks along +Z; m is p with x made positive."""
    skull = ellipsoid(p, (0.0, 0.62, -0.04), (0.39, 0.44, 0.46))
    face = ellipsoid(p, (0.0, 0.42, 0.16), (0.31, 0.42, 0.32))
    out = smooth_min(skull, face, 0.18)
    chin = ellipsoid(p, (0.0, 0.07, 0.33), (0.13, 0.1, 0.12))
    cheek = ellipsoid(m, (0.19, 0.37, 0.32), (0.13, 0.13, 0.12))
    out = smooth_min(smooth_min(out, chin, 0.14), cheek, 0.1)
    out = smooth_min(out, capsule(m, (0.05, 0.64, 0.43), (0.2, 0.64, 0.36), 0.05), 0.1)
    out = smooth_max(out, -ellipsoid(m, (0.155, 0.55, 0.5), (0.11, 0.07, 0.1)), 0.07)
    out = smooth_min(out, ellipsoid(m, (0.15, 0.55, 0.36), (0.085, 0.075, 0.085)), 0.02)
    nose = capsule(p, (0.0, 0.6, 0.44), (0.0, 0.4, 0.56), 0.04)
    nose = smooth_min(nose, ellipsoid(p, (0.0, 0.375, 0.555), (0.065, 0.06, 0.075)), 0.05)
    nose = smooth_min(nose, ellipsoid(m, (0.065, 0.36, 0.5), (0.05, 0.045, 0.06)), 0.04)
    out = smooth_min(out, nose, 0.06)
    lips = smooth_min(
        capsule(m, (0.0, 0.255, 0.475), (0.09, 0.24, 0.42), 0.026),
        capsule(m, (0.0, 0.2, 0.465), (0.075, 0.21, 0.425), 0.032),
        0.012,
    )
    return smooth_min(out, lips, 0.04)


def ear(m: np.ndarray) -> np.ndarray:
    """Distance to a thin shell with a hollow."""
    tilted = m - np.array((0.42, 0.5, -0.02))
    turn = np.array(((0.86, 0.0, -0.5), (0.0, 1.0, 0.0), (0.5, 0.0, 0.86)))
    q = tilted @ turn.T
    shell = ellipsoid(q, (0.0, 0.0, 0.0), (0.045, 0.17, 0.115))
    return smooth_max(shell, -ellipsoid(q, (0.05, 0.015, 0.02), (0.045, 0.11, 0.065)), 0.03)


def bust(p: np.ndarray) -> np.ndarray:
    """[...] signed distance of [..., 3] points."""
    m = np.concatenate([np.abs(p[..., :1]), p[..., 1:]], axis=-1)
    out = smooth_min(head(p, m), ear(m), 0.05)
    neck = capsule(p, (0.0, -0.4, -0.1), (0.0, 0.3, -0.06), 0.21)
    out = smooth_min(out, neck, 0.12)
    shoulders = capsule(m, (0.0, -0.72, -0.1), (0.62, -0.72, -0.12), 0.25)
    chest = ellipsoid(p, (0.0, -0.85, 0.02), (0.6, 0.42, 0.36))
    out = smooth_min(smooth_min(shoulders, chest, 0.2), out, 0.22)
    return smooth_max(out, SHELF - p[..., 1], 0.03)


def gradient(points: np.ndarray, step: float = 1e-4) -> np.ndarray:
    """Unit gradient of the distance by central differences."""
    axes = step * np.eye(3)
    out = np.stack([bust(points + a) - bust(points - a) for a in axes], axis=-1)
    return out / np.maximum(np.linalg.norm(out, axis=-1, keepdims=True), 1e-12)


def bust_mesh() -> Mesh:
    """The bust as one closed mesh."""
    step = (HIGH - LOW).max() / GRID
    axes = [np.arange(a, b + step, step) for a, b in zip(LOW, HIGH)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    vertices, faces, _, _ = marching_cubes(bust(points), level=0.0, spacing=(step,) * 3)
    vertices = vertices + LOW
    for _ in range(3):  # marching cubes is linear between grid points: Newton steps to the surface
        vertices -= bust(vertices)[:, None] * gradient(vertices)
    return Mesh(
        vertices=vertices.astype(np.float32),
        faces=faces.astype(np.int32),
        normals=gradient(vertices).astype(np.float32),
        material=Material("skin", (0.78, 0.5, 0.38), perceptual_roughness=0.45),
        name="bust",
    )
