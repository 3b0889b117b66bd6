"""Torch front of the rays that tell what a surface sees of the environment and of itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import warp as wp
from torch import Tensor

from studio.core.device import start_warp
from studio.core.kernels import ambient, launcher
from studio.core.ops import check

_LIFT = 2e-3
"""Start of the rays above the surface, of the mesh's size: the triangles around a vertex bend away
from its normal and must not count as walls."""


def hemisphere_hits(
    vertices: Tensor, faces: Tensor, normals: Tensor, rays: int = 128
) -> tuple[Tensor, Tensor]:
    """What the rays that leave each vertex meet: the mesh it belongs to, or nothing.

    10,000 vertices take about a second on two cores.

    Args:
        vertices: [V, 3].
        faces: [T, 3] int32.
        normals: [V, 3] unit.
        rays: for each vertex, spread over its hemisphere as the cosine: means over them are
            irradiance over pi.
    Returns:
        hits: [V, rays] int32, the triangle that is met first, -1 for none.
        directions: [V, rays, 3] unit.
    Gradients:
        None.
    Raises:
        ShapeError: names the tensor, expected and actual shape.
    """
    op = "hemisphere_hits"
    vertices = check.tensor(op, "vertices", vertices.detach(), ("V", 3))
    faces = check.tensor(op, "faces", faces, ("T", 3), torch.int32)
    normals = check.tensor(op, "normals", normals.detach(), (len(vertices), 3), like=vertices)
    size = float((vertices.max(dim=0).values - vertices.min(dim=0).values).max())
    start_warp()
    points: Any = wp.from_torch(vertices, dtype=wp.vec3)
    corners: Any = wp.from_torch(faces.reshape(-1))
    mesh = wp.Mesh(points, corners)
    around = torch.tensor(_cosine_directions(rays), device=vertices.device)
    hits = torch.empty(len(vertices), rays, dtype=torch.int32, device=vertices.device)
    directions = torch.empty(len(vertices), rays, 3, device=vertices.device)
    inputs = [launcher.BEGIN, int(mesh.id), vertices, normals, around, _LIFT * size, hits, directions]
    launcher.launch(ambient.first_hits, len(vertices), inputs, vertices.device)
    if vertices.is_cuda:
        torch.cuda.synchronize()  # the mesh must outlive the rays
    return hits, directions


def ambient_visibility(vertices: Tensor, faces: Tensor, normals: Tensor, rays: int = 128) -> Tensor:
    """Share of the environment that each vertex sees past the mesh it belongs to.

    What ambient occlusion looks up in glTF: the cosine-weighted part of the hemisphere around the
    normal that is open.

    Args:
        vertices, faces, normals, rays: see hemisphere_hits. The error is about 0.5 / sqrt(rays),
            less on smooth surfaces.
    Returns:
        visibility: [V, 1], 0 to 1.
    Gradients:
        None: visibility is recomputed, not followed.
    Raises:
        ShapeError: names the tensor, expected and actual shape.
    """
    hits, _ = hemisphere_hits(vertices, faces, normals, rays)
    return (hits < 0).float().mean(dim=1, keepdim=True)


def _cosine_directions(count: int) -> np.ndarray:
    """[count, 3] float32 unit vectors around +Z, as dense as the cosine (a Fibonacci spiral on the disc)."""
    k = np.arange(count) + 0.5
    radius, turn = np.sqrt(k / count), k * math.pi * (3 - math.sqrt(5))
    z = np.sqrt(1 - radius**2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], axis=1).astype(np.float32)
