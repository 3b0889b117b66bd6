"""An atlas: the surface cut into charts and laid out in a square, and values brought there.

The charts come from xatlas. A texel belongs to the triangle that covers its centre, found with the
rasterizer of pictures in the square's own coordinates. Between the charts lies the gutter; it takes
the colours around it (`fill`), so that coarse mip levels, which mix both, stay right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from studio.core.errors import WorkError, describe
from studio.core.ops import interpolate, rasterize

PADDING = 4
"""Texels between charts: mip levels 0 to 2 then never mix two charts."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """Texture coordinates of a mesh whose vertices are torn apart at the seams.

    Attributes:
        source: [U] int64, which vertex of the mesh each torn one came from.
        faces: [T, 3] int32 of the torn vertices, in the order of the mesh's.
        uvs: [U, 2] float32 in 0..1, (0, 0) bottom left.
        size: texels along each side of the textures.
        rast: [1, S, S, 4] which triangle covers each texel; see rasterize.
    """

    source: Tensor
    faces: Tensor
    uvs: Tensor
    size: int
    rast: Tensor

    @classmethod
    def lay_out(cls, source: Tensor, faces: Tensor, uvs: Tensor, size: int) -> Atlas:
        """An atlas of coordinates that are there already."""
        place = torch.cat([2 * uvs - 1, torch.zeros_like(uvs[:, :1]), torch.ones_like(uvs[:, :1])], dim=1)
        rast, _ = rasterize(None, place[None].contiguous(), faces, (size, size), grad_db=False)
        return cls(source, faces, uvs, size, rast)

    @property
    def covered(self) -> Tensor:
        """[1, S, S, 1] bool, texels whose centre a triangle covers."""
        return self.rast[..., 3:] > 0

    @property
    def owned(self) -> Tensor:
        """[1, S, S, 1] bool, the covered texels and those around them, which bilinear lookups mix in."""
        grown = F.max_pool2d(self.covered.float().permute(0, 3, 1, 2), 3, 1, 1)
        return grown.permute(0, 2, 3, 1) > 0

    def bake(self, values: Tensor) -> Tensor:
        """[1, S, S, C] texture of [V, C] values of the mesh's vertices, the gutter filled."""
        torn = values.detach()[self.source].contiguous()
        image = interpolate(torn[None], self.rast, self.faces)[0]
        return fill(image, self.covered)


def unwrap(vertices: np.ndarray, faces: np.ndarray, size: int, device: torch.device | str = "cpu") -> Atlas:
    """Cut a mesh into charts and pack them.

    Args:
        vertices, faces: [V, 3] and [T, 3]; 20,000 triangles take about four seconds.
        size: texels along each side of the textures that will be used.
    Raises:
        WorkError: xatlas found no charts.
    Reference:
        Young, xatlas, after Levy et al. 2002, "Least Squares Conformal Maps".
    """
    import xatlas

    pack = xatlas.PackOptions()
    pack.resolution = size
    pack.padding = PADDING
    pack.bilinear = True
    maker = xatlas.Atlas()
    try:
        maker.add_mesh(np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(faces, np.uint32))
        maker.generate(xatlas.ChartOptions(), pack)
        source, torn, uvs = maker[0]
    except (RuntimeError, ValueError, IndexError) as error:
        raise WorkError(f"atlas: the mesh cannot be unwrapped: {describe(error)}") from None
    uv = torch.tensor(uvs.astype(np.float32), device=device)
    triangles = torch.tensor(torn.astype(np.int32), device=device)
    return Atlas.lay_out(torch.tensor(source.astype(np.int64), device=device), triangles, uv, size)


def fill(image: Tensor, known: Tensor) -> Tensor:
    """[1, S, S, C] with the unknown texels taken from the known ones around them.

    The texels next to known ones, which bilinear lookups mix in, take the mean of their known
    neighbours. Then pull and push: means of the known texels at ever coarser levels, and back down,
    every unknown texel taking what the next coarser level says. Known texels stay as they are.

    Args:
        known: [1, S, S, 1] bool; if no texel is known the image comes back zero.
    Reference:
        Gortler et al. 1996, "The Lumigraph", section 3.4.
    """
    weight = known.to(image.dtype).permute(0, 3, 1, 2)
    value = image.permute(0, 3, 1, 2) * weight
    for _ in range(PADDING // 2):
        near, count = (F.avg_pool2d(t, 3, 1, 1, divisor_override=1) for t in (value, weight))
        value = torch.where(weight > 0, value, near / count.clamp_min(1.0))
        weight = (count > 0).to(weight.dtype)
    levels = [(value, weight)]
    while max(value.shape[-2:]) > 1:
        value, weight = (F.avg_pool2d(t, 2, 2, ceil_mode=True) for t in (value, weight))
        mean = value / weight.clamp_min(1e-12)
        weight = (weight > 0).to(weight.dtype)  # a level has a mean or has none
        value = mean * weight
        levels.append((value, weight))
    out = levels[-1][0]
    for value, weight in reversed(levels[:-1]):
        coarse = F.interpolate(out, size=value.shape[-2:], mode="bilinear", align_corners=False)
        out = torch.where(weight > 0, value, coarse)
    return out.permute(0, 2, 3, 1).contiguous()
