"""PLY and STL through trimesh's parsers, with what they would hide found out first."""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from trimesh.exchange.ply import load_ply
from trimesh.exchange.stl import load_stl
from trimesh.geometry import triangulate_quads

from studio.core.color import srgb_to_linear
from studio.core.errors import InputError, describe
from studio.core.io.files import inside, read_bytes
from studio.core.io.images import load_image
from studio.core.io.limits import binary_stl_size, check_triangles
from studio.core.scene.material import Material
from studio.core.scene.mesh import Mesh, weld


def _parsed(path: Path, parser: Any, data: bytes, **options: Any) -> dict[str, Any]:
    """What a parser of trimesh makes of `data`; whatever it raises means a damaged file."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # it warns of vertices that no face uses
            return dict(parser(io.BytesIO(data), **options))
    except MemoryError:
        raise InputError(f"{path}: too large for this machine's memory") from None
    except Exception as error:
        raise InputError(f"{path}: damaged or truncated mesh file ({describe(error)})") from None


def read_ply(path: Path, data: bytes, notes: list[str]) -> list[Mesh]:
    """The mesh of a PLY; colours are sRGB, `roughness` and `metallic` per vertex are ours.

    Raises:
        InputError: damaged or truncated, indices out of range.
    """
    end = data.find(b"end_header")
    if not data.startswith(b"ply") or end < 0:
        raise InputError(f"{path}: damaged or truncated, expected a PLY header")
    header = data[:end].decode("ascii", "replace")
    wedges = "texcoord" in header  # uv per corner: vertices must be split
    parsed = _parsed(path, load_ply, data, fix_texture=wedges, skip_materials=True)
    if parsed.get("faces") is None or parsed.get("vertices") is None:
        if re.search(r"^element face [1-9]", header, re.MULTILINE):
            raise InputError(f"{path}: the file is truncated or damaged, its faces are missing")
        raise InputError(f"{path}: mesh has no faces, expected at least one triangle")
    count = len(parsed["vertices"])
    raw = ((parsed.get("metadata") or {}).get("_ply_raw") or {}).get("vertex", {}).get("data")
    mesh = Mesh(
        vertices=_f32(parsed["vertices"]),
        faces=_faces(parsed["faces"]),
        normals=_unit(parsed.get("vertex_normals"), count),
        uvs=_uvs(getattr(parsed.get("visual"), "uv", None), count),
        colors=_colors(parsed.get("vertex_colors"), count),
        roughness=_ply_scalar(raw, "roughness", count),
        metallic=_ply_scalar(raw, "metallic", count),
        name=path.stem,
    )
    mesh.material = Material(base_color=_base(mesh), base_color_texture=_ply_texture(path, header, notes))
    return [mesh]


def read_points(path: Path) -> np.ndarray:
    """[P, 3] float64 finite vertices of a PLY, with or without faces; InputError if damaged."""
    parsed = _parsed(path, load_ply, read_bytes(path, "a point cloud, .ply"), skip_materials=True)
    points = np.asarray(parsed.get("vertices", ()), np.float64).reshape(-1, 3)
    return points[np.isfinite(points).all(axis=1)]


def _ply_texture(path: Path, header: str, notes: list[str]) -> np.ndarray | None:
    match = re.search(r"^comment TextureFile (.+)$", header, re.MULTILINE | re.IGNORECASE)
    if match is None:
        return None
    try:
        image = load_image(inside(path.parent, match[1].strip(), f"{path}: TextureFile"))
    except InputError as error:
        notes.append(f"texture left out: {error}")
        return None
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def _ply_scalar(raw: Any, name: str, count: int) -> np.ndarray | None:
    try:
        value = np.asarray(raw[name], np.float32).reshape(-1, 1)
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    return value if len(value) == count and np.isfinite(value).all() else None


def read_stl(path: Path, data: bytes, notes: list[str]) -> list[Mesh]:
    """The mesh of an STL, corners at the same position welded (the format repeats them).

    Raises:
        InputError: damaged or truncated.
    """
    del notes  # the format has nothing that could be left out
    binary = binary_stl_size(data) if len(data) >= 84 else 0
    if data[:5].lower() != b"solid" and binary != len(data):
        text = f"{len(data)} bytes, its header says {binary}" if binary else f"{len(data)} bytes"
        raise InputError(f"{path}: the STL is truncated or damaged ({text})")
    if binary != len(data):
        check_triangles(path, data.count(b"endfacet"))
    parsed = _parsed(path, load_stl, data)
    parts = (
        [parsed] if "faces" in parsed else [p for p in parsed.get("geometry", {}).values() if "faces" in p]
    )
    out = []
    for index, part in enumerate(parts):
        mesh = Mesh(
            _f32(part["vertices"]),
            _faces(part["faces"]),
            name=path.stem if not index else f"{path.stem}_{index}",
        )
        if np.isfinite(mesh.vertices).all():  # NaN never equals itself; the check has the message
            mesh.faces = weld(mesh.vertices)[mesh.faces].astype(np.int32)
            mesh = _compact(mesh)
        out.append(mesh)
    return out


def _base(mesh: Mesh) -> tuple[float, float, float]:
    """White under vertex colours, the default grey otherwise."""
    return (1.0, 1.0, 1.0) if mesh.colors is not None else Material().base_color


def _f32(values: Any) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values, dtype=np.float32).reshape(-1, 3)


def _faces(values: Any) -> np.ndarray:
    """[T, 3] int32 of triangles, quads or lists of polygons."""
    values = np.asarray(values) if not isinstance(values, list) else values
    if not (isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] == 3):
        values = _fans(values)
    faces = np.asarray(values, dtype=np.int64).reshape(-1, 3)
    return np.clip(faces, -(2**31), 2**31 - 1).astype(np.int32)


def _fans(polygons: Any) -> np.ndarray:
    """Triangles of polygons as fans from their first corner."""
    if isinstance(polygons, np.ndarray) and polygons.ndim == 2:
        if polygons.shape[1] == 4:
            return np.asarray(triangulate_quads(polygons))
        fan = [polygons[:, [0, i + 1, i + 2]] for i in range(polygons.shape[1] - 2)]
        return np.stack(fan, axis=1).reshape(-1, 3) if fan else np.zeros((0, 3), np.int64)
    return np.array([(p[0], p[i + 1], p[i + 2]) for p in polygons for i in range(len(p) - 2)], np.int64)


def _unit(values: Any, count: int) -> np.ndarray | None:
    """[V, 3] unit normals, or None where they are missing or damaged."""
    if values is None or np.shape(values) != (count, 3) or not np.isfinite(values).all():
        return None
    normals = np.asarray(values, np.float64)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return (normals / length).astype(np.float32) if (length > 0).all() else None


def _uvs(values: Any, count: int) -> np.ndarray | None:
    if values is None or np.shape(values) != (count, 2) or not np.isfinite(values).all():
        return None
    return np.ascontiguousarray(values, dtype=np.float32)


def _colors(values: Any, count: int) -> np.ndarray | None:
    """[V, 3] float32 linear of sRGB colours, bytes or 0..1."""
    if values is None:
        return None
    raw = np.asarray(values)
    if raw.ndim != 2 or raw.shape[0] != count or raw.shape[1] < 3:
        return None
    coded = raw[:, :3].astype(np.float64)
    # Whole numbers are bytes whatever their type; so are floats above 1.
    if raw.dtype.kind in "iu" or coded.max(initial=0) > 1:
        coded /= 65535 if raw.dtype.itemsize == 2 and raw.dtype.kind in "iu" else 255
    return srgb_to_linear(np.clip(np.nan_to_num(coded), 0, 1)).astype(np.float32)


def _compact(mesh: Mesh) -> Mesh:
    """The mesh without vertices that no face uses; their order stays."""
    if len(mesh.faces) == 0 or mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices):
        return mesh
    used = np.zeros(len(mesh.vertices), bool)
    used[mesh.faces.ravel()] = True
    new = np.cumsum(used) - 1
    for name in ("vertices", "normals", "uvs", "colors", "roughness", "metallic"):
        value = getattr(mesh, name)
        if value is not None:
            setattr(mesh, name, np.ascontiguousarray(value[used]))
    mesh.faces = new[mesh.faces].astype(np.int32)
    return mesh
