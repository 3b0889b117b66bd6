"""Which rasterizer the pipeline uses, and SoftRas's part of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import torch
from torch import Tensor

from studio.core.arrival import constant
from studio.core.kernels import warp_modules
from studio.core.ops.softras import AGGREGATIONS, Layer, SoftImage, soft_rasterize
from studio.core.params import Param, ParamSet
from studio.core.tensors import SceneTensors

RASTERIZERS = ("antialias", "softras", "nmr")

PARAMS = (
    Param(
        "rasterizer",
        "antialias",
        "choice",
        choices=RASTERIZERS,
        titles=("Antialias", "SoftRas", "NMR"),
        help="Where silhouettes get their gradient: blended edges, soft faces (blurs), or ramps (slow)",
    ),
    Param(
        "softras_sigma",
        1e-5,
        low=1e-8,
        high=0.1,
        step=1e-6,
        log=True,
        label="SoftRas sigma",
        help="Blur of SoftRas's edges, in squares of half the image's long side",
    ),
    Param(
        "softras_gamma",
        0.03,
        low=1e-5,
        high=10.0,
        step=1e-3,
        log=True,
        label="SoftRas gamma",
        help="How far SoftRas looks through faces, in depths of the object; small is opaque",
    ),
    Param(
        "softras_aggregation",
        "soft",
        "choice",
        choices=AGGREGATIONS,
        label="SoftRas colours",
        help="soft mixes all faces of a pixel, hard takes the nearest",
    ),
)


def needed_modules(name: str) -> list[Any]:
    """Kernel modules worth compiling ahead: all but those of the other alternatives."""
    others = [f"studio.core.kernels.{other}" for other in RASTERIZERS if other not in (name, "antialias")]
    return [module for module in warp_modules() if not module.name.startswith(tuple(others))]


@dataclass(frozen=True)
class Rasterizer:
    """A rasterizer and its parameters; see `render` and `studio.core.ops.softras`."""

    name: str = PARAMS[0].default
    softras_sigma: float = PARAMS[1].default
    softras_gamma: float = PARAMS[2].default
    softras_aggregation: str = PARAMS[3].default

    def __post_init__(self) -> None:
        for param, value in zip(PARAMS, astuple(self), strict=True):
            param.check(value, "render")

    @classmethod
    def from_settings(cls, settings: ParamSet) -> Rasterizer:
        """The one that a set with PARAMS names."""
        return cls(*(settings[param.name] for param in PARAMS))


def soft_buffer(
    pos: Tensor, tensors: SceneTensors, attributes: Tensor, starts: dict[str, int], size: tuple[int, int],
    how: Rasterizer,
) -> SoftImage:  # fmt: skip
    """Attributes and textures of a scene aggregated by SoftRas, without a background.

    Args:
        pos: [N, V, 4] clip space.
        attributes: [V, C] packed channels; with textures, "uv" are the last two.
        starts: where in attributes a channel begins.
    """
    layers = _layers(tensors, starts) if tensors.textured and "uv" in starts else []
    return soft_rasterize(
        pos,
        tensors.faces,
        attributes[None],
        size,
        how.softras_sigma,
        how.softras_gamma,
        how.softras_aggregation,
        depth_range=_depth_range(pos),
        layers=layers,
        face_groups=tensors.face_part,
    )


def soft_picture(color: Tensor, alpha: Tensor, background: Tensor) -> Tensor:
    """[N, H, W, 4] the shaded aggregate over the background by the soft silhouette."""
    return torch.cat([background + alpha * (color - background), alpha], dim=3)


@torch.no_grad()
def _depth_range(pos: Tensor) -> Tensor:
    """[2] float64 z/w of what is in front of the camera, so that gamma counts in depths of the object."""
    if pos.numel() == 0:
        return constant((-1.0, 1.0), torch.float64, pos.device)
    z = pos[..., 2] / pos[..., 3]
    seen = (pos[..., 3] > 0) & (z.abs() <= 1)
    low, high = torch.where(seen, z, math.inf).amin(), torch.where(seen, z, -math.inf).amax()
    there = low <= high
    low, high = torch.where(there, low, -1.0).double(), torch.where(there, high, 1.0).double()
    # Flat scenes still need some depth; float32 depths are 1e-7 apart.
    margin = torch.where(there, 0.01 * (high - low) + 1e-5, 0.0)
    return torch.stack([low - margin, high + margin])


def _layers(tensors: SceneTensors, starts: dict[str, int]) -> Sequence[Layer]:
    """Texture layers of all parts, for the channels there are."""
    layers = []
    for i, part in enumerate(tensors.parts):
        if part.base_color_texture is not None and "albedo" in starts:
            layers.append(Layer(part.base_color_texture[0], i, starts["albedo"]))
        if part.orm_texture is not None and "perceptual_roughness" in starts:
            # Roughness and metallic lie side by side, in the texture and in the buffer.
            layers.append(Layer(part.orm_texture[0, ..., 1:3], i, starts["perceptual_roughness"]))
        if part.occlusion_texture is not None and "occlusion" in starts:
            layers.append(Layer(part.occlusion_texture[0], i, starts["occlusion"]))
        if part.emissive_texture is not None and "emissive" in starts:
            layers.append(Layer(part.emissive_texture[0], i, starts["emissive"]))
    return layers
