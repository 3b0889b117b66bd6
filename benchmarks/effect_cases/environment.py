"""The environment's lookups in plain torch: what the kernels are measured and checked against."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from studio.core.ops.environment import environment_light as ours
from studio.core.ops.prefilter import LEVELS, prefilter

SIZE = 512


def octahedral(d: Tensor) -> Tensor:
    """[..., 2] places, 0..1, of directions [..., 3]."""
    d = d / d.abs().sum(-1, keepdim=True)
    a, y, b = d.unbind(-1)
    sign_a, sign_b = torch.where(a < 0, -1.0, 1.0), torch.where(b < 0, -1.0, 1.0)
    below = torch.stack([(1 - b.abs()) * sign_a, (1 - a.abs()) * sign_b], -1)
    return 0.5 + 0.5 * torch.where((y < 0)[..., None], below, torch.stack([a, b], -1))


def fetch(level: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """Texels [..., 3] of [S, S, 3], at most one beyond the border."""
    size = len(level)
    outside = (column < 0) | (column >= size)
    row = torch.where(outside, size - 1 - row, row)
    column = column.clamp(0, size - 1)
    outside = (row < 0) | (row >= size)
    column = torch.where(outside, size - 1 - column, column)
    return level[row.clamp(0, size - 1), column]


def bilinear(level: Tensor, place: Tensor) -> Tensor:
    x, y = (place * len(level) - 0.5).unbind(-1)
    left, low = x.detach().floor().long(), y.detach().floor().long()
    fx, fy = (x - left)[..., None], (y - low)[..., None]
    below = fetch(level, left, low) * (1 - fx) + fetch(level, left + 1, low) * fx
    above = fetch(level, left, low + 1) * (1 - fx) + fetch(level, left + 1, low + 1) * fx
    return below * (1 - fy) + above * fy


def split(levels: Tensor) -> list[Tensor]:
    """[S, S, 3] of each level."""
    parts = levels.split([s * s for _, s in LEVELS])
    return [p.view(s, s, 3) for p, (_, s) in zip(parts, LEVELS)]


def look_up(levels: Tensor, d: Tensor, roughness: Tensor) -> Tensor:
    """[..., 3] radiance around d [..., 3] for roughness [..., 1]."""
    place, out = octahedral(d), 0.0
    nodes = [r for r, _ in LEVELS]
    for k, level in enumerate(split(levels)):
        weight = torch.ones_like(roughness)
        if k > 0:
            weight = torch.minimum(weight, (roughness - nodes[k - 1]) / (nodes[k] - nodes[k - 1]))
        if k + 1 < len(nodes):
            weight = torch.minimum(weight, (nodes[k + 1] - roughness) / (nodes[k + 1] - nodes[k]))
        out = out + bilinear(level, place) * weight.clamp(min=0)
    return out


def environment_light(
    rast: Tensor,
    normal: Tensor,
    position: Tensor,
    roughness: Tensor,
    camera: Tensor,
    rotation: Tensor,
    rays: Tensor,
    levels: Tensor,
    blur: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """As studio.core.ops.environment.environment_light."""
    covered = rast[..., 3:] > 0
    height, width = rast.shape[1:3]

    def turned(matrix: Tensor, v: Tensor) -> Tensor:
        return torch.einsum("nij,nhwj->nhwi", matrix, v)

    to = torch.where(covered, camera[:, None, None] - position, torch.ones_like(position))
    v = turned(rotation, to / to.norm(dim=-1, keepdim=True))
    n = turned(rotation, torch.where(covered, normal, torch.ones_like(normal)))
    r = 2 * (n * v).sum(-1, keepdim=True) * n - v
    diffuse = bilinear(split(levels)[-1], octahedral(n)) * covered
    specular = look_up(levels, r, roughness.clamp(0, 1)) * covered
    x = 2 * (torch.arange(width, dtype=rast.dtype, device=rast.device) + 0.5) / width - 1
    y = 2 * (torch.arange(height, dtype=rast.dtype, device=rast.device) + 0.5) / height - 1
    ndc = torch.stack([*torch.meshgrid(x, y, indexing="xy"), torch.ones(height, width).to(x)], -1)
    d = turned(rays, ndc.expand(len(rast), -1, -1, -1))
    behind = look_up(levels, d, torch.full_like(rast[..., :1], blur)) * ~covered
    return diffuse, specular, behind


def surface(size: int) -> list[Tensor]:
    """A ball that fills the picture: rast, normal, position, roughness, camera, rotation, rays."""
    y, x = torch.meshgrid(torch.linspace(-0.7, 0.7, size), torch.linspace(-0.7, 0.7, size), indexing="ij")
    normal = torch.stack([x, y, (1 - x * x - y * y).sqrt()], dim=-1)[None].contiguous()
    roughness = (0.5 + 0.4 * torch.sin(9 * x) * torch.cos(7 * y))[None, ..., None].contiguous()
    eye = torch.eye(3)[None]
    camera = torch.tensor([[0.0, 0.0, 3.0]])
    return [torch.ones(1, size, size, 4), normal, normal.clone(), roughness, camera, eye, eye.clone()]


def case() -> tuple[Callable[[], None], Callable[[], None], Callable[[], None]]:
    """Filter and lookups forward; with gradients to map and surface; and with plain torch's lookups."""
    rast, *rest = surface(SIZE)
    sky = (0.5 + torch.rand(256, 256, 3, generator=torch.Generator().manual_seed(0))).requires_grad_()
    leaves = [sky, *(t.requires_grad_() for t in rest[:3])]

    def forward() -> None:
        with torch.no_grad():
            ours(rast, *rest, prefilter(sky))

    def both() -> None:
        diffuse, specular, _ = ours(rast, *rest, prefilter(sky))
        torch.autograd.grad((diffuse + specular).sum(), leaves)

    def plain() -> None:
        diffuse, specular, _ = environment_light(rast, *rest, prefilter(sky))
        torch.autograd.grad((diffuse + specular).sum(), leaves)

    return forward, both, plain
