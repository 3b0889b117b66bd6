"""Meshes out: GLB, OBJ with MTL and pictures, PLY."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from scipy.ndimage import map_coordinates

import studio
from studio.core.color import linear_to_srgb
from studio.core.errors import InputError
from studio.core.io.files import write_bytes
from studio.core.io.gltf_write import encode_glb
from studio.core.io.images import save_png
from studio.core.scene.material import Material
from studio.core.scene.mesh import Mesh
from studio.core.scene.scene import Scene
from studio.core.scene.similarity import Similarity

Tell = Callable[[float, str], None]

SUFFIXES = (".glb", ".obj", ".ply")
"""What `export_scene` writes."""

AT_ONCE = 5000
"""Rows of a text file that are formatted in one go: some ten milliseconds."""


def export_scene(
    scene: Scene,
    path: Path | str,
    world_to_output: Similarity | None = None,
    progress: Tell | None = None,
) -> None:
    """Write all meshes of a scene; an earlier file of that name is replaced only when done.

    Args:
        scene: at least one mesh.
        path: .glb (everything), .obj (with .mtl and .png beside it; vertex colours as sRGB behind
            the coordinates) or .ply (one mesh; colours, textures' too, as sRGB bytes at the vertices,
            no materials).
        world_to_output: applied to the vertices; `photos.input_to_world.inverse()` restores the
            coordinates of the captures. None leaves them.
        progress: called with (0..1, note) now and then; what it raises ends the work, and the earlier
            file stays.
    Raises:
        InputError: unknown suffix, no faces, NaN vertices, or a place that cannot be written.
        WorkError: the disk filled up.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"{path}: unknown kind of mesh {suffix or 'without suffix'!r}, expected {', '.join(SUFFIXES)}"
        )
    if not scene.meshes:
        raise InputError(f"{path}: the scene has no mesh to write")
    for mesh in scene.meshes:
        mesh.check(f"{path}: {mesh.name}")
    tell = progress or _quiet
    meshes = [_moved(mesh, world_to_output) for mesh in scene.meshes]
    tell(0.1, path.name)
    if suffix == ".glb":
        data = encode_glb(meshes, f"studio {studio.__version__}", tell)
        tell(0.9, path.name)
        write_bytes(path, data)
    elif suffix == ".ply":
        data = encode_ply(meshes)
        tell(0.5, path.name)
        write_bytes(path, data)
    else:
        _write_obj(path, meshes, tell)


def _quiet(fraction: float, note: str) -> None:
    """Nobody wants to know."""


def _moved(mesh: Mesh, transform: Similarity | None) -> Mesh:
    if transform is None:
        return mesh
    normals = mesh.vertex_normals() @ transform.rotation.T
    vertices = transform.apply(mesh.vertices).astype(np.float32)
    return replace(mesh, vertices=vertices, normals=normals.astype(np.float32))


def _srgb_bytes(linear: np.ndarray) -> np.ndarray:
    return (linear_to_srgb(np.clip(linear, 0, 1)) * 255 + 0.5).astype(np.uint8)


def encode_ply(meshes: list[Mesh]) -> bytes:
    """Binary PLY of all meshes as one; what only some of them have is filled with its default.

    It holds no pictures: vertices take the colours that base colour textures have at their places.
    """
    meshes = [_with_texture_colors(mesh) for mesh in meshes]
    fields: list[tuple[str, str]] = [(k, "<f4") for k in ("x", "y", "z", "nx", "ny", "nz")]
    colored = any(m.colors is not None for m in meshes)
    textured = any(m.uvs is not None for m in meshes)
    scalars = [k for k in ("roughness", "metallic") if any(getattr(m, k) is not None for m in meshes)]
    fields += [(k, "<f4") for k in ("s", "t")] * textured + [
        (k, "u1") for k in ("red", "green", "blue")
    ] * colored
    fields += [(k, "<f4") for k in scalars]
    vertex = np.zeros(sum(len(m.vertices) for m in meshes), np.dtype(fields))
    face = np.zeros(sum(len(m.faces) for m in meshes), np.dtype([("n", "u1"), ("v", "<i4", 3)]))
    face["n"] = 3
    v0 = f0 = 0
    for mesh in meshes:
        rows = vertex[v0 : v0 + len(mesh.vertices)]
        for names, values in (
            ("x y z", mesh.vertices),
            ("nx ny nz", mesh.vertex_normals()),
            ("s t", mesh.uvs),
        ):
            for axis, name in enumerate(names.split() if values is not None else []):
                rows[name] = values[:, axis]  # type: ignore[index]
        if colored:
            color = np.ones((len(rows), 3)) if mesh.colors is None else mesh.colors
            tinted = _srgb_bytes(color * np.array(mesh.material.base_color))
            for axis, name in enumerate(("red", "green", "blue")):
                rows[name] = tinted[:, axis]
        for name in scalars:
            factor = mesh.material.perceptual_roughness if name == "roughness" else mesh.material.metallic
            value = getattr(mesh, name)
            rows[name] = factor if value is None else value[:, 0]
        face["v"][f0 : f0 + len(mesh.faces)] = mesh.faces + v0
        v0, f0 = v0 + len(mesh.vertices), f0 + len(mesh.faces)
    kinds = {"<f4": "float", "u1": "uchar"}
    lines = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment studio {studio.__version__}",
        f"element vertex {v0}",
    ]
    lines += [f"property {kinds[kind]} {name}" for name, kind in fields]
    lines += [f"element face {f0}", "property list uchar int vertex_indices", "end_header", ""]
    return "\n".join(lines).encode() + vertex.tobytes() + face.tobytes()


def _with_texture_colors(mesh: Mesh) -> Mesh:
    """The mesh with its base colour texture, looked up bilinearly, in the colours of its vertices."""
    image = mesh.material.base_color_texture
    if image is None or mesh.uvs is None:
        return mesh
    places = [mesh.uvs[:, 1] * image.shape[0] - 0.5, mesh.uvs[:, 0] * image.shape[1] - 0.5]
    channels = [map_coordinates(image[..., c], places, order=1, mode="grid-wrap") for c in range(3)]
    found = np.stack(channels, axis=1).astype(np.float32)
    return replace(mesh, colors=found if mesh.colors is None else found * mesh.colors[:, :3])


def _write_obj(path: Path, meshes: list[Mesh], tell: Tell) -> None:
    """Pictures first, then the library, the OBJ last: what exists is always complete."""
    library = path.with_suffix(".mtl")
    materials = [f"{path.stem}_{i}" for i in range(len(meshes))]
    mtl: list[str] = []
    for name, mesh in zip(materials, meshes, strict=True):
        tell(0.1 + 0.3 * len(mtl) / len(meshes), name)
        mtl.append(_encode_material(path, name, mesh.material, mesh))
    data = _encode_obj(meshes, library.name, materials, tell)
    write_bytes(library, "\n".join(mtl).encode())
    write_bytes(path, data)


def _encode_material(path: Path, name: str, m: Material, mesh: Mesh) -> str:
    """One MTL entry; writes its pictures beside `path`."""
    rough = m.perceptual_roughness if mesh.roughness is None else float(np.mean(mesh.roughness))
    metal = m.metallic if mesh.metallic is None else float(np.mean(mesh.metallic))
    kd = linear_to_srgb(np.array(m.base_color))
    lines = [f"newmtl {name}", "Kd " + _join(kd), f"Pr {rough:.6g}", f"Pm {metal:.6g}", f"d {m.alpha:.6g}"]
    if max(m.emissive) > 0:
        lines.append("Ke " + _join(np.array(m.emissive)))
    orm = m.orm_texture
    pictures: list[tuple[str, str, np.ndarray | None, bool]] = [
        ("map_Kd", "base_color", m.base_color_texture, True),
        ("map_Pr", "roughness", None if orm is None else orm[..., 1:2], False),
        ("map_Pm", "metallic", None if orm is None else orm[..., 2:3], False),
        ("norm", "normal", m.normal_texture, False),
        ("map_Ke", "emissive", m.emissive_texture, True),
    ]
    for key, kind, image, color in pictures:
        if image is not None:
            file = path.with_name(f"{name}_{kind}.png")
            save_png(file, image, color)
            lines.append(f"{key} {file.name}")
    return "\n".join(lines) + "\n"


def _encode_obj(meshes: list[Mesh], library: str, materials: list[str], tell: Tell) -> bytes:
    out = BytesIO()
    total = sum(3 * len(m.vertices) + len(m.faces) for m in meshes)
    done = 0

    def told(rows: int) -> None:
        nonlocal done
        done += rows
        tell(0.4 + 0.5 * done / total, library)

    out.write(f"# studio {studio.__version__}\nmtllib {library}\n".encode())
    v0 = t0 = 1
    for mesh, material in zip(meshes, materials, strict=True):
        out.write(f"o {_word(mesh.name)}\n".encode())
        rows = (
            mesh.vertices if mesh.colors is None else np.hstack([mesh.vertices, linear_to_srgb(mesh.colors)])
        )
        write_rows(out, "v", rows, told)
        if mesh.uvs is not None:
            write_rows(out, "vt", mesh.uvs, told)
        write_rows(out, "vn", mesh.vertex_normals(), told)
        out.write(f"usemtl {material}\n".encode())
        v = mesh.faces.astype(np.int64) + v0
        t = mesh.faces.astype(np.int64) + t0
        if mesh.uvs is not None:
            columns, corner = np.stack([v, t, v], axis=2), "%d/%d/%d"
            t0 += len(mesh.uvs)
        else:
            columns, corner = np.stack([v, v], axis=2), "%d//%d"
        _write_lines(out, f"f {corner} {corner} {corner}\n", columns.reshape(len(columns), -1), told)
        v0 += len(mesh.vertices)
    return out.getvalue()


def write_rows(
    out: BytesIO, key: str, values: np.ndarray, told: Callable[[int], None] = lambda rows: None
) -> None:
    """Lines of an OBJ. Nine significant digits bring a float32 back exactly."""
    line = key + " %.9g" * values.shape[1] + "\n"
    _write_lines(out, line, np.asarray(values, np.float64), told)


def _write_lines(out: BytesIO, line: str, values: np.ndarray, told: Callable[[int], None]) -> None:
    """One formatted line per row; a piece at a time, so that other threads get their turn."""
    for first in range(0, len(values), AT_ONCE):
        rows = values[first : first + AT_ONCE]
        out.write(((line * len(rows)) % tuple(rows.ravel().tolist())).encode())
        told(len(rows))


def _join(values: np.ndarray) -> str:
    return " ".join(f"{v:.6g}" for v in values)


def _word(name: str) -> str:
    return "_".join(name.split()) or "mesh"
