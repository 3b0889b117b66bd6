"""Mesh files in: one door for OBJ, PLY, STL, glTF and GLB."""

from __future__ import annotations

from pathlib import Path

from studio.core.errors import InputError, describe
from studio.core.io.files import check_readable, read_bytes
from studio.core.io.gltf_read import read_gltf
from studio.core.io.limits import check_before_reading
from studio.core.io.mesh_read import read_ply, read_stl
from studio.core.io.obj_read import read_obj
from studio.core.scene.mesh import Mesh
from studio.core.scene.scene import Scene

SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl")
"""What `load_scene` reads. Nothing else is tried: no format that runs or unpickles anything."""


def load_scene(path: Path | str, notes: list[str] | None = None) -> Scene:
    """Read a mesh file with all its parts, materials and cameras.

    Vertices and faces are those of the file, in its order; polygons are cut into triangles, node
    transforms applied, instances expanded. Colours become linear, textures have row 0 at the
    bottom with uv (0, 0) there. Files it names must lie in its folder or below.

    Args:
        path: .glb, .gltf, .obj, .ply or .stl.
        notes: gets one line for each thing that was left out, e.g. a missing texture.
    Returns:
        Scene in the file's own coordinates.
    Raises:
        InputError: names the file and what is wrong: unknown suffix, missing or truncated file or
            buffer, no faces, NaN vertices, indices out of range, too many triangles.
    """
    path = Path(path)
    notes = [] if notes is None else notes
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"{path}: unknown kind of mesh {suffix or 'without suffix'!r}, expected {', '.join(SUFFIXES)}"
        )
    check_readable(path, "a mesh")
    try:
        check_before_reading(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({describe(error)})") from None
    scene = Scene(name=path.stem)
    if suffix in (".glb", ".gltf"):
        scene.meshes, scene.cameras = read_gltf(path, notes)
    else:
        reader = {".obj": read_obj, ".ply": read_ply, ".stl": read_stl}[suffix]
        scene.meshes = reader(path, read_bytes(path, "a mesh"), notes)
    _check(path, scene.meshes)
    return scene


def _check(path: Path, meshes: list[Mesh]) -> None:
    """InputError unless every part can be rendered; parts without faces do not count."""
    if not any(len(mesh.faces) for mesh in meshes):
        raise InputError(f"{path}: mesh has no faces, expected at least one triangle")
    meshes[:] = [mesh for mesh in meshes if len(mesh.faces)]
    for mesh in meshes:
        mesh.check(str(path) if len(meshes) == 1 else f"{path}: {mesh.name}")
