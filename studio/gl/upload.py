"""What a mesh is to the graphics card: made of arrays alone, so that a background job can make it.

For a mesh of a million triangles this takes seconds, which the window's thread must not spend.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from studio.core.scene import Mesh
from studio.core.scene.mesh import weld

LARGE = 200_000
"""Triangles from which a mesh has a stand-in: software GL draws so many in about 15 ms."""

STAND_IN_CELLS = 40_000
"""About so many vertices has a stand-in, of the surface's area over this each."""

UV_CELLS = 64
"""Vertices further apart than 1/64 of the texture are not joined: charts do not smear into each other."""


@dataclass(frozen=True)
class Upload:
    """The arrays of one mesh's buffers.

    Attributes:
        attributes: shader input -> (moderngl format, float32 data) of what the mesh has.
        encloses: back faces can be left out without a difference (see `encloses`).
        stand_in: [S, 3] int32 triangles over the same vertices that are far fewer than the
            mesh's and look like them from afar (see `stand_in`); None for small meshes.
    """

    attributes: dict[str, tuple[str, np.ndarray]]
    encloses: bool
    stand_in: np.ndarray | None = None


_prepared: WeakKeyDictionary[Mesh, tuple[np.ndarray, np.ndarray, Upload]] = WeakKeyDictionary()


def prepare(meshes: Iterable[Mesh]) -> None:
    """Make the uploads of meshes that will be shown; they last as long as the meshes. Any thread."""
    for mesh in meshes:
        faces = stand_in(mesh) if len(mesh.faces) > LARGE else None
        upload = Upload(attributes(mesh), encloses(mesh), faces)
        _prepared[mesh] = mesh.vertices, mesh.faces, upload


def upload_of(mesh: Mesh) -> Upload:
    """The prepared one, else one made here, without a stand-in."""
    vertices, faces, upload = _prepared.get(mesh, (None, None, None))
    if upload is not None and vertices is mesh.vertices and faces is mesh.faces:
        return upload
    return Upload(attributes(mesh), encloses(mesh))


KINDS = {
    **{"in_position": "3f", "in_normal": "3f", "in_uv": "2f", "in_color": "3f"},
    **{"in_roughness": "1f", "in_metallic": "1f"},
}
"""Shader input -> moderngl format."""

_FIELDS = {"in_uv": "uvs", "in_color": "colors", "in_roughness": "roughness", "in_metallic": "metallic"}


def inputs(mesh: Mesh) -> list[str]:
    """The shader inputs that the mesh has something for."""
    return [name for name in KINDS if name not in _FIELDS or getattr(mesh, _FIELDS[name]) is not None]


def attribute(mesh: Mesh, name: str) -> np.ndarray:
    """Float32 data of one of its `inputs`."""
    if name == "in_normal":
        data = mesh.vertex_normals()
    else:
        data = mesh.vertices if name == "in_position" else getattr(mesh, _FIELDS[name])
    return np.ascontiguousarray(data, np.float32)


def attributes(mesh: Mesh) -> dict[str, tuple[str, np.ndarray]]:
    """Shader input -> (moderngl format, float32 data) of what the mesh has."""
    return {name: (KINDS[name], attribute(mesh, name)) for name in inputs(mesh)}


def encloses(mesh: Mesh) -> bool:
    """Whether the mesh is a closed surface whose faces look outwards: its backs are never seen.

    Every edge, after joining vertices at one position (UV seams), has one neighbour that
    runs the other way, and the enclosed volume is positive.
    """
    joined = weld(mesh.vertices)[mesh.faces].astype(np.int64)
    start, end = joined.ravel(), np.roll(joined, -1, axis=1).ravel()
    count = len(mesh.vertices)
    forward, backward = np.sort(start * count + end), np.sort(end * count + start)
    if not np.array_equal(forward, backward) or (forward[1:] == forward[:-1]).any():
        return False
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces].astype(np.float64), 1, 0)
    return bool(np.einsum("ij,ij->", a, np.cross(b, c)) > 0)


def stand_in(mesh: Mesh) -> np.ndarray:
    """[S, 3] int32 triangles of the mesh with its vertices joined by cells of a grid.

    Vertex clustering after Rossignac and Borrel 1993: each cell of about a STAND_IN_CELLS-th of
    the surface is represented by one of its own vertices, so that no new vertices are needed;
    triangles that shrink to a line are left out, and all but one of those that become the same.
    """
    corners = mesh.vertices[mesh.faces]
    area = 0.5 * np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    cell = max(float(np.sqrt(area.sum(dtype=np.float64) / STAND_IN_CELLS)), 1e-30)
    low = mesh.vertices.min(axis=0)
    place = np.floor((mesh.vertices - low) / cell).astype(np.int64)
    if mesh.uvs is not None:
        place = np.hstack((place, np.floor(mesh.uvs * UV_CELLS).astype(np.int64)))
        place -= place.min(axis=0)
    _, first, member = np.unique(_joined(place), return_index=True, return_inverse=True)
    faces = first[member.reshape(-1)][mesh.faces]
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    # The smallest index first: the same triangle is then the same row.
    turn = np.argmin(faces, axis=1)[:, None]
    faces = np.take_along_axis(faces, (turn + np.arange(3)) % 3, axis=1)
    _, kept = np.unique(_joined(faces), return_index=True)
    return np.ascontiguousarray(faces[np.sort(kept)], np.int32)


def _joined(rows: np.ndarray) -> np.ndarray:
    """[N] int64, the same number for rows [N, K] that are the same, K numbers from 0 each.

    Numbers too large for one are renumbered on the way.
    """
    key = rows[:, 0]
    for column in rows.T[1:]:
        size = int(column.max(initial=0)) + 1
        if int(key.max(initial=0)) > np.iinfo(np.int64).max // size - 1:
            key = np.unique(key, return_inverse=True)[1].reshape(-1)
        key = key * size + column
    return key
