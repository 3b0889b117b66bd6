"""glTF 2.0 binary (.glb) out."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from studio.core.io.images import encode_png
from studio.core.io.tangents import vertex_tangents
from studio.core.scene.material import Material
from studio.core.scene.mesh import Mesh

_FLOAT, _UINT, _USHORT = 5126, 5125, 5123
_ARRAY_BUFFER, _ELEMENT_BUFFER = 34962, 34963
_REPEAT = 10497
_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}


def encode_glb(
    meshes: list[Mesh], generator: str, progress: Callable[[float, str], None] | None = None
) -> bytes:
    """A GLB file of meshes in its own coordinates, one node each; `progress` is told of each mesh.

    Vertex colours are COLOR_0 (linear, as glTF wants them). glTF has no roughness and metallic
    per vertex: their means go into the factors, which any program shows, and the values into
    `_ROUGHNESS` and `_METALLIC`, which the studio reads back. Meshes with a normal texture have
    TANGENT, so that no program has to guess; vertices between mirrored charts are then torn.
    """
    writer = _Writer()
    for number, mesh in enumerate(meshes):
        if progress is not None:
            progress(0.1 + 0.8 * number / len(meshes), mesh.name)
        writer.add(mesh)
    description = {
        "asset": {"version": "2.0", "generator": generator},
        "scene": 0,
        "scenes": [{"nodes": list(range(len(meshes)))}],
        **writer.json,
        "buffers": [{"byteLength": len(writer.binary)}],
    }
    text = json.dumps({k: v for k, v in description.items() if v != []}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    body = bytes(writer.binary) + b"\0" * (-len(writer.binary) % 4)
    total = 12 + 8 + len(text) + 8 + len(body)
    head = struct.pack("<4sII", b"glTF", 2, total) + struct.pack("<I4s", len(text), b"JSON")
    return head + text + struct.pack("<I4s", len(body), b"BIN\0") + body


class _Writer:
    def __init__(self) -> None:
        self.binary = bytearray()
        keys = ("nodes", "meshes", "materials", "textures", "images", "samplers", "accessors", "bufferViews")
        self.json: dict[str, list[dict[str, Any]]] = {key: [] for key in keys}
        self._pictures: dict[tuple[int, bool], int] = {}

    def add(self, mesh: Mesh) -> None:
        """One node with one mesh of one primitive."""
        mesh, tangents = _with_tangents(replace(mesh, normals=_unit(mesh.vertex_normals())))
        vertices = np.asarray(mesh.vertices, np.float32)
        attributes = {
            "POSITION": self._accessor(vertices, bounds=True),
            "NORMAL": self._accessor(mesh.vertex_normals()),
        }
        if tangents is not None:
            attributes["TANGENT"] = self._accessor(tangents)
        if mesh.uvs is not None:
            flipped = np.stack([mesh.uvs[:, 0], 1.0 - mesh.uvs[:, 1]], axis=1)  # glTF's v runs down
            attributes["TEXCOORD_0"] = self._accessor(flipped)
        if mesh.colors is not None:
            attributes["COLOR_0"] = self._accessor(np.clip(mesh.colors[:, :3], 0.0, 1.0))
        if mesh.roughness is not None:
            attributes["_ROUGHNESS"] = self._accessor(mesh.roughness.reshape(-1, 1))
        if mesh.metallic is not None:
            attributes["_METALLIC"] = self._accessor(mesh.metallic.reshape(-1, 1))
        small = len(vertices) < 65535  # 65535 itself means "restart" to 16-bit readers
        faces = np.asarray(mesh.faces).ravel().astype(np.uint16 if small else np.uint32)
        indices = self._accessor(faces.reshape(-1, 1), component=_USHORT if small else _UINT)
        primitive = {"attributes": attributes, "indices": indices, "material": self._material(mesh)}
        self.json["nodes"].append({"name": mesh.name, "mesh": len(self.json["meshes"])})
        self.json["meshes"].append({"name": mesh.name, "primitives": [primitive]})

    def _view(self, data: bytes, target: int | None = None) -> int:
        self.binary += b"\0" * (-len(self.binary) % 4)
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data)}
        if target is not None:
            view["target"] = target
        self.binary += data
        self.json["bufferViews"].append(view)
        return len(self.json["bufferViews"]) - 1

    def _accessor(self, values: np.ndarray, component: int = _FLOAT, bounds: bool = False) -> int:
        values = np.ascontiguousarray(values, np.float32 if component == _FLOAT else values.dtype)
        target = _ARRAY_BUFFER if component == _FLOAT else _ELEMENT_BUFFER
        entry: dict[str, Any] = {
            "bufferView": self._view(values.tobytes(), target),
            "componentType": component,
            "count": len(values),
            "type": _TYPES[values.shape[1]],
        }
        if bounds:
            entry["min"] = [float(v) for v in values.min(axis=0)]
            entry["max"] = [float(v) for v in values.max(axis=0)]
        self.json["accessors"].append(entry)
        return len(self.json["accessors"]) - 1

    def _material(self, mesh: Mesh) -> int:
        m = mesh.material
        rough = m.perceptual_roughness if mesh.roughness is None else float(np.mean(mesh.roughness))
        metal = m.metallic if mesh.metallic is None else float(np.mean(mesh.metallic))
        base = (*m.base_color, m.alpha)
        pbr: dict[str, Any] = {
            "baseColorFactor": [_unit_range(v) for v in base],
            "roughnessFactor": _unit_range(rough),
            "metallicFactor": _unit_range(metal),
        }
        entry: dict[str, Any] = {"name": m.name, "pbrMetallicRoughness": pbr}
        self._textures(m, pbr, entry)
        strength = max(1.0, *m.emissive)
        if max(m.emissive) > 0:
            entry["emissiveFactor"] = [_unit_range(v / strength) for v in m.emissive]
        if strength > 1:
            entry["extensions"] = {"KHR_materials_emissive_strength": {"emissiveStrength": strength}}
            self.json["extensionsUsed"] = ["KHR_materials_emissive_strength"]  # type: ignore[list-item]
        if m.double_sided:
            entry["doubleSided"] = True
        if m.alpha < 1:
            entry["alphaMode"] = "BLEND"
        self.json["materials"].append(entry)
        return len(self.json["materials"]) - 1

    def _textures(self, m: Material, pbr: dict[str, Any], entry: dict[str, Any]) -> None:
        if m.base_color_texture is not None:
            pbr["baseColorTexture"] = {"index": self._texture(m.base_color_texture, True)}
        if m.orm_texture is not None:
            pbr["metallicRoughnessTexture"] = {"index": self._texture(m.orm_texture, False)}
        if m.normal_texture is not None:
            entry["normalTexture"] = {"index": self._texture(m.normal_texture, False)}
        if m.occlusion_texture is not None:
            entry["occlusionTexture"] = {"index": self._texture(m.occlusion_texture, False)}
        if m.emissive_texture is not None:
            entry["emissiveTexture"] = {"index": self._texture(m.emissive_texture, True)}

    def _texture(self, image: np.ndarray, color: bool) -> int:
        """Index of a texture with this picture, written once however often it is used."""
        key = (id(image), color)
        if key not in self._pictures:
            view = self._view(encode_png(image, color))
            self.json["images"].append({"bufferView": view, "mimeType": "image/png"})
            if not self.json["samplers"]:
                self.json["samplers"].append({"wrapS": _REPEAT, "wrapT": _REPEAT})
            self.json["textures"].append({"source": len(self.json["images"]) - 1, "sampler": 0})
            self._pictures[key] = len(self.json["textures"]) - 1
        return self._pictures[key]


def _with_tangents(mesh: Mesh) -> tuple[Mesh, np.ndarray | None]:
    """The mesh, torn where tangents need it, and its [V, 4] tangents if a texture is along them."""
    if mesh.material.normal_texture is None or mesh.uvs is None:
        return mesh, None
    source, faces, tangents = vertex_tangents(mesh.vertices, mesh.faces, mesh.uvs, mesh.vertex_normals())
    if len(source) > len(mesh.vertices):
        names = ("vertices", "normals", "uvs", "colors", "roughness", "metallic")
        values = {name: getattr(mesh, name) for name in names}
        torn: dict[str, Any] = {
            name: None if value is None else value[source] for name, value in values.items()
        }
        mesh = replace(mesh, faces=faces, **torn)
    return mesh, tangents


def _unit_range(value: float) -> float:
    return min(1.0, max(0.0, float(value)))


def _unit(normals: np.ndarray) -> np.ndarray:
    """Unit normals; +Y where there is none, as glTF allows no zero."""
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 1e-12, normals / np.maximum(length, 1e-12), (0.0, 1.0, 0.0))
