"""From a mesh to a volume: density of its solid, or of a shell around its surface."""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial import cKDTree

from studio.core.errors import InputError
from studio.core.optim.distance import REACH, is_closed, signed_distance
from studio.core.optim.surface import SurfacePoints
from studio.core.scene import Mesh
from studio.core.scene.mesh import weld
from studio.core.scene.volume import Volume

_SLOPE = 3.0
"""Change of density values over a voxel: the fog of a surface is gone two voxels further out."""

_MARGIN = 3
"""Voxels around the mesh."""

_SHELL = 1.5
"""Thickness in voxels of the shell that an open mesh becomes."""

_MIN_COLOR, _MAX_COLOR = 1e-4, 0.999
"""Range of colours, square roots of linear ones, that a finite value stands for."""


def volume_of(mesh: Mesh, resolution: int = 96, shell: float | None = None, depth: float = 0.5) -> Volume:
    """A volume whose density passes a level at the mesh's surface.

    `isosurface.surface_of` with the same `depth`, without blur and smoothing, leads back.

    Args:
        mesh: closed, unless a shell is asked for; colours of its vertices, else its material's, are kept.
        resolution: voxels along the longest side of the mesh's box.
        shell: thickness in voxels of a shell around the surface; None fills the inside.
        depth: optical depth of one voxel at the surface.
    Returns:
        volume: of one coefficient per colour, in the mesh's coordinates.
    Raises:
        InputError: the mesh is open but its inside was asked for, or the shell is thinner than a voxel.
    """
    mesh.check(mesh.name)
    first = weld(mesh.vertices)
    faces = first[mesh.faces]
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]
    if shell is None and not is_closed(Mesh(mesh.vertices, faces)):
        raise InputError(f"{mesh.name}: is open, so it has no inside; close it, or ask for a shell")
    if shell is not None and not shell >= 1:
        raise InputError(f"{mesh.name}: a shell of {shell:g} voxels would have holes, expected at least 1")
    corners = mesh.vertices[faces.ravel()].astype(np.float64)
    low, high = corners.min(axis=0), corners.max(axis=0)
    voxel = max(float((high - low).max()), 1e-9) / resolution
    margin = _MARGIN + math.ceil(shell or 0)
    low = low - margin * voxel
    counts = np.ceil((high - low) / voxel).astype(int) + 1 + margin
    x, y, z = (int(n) for n in counts)
    volume = Volume(
        np.zeros((x, y, z), np.float32), np.zeros((x, y, z, 1, 3), np.float32), low, voxel, name=mesh.name
    )
    points = volume.points().reshape(-1, 3)
    if shell is None:
        inside = signed_distance(mesh.vertices, faces, points, voxel, volume.shape).reshape(-1) / voxel
    else:
        inside = 0.5 * shell - _distance(mesh.vertices, faces, points, (0.5 * shell + REACH) * voxel) / voxel
    level = volume.value_of(depth / voxel)
    values = level + _SLOPE * np.clip(inside, -REACH, REACH)
    volume.density = values.reshape(x, y, z).astype(np.float32)
    volume.colors = _colors(mesh, points).reshape(x, y, z, 1, 3)
    return volume


def solid_or_shell(mesh: Mesh, resolution: int = 96) -> Volume:
    """`volume_of` the inside of a closed mesh, else of a shell around it."""
    try:
        return volume_of(mesh, resolution)
    except InputError:  # open: it has no inside to ask for
        return volume_of(mesh, resolution, _SHELL)


def _distance(vertices: np.ndarray, faces: np.ndarray, points: np.ndarray, limit: float) -> np.ndarray:
    """[P] distance to the surface, `limit` where it is further than that."""
    surface = SurfacePoints(vertices, faces)
    corners = surface.corners
    size = float(np.linalg.norm(corners - corners.mean(axis=1, keepdims=True), axis=2).max())
    near = np.flatnonzero(np.isfinite(surface.tree.query(points, distance_upper_bound=limit + size)[0]))
    out = np.full(len(points), limit)
    out[near] = np.minimum(np.linalg.norm(points[near] - surface.project(points[near]), axis=1), limit)
    return out


def _colors(mesh: Mesh, points: np.ndarray) -> np.ndarray:
    """[P, 3] float32 first coefficients that give each point the colour of the nearest vertex."""
    plain = np.asarray(mesh.material.base_color[:3], np.float64)
    if mesh.colors is None:
        linear = np.broadcast_to(plain, points.shape)
    else:
        linear = (mesh.colors[:, :3] * plain)[cKDTree(mesh.vertices).query(points)[1]]
    root = np.clip(np.sqrt(np.clip(linear, 0, 1)), _MIN_COLOR, _MAX_COLOR)
    first = 0.5 / math.sqrt(math.pi)  # the constant spherical harmonic
    return np.asarray(np.log(root / (1 - root)) / first, np.float32)
