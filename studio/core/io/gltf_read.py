"""glTF 2.0 scenes: parts with node transforms, materials, vertex colours, cameras."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from studio.core.errors import InputError, describe
from studio.core.io.gltf_document import Document
from studio.core.io.limits import check_triangles
from studio.core.scene.camera import Camera, check_rigid
from studio.core.scene.material import Material
from studio.core.scene.mesh import Mesh

_CAMERA_HEIGHT = 720
"""glTF cameras have no pixels; this many rows give them some."""

_STRUCTURE = (AttributeError, TypeError, KeyError, IndexError, ValueError, OverflowError)
"""What a description raises that has a list where an object belongs, or text for a number. The
values that matter are checked by name; this is for the hundred places that do not."""

_INTEGER = (np.uint8, np.uint16, np.uint32)


def read_gltf(path: Path, notes: list[str]) -> tuple[list[Mesh], list[Camera]]:
    """Meshes in world space, instances expanded, and cameras of a .gltf or .glb.

    Vertex colours are linear; `_ROUGHNESS` and `_METALLIC` are the studio's own per-vertex
    attributes. Skins and morph targets stay in their rest shape. Read without trimesh, which
    rounds colours to 8 bits and drops what we must report.

    Raises:
        InputError: damaged, truncated, out of range, or needs an unsupported extension.
    """
    try:
        return _read(path, notes)
    except _STRUCTURE as error:
        raise InputError(f"{path}: the glTF description is damaged ({describe(error)})") from None


def _read(path: Path, notes: list[str]) -> tuple[list[Mesh], list[Camera]]:
    document = Document(path, notes)
    total = 0
    for mesh in document.items_of("meshes"):
        for primitive in _primitives(document, mesh):
            key = primitive.get("indices", (primitive.get("attributes") or {}).get("POSITION"))
            total += int(document.item("accessors", key).get("count", 0)) // 3
    check_triangles(path, total)
    reader = _Reader(document)
    reader.walk()
    check_triangles(path, sum(len(mesh.faces) for mesh in reader.meshes))
    for key in ("skins", "animations"):
        if document.items_of(key):
            notes.append(f"{path.name}: {key} are ignored, meshes stand in their rest shape")
    return reader.meshes, reader.cameras


def _primitives(document: Document, mesh: dict[str, Any]) -> list[dict[str, Any]]:
    value = mesh.get("primitives", [])
    if not isinstance(value, list) or not all(isinstance(p, dict) for p in value):
        raise InputError(f"{document.path}: a mesh has damaged primitives")
    return value


class _Reader:
    def __init__(self, document: Document):
        self.document = document
        self.meshes: list[Mesh] = []
        self.cameras: list[Camera] = []
        self._parts: dict[int, list[Mesh]] = {}
        self._materials: dict[int, Material] = {}

    def walk(self) -> None:
        """Visit every node of the scene; each may be reached once only."""
        nodes = self.document.items_of("nodes")
        pending = [(index, np.eye(4)) for index in reversed(self._roots(nodes))]
        seen: set[int] = set()
        while pending:
            index, parent = pending.pop()
            node = self.document.item("nodes", index)
            if index in seen:
                raise InputError(
                    f"{self.document.path}: node {index} is reached twice, expected a tree of nodes"
                )
            seen.add(index)
            world = parent @ self._local(node, index)
            name = str(node.get("name") or f"node {index}")
            if "mesh" in node:
                shape = node.get("name") or self.document.item("meshes", node["mesh"]).get("name") or name
                self.meshes += _named([_placed(p, world) for p in self._mesh(node["mesh"])], str(shape))
            if "camera" in node:
                self._camera(node["camera"], world, name)
            children = node.get("children", [])
            if not isinstance(children, list):
                raise InputError(f"{self.document.path}: node {index} has damaged children")
            pending += [(child, world) for child in reversed(children)]

    def _roots(self, nodes: list[dict[str, Any]]) -> list[Any]:
        if self.document.items_of("scenes"):
            scene = self.document.item("scenes", self.document.json.get("scene", 0))
            roots = scene.get("nodes", [])
            if not isinstance(roots, list):
                raise InputError(f"{self.document.path}: the scene's nodes are damaged")
            return roots
        children = {c for node in nodes for c in node.get("children", [])}
        return [i for i in range(len(nodes)) if i not in children]

    def _local(self, node: dict[str, Any], index: int) -> np.ndarray:
        """[4, 4] transform of a node: a column-major matrix, or translation, rotation, scale."""
        where = f"{self.document.path}: node {index}"
        if "matrix" in node:
            return _numbers(node["matrix"], 16, where).reshape(4, 4).T
        out = np.eye(4)
        x, y, z, w = _unit(_numbers(node.get("rotation", (0, 0, 0, 1)), 4, where))
        rotation = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
        out[:3, :3] = np.array(rotation) * _numbers(node.get("scale", (1, 1, 1)), 3, where)
        out[:3, 3] = _numbers(node.get("translation", (0, 0, 0)), 3, where)
        return out

    def _mesh(self, index: Any) -> list[Mesh]:
        """The parts of a mesh in its own space, read once."""
        entry = self.document.item("meshes", index)
        if index not in self._parts:
            name = str(entry.get("name") or f"mesh {index}")
            parts = [
                self._primitive(p, f"{self.document.path}: mesh {name!r}")
                for p in _primitives(self.document, entry)
            ]
            self._parts[index] = [part for part in parts if part is not None]
        return self._parts[index]

    def _primitive(self, primitive: dict[str, Any], where: str) -> Mesh | None:
        mode = primitive.get("mode", 4)
        if mode not in (4, 5, 6):
            self.document.notes.append(f"{where}: points and lines are left out")
            return None
        attributes = primitive.get("attributes")
        if not isinstance(attributes, dict) or "POSITION" not in attributes:
            raise InputError(f"{where}: has no vertices")
        vertices = self._attribute(attributes, "POSITION", (3,), where)
        count = len(vertices)
        if "indices" in primitive:
            index = self.document.accessor(primitive["indices"], (1,), f"{where} indices")[:, 0]
            if index.dtype.type not in _INTEGER:
                raise InputError(f"{where}: indices are not whole numbers")
        else:
            index = np.arange(count)
        faces = _triangles(index.astype(np.int64), mode, where)
        if len(faces) and int(faces.max()) >= count:
            raise InputError(f"{where}: a face names vertex {int(faces.max())}, expected 0 to {count - 1}")
        material, channel = self._material(primitive.get("material"), "COLOR_0" in attributes)
        uvs = self._attribute(attributes, f"TEXCOORD_{channel}", (2,), where, count)
        if uvs is not None:
            uvs = np.stack([uvs[:, 0], 1.0 - uvs[:, 1]], axis=1)  # glTF's v runs down
        colors = self._attribute(attributes, "COLOR_0", (3, 4), where, count)
        normals = self._attribute(attributes, "NORMAL", (3,), where, count)
        return Mesh(
            vertices=vertices,
            faces=faces.astype(np.int32),
            normals=None if normals is None else _unit_rows(normals),
            uvs=uvs,
            colors=None if colors is None else np.ascontiguousarray(colors[:, :3]),
            roughness=self._attribute(attributes, "_ROUGHNESS", (1,), where, count),
            metallic=self._attribute(attributes, "_METALLIC", (1,), where, count),
            material=material,
        )

    def _attribute(
        self,
        attributes: dict[str, Any],
        key: str,
        width: tuple[int, ...],
        where: str,
        count: int | None = None,
    ) -> Any:
        """[V, C] float32 or None; InputError if its length differs from `count`."""
        if key not in attributes:
            return None
        out = self.document.accessor(attributes[key], width, f"{where} {key}").astype(np.float32)
        if count is not None and len(out) != count:
            raise InputError(f"{where}: {len(out)} {key} for {count} vertices")
        if key != "POSITION" and not np.isfinite(out).all():  # positions have a message of their own
            raise InputError(f"{where}: {key} holds NaN or infinity, expected numbers")
        return out

    def _material(self, index: Any, colored: bool) -> tuple[Material, int]:
        """(material, which TEXCOORD its textures use)."""
        if index is None:
            return Material(base_color=(1.0, 1.0, 1.0) if colored else Material().base_color), 0
        entry = self.document.item("materials", index)
        if index not in self._materials:
            self._materials[index] = _read_material(self.document, entry, f"material {index}")
        pbr = entry.get("pbrMetallicRoughness") or {}
        infos = [pbr.get("baseColorTexture"), pbr.get("metallicRoughnessTexture"), entry.get("normalTexture")]
        channels = [int(i.get("texCoord", 0)) for i in infos if isinstance(i, dict)]
        if len(set(channels)) > 1:
            self.document.notes.append(
                f"{self._materials[index].name}: textures use several uv sets, the first is taken"
            )
        return self._materials[index], channels[0] if channels else 0

    def _camera(self, index: Any, world: np.ndarray, name: str) -> None:
        view = self.document.item("cameras", index).get("perspective")
        if not isinstance(view, dict):
            return
        where = f"{self.document.path}: camera {name!r}"
        try:
            height = _CAMERA_HEIGHT
            width = max(1, round(height * float(view.get("aspectRatio", 16 / 9))))
            focal = 0.5 * height / np.tan(0.5 * float(view["yfov"]))
            pose = world.copy()
            pose[:3, :3] /= np.linalg.norm(pose[:3, :3], axis=0)  # a scaled node scales no view
            near, far = float(view.get("znear", 0.01)), float(view.get("zfar", 1000.0))
            camera = Camera(
                width, height, focal, focal, width / 2, height / 2, check_rigid(pose, where), near, far, name
            )
        except (InputError, KeyError, TypeError, ValueError, ZeroDivisionError):
            self.document.notes.append(f"{where} is left out, its numbers make no camera")
            return
        self.cameras.append(camera)


def _triangles(index: np.ndarray, mode: int, where: str) -> np.ndarray:
    """[T, 3] from a list (4), strip (5) or fan (6)."""
    if mode == 4:
        if len(index) % 3:
            raise InputError(f"{where}: {len(index)} indices, expected three per triangle")
        return index.reshape(-1, 3)
    steps = np.arange(max(0, len(index) - 2))
    if mode == 6:
        return np.stack(
            [np.full_like(steps, index[0] if len(index) else 0), index[steps + 1], index[steps + 2]], axis=1
        )
    odd = steps % 2
    return np.stack([index[steps], index[steps + 1 + odd], index[steps + 2 - odd]], axis=1)


def _named(parts: list[Mesh], name: str) -> list[Mesh]:
    """The parts of one node under its name; several are told apart by number."""
    if len(parts) == 1:
        return [replace(parts[0], name=name)]
    return [replace(part, name=f"{name} {number}") for number, part in enumerate(parts, 1)]


def _placed(part: Mesh, world: np.ndarray) -> Mesh:
    """A part moved to world space; a mirroring transform turns its faces round."""
    linear, offset = world[:3, :3], world[:3, 3]
    if np.array_equal(world, np.eye(4)):
        return part
    faces = part.faces[:, ::-1].copy() if np.linalg.det(linear) < 0 else part.faces
    normals = None
    if part.normals is not None and abs(np.linalg.det(linear)) > 1e-30:
        normals = _unit_rows(part.normals @ np.linalg.inv(linear))
    vertices = (part.vertices.astype(np.float64) @ linear.T + offset).astype(np.float32)
    return replace(part, vertices=vertices, faces=faces, normals=normals)


def _read_material(document: Document, entry: dict[str, Any], default_name: str) -> Material:
    name = str(entry.get("name") or default_name)
    pbr = entry.get("pbrMetallicRoughness") or {}
    where = f"{document.path}: material {name!r}"
    base = _numbers(pbr.get("baseColorFactor", (1, 1, 1, 1)), 4, where)
    emissive = _numbers(entry.get("emissiveFactor", (0, 0, 0)), 3, where)
    strength = (entry.get("extensions") or {}).get("KHR_materials_emissive_strength") or {}
    emissive = emissive * _numbers([strength.get("emissiveStrength", 1.0)], 1, where)
    scalars = _numbers([pbr.get("roughnessFactor", 1.0), pbr.get("metallicFactor", 1.0)], 2, where)
    infos = [pbr.get("baseColorTexture"), pbr.get("metallicRoughnessTexture"), entry.get("normalTexture")]
    infos += [entry.get("occlusionTexture"), entry.get("emissiveTexture")]
    if any("KHR_texture_transform" in (i.get("extensions") or {}) for i in infos if isinstance(i, dict)):
        document.notes.append(f"{name}: texture transforms are ignored")
    rgb: Callable[[Any, bool], np.ndarray | None] = lambda info, color: _three(document.picture(info, color))  # noqa: E731
    base_texture = document.picture(infos[0], True)
    if base_texture is not None and base_texture.shape[2] == 1:
        base_texture = _three(base_texture)
    return Material(
        name=name,
        base_color=(float(base[0]), float(base[1]), float(base[2])),
        alpha=float(base[3]),
        perceptual_roughness=float(scalars[0]),
        metallic=float(scalars[1]),
        emissive=(float(emissive[0]), float(emissive[1]), float(emissive[2])),
        base_color_texture=base_texture,
        orm_texture=rgb(infos[1], False),
        normal_texture=rgb(infos[2], False),
        occlusion_texture=rgb(infos[3], False),
        emissive_texture=rgb(infos[4], True),
        double_sided=entry.get("doubleSided") is True,
    )


def _three(image: np.ndarray | None) -> np.ndarray | None:
    if image is None:
        return None
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else np.ascontiguousarray(image[..., :3])


def _numbers(value: Any, count: int, where: str) -> np.ndarray:
    """[count] finite float64; InputError otherwise."""
    try:
        out = np.array(value, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        out = np.zeros(0)
    if len(out) != count or not np.isfinite(out).all():
        raise InputError(f"{where}: {str(value)[:60]} is not {count} numbers")
    return out


def _unit(v: np.ndarray) -> np.ndarray:
    length = float(np.linalg.norm(v))
    return v / length if length > 0 else np.array([0.0, 0.0, 0.0, 1.0])


def _unit_rows(v: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(v, axis=1, keepdims=True)
    return (v / np.maximum(length, 1e-20)).astype(np.float32)
