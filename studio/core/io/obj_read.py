"""OBJ files. Read by us: trimesh's parser loses uv seams, or uvs, when asked to keep the order."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from studio.core.color import srgb_to_linear
from studio.core.errors import InputError
from studio.core.io.limits import check_triangles
from studio.core.io.mtl import read_mtl
from studio.core.scene.material import Material
from studio.core.scene.mesh import Mesh

_NAMES = ("vertex", "texture coordinate", "normal")

AT_ONCE = 10_000
"""Lines whose numbers are read in one go, under Python's lock: some milliseconds."""


@dataclass
class _Text:
    """The statements of an OBJ, sorted by kind; numbers are still text."""

    rows: dict[bytes, list[bytes]] = field(default_factory=lambda: {b"v": [], b"vt": [], b"vn": []})
    faces: list[bytes] = field(default_factory=list)
    material_of_face: list[int] = field(default_factory=list)
    materials: list[str] = field(default_factory=list)
    libraries: list[str] = field(default_factory=list)


def read_obj(path: Path, data: bytes, notes: list[str]) -> list[Mesh]:
    """Meshes of an OBJ, one per material; numbers behind the coordinates are sRGB colours.

    Vertices keep the file's order; where one has several uvs or normals it is repeated in place.

    Raises:
        InputError: damaged, indices out of range, or a library outside its folder.
    """
    text = _sort(path, data)
    if not text.faces:
        raise InputError(f"{path}: mesh has no faces, expected at least one triangle")
    rows = _numbers(path, text.rows[b"v"], 3, "v")
    uvs = _numbers(path, text.rows[b"vt"], 1, "vt")[:, :2]
    normals = _numbers(path, text.rows[b"vn"], 3, "vn")[:, :3]
    if uvs.shape[1] == 1:
        uvs = np.hstack([uvs, np.zeros_like(uvs)])
    corners, counts = _corners(path, text.faces)
    for column, available in enumerate((len(rows), len(uvs), len(normals))):
        _check_range(path, corners[:, column], available, _NAMES[column])
    triangles, face_of = _fans(counts)
    check_triangles(path, len(triangles))
    library: dict[str, Material] = {}
    for name in text.libraries:
        library.update(read_mtl(path, name, notes))
    material_of = np.array(text.material_of_face)[face_of]
    used = list(dict.fromkeys(text.material_of_face))
    out = []
    for index in used:
        chosen = triangles if len(used) == 1 else triangles[material_of == index]
        mesh = _part(corners[chosen.ravel()], rows, uvs, normals, whole=len(used) == 1)
        wanted = text.materials[index] if index >= 0 else ""
        default = Material(base_color=(1.0, 1.0, 1.0)) if mesh.colors is not None else Material()
        mesh.material = library.get(wanted, default)
        mesh.name = path.stem if len(used) == 1 else wanted or path.stem
        out.append(mesh)
    return out


def _sort(path: Path, data: bytes) -> _Text:
    text = _Text()
    rows = text.rows
    current = -1
    for line in data.replace(b"\\\n", b" ").replace(b"\\\r\n", b" ").splitlines():
        key, _, body = line.strip().replace(b"\t", b" ").partition(b" ")
        if key in rows:
            rows[key].append(body)
        elif key == b"f":
            if b"-" in body:
                body = _absolute(path, body, [len(rows[k]) for k in (b"v", b"vt", b"vn")])
            text.faces.append(body)
            text.material_of_face.append(current)
        elif key == b"usemtl":
            name = body.strip().decode("utf-8", "replace")
            if name not in text.materials:
                text.materials.append(name)
            current = text.materials.index(name)
        elif key == b"mtllib":
            text.libraries.append(body.strip().decode("utf-8", "replace"))
    return text


def _absolute(path: Path, body: bytes, counts: list[int]) -> bytes:
    """A face whose numbers count from the first vertex; -1 is the last one read so far."""
    try:
        words = []
        for word in body.split():
            parts = [p and int(p) for p in word.split(b"/")]
            parts = [p + n + 1 if p and p < 0 else p for p, n in zip(parts, counts, strict=False)]
            words.append(b"/".join(b"%d" % p if p != b"" else b"" for p in parts))
        return b" ".join(words)
    except (ValueError, TypeError):
        raise InputError(f"{path}: face {body[:40].decode('ascii', 'replace')!r} is damaged") from None


def _parse(lines: list[bytes]) -> np.ndarray:
    """All numbers of many lines; fewer, or none, if something in them is not a number."""
    pieces = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # what older NumPy does; newer ones raise
        try:
            for first in range(0, len(lines), AT_ONCE):
                text = b" ".join(lines[first : first + AT_ONCE]).replace(b"/", b" ")
                pieces.append(np.fromstring(text, dtype=np.float64, sep=" "))
        except ValueError:
            return np.zeros(0)
    return np.concatenate(pieces)


def _numbers(path: Path, lines: list[bytes], least: int, key: str) -> np.ndarray:
    """[N, C] of equally long lines; of the shortest's length otherwise, at least `least`."""
    if not lines:
        return np.zeros((0, max(least, 2)))
    width = len(lines[0].split())
    values = _parse(lines)
    if len(values) != width * len(lines):
        words = [line.split() for line in lines]
        width = min(len(w) for w in words)
        try:
            values = np.array([[float(v) for v in w[:width]] for w in words]).ravel()
        except ValueError as error:
            raise InputError(f"{path}: a {key!r} line is damaged ({error}), expected numbers") from None
    if width < least:
        raise InputError(f"{path}: a {key!r} line has {width} numbers, expected at least {least}")
    return values.reshape(len(lines), width)


def _corners(path: Path, faces: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """([N, 3] vertex, uv and normal index of each corner from 0, -1 = none, [F] corners per face)."""
    counts = np.array([len(f.split()) for f in faces])
    if counts.min() < 3:
        raise InputError(f"{path}: a face has {counts.min()} corners, expected at least 3")
    joined = b" ".join(faces)
    total = int(counts.sum())
    first = joined.split(None, 1)[0]
    columns = [i for i, part in enumerate(first.split(b"/")) if part]
    values = _parse(faces)
    out = np.full((total, 3), -1, np.int64)
    # All corners written alike, as nearly always: the slashes add up too.
    if len(values) == total * len(columns) and joined.count(b"/") == total * first.count(b"/"):
        out[:, columns] = values.reshape(total, len(columns)).astype(np.int64) - 1
        out[:, columns] = np.where(out[:, columns] < 0, -2, out[:, columns])  # 0 or negative: out of range
        return out, counts
    try:
        for row, word in enumerate(joined.split()):
            for column, part in enumerate(word.split(b"/")[:3]):
                if part:
                    out[row, column] = max(int(part) - 1, -2)
    except ValueError:
        raise InputError(f"{path}: face corner {word[:20].decode('ascii', 'replace')!r} is damaged") from None
    return out, counts


def _check_range(path: Path, index: np.ndarray, available: int, what: str) -> None:
    least = 0 if what == "vertex" else -1
    bad = (index < least) | (index >= available)
    if bad.any():
        value = int(index[bad][0]) + 1
        shown = value if value > 0 else "0 or less"
        raise InputError(f"{path}: a face names {what} {shown}, expected 1 to {available}")


def _fans(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """([T, 3] corner numbers of the triangles of all polygons, [T] polygon of each)."""
    per_face = counts - 2
    face_of = np.repeat(np.arange(len(counts)), per_face)
    start = (np.cumsum(counts) - counts)[face_of]
    step = np.arange(len(face_of)) - (np.cumsum(per_face) - per_face)[face_of]
    return np.stack([start, start + step + 1, start + step + 2], axis=1), face_of


def _part(corners: np.ndarray, rows: np.ndarray, uvs: np.ndarray, normals: np.ndarray, whole: bool) -> Mesh:
    """A mesh of corner triples; `whole` keeps vertices that no face uses, where none is split."""
    has_uv, has_normal = bool((corners[:, 1] >= 0).all()), bool((corners[:, 2] >= 0).all())
    key = corners.copy()
    key[:, 1] = corners[:, 1] if has_uv else -1
    key[:, 2] = corners[:, 2] if has_normal else -1
    if whole and not has_uv and not has_normal:
        vertex, inverse = np.arange(len(rows)), key[:, 0]
        unique = np.zeros((len(rows), 3), np.int64)
    else:
        unique, inverse = _unique_rows(key, max(len(rows), len(uvs), len(normals)) + 1)
        vertex = unique[:, 0]
    mesh = Mesh(
        vertices=_single(rows[vertex, :3]),
        faces=inverse.reshape(-1, 3).astype(np.int32),
        uvs=_single(uvs[unique[:, 1]]) if has_uv else None,
    )
    if has_normal:
        chosen = normals[unique[:, 2]]
        length = np.linalg.norm(chosen, axis=1, keepdims=True)
        if np.isfinite(length).all() and (length > 0).all():
            mesh.normals = _single(chosen / length)
    if rows.shape[1] >= 6:
        colors = rows[vertex, 3:6]
        colors = colors / 255 if colors.max(initial=0) > 1 else colors
        mesh.colors = _single(srgb_to_linear(np.clip(np.nan_to_num(colors), 0, 1)))
    return mesh


def _unique_rows(key: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(unique rows in lexicographic order, inverse). Rows are packed into one number if they fit."""
    if size < 2**21:
        packed = ((key[:, 0] + 1) << 42) | ((key[:, 1] + 1) << 21) | (key[:, 2] + 1)
        _, first, inverse = np.unique(packed, return_index=True, return_inverse=True)
    else:
        _, first, inverse = np.unique(key, axis=0, return_index=True, return_inverse=True)
    return key[first], inverse.ravel()


def _single(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):  # the mesh's check reports what is not finite
        return np.ascontiguousarray(values, dtype=np.float32)
