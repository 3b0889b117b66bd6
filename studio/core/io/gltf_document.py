"""The container of a glTF 2.0 file: JSON, buffers, accessors and pictures, all checked."""

from __future__ import annotations

import base64
import binascii
import struct
import urllib.parse
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from studio.core.errors import InputError, describe
from studio.core.io.files import MAX_JSON_BYTES, check_readable, inside, parse_json
from studio.core.io.images import decode_image

_WHAT = "a glTF 2.0 file"
_TYPES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_COMPONENTS: dict[int, type[np.generic]] = {
    5120: np.int8,
    5121: np.uint8,
    5122: np.int16,
    5123: np.uint16,
    5125: np.uint32,
    5126: np.float32,
}


class Document:
    """An opened .gltf or .glb. Whatever is read from it is in range, or InputError says why not.

    Attributes:
        path: the file.
        json: the whole description.
        notes: what could not be honoured but does not stop loading.
    """

    def __init__(self, path: Path, notes: list[str]):
        check_readable(path, _WHAT)
        self.path = path
        self.notes = notes
        self._binary: tuple[int, int] | None = None  # offset and size in the file
        try:
            with path.open("rb") as file:
                head = file.read(20)
                glb = head[:4] == b"glTF"
                text = self._unpack(file, head) if glb else head + file.read(MAX_JSON_BYTES)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({describe(error)})") from None
        if len(text) > MAX_JSON_BYTES:
            raise InputError(f"{path}: more than {MAX_JSON_BYTES // 2**20} MB of JSON, expected {_WHAT}")
        self.json = parse_json(text, str(path), _WHAT)
        version = str((self.json.get("asset") or {}).get("version", "none"))
        if not version.startswith("2"):
            raise InputError(f"{path}: glTF version {version}, expected 2.0")
        known = {"KHR_mesh_quantization", "KHR_texture_transform", "EXT_texture_webp", "KHR_materials_unlit"}
        unknown = [e for e in self.items_of("extensionsRequired", str) if e not in known]
        if unknown:
            raise InputError(
                f"{path}: needs the extension {unknown[0]}, which is not supported; save it without"
            )
        self._buffers: dict[int, bytes] = {}
        self._pictures: dict[tuple[int, bool], np.ndarray | None] = {}

    def _unpack(self, file: BinaryIO, head: bytes) -> bytes:
        """The JSON chunk of a GLB; notes where its binary chunk lies, which is read when needed."""
        actual = self.path.stat().st_size
        if len(head) < 20:
            raise InputError(f"{self.path}: the file is truncated, expected {_WHAT}")
        version, length = struct.unpack_from("<II", head, 4)
        if version != 2:
            raise InputError(f"{self.path}: GLB version {version}, expected 2")
        if length > actual:
            raise InputError(f"{self.path}: the file is truncated ({actual} of {length} bytes)")
        text, at = None, 12
        while at + 8 <= length:
            file.seek(at)
            size, kind = struct.unpack("<I4s", file.read(8))
            if at + 8 + size > length:
                raise InputError(f"{self.path}: the file is truncated or damaged (a chunk passes its end)")
            if kind == b"JSON" and text is None:
                text = file.read(min(size, MAX_JSON_BYTES + 1))
            elif kind == b"BIN\0" and self._binary is None:
                self._binary = (at + 8, size)
            at += 8 + size
        if text is None:
            raise InputError(f"{self.path}: no JSON chunk, expected {_WHAT}")
        return text

    def _binary_chunk(self, place: tuple[int, int]) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(place[0])
                return file.read(place[1])
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({describe(error)})") from None

    def items_of(self, key: str, kind: type = dict) -> list[Any]:
        """The list under a top-level key; InputError if it is not a list of `kind`."""
        value = self.json.get(key, [])
        if not isinstance(value, list) or not all(isinstance(v, kind) for v in value):
            raise InputError(f"{self.path}: {key} is damaged, expected a list")
        return value

    def item(self, key: str, index: Any) -> dict[str, Any]:
        """Entry `index` of a top-level list; InputError if there is none."""
        items = self.items_of(key)
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(items):
            raise InputError(f"{self.path}: {key}[{index}] is named but the file has {len(items)}")
        return items[index]

    def _count(self, item: dict[str, Any], key: str, default: int | None = None) -> int:
        value = item.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise InputError(f"{self.path}: {key} is {str(value)[:40]!r}, expected a whole number")
        return value

    def _resource(self, uri: str) -> bytes:
        """Bytes of a data: or relative URI."""
        if uri.startswith("data:"):
            try:
                return base64.b64decode(uri.partition(",")[2], validate=False)
            except (binascii.Error, ValueError):
                raise InputError(f"{self.path}: an embedded data URI is damaged") from None
        file = inside(self.path.parent, urllib.parse.unquote(uri), str(self.path))
        try:
            return file.read_bytes()
        except OSError as error:
            raise InputError(f"{self.path}: cannot read {file} ({describe(error)})") from None

    def _buffer(self, index: int) -> bytes:
        if index not in self._buffers:
            buffer = self.item("buffers", index)
            uri = buffer.get("uri")
            if uri is None and index == 0 and self._binary is not None:
                data = self._binary_chunk(self._binary)
            elif isinstance(uri, str):
                data = self._resource(uri)
            else:
                raise InputError(f"{self.path}: buffer {index} has no data")
            length = self._count(buffer, "byteLength")
            if len(data) < length:
                raise InputError(f"{self.path}: buffer {index} is truncated ({len(data)} of {length} bytes)")
            self._buffers[index] = data
        return self._buffers[index]

    def _view(self, index: Any) -> tuple[memoryview, int | None]:
        """(bytes, stride or None) of a buffer view."""
        view = self.item("bufferViews", index)
        data = memoryview(self._buffer(self._count(view, "buffer")))
        start, length = self._count(view, "byteOffset", 0), self._count(view, "byteLength")
        if start + length > len(data):
            raise InputError(f"{self.path}: bufferView {index} passes the end of its buffer")
        return data[start : start + length], view.get("byteStride")

    def accessor(self, index: Any, components: tuple[int, ...], what: str) -> np.ndarray:
        """[count, C] array of an accessor, C one of `components`; normalized integers as float32."""
        entry = self.item("accessors", index)
        kind, dtype = entry.get("type"), _COMPONENTS.get(entry.get("componentType", 0))
        width = _TYPES.get(str(kind), 0)
        if dtype is None or width not in components:
            raise InputError(f"{self.path}: {what} is of type {kind}, which is not possible")
        count = self._count(entry, "count")
        if "bufferView" in entry:
            out = self._strided(
                entry["bufferView"], self._count(entry, "byteOffset", 0), count, width, dtype, what
            )
        else:
            out = np.zeros((count, width), dtype)
        if "sparse" in entry:
            out = self._with_sparse(out, entry["sparse"], what)
        if entry.get("normalized") and dtype is not np.float32:
            top = float(np.iinfo(dtype).max)  # type: ignore[type-var]
            out = np.maximum(out.astype(np.float32) / np.float32(top), np.float32(-1))
        return out

    def _strided(
        self, view: Any, offset: int, count: int, width: int, dtype: type[np.generic], what: str
    ) -> np.ndarray:
        data, stride = self._view(view)
        size = np.dtype(dtype).itemsize
        stride = stride or width * size
        if not isinstance(stride, int) or stride < width * size:
            raise InputError(f"{self.path}: {what} has stride {stride}, expected at least {width * size}")
        if count and offset + stride * (count - 1) + width * size > len(data):
            raise InputError(
                f"{self.path}: {what} reads past the end of its data (file damaged or truncated)"
            )
        if count == 0:
            return np.zeros((0, width), dtype)
        flat = np.ndarray((count, width), dtype, data, offset, (stride, size))
        return flat.copy()

    def _with_sparse(self, base: np.ndarray, sparse: Any, what: str) -> np.ndarray:
        if not isinstance(sparse, dict):
            raise InputError(f"{self.path}: {what} has a damaged sparse part")
        count = self._count(sparse, "count")
        parts = [sparse.get("indices") or {}, sparse.get("values") or {}]
        kind = _COMPONENTS.get(parts[0].get("componentType", 0), np.uint32)
        where = [(p.get("bufferView"), self._count(p, "byteOffset", 0)) for p in parts]
        index = self._strided(*where[0], count, 1, kind, what)[:, 0].astype(np.int64)
        values = self._strided(*where[1], count, base.shape[1], base.dtype.type, what)
        if count and (index.min() < 0 or index.max() >= len(base)):
            raise InputError(f"{self.path}: {what} has a sparse index out of range")
        base[index] = values
        return base

    def picture(self, info: Any, color: bool) -> np.ndarray | None:
        """[H, W, C] float32, row 0 at the bottom, of a textureInfo; None and a note if it fails."""
        if not isinstance(info, dict):
            return None
        texture = self.item("textures", info.get("index"))
        webp = (texture.get("extensions") or {}).get("EXT_texture_webp") or {}
        source = texture.get("source", webp.get("source"))
        if source is None:
            self.notes.append(f"{self.path.name}: texture {info.get('index')} has no picture, left out")
            return None
        key = (int(source), color)
        if key not in self._pictures:
            image = self.item("images", source)
            name = str(image.get("uri", image.get("name", f"image {source}")))[:80]
            try:
                if "bufferView" in image:
                    data = bytes(self._view(image["bufferView"])[0])
                else:
                    data = self._resource(str(image.get("uri", "")))
                self._pictures[key] = decode_image(data, f"{self.path}: {name}", color)
            except InputError as error:
                self.notes.append(f"texture left out: {error}")
                self._pictures[key] = None
        return self._pictures[key]
