"""Small captures and meshes made on the fly."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from studio.core.scene import Mesh, look_at
from studio.core.scene.camera import Camera


def png16(samples: np.ndarray, row_filter: int) -> bytes:
    """A 16-bit PNG of [H, W, 3|4] uint16, each row coded with filter 0 (none) or 4 (Paeth)."""
    height, width, channels = samples.shape
    raw = samples.astype(">u2").reshape(height, -1).view(np.uint8).astype(np.int64)
    step, rows, above = 2 * channels, [], np.zeros(raw.shape[1], np.int64)
    for row in raw:
        left = np.concatenate([np.zeros(step, np.int64), row[:-step]])
        corner = np.concatenate([np.zeros(step, np.int64), above[:-step]])
        guess = left + above - corner
        a, b, c = (np.abs(guess - v) for v in (left, above, corner))
        paeth = np.where((a <= b) & (a <= c), left, np.where(b <= c, above, corner))
        coded = row - paeth if row_filter == 4 else row
        rows.append(bytes([row_filter]) + (coded & 255).astype(np.uint8).tobytes())
        above = row
    kind = {3: 2, 4: 6}[channels]

    def chunk(tag: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))

    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def ring(count: int = 6, radius: float = 4.0, up: tuple[float, float, float] = (0, 1, 0)) -> list[np.ndarray]:
    """Poses on a ring around (0.5, -0.2, 0.3), tilted down a little; `up` is an axis."""
    axis = int(np.argmax(np.abs(up)))
    side = [i for i in range(3) if i != axis]
    target = np.array([0.5, -0.2, 0.3])
    poses = []
    for k in range(count):
        eye = target.copy()
        angle = 2 * np.pi * k / count
        eye[side[0]] += radius * np.cos(angle)
        eye[side[1]] += radius * np.sin(angle)
        eye[axis] += 0.4 * radius * up[axis]
        poses.append(look_at(eye, target, up))
    return poses


def sphere_photo(camera: Camera, center: np.ndarray, radius: float) -> np.ndarray:
    """[H, W] bool, row 0 at the top: pixels whose ray meets a sphere. Independent of the loader."""
    y, x = np.mgrid[: camera.height, : camera.width] + 0.5
    rays = np.stack([(x - camera.cx) / camera.fx, -(y - camera.cy) / camera.fy, -np.ones_like(x)], axis=-1)
    rays = rays @ camera.view_to_world[:3, :3].T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    miss = np.linalg.norm(np.cross(rays, center - camera.position), axis=-1)
    return miss < radius


def nerf_capture(folder: Path, count: int = 6, size: int = 48, **extra: Any) -> dict[str, Any]:
    """A NeRF folder of RGBA photos of a red sphere at (0.5, -0.2, 0.3); returns the JSON's data."""
    (folder / "train").mkdir(parents=True, exist_ok=True)
    angle, frames = 0.7, []
    focal = 0.5 * size / np.tan(angle / 2)
    for k, pose in enumerate(ring(count, up=(0, 0, 1))):
        camera = Camera(size, size, focal, focal, size / 2, size / 2, pose)
        inside = sphere_photo(camera, np.array([0.5, -0.2, 0.3]), 0.8)
        rgba = np.zeros((size, size, 4), np.uint8)
        rgba[inside] = (200, 30, 30, 255)
        Image.fromarray(rgba).save(folder / f"train/r_{k}.png")
        frames.append({"file_path": f"./train/r_{k}", "transform_matrix": pose.tolist()})
    data = {"camera_angle_x": angle, "frames": frames, **extra}
    write_json(folder / "transforms.json", data)
    return data


def write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data))


def tetrahedron(**fields: Any) -> Mesh:
    """Four triangles; more fields of Mesh as keywords."""
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1.5, 0], [0, 0, 2.25]], np.float32)
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32)
    return Mesh(vertices, faces, **fields)


def gltf_triangle(folder: Path, change: Callable[[dict[str, Any]], Any] | None = None) -> Path:
    """A triangle as .gltf with an external buffer; `change` edits the JSON before it is written."""
    positions = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32).tobytes()
    (folder / "a.bin").write_bytes(positions + struct.pack("<3H", 0, 1, 2))
    entry: dict[str, Any] = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {}}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": 3, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": 36},
            {"buffer": 0, "byteOffset": 36, "byteLength": 6},
        ],
        "buffers": [{"uri": "a.bin", "byteLength": 42}],
    }
    if change is not None:
        change(entry)
    write_json(folder / "a.gltf", entry)
    return folder / "a.gltf"


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files below a folder with their bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
