"""A scene as tensors: all parts in one vertex and one triangle list, rendered in one pass."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from studio.core.errors import InputError
from studio.core.ops import Topology, texture, texture_construct_mip
from studio.core.ops.normals import Incidence
from studio.core.ops.texture_mip import Mip
from studio.core.scene import Mesh, Scene

LAYERS = {
    "albedo": ("base_color_texture", slice(0, 3)),
    "perceptual_roughness": ("orm_texture", slice(1, 2)),
    "metallic": ("orm_texture", slice(2, 3)),
    "occlusion": ("occlusion_texture", slice(0, 1)),
    "emissive": ("emissive_texture", slice(0, 3)),
    "normal": ("normal_texture", slice(0, 3)),
}
"""Channels of the G-buffer that textures take part in: which texture, and which of its channels."""

_SMALL = 1024 * 1024
"""Texels of a texture that may be kept a second time, beside others."""


@dataclass(frozen=True, eq=False)
class Part:
    """What cannot be merged into vertex attributes: the textures of one mesh.

    Attributes:
        base_color_texture: [1, h, w, 3] linear or None.
        orm_texture: [1, h, w, 3] occlusion, perceptual roughness, metallic, or None.
        occlusion_texture: [1, h, w, 1] or None.
        emissive_texture: [1, h, w, 3] linear or None.
        normal_texture: [1, h, w, 3] tangent space, encoded as 0..1, or None.
    """

    name: str
    base_color_texture: Tensor | None = None
    orm_texture: Tensor | None = None
    occlusion_texture: Tensor | None = None
    emissive_texture: Tensor | None = None
    normal_texture: Tensor | None = None

    @property
    def textured(self) -> bool:
        maps = (self.base_color_texture, self.orm_texture, self.occlusion_texture)
        return any(m is not None for m in (*maps, self.emissive_texture, self.normal_texture))

    @cached_property
    def _kept(self) -> dict[tuple[str, ...], tuple[Tensor, Mip]]:
        """Textures sampled so far that no gradient will change, side by side, and their mip levels."""
        return {}

    def layers(self, channels: Collection[str]) -> list[str]:
        """Which of the G-buffer's channels textures say something about, in the order of LAYERS."""
        return [name for name, (image, _) in LAYERS.items() if name in channels and self._has(image)]

    def _has(self, image: str) -> bool:
        return getattr(self, image) is not None

    def sample(self, names: Sequence[str], uv: Tensor, uv_da: Tensor) -> Tensor:
        """[N, H, W, C] channels of the G-buffer, side by side, trilinearly (see `texture` for the arguments).

        Textures of one size are looked up together, so that places and levels are found once; large
        ones only if they would be copied anyhow.
        """
        together: dict[tuple[int, ...], list[str]] = {}
        for name in names:
            image: Tensor = getattr(self, LAYERS[name][0])
            small = image.requires_grad or image.shape[1] * image.shape[2] <= _SMALL
            key = tuple(image.shape[1:3]) if small else (*image.shape[1:3], len(together))
            together.setdefault(key, []).append(name)
        found: dict[str, Tensor] = {}
        for group in together.values():
            looked_up = self._sample(tuple(group), uv, uv_da)
            if len(together) == 1:
                return looked_up
            sizes = [LAYERS[name][1].stop - LAYERS[name][1].start for name in group]
            found |= dict(zip(group, looked_up.split(sizes, dim=3)))
        return torch.cat([found[name] for name in names], dim=3)

    def _sample(self, names: tuple[str, ...], uv: Tensor, uv_da: Tensor) -> Tensor:
        if names in self._kept:
            image, mip = self._kept[names]
            return texture(image, uv, uv_da, mip=mip)
        images = [getattr(self, image)[..., channels] for image, channels in _runs(names)]
        image = torch.cat(images, dim=3) if len(images) > 1 else images[0].contiguous()
        if image.requires_grad:
            return texture(image, uv, uv_da)
        self._kept[names] = image, texture_construct_mip(image)
        return self._sample(names, uv, uv_da)


def _runs(names: Sequence[str]) -> list[tuple[str, slice]]:
    """Textures, and which channels of them, for layers side by side; neighbours as one."""
    out: list[tuple[str, slice]] = []
    for image, channels in (LAYERS[name] for name in names):
        if out and out[-1][0] == image and out[-1][1].stop == channels.start:
            channels = slice(out.pop()[1].start, channels.stop)
        out.append((image, channels))
    return out


@dataclass(frozen=True, eq=False)
class SceneTensors:
    """Everything with a surface, ready to render. Immutable; `moved` gives a changed copy.

    Attributes:
        vertices: [V, 3] world.
        faces: [T, 3] int32.
        colors: [V, 3] linear; vertex colour times the material's factor.
        perceptual_roughness, metallic: [V, 1].
        normals: [V, 3] unit, or None to compute them from the triangles on every render.
        uvs: [V, 2].
        face_part: [T] int64, which of `parts` a triangle belongs to.
        topology: edges, for antialiasing.
        incidence: triangles around vertices, for normals.
        bounds: (low, high) corners of the meshes it was made from, [3] each; `moved` keeps
            them, so that what is sized by them (shadow maps) stays put while vertices move.
        emissive: [V, 3] linear factor, or None where nothing shines.
        subsurface: [V, 1], or None where nothing scatters below its surface.
    """

    vertices: Tensor
    faces: Tensor
    colors: Tensor
    perceptual_roughness: Tensor
    metallic: Tensor
    normals: Tensor | None
    uvs: Tensor
    face_part: Tensor
    parts: tuple[Part, ...]
    topology: Topology
    incidence: Incidence
    bounds: tuple[np.ndarray, np.ndarray]
    emissive: Tensor | None = None
    subsurface: Tensor | None = None

    @classmethod
    def from_scene(cls, scene: Scene, device: torch.device | str = "cpu") -> SceneTensors:
        """All meshes of a scene.

        Raises:
            InputError: no mesh, or one that cannot be rendered (see Mesh.check).
        """
        if not scene.meshes:
            raise InputError(f"{scene.name}: nothing to render, expected at least one mesh")
        return cls.from_meshes(scene.meshes, device)

    @classmethod
    def from_meshes(cls, meshes: list[Mesh], device: torch.device | str = "cpu") -> SceneTensors:
        """Meshes side by side; vertices of different meshes never share a normal or an edge."""
        for mesh in meshes:
            mesh.check(mesh.name)

        def tensor(parts: list[np.ndarray], dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.as_tensor(np.concatenate(parts), dtype=dtype).to(device)

        first = np.cumsum([0, *(len(m.vertices) for m in meshes[:-1])])
        vertices = tensor([m.vertices for m in meshes])
        faces = tensor([m.faces + n for m, n in zip(meshes, first)], torch.int32)
        part_of_vertex = [np.full((len(m.vertices), 1), i) for i, m in enumerate(meshes)]
        places = torch.cat([vertices, tensor(part_of_vertex)], dim=1)
        stored = any(m.normals is not None for m in meshes)
        shines = any(max(m.material.emissive) > 0 for m in meshes)
        scatters = any(m.material.subsurface > 0 for m in meshes)
        boxes = [m.bounds() for m in meshes]
        emissive = [_factor(m, None, m.material.emissive) for m in meshes]
        subsurface = [_factor(m, None, m.material.subsurface) for m in meshes]
        return cls(
            vertices=vertices,
            faces=faces,
            colors=tensor([_colors(m) for m in meshes]),
            perceptual_roughness=tensor(
                [_factor(m, m.roughness, m.material.perceptual_roughness) for m in meshes]
            ),
            metallic=tensor([_factor(m, m.metallic, m.material.metallic) for m in meshes]),
            normals=tensor([m.vertex_normals() for m in meshes]) if stored else None,
            uvs=tensor([m.uvs if m.uvs is not None else np.zeros((len(m.vertices), 2)) for m in meshes]),
            face_part=tensor([np.full(len(m.faces), i) for i, m in enumerate(meshes)], torch.int64),
            parts=tuple(_part(m, device) for m in meshes),
            topology=Topology.build(faces, places),
            incidence=Incidence.build(faces, places),
            bounds=(np.min([low for low, _ in boxes], axis=0), np.max([high for _, high in boxes], axis=0)),
            emissive=tensor(emissive) if shines else None,
            subsurface=tensor(subsurface) if scatters else None,
        )

    def moved(
        self,
        vertices: Tensor | None = None,
        colors: Tensor | None = None,
        perceptual_roughness: Tensor | None = None,
        metallic: Tensor | None = None,
        emissive: Tensor | None = None,
        subsurface: Tensor | None = None,
    ) -> SceneTensors:
        """The same triangles with other values; moved vertices drop the stored normals."""
        changes = {
            "vertices": vertices,
            "colors": colors,
            "perceptual_roughness": perceptual_roughness,
            "metallic": metallic,
            "emissive": emissive,
            "subsurface": subsurface,
        }
        given = {name: value for name, value in changes.items() if value is not None}
        normals = self.normals if vertices is None else None
        return replace(self, normals=normals, **given)  # type: ignore[arg-type]

    @property
    def textured(self) -> bool:
        return any(part.textured for part in self.parts)

    @property
    def lacks(self) -> frozenset[str]:
        """Surface channels that say nothing here, as Scene.lacks."""
        there = {
            "occlusion": any(part.occlusion_texture is not None for part in self.parts),
            "emissive": self.emissive is not None,
            "subsurface": self.subsurface is not None,
        }
        return frozenset(name for name, found in there.items() if not found)


def _colors(mesh: Mesh) -> np.ndarray:
    factor = np.asarray(mesh.material.base_color, np.float32)
    colors = mesh.colors if mesh.colors is not None else np.ones_like(mesh.vertices)
    return colors * factor


def _factor(
    mesh: Mesh, per_vertex: np.ndarray | None, factor: float | tuple[float, float, float]
) -> np.ndarray:
    return per_vertex if per_vertex is not None else np.tile(factor, (len(mesh.vertices), 1))


def _part(mesh: Mesh, device: torch.device | str) -> Part:
    material = mesh.material
    if mesh.uvs is None:  # no way to look a texture up
        return Part(mesh.name)

    def image(pixels: np.ndarray | None, channels: int) -> Tensor | None:
        if pixels is None:
            return None
        return torch.tensor(pixels[None, ..., :channels], dtype=torch.float32, device=device).contiguous()

    return Part(
        mesh.name,
        image(material.base_color_texture, 3),
        image(material.orm_texture, 3),
        image(material.occlusion_texture, 1),
        image(material.emissive_texture, 3),
        image(material.normal_texture, 3),
    )
