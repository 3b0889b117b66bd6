"""What a fine surface shows, brought into the textures of a simpler one: normals and attributes.

Each texel looks along the simple surface's normal for the fine one. The fine normal is kept in the
tangent frame in which shaders read it back: the simple surface's own interpolated normal, and where
u grows on the triangle (see studio.core.ops.bend).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from studio.core.ops import interpolate
from studio.core.ops.bend import tangents
from studio.core.ops.closest import TriangleTree
from studio.core.ops.normals import vertex_normals
from studio.core.optim.atlas import Atlas, fill


@dataclass(frozen=True, eq=False)
class Surface:
    """A mesh and what its vertices carry.

    Attributes:
        vertices: [V, 3]. faces: [T, 3] int32. values: [V, C].
    """

    vertices: Tensor
    faces: Tensor
    values: Tensor


@torch.no_grad()
def bake_detail(
    fine: Surface, simple: Surface, atlas: Atlas, reach: float, most_tilt: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Textures with which a simple surface looks like a fine one.

    Args:
        atlas: of the simple surface's triangles.
        reach: how far the fine surface may be, in the unit of the vertices. Where nothing so near
            faces the same way a texel shows the simple surface's own normal and values.
        most_tilt: largest sine of the angle between both normals; larger ones are shortened.
    Returns:
        tilt: [1, S, S, 2] x and y of the unit normal in tangent space.
        values: [1, S, S, C].
        found: [1, S, S, 1] bool, texels that the fine surface says something about.
        The gutter of both textures is filled.
    """
    inside = atlas.covered[0, ..., 0]
    normals = vertex_normals(simple.vertices, simple.faces)
    all_of_it = torch.cat([simple.vertices, normals, simple.values], dim=1)[atlas.source]
    point, normal, values = (
        interpolate(all_of_it[None].contiguous(), atlas.rast, atlas.faces)[0][0][inside]
        .split([3, 3, simple.values.shape[1]], dim=1)
    )  # fmt: skip
    normal = F.normalize(normal, dim=1)
    face, weights = TriangleTree(fine.vertices, fine.faces).across(
        point.contiguous(), normal.contiguous(), reach
    )
    corners = fine.faces[face.clamp_min(0).long()].long()
    own = torch.cat([vertex_normals(fine.vertices, fine.faces), fine.values], dim=1)
    seen, carried = (own[corners] * weights[..., None]).sum(dim=1).split([3, values.shape[1]], dim=1)
    seen = F.normalize(seen, dim=1)
    met = (face >= 0) & ((seen * normal).sum(dim=1) > 0)
    tilt = _tilt(simple, atlas, normal, seen, inside)
    tilt = tilt * (most_tilt / tilt.norm(dim=1, keepdim=True).clamp_min(most_tilt))

    def texture(texels: Tensor) -> Tensor:
        image = texels.new_zeros(*inside.shape, texels.shape[1])
        image[inside] = texels
        return image[None]

    known = atlas.covered
    return (
        fill(texture(torch.where(met[:, None], tilt, torch.zeros_like(tilt))), known),
        fill(texture(torch.where(met[:, None], carried, values)), known),
        texture(met[:, None].float()) > 0,
    )


def _tilt(simple: Surface, atlas: Atlas, normal: Tensor, seen: Tensor, inside: Tensor) -> Tensor:
    """[P, 2] the `seen` unit normals [P, 3] along tangent and bitangent of the texels `inside`."""
    torn = simple.vertices[atlas.source].contiguous()
    part = torch.zeros(len(atlas.faces), dtype=torch.int64, device=torn.device)
    along, turn = tangents(torn, atlas.uvs, atlas.faces, part)
    triangle = atlas.rast[0, ..., 3][inside].long() - 1
    along, turn = along[triangle], turn[triangle, None]
    tangent = F.normalize(along - normal * (along * normal).sum(dim=1, keepdim=True), dim=1)
    bitangent = turn * torch.linalg.cross(normal, tangent)
    return torch.stack([(seen * tangent).sum(dim=1), (seen * bitangent).sum(dim=1)], dim=1)
