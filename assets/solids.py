"""Closed triangle meshes for the built-in scenes: patches, revolved curves, tubes, boxes.

Every function returns a Mesh whose edges all have two triangles once vertices at the same
position count as one, with normals that point out; creases have vertices of their own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from studio.core.scene import Material, Mesh

SAME = 1e-5  # positions this close are one vertex


def bernstein(t: np.ndarray) -> np.ndarray:
    """[T, 4] cubic Bernstein polynomials at [T]."""
    s = 1.0 - t
    return np.stack([s**3, 3 * s * s * t, 3 * s * t * t, t**3], axis=-1)


def patch(control: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """(points, triangles) of a bicubic Bezier patch of [4, 4, 3] control points."""
    basis = bernstein(np.linspace(0.0, 1.0, steps + 1))
    points = np.einsum("ui,vj,ijc->uvc", basis, basis, control)
    return points.reshape(-1, 3), grid_triangles(steps + 1, steps + 1)


def grid_triangles(rows: int, columns: int) -> np.ndarray:
    """[2 (rows - 1)(columns - 1), 3] triangles over a grid of vertices, row by row."""
    a = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    b, c, d = a + 1, a + columns + 1, a + columns
    return np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def solid(pieces: list[tuple[np.ndarray, np.ndarray]], name: str, material: Material) -> Mesh:
    """One smooth closed mesh of surfaces that meet; open ends are closed with flat caps."""
    counts = np.cumsum([0, *(len(points) for points, _ in pieces)])
    points = np.concatenate([p for p, _ in pieces])
    triangles = np.concatenate([t + n for (_, t), n in zip(pieces, counts)])
    # Snap to a grid, so that what is the same but for rounding is the same exactly.
    points, index = np.unique(np.round(points / SAME).astype(np.int64), axis=0, return_inverse=True)
    vertices = points * SAME
    triangles = index.ravel()[triangles]
    flat = (triangles == np.roll(triangles, 1, axis=1)).any(axis=1)  # patches collapse at poles
    mesh = Mesh(vertices.astype(np.float32), triangles[~flat].astype(np.int32), material=material, name=name)
    mesh.normals = mesh.vertex_normals()
    for loop in boundary_loops(mesh.faces):
        mesh = _capped(mesh, loop)
    return mesh if volume(mesh) > 0 else turned(mesh)


def boundary_loops(faces: np.ndarray) -> list[list[int]]:
    """Loops of vertices along the edges that only one triangle has, in the triangles' direction."""
    edges = {(int(a), int(b)) for t in faces for a, b in zip(t, np.roll(t, -1))}
    following = {a: b for a, b in edges if (b, a) not in edges}
    loops = []
    while following:
        start, after = following.popitem()
        loop = [start]
        while after != start:
            loop.append(after)
            after = following.pop(after)
        loops.append(loop)
    return loops


def _capped(mesh: Mesh, loop: list[int]) -> Mesh:
    """The mesh with a fan of triangles over a hole; the fan has vertices of its own."""
    rim = mesh.vertices[loop]
    points = np.vstack([rim, rim.mean(axis=0)])
    n, first = len(loop), len(mesh.vertices)
    i = np.arange(n)
    fan = np.stack([(i + 1) % n, i, np.full(n, n)], axis=1)  # against the edges of the surface
    corners = points[fan]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).sum(axis=0)
    normal = np.tile(normal / np.linalg.norm(normal), (n + 1, 1))
    assert mesh.normals is not None
    return replace(
        mesh,
        vertices=np.vstack([mesh.vertices, points]).astype(np.float32),
        faces=np.vstack([mesh.faces, fan + first]).astype(np.int32),
        normals=np.vstack([mesh.normals, normal]).astype(np.float32),
    )


def volume(mesh: Mesh) -> float:
    """Signed volume: positive if the triangles of a closed mesh face out."""
    a, b, c = (mesh.vertices[mesh.faces[:, i]].astype(np.float64) for i in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def turned(mesh: Mesh) -> Mesh:
    """Inside out."""
    assert mesh.normals is not None
    return replace(mesh, faces=np.ascontiguousarray(mesh.faces[:, ::-1]), normals=-mesh.normals)


def revolved(curve: np.ndarray, around: int) -> tuple[np.ndarray, np.ndarray]:
    """(points, triangles) of a curve of [P, 2] (radius, height) turned about the y axis."""
    angle = np.linspace(0.0, 2 * np.pi, around + 1)
    angle[-1] = 0.0
    radius, height = curve[:, :1], curve[:, 1:]
    points = np.stack([radius * np.cos(angle), height + 0 * angle, radius * np.sin(angle)], axis=-1)
    return points.reshape(-1, 3), grid_triangles(len(curve), around + 1)


def bezier_curve(control: np.ndarray, steps: int) -> np.ndarray:
    """[P, C] points along joined cubics; control [3 n + 1, C]."""
    basis = bernstein(np.linspace(0.0, 1.0, steps + 1))
    parts = [basis @ control[i : i + 4] for i in range(0, len(control) - 1, 3)]
    return np.concatenate([parts[0], *(part[1:] for part in parts[1:])])


def tube(path: np.ndarray, radius: float, around: int) -> tuple[np.ndarray, np.ndarray]:
    """(points, triangles) of a tube along a [P, 3] path in a plane z = constant."""
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    across = np.cross(tangent, (0.0, 0.0, 1.0))
    angle = np.linspace(0.0, 2 * np.pi, around + 1)
    angle[-1] = 0.0
    ring = np.cos(angle)[:, None] * across[:, None] + np.sin(angle)[:, None] * np.array((0.0, 0.0, 1.0))
    return (path[:, None] + radius * ring).reshape(-1, 3), grid_triangles(len(path), around + 1)


def quads(corners: np.ndarray, name: str, material: Material) -> Mesh:
    """Flat quads [Q, 4, 3], counter-clockwise from outside, each with its own vertices."""
    corners = np.asarray(corners, np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    first = 4 * np.arange(len(corners))[:, None]
    return Mesh(
        vertices=corners.reshape(-1, 3).astype(np.float32),
        faces=np.concatenate([first + (0, 1, 2), first + (0, 2, 3)]).astype(np.int32),
        normals=np.repeat(normal, 4, axis=0).astype(np.float32),
        material=material,
        name=name,
    )


def prism(top: np.ndarray, bottom: float, name: str, material: Material) -> Mesh:
    """The solid below a flat quad [4, 3], counter-clockwise from above, down to y = bottom."""
    top = np.asarray(top, np.float64)
    low = top * (1, 0, 1) + (0, bottom, 0)
    sides = [np.stack([low[i], low[(i + 1) % 4], top[(i + 1) % 4], top[i]]) for i in range(4)]
    return quads(np.stack([top, low[::-1], *sides]), name, material)


def slab(low: tuple, high: tuple, name: str, material: Material) -> Mesh:
    """The box between two corners."""
    (x0, y0, z0), (x1, y1, z1) = low, high
    return prism(np.array(((x0, y1, z1), (x1, y1, z1), (x1, y1, z0), (x0, y1, z0))), y0, name, material)


def moved(mesh: Mesh, offset: tuple, turn: float = 0.0) -> Mesh:
    """Turned by degrees about the y axis, then moved."""
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    rotation = np.array(((c, 0, s), (0, 1, 0), (-s, 0, c)))
    assert mesh.normals is not None
    return replace(
        mesh,
        vertices=(mesh.vertices @ rotation.T + offset).astype(np.float32),
        normals=(mesh.normals @ rotation.T).astype(np.float32),
    )


def joined(meshes: list[Mesh], name: str) -> Mesh:
    """Several solids as one part with the first one's material."""
    counts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    return replace(
        meshes[0],
        vertices=np.concatenate([mesh.vertices for mesh in meshes]),
        faces=np.concatenate([mesh.faces + n for mesh, n in zip(meshes, counts)]).astype(np.int32),
        normals=np.concatenate([mesh.vertex_normals() for mesh in meshes]),
        name=name,
    )
