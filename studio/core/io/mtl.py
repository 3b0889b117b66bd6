"""Materials of OBJ files: MTL with the PBR keys of common exporters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from studio.core.color import srgb_to_linear
from studio.core.errors import InputError, describe
from studio.core.io.files import inside
from studio.core.io.images import load_image
from studio.core.scene.material import Material

_MAX_BYTES = 16 * 2**20
"""A material library of thousands of entries is below a megabyte."""


def read_mtl(obj: Path, name: str, notes: list[str]) -> dict[str, Material]:
    """Materials by name of a library that an OBJ names; {} and a note if it cannot be read.

    `Kd` and `map_Kd` are sRGB; `Pr Pm map_Pr map_Pm` roughness and metallic; `Ke map_Ke`
    emission; `d` opacity; `norm` a normal map. `Ks` and `Ns` of the old model are ignored.

    Raises:
        InputError: the library lies outside the folder of the OBJ.
    """
    path = inside(obj.parent, name, f"{obj}: mtllib")
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise OSError("the file is too large")
        text = path.read_text("utf-8", errors="replace")
    except OSError as error:
        notes.append(f"{path.name}: materials left out ({describe(error)})")
        return {}
    entries: dict[str, dict[str, list[str]]] = {}
    current: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0].startswith("#"):
            continue
        if words[0].lower() == "newmtl":
            current = entries.setdefault(" ".join(words[1:]), {})
        else:
            current[words[0].lower()] = words[1:]
    reader = _Textures(path, notes)
    return {key: _material(key, entry, reader) for key, entry in entries.items()}


class _Textures:
    """Reads each picture once; a missing one is a note, not a failure."""

    def __init__(self, path: Path, notes: list[str]):
        self.path = path
        self.notes = notes
        self._cache: dict[tuple[str, bool], np.ndarray | None] = {}

    def get(self, entry: dict[str, list[str]], key: str, color: bool) -> np.ndarray | None:
        words = entry.get(key)
        if not words:
            return None
        name = _file_name(words)
        if (name, color) not in self._cache:
            try:
                self._cache[name, color] = load_image(
                    inside(self.path.parent, name, f"{self.path}: {key}"), color
                )
            except InputError as error:
                self.notes.append(f"texture left out: {error}")
                self._cache[name, color] = None
        return self._cache[name, color]

    def three(self, entry: dict[str, list[str]], key: str, color: bool) -> np.ndarray | None:
        image = self.get(entry, key, color)
        if image is None:
            return None
        return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else np.ascontiguousarray(image[..., :3])


def _file_name(words: list[str]) -> str:
    """The file of a map statement after its options (`-s 1 1 1 -bm 0.5 a file.png`)."""
    at = 0
    while at < len(words) - 1 and words[at].startswith("-") and not _is_number(words[at]):
        at += 1
        while at < len(words) - 1 and (_is_number(words[at]) or words[at] in ("on", "off")):
            at += 1
    return " ".join(words[at:])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _material(name: str, entry: dict[str, list[str]], textures: _Textures) -> Material:
    def scalar(key: str, default: float) -> float:
        words = entry.get(key, [])
        return float(np.clip(float(words[0]), 0, 1)) if words and _is_number(words[0]) else default

    def color(key: str, default: tuple[float, float, float], srgb: bool) -> tuple[float, float, float]:
        words = entry.get(key, [])[:3]
        if len(words) < 3 or not all(_is_number(w) for w in words):
            return default
        values = np.array([max(0.0, float(w)) for w in words])
        values = srgb_to_linear(np.minimum(values, 1)) if srgb else values
        return float(values[0]), float(values[1]), float(values[2])

    plain = Material()
    base_texture = textures.get(entry, "map_kd", True)
    if base_texture is not None and base_texture.shape[2] == 1:
        base_texture = np.repeat(base_texture, 3, axis=2)
    # With a picture and no factor, or the black factor some exporters write, the picture counts.
    base = color("kd", (1.0, 1.0, 1.0) if base_texture is not None else plain.base_color, True)
    if base_texture is not None and max(base) == 0:
        base = (1.0, 1.0, 1.0)
    rough, metal = textures.three(entry, "map_pr", False), textures.three(entry, "map_pm", False)
    alpha = scalar("d", 1.0 - scalar("tr", 0.0))
    return Material(
        name=name,
        base_color=base,
        alpha=alpha,
        perceptual_roughness=scalar("pr", 1.0 if rough is not None else plain.perceptual_roughness),
        metallic=scalar("pm", 1.0 if metal is not None else plain.metallic),
        emissive=color("ke", plain.emissive, False),
        base_color_texture=base_texture,
        orm_texture=_orm(rough, metal),
        normal_texture=textures.three(entry, "norm", False),
        emissive_texture=textures.three(entry, "map_ke", True),
    )


def _orm(rough: np.ndarray | None, metal: np.ndarray | None) -> np.ndarray | None:
    """Occlusion 1, roughness, metallic in one picture of the larger size; 1 where there is none."""
    given = [image for image in (rough, metal) if image is not None]
    if not given:
        return None
    height, width = max(i.shape[0] for i in given), max(i.shape[1] for i in given)
    out = np.ones((height, width, 3), np.float32)
    for channel, image in ((1, rough), (2, metal)):
        if image is None:
            continue
        zoom = (height / image.shape[0], width / image.shape[1])
        data = image[..., 0]
        same = data.shape == (height, width)
        out[..., channel] = (
            data if same else ndimage.zoom(data, zoom, order=1, grid_mode=True, mode="nearest")
        )
    return out
