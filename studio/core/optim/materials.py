"""What the surface is made of, as leaves of the optimizer: per vertex, or per texel of an atlas.

Both keep the square root of the base colour, which spreads dark tones like sRGB does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from studio.core.optim.atlas import Atlas, fill
from studio.core.optim.regularizers import SurfaceTerms, TextureTerms
from studio.core.scene import Mesh
from studio.core.tensors import Part, SceneTensors

MIN_SHADE = 0.02
"""Lowest square root of a base colour: at 0 its gradient vanishes, 0.02 is albedo 0.0004."""

_USUAL_SHADE = 0.5
"""At this mean the variation of base colours counts as it is."""

MIN_ROUGHNESS = 0.05
"""Below it the highlight is narrower than a pixel of the training images."""

MAX_TILT = 0.9
"""Largest sine of a normal texture's tilt; at 1 the normal would lie in the surface."""


Terms = dict[str, Callable[[], Tensor]]
"""Regularizers of a material by name, each made on demand."""


@dataclass(eq=False)
class VertexMaterial:
    """Attributes of V vertices.

    Attributes:
        shade: [V, 3] square root of the linear base colour.
        roughness, metallic: [V, 1].
    """

    shade: Tensor
    roughness: Tensor
    metallic: Tensor

    @classmethod
    def of_mesh(cls, mesh: Mesh, device: torch.device) -> VertexMaterial:
        """What the mesh carries per vertex, its material's factors where it does not."""
        count = len(mesh.vertices)
        colors = np.full((count, 3), 0.5, np.float32) if mesh.colors is None else mesh.colors
        roughness, metallic = mesh.roughness, mesh.metallic
        if roughness is None:
            roughness = np.full((count, 1), mesh.material.perceptual_roughness, np.float32)
        if metallic is None:
            metallic = np.full((count, 1), mesh.material.metallic, np.float32)
        return cls(
            shade=leaf(np.sqrt(np.clip(colors, MIN_SHADE**2, 1.0)), device),
            roughness=leaf(np.clip(roughness, MIN_ROUGHNESS, 1.0), device),
            metallic=leaf(np.clip(metallic, 0.0, 1.0), device),
        )

    def tensors(self, group: str) -> list[Tensor]:
        """The leaves of a group of messages.GROUPS."""
        named = {"albedo": [self.shade], "roughness": [self.roughness], "metallic": [self.metallic]}
        return named.get(group, [])

    def values(self) -> Tensor:
        """[V, 5] linear base colour, roughness and metallic. Gradients: to all leaves."""
        return torch.cat([self.shade.square(), self.roughness, self.metallic], dim=1)

    def clone(self) -> VertexMaterial:
        """Independent leaves with the same values."""
        return VertexMaterial(*(fresh(t) for t in (self.shade, self.roughness, self.metallic)))

    def surface(self, like: SceneTensors, vertices: Tensor) -> SceneTensors:
        """`like` with [V, 3] world vertices and this material. Gradients: to all leaves and vertices."""
        return like.moved(
            vertices=vertices,
            colors=self.shade.square(),
            perceptual_roughness=self.roughness,
            metallic=self.metallic,
        )

    def terms(self, surface: SurfaceTerms) -> Terms:
        """Mean absolute difference along edges."""
        return {"albedo_smoothness": lambda: surface.smoothness(self.shade)}

    @torch.no_grad()
    def clamp(self) -> None:
        self.shade.clamp_(MIN_SHADE, 1.0)
        self.roughness.clamp_(MIN_ROUGHNESS, 1.0)
        self.metallic.clamp_(0.0, 1.0)

    def torn(self, vertices: Tensor) -> Tensor:
        """Values of the rendered mesh's vertices from those of the V vertices."""
        return vertices

    def faces(self, faces: Tensor) -> Tensor:
        """Triangles of the rendered mesh."""
        return faces

    def pictures(self, unlit: bool) -> dict[str, np.ndarray]:
        """There are none."""
        return {}

    @torch.no_grad()
    def drawn(self, unlit: bool) -> dict[str, Tensor]:
        """Attributes of the rendered mesh's vertices by name, as tensors of their own."""
        out = {"colors": self.shade.square()}
        if not unlit:
            out |= {"roughness": self.roughness.clone(), "metallic": self.metallic.clone()}
        return out

    def fields(self, mesh: Mesh, unlit: bool, pictures: dict[str, np.ndarray]) -> dict[str, Any]:
        """Fields of a Mesh that shows this material besides what `drawn` gives; the rest is as in `mesh`."""
        return {"uvs": None, "colors": None, "roughness": None, "metallic": None}


@dataclass(eq=False)
class TextureMaterial:
    """Textures of S x S texels over an atlas.

    Attributes:
        shade: [1, S, S, 3] square root of the linear base colour.
        roughness, metallic: [1, S, S, 1].
        tilt: [1, S, S, 2] x and y of the unit normal in tangent space.
        occlusion: [1, S, S, 1] share of the environment that arrives; not optimised.
        rest: [1, S, S, 2] the tilt of a finer surface, which regularizers hold it to; None is 0.
        began: step of the run after which the textures were made.
        ambient: occlusion under an even sky, for files; None where it is not another.
        evenness: times that the smoothness of base colours counts now.
        traded: moments of the gradient of the factor between light and base colour, and steps.
    """

    atlas: Atlas
    shade: Tensor
    roughness: Tensor
    metallic: Tensor
    tilt: Tensor
    occlusion: Tensor
    began: int = 0
    ambient: Tensor | None = None
    evenness: float = 1.0
    traded: tuple[Tensor | float, Tensor | float, int] = (0.0, 0.0, 0)
    rest: Tensor | None = None
    _standing: tuple[int, bool] = (-1, False)
    """Version of `tilt` that was looked at last, and whether anything in it differed from 0."""

    @classmethod
    def baked(
        cls, material: VertexMaterial, atlas: Atlas, visibility: Tensor | None = None
    ) -> TextureMaterial:
        """Textures that look like vertex attributes.

        Args:
            visibility: [V, 1] share of the environment that each vertex sees; None is all of it.
        """
        if visibility is None:
            visibility = torch.ones_like(material.roughness)
        # Linear colours, as these are what the triangles interpolated.
        image = atlas.bake(torch.cat([material.values(), visibility], dim=1))
        color, roughness, metallic, occlusion = image.split([3, 1, 1, 1], dim=3)
        return cls(
            atlas,
            fresh(color.sqrt()),
            fresh(roughness.contiguous()),
            fresh(metallic.contiguous()),
            fresh(torch.zeros_like(image[..., :2])),
            occlusion.contiguous(),
        )

    def tensors(self, group: str) -> list[Tensor]:
        """The leaves of a group of messages.GROUPS."""
        named = {
            "albedo": [self.shade],
            "roughness": [self.roughness],
            "metallic": [self.metallic],
            "normal_map": [self.tilt],
        }
        return named.get(group, [])

    def detailed(self, tilt: Tensor, values: Tensor) -> TextureMaterial:
        """The same with what a finer surface shows: [1, S, S, 2], and [1, S, S, 5] as `values` above."""
        color, roughness, metallic = values.split([3, 1, 1], dim=3)
        leaves = {"shade": color.sqrt(), "roughness": roughness, "metallic": metallic, "tilt": tilt}
        changes: dict[str, Any] = {name: fresh(leaf.contiguous()) for name, leaf in leaves.items()}
        return replace(self, **changes, rest=tilt, _standing=(-1, False))

    def clone(self) -> TextureMaterial:
        """Independent leaves with the same values; the atlas is shared."""
        names = ("shade", "roughness", "metallic", "tilt")
        copies: dict[str, Any] = {name: fresh(getattr(self, name)) for name in names}
        return replace(self, **copies, _standing=(-1, False))

    def surface(self, like: SceneTensors, vertices: Tensor) -> SceneTensors:
        """`like` with [V, 3] world vertices and this material. Gradients: to all leaves and vertices."""
        orm = torch.cat([self.occlusion, self.roughness, self.metallic], dim=3)
        part = Part(
            like.parts[0].name,
            base_color_texture=self.shade.square(),
            orm_texture=orm,
            occlusion_texture=self.occlusion,
            normal_texture=self._normals() if self.bent else None,
        )
        return replace(like.moved(vertices=self.torn(vertices)), parts=(part,))

    def colors(self, count: int) -> Tensor:
        """[count, 3] linear base colour where the mesh's vertices are; of one side where a seam is."""
        place = 2 * self.atlas.uvs - 1
        found = F.grid_sample(
            self.shade.detach().square().permute(0, 3, 1, 2), place[None, None], align_corners=False
        )
        out = found.new_zeros(count, 3)
        out[self.atlas.source] = found[0, :, 0].T
        return out

    def occlude(self, light: Tensor, ambient: Tensor) -> None:
        """Take [V, 1] shares that arrive of the light that was found, and of an even sky."""
        self.occlusion, self.ambient = self.atlas.bake(torch.cat([light, ambient], dim=1)).split(1, dim=3)

    @property
    def bent(self) -> bool:
        """Whether normals are textured: not as long as their texture stands still at neutral."""
        if self.tilt.requires_grad:
            return True
        if self._standing[0] != self.tilt._version:  # looking waits for the GPU
            self._standing = self.tilt._version, bool((self.tilt != 0).any())
        return self._standing[1]

    def _normals(self) -> Tensor:
        """[1, S, S, 3] unit normals in tangent space, encoded as 0..1. Gradients: to tilt."""
        z = (1 - self.tilt.square().sum(dim=3, keepdim=True)).clamp_min(1e-6).sqrt()
        return 0.5 + 0.5 * torch.cat([self.tilt, z], dim=3)

    @cached_property
    def _terms(self) -> TextureTerms:
        return TextureTerms(self.atlas.covered)

    def terms(self, surface: SurfaceTerms) -> Terms:
        """Total variations over the charts, and how far normals are from neutral or the finer surface's."""
        return {
            "texture_smoothness": self._unevenness,
            "material_smoothness": self._gloss_unevenness,
            "flat_normals": lambda: self._terms.sums(self._departure()).mean_square,
        }

    def _departure(self) -> Tensor:
        return self.tilt if self.rest is None else self.tilt - self.rest

    def _unevenness(self) -> Tensor:
        """Variation of the base colour for its brightness, so that darker is not smoother."""
        sums = self._terms.sums(self.shade)
        return self.evenness * _USUAL_SHADE / sums.mean.clamp_min(MIN_SHADE) * sums.variation

    def _gloss_unevenness(self) -> Tensor:
        """Variation of roughness and metallic, of both together."""
        rough, metal = (self._terms.sums(image).variation for image in (self.roughness, self.metallic))
        return 0.5 * (rough + metal)

    @torch.no_grad()
    def clamp(self) -> None:
        self.shade.clamp_(MIN_SHADE, 1.0)
        self.roughness.clamp_(MIN_ROUGHNESS, 1.0)
        self.metallic.clamp_(0.0, 1.0)
        if self.tilt.requires_grad:
            length = self.tilt.norm(dim=3, keepdim=True)
            self.tilt.mul_(MAX_TILT / length.clamp_min(MAX_TILT))

    @torch.no_grad()
    def pictures(self, unlit: bool) -> dict[str, np.ndarray]:
        """Textures as scene.Material names them, their gutters filled; new arrays."""
        owned = self.atlas.owned
        out = {"base_color_texture": array(fill(self.shade.square(), owned)[0])}
        if unlit:
            return out
        occlusion = self.occlusion if self.ambient is None else self.ambient
        orm = array(fill(torch.cat([occlusion, self.roughness, self.metallic], dim=3), owned)[0])
        out |= {"orm_texture": orm, "occlusion_texture": orm}
        if self.bent:
            out["normal_texture"] = array(fill(self._normals(), owned)[0])
        return out

    def torn(self, vertices: Tensor) -> Tensor:
        """[U, C] values of the atlas's torn vertices from those of the V vertices."""
        return vertices.index_select(0, self.atlas.source)

    def faces(self, faces: Tensor) -> Tensor:
        """Triangles of the torn vertices."""
        return self.atlas.faces

    def drawn(self, unlit: bool) -> dict[str, Tensor]:
        """Vertices have no attributes of their own."""
        return {}

    def fields(self, mesh: Mesh, unlit: bool, pictures: dict[str, np.ndarray]) -> dict[str, Any]:
        """Fields of a Mesh that shows `pictures` of this material; the rest is as in `mesh`."""
        changes: dict[str, Any] = dict(pictures)
        if not unlit:
            changes |= {"perceptual_roughness": 1.0, "metallic": 1.0}
        return {
            "uvs": array(self.atlas.uvs),
            "colors": None,
            "roughness": None,
            "metallic": None,
            "material": replace(mesh.material, base_color=(1.0, 1.0, 1.0), **changes),
        }


SurfaceMaterial = VertexMaterial | TextureMaterial


def array(tensor: Tensor) -> np.ndarray:
    """A copy on the CPU."""
    out: np.ndarray = tensor.detach().cpu().numpy().copy()
    return out


def fresh(tensor: Tensor) -> Tensor:
    """A leaf of its own with the same values."""
    return tensor.detach().clone().requires_grad_()


def leaf(values: np.ndarray, device: torch.device) -> Tensor:
    """A float32 leaf tensor that requires grad, from a copy of `values`."""
    return torch.tensor(values, dtype=torch.float32, device=device, requires_grad=True)
