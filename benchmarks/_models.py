"""Meshes to measure with: spheres of any size and real models, in one frame."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import ConvexHull
from torch import Tensor

from studio.core.io.meshes import load_scene
from studio.core.ops import Topology
from studio.core.scene.mesh import weld
from studio.core.scene.shapes import icosphere

FOCAL, DISTANCE = 2.0, 3.0
"""A model of unit radius fills 72 % of the image's height: the common case of an object in its frame."""

_DATA = Path(os.environ.get("STUDIO_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@dataclass(frozen=True, eq=False)
class Model:
    """A mesh within the unit sphere.

    Attributes:
        vertices: [V, 3] float64.
        faces: [T, 3] int32, counter-clockwise seen from outside.
    """

    name: str
    vertices: np.ndarray
    faces: np.ndarray

    @cached_property
    def tri(self) -> Tensor:
        return torch.tensor(self.faces, dtype=torch.int32)

    @cached_property
    def homogeneous(self) -> Tensor:
        """[V, 4] float32."""
        vertices = torch.tensor(self.vertices, dtype=torch.float32)
        return torch.cat([vertices, torch.ones(len(vertices), 1)], dim=1)

    @cached_property
    def colors(self) -> np.ndarray:
        return 0.5 + 0.5 * self.vertices

    @cached_property
    def topology(self) -> Topology:
        return Topology.build(self.tri, self.homogeneous)


def sphere_of(triangles: int) -> Model:
    """Hull of evenly spread points; any even number of triangles from 4 on."""
    count = triangles // 2 + 2
    i = np.arange(count) + 0.5
    z, angle = 1 - 2 * i / count, i * np.pi * (3 - np.sqrt(5))
    ring = np.sqrt(1 - z * z)
    points = np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1)
    faces = ConvexHull(points).simplices
    a, b, c = (points[faces[:, k]] for k in range(3))
    inward = np.einsum("ij,ij->i", np.cross(b - a, c - a), a) < 0
    faces[inward] = faces[inward][:, ::-1]
    # Neighbours in space are neighbours in memory, as in any mesh that a program wrote.
    order = np.argsort(points[faces].mean(axis=1)[:, 2], kind="stable")
    return Model(f"sphere {short(triangles)}", points, faces[order].astype(np.int32))


def subdivided_sphere(subdivisions: int) -> Model:
    """Icosphere of 20 * 4^subdivisions triangles."""
    mesh = icosphere(subdivisions)
    return Model(f"sphere {short(len(mesh.faces))}", mesh.vertices.astype(np.float64), mesh.faces)


def real(file: str, name: str, triangles: int) -> Model:
    """A model of the data folder; a sphere of as many triangles where it is absent."""
    path = _DATA / "meshes" / file
    if not path.exists():
        return sphere_of(triangles)
    mesh = load_scene(path).meshes[0]
    welded, faces = np.unique(weld(mesh.vertices)[mesh.faces], return_inverse=True)
    points = mesh.vertices[welded].astype(np.float64)
    points -= (points.min(axis=0) + points.max(axis=0)) / 2
    points /= np.linalg.norm(points, axis=1).max()
    return Model(f"{name} {short(len(mesh.faces))}", points, faces.reshape(-1, 3).astype(np.int32))


def models(quick: bool) -> list[Model]:
    """From 284 to 308k triangles, few to many."""
    if quick:
        return [subdivided_sphere(4), subdivided_sphere(6)]
    return [
        sphere_of(284),
        subdivided_sphere(3),
        subdivided_sphere(4),
        real("bob/bob_tri.obj", "bob", 10688),
        subdivided_sphere(5),
        real("stanford-bunny.obj", "bunny", 69450),
        subdivided_sphere(6),
        real("nefertiti.obj", "nefertiti", 99938),
        sphere_of(308_000),
    ]


def world_to_clip() -> Tensor:
    """[4, 4] of the camera on the z axis."""
    near, far = 0.5, 10.0
    clip = torch.diag(torch.tensor([FOCAL, FOCAL, (far + near) / (near - far), 0.0]))
    clip[2, 3], clip[3, 2] = 2 * far * near / (near - far), -1.0
    view = torch.eye(4)
    view[2, 3] = -DISTANCE
    return clip @ view


def short(count: int) -> str:
    """12946 as 13k."""
    return str(count) if count < 1000 else f"{count / 1000:.0f}k"
