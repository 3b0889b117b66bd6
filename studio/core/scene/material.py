"""glTF 2.0 metallic-roughness material."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(eq=False)
class Material:
    """glTF 2.0 metallic-roughness; factors multiply textures and vertex attributes.

    Textures are float32 `[H, W, C]`, linear (sRGB was decoded at load for colour, not for
    data), row 0 at the bottom, uv (0, 0) at the bottom-left corner as in OpenGL. glTF's
    top-left uv is flipped at load and flipped back at export.

    Attributes:
        base_color: linear RGB factor, 0..1.
        perceptual_roughness: the user's value, 0..1; the GGX alpha is its square.
        metallic: 0..1.
        emissive: linear RGB.
        alpha: opacity factor, kept for export.
        subsurface: 0..1, share of the diffuse light that scatters below the surface.
        base_color_texture: [H, W, 3] or [H, W, 4].
        orm_texture: [H, W, 3], R occlusion, G perceptual roughness, B metallic.
        normal_texture: [H, W, 3], tangent space +Y, still encoded as 0..1.
        occlusion_texture: [H, W, 3], R is used; often the same image as orm_texture.
        emissive_texture: [H, W, 3].
        double_sided: neither side is culled when exported programs draw it.
    """

    name: str = "material"
    base_color: tuple[float, float, float] = (0.8, 0.8, 0.8)
    perceptual_roughness: float = 0.6
    metallic: float = 0.0
    emissive: tuple[float, float, float] = (0.0, 0.0, 0.0)
    alpha: float = 1.0
    subsurface: float = 0.0
    base_color_texture: np.ndarray | None = field(default=None, repr=False)
    orm_texture: np.ndarray | None = field(default=None, repr=False)
    normal_texture: np.ndarray | None = field(default=None, repr=False)
    occlusion_texture: np.ndarray | None = field(default=None, repr=False)
    emissive_texture: np.ndarray | None = field(default=None, repr=False)
    double_sided: bool = False

    def textures(self) -> dict[str, np.ndarray]:
        """Those that there are, by attribute."""
        found = {name: value for name, value in vars(self).items() if name.endswith("_texture")}
        return {name: value for name, value in found.items() if value is not None}
