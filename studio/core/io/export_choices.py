"""What goes into an exported mesh and what is written beside it: one list for the window and the flags."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from studio.core.io.cameras_write import write_cameras
from studio.core.io.export import encode_ply, export_scene, write_rows
from studio.core.io.files import write_bytes
from studio.core.io.gltf_write import encode_glb
from studio.core.io.images import encode_png
from studio.core.io.radiance import encode
from studio.core.io.resample import fitted_size, shrink
from studio.core.params import Param, ParamSet
from studio.core.scene import Camera, Lighting, Material, Mesh, Scene, Similarity
from studio.core.scene.environment import equirect_directions, sh_basis

PARAMS = (
    Param(
        "textures",
        "keep",
        "choice",
        choices=("keep", "4096", "2048", "1024", "512", "none"),
        titles=("As they are", "Up to 4096", "Up to 2048", "Up to 1024", "Up to 512", "None"),
        help="Longest side of the pictures; smaller ones stay as they are. PLY has colours at vertices.",
    ),
    Param("vertex_colors", True, "bool", help="Colour, roughness and metallic of the vertices."),
    Param("environment", False, "bool", help="The light from around as a picture beside the mesh, .hdr."),
    Param("cameras", False, "bool", help="The photos' cameras beside the mesh, as transforms.json has them."),
    Param(
        "up",
        "capture",
        "choice",
        choices=("capture", "y", "z"),
        titles=("As in the files", "Y up", "Z up"),
        help="Coordinates of the file: those of the photos' files, which are Y up without photos, or the "
        "scene's own, with this axis up. glTF is Y up.",
    ),
    Param(
        "unit",
        "m",
        "choice",
        choices=("m", "cm", "mm"),
        titles=("Metres", "Centimetres", "Millimetres"),
        help="What one unit in an OBJ or PLY is, if one in the scene is a metre; glTF is in metres.",
    ),
)

_UNITS = {"m": 1.0, "cm": 100.0, "mm": 1000.0}
_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
_SKY = (128, 256)
"""Size of the picture of an environment that is harmonics: they have no details."""

_SAMPLED = 2000
"""Vertices whose lines say how long those of an OBJ are."""

Tell = Callable[[float, str], None]


def choices() -> ParamSet:
    """The default ones."""
    return ParamSet("export", PARAMS)


def placed(values: ParamSet, suffix: str, capture: Similarity) -> Similarity:
    """From the scene to the file's coordinates; `capture` leads to those of the photos' files."""
    if suffix == ".glb":
        return capture if values["up"] == "capture" else Similarity()
    scale = _UNITS[values["unit"]]
    if values["up"] == "capture":
        return Similarity(scale * capture.scale, capture.rotation, scale * capture.translation)
    return Similarity(scale, _Z_UP if values["up"] == "z" else np.eye(3))


def chosen(scene: Scene, values: ParamSet, suffix: str) -> Scene:
    """The scene with what the choices leave of it."""
    limit = {"keep": None, "none": 0}.get(values["textures"], values["textures"])
    if suffix == ".ply":  # pictures become colours of vertices
        limit = None if values["vertex_colors"] and limit != 0 else 0
    kept: dict[int, np.ndarray] = {}  # one picture may be two textures, and stays one
    meshes = []
    for mesh in scene.meshes:
        if not values["vertex_colors"]:
            mesh = replace(mesh, colors=None, roughness=None, metallic=None)
        if limit is not None:
            mesh = replace(mesh, material=_limited(mesh.material, int(limit), kept))
        meshes.append(mesh)
    return replace(scene, meshes=meshes)


def _limited(material: Material, most: int, kept: dict[int, np.ndarray]) -> Material:
    changed: dict[str, Any] = {}
    for name, image in material.textures().items():
        if id(image) not in kept and most > 0:
            height, width = fitted_size(image.shape[0], image.shape[1], most)
            kept[id(image)] = image if (height, width) == image.shape[:2] else shrink(image, height, width)
        changed[name] = kept[id(image)] if most > 0 else None
    return replace(material, **changed)


def export_chosen(
    scene: Scene,
    path: Path,
    values: ParamSet,
    capture: Similarity,
    cameras: list[tuple[str, Camera]],
    progress: Tell | None = None,
) -> list[Path]:
    """Write a scene and what belongs beside it; the files that were written, the mesh first.

    Args:
        path: see export_scene.
        capture: leads from the scene to the coordinates of the photos' files.
        cameras: (the photo's file, its camera).
        progress: called with (0..1, note); may raise to end the work.
    Raises:
        As export_scene.
    """
    tell = progress or (lambda fraction, note: None)
    suffix = path.suffix.lower()
    world = placed(values, suffix, capture)
    tell(0.0, "Textures")
    export_scene(chosen(scene, values, suffix), path, world, lambda f, note: tell(0.1 + 0.8 * f, note))
    files = [path]
    if values["environment"]:
        tell(0.9, "Environment")
        files.append(path.with_name(f"{path.stem}_environment.hdr"))
        write_bytes(files[-1], encode(sky_picture(scene.lighting, world.rotation)[::-1]))
    if values["cameras"] and cameras:
        tell(0.95, "Cameras")
        files.append(path.with_name(f"{path.stem}_cameras.json"))
        write_cameras(files[-1], cameras, world)
    return files


def sky_picture(lighting: Lighting, rotation: np.ndarray) -> np.ndarray:
    """[H, W, 3] float32 equirectangular radiance, row 0 at the bottom, turned as the scene is.

    Light that stays with the camera is not turned.
    """
    image = lighting.environment
    turn = rotation if lighting.fixed_to == "world" else np.eye(3)
    height, width = _SKY if image is None else image.shape[:2]
    if image is not None and np.allclose(turn, np.eye(3), atol=1e-6):
        return image
    directions = equirect_directions(height, width) @ turn  # where the scene has what is seen there
    if image is None:
        sky = sh_basis(directions) @ np.asarray(lighting.sh, np.float64)
        return np.maximum(sky, 0.0).astype(np.float32)
    import cv2

    x, y, z = np.moveaxis(directions, -1, 0)
    column = (np.arctan2(x, -z) / (2 * np.pi) + 0.5) * width - 0.5
    row = (np.arcsin(np.clip(y, -1, 1)) / np.pi + 0.5) * height - 0.5
    wrapped = np.concatenate([image[:, -1:], image, image[:, :1]], axis=1)
    place = (column + 1).astype(np.float32), np.clip(row, 0, height - 1).astype(np.float32)
    found = cv2.remap(np.ascontiguousarray(wrapped), *place, cv2.INTER_LINEAR)
    return np.asarray(found, np.float32)


def estimated_bytes(scene: Scene, values: ParamSet, suffix: str) -> int:
    """How large the files of an export will be, within some percent; textures are encoded for it."""
    kept = chosen(scene, values, suffix)
    sky = scene.lighting.environment
    beside = 4 * int(np.prod(_SKY if sky is None else sky.shape[:2])) if values["environment"] else 0
    if suffix == ".glb":
        return len(encode_glb(kept.meshes, "")) + beside
    if suffix == ".ply":
        return len(encode_ply(kept.meshes)) + beside
    return sum(map(_obj_bytes, kept.meshes)) + beside + _picture_bytes(kept.meshes)


def _obj_bytes(mesh: Mesh) -> int:
    """Of the lines of a mesh, from those of some vertices."""
    lines = BytesIO()
    step = max(1, len(mesh.vertices) // _SAMPLED)
    columns = 3 + 3 * (mesh.colors is not None)
    sampled = np.ascontiguousarray(mesh.vertices[::step])
    write_rows(lines, "v", np.hstack([sampled] * (columns // 3)))
    write_rows(lines, "vn", mesh.vertex_normals()[::step])
    if mesh.uvs is not None:
        write_rows(lines, "vt", mesh.uvs[::step])
    per_vertex = len(lines.getvalue()) / max(len(sampled), 1)
    digits = len(str(len(mesh.vertices)))
    per_corner = (3 * digits + 3) if mesh.uvs is not None else (2 * digits + 3)
    return round(per_vertex * len(mesh.vertices) + (2 + 3 * per_corner) * len(mesh.faces))


def _picture_bytes(meshes: list[Mesh]) -> int:
    """Of the files beside an OBJ: one for each use of a picture."""
    return sum(len(encode_png(image)) for mesh in meshes for image in mesh.material.textures().values())
