"""SoftRas written out densely in torch: every face at every pixel, in the precision of its inputs."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def _screen(pos: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """[V, 2] corners and [H * W, 2] pixel centres, in halves of the longer side."""
    longer = max(height, width)
    stretch = torch.tensor([width / longer, height / longer], dtype=pos.dtype)
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    centres = torch.stack([2 * column + 1 - width, 2 * row + 1 - height], dim=-1).to(pos.dtype) / longer
    return pos[:, :2] / pos[:, 3:] * stretch, centres.view(-1, 2)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _meet(corners: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """Signed squared distance [P, T] and barycentrics [P, T, 3] of pixels and triangles [T, 3, 2]."""
    c, p = corners[None], p[:, None]
    area = _cross(c[:, :, 1] - c[:, :, 0], c[:, :, 2] - c[:, :, 0])
    inner = torch.stack(
        [_cross(c[:, :, (k + 1) % 3] - p, c[:, :, (k + 2) % 3] - p) / area for k in range(3)], dim=-1
    )
    squares, outer = [], []
    for k in range(3):
        a, b = c[:, :, k], c[:, :, (k + 1) % 3]
        t = (((p - a) * (b - a)).sum(-1) / ((b - a) ** 2).sum(-1)).clamp(0, 1)
        squares.append(((a + t[..., None] * (b - a) - p) ** 2).sum(-1))
        weights = [torch.zeros_like(t)] * 3
        weights[k], weights[(k + 1) % 3] = 1 - t, t
        outer.append(torch.stack(weights, dim=-1))
    square, nearest = torch.stack(squares, dim=-1).min(dim=-1)
    at = torch.stack(outer, dim=-2).gather(-2, nearest[..., None, None].expand(*nearest.shape, 1, 3))
    inside = (inner >= 0).all(-1)
    return torch.where(inside, square, -square), torch.where(inside[..., None], inner, at[..., 0, :])


def _sampled(texture: Tensor, uv: Tensor) -> Tensor:
    """Bilinear texels [..., C] of a repeating texture [TH, TW, C]."""
    height, width, _ = texture.shape
    x, y = (uv[..., 0] % 1) * width - 0.5, (uv[..., 1] % 1) * height - 0.5
    i, j = x.floor(), y.floor()
    fx, fy = (x - i)[..., None], (y - j)[..., None]

    def texel(row: Tensor, column: Tensor) -> Tensor:
        return texture[row.long() % height, column.long() % width]

    below = texel(j, i) * (1 - fx) + texel(j, i + 1) * fx
    return below * (1 - fy) + (texel(j + 1, i) * (1 - fx) + texel(j + 1, i + 1) * fx) * fy


def softras_reference(
    pos: Tensor,
    tri: Tensor,
    attr: Tensor,
    resolution: tuple[int, int],
    sigma: Tensor | float,
    gamma: Tensor | float,
    background: Tensor,
    aggregation: str = "soft",
    texture: Tensor | None = None,
    uv: Tensor | None = None,
    depth_range: tuple[float, float] = (-1.0, 1.0),
    cutoff: float = 1e-4,
) -> tuple[Tensor, Tensor]:
    """One image: pos [V, 4], attr [V, C], background [C]; ([H, W, C], [H, W, 1])."""
    tri = tri.long()
    tri = tri[(pos[tri][..., 3] > 0).all(-1)]
    screen, centres = _screen(pos, *resolution)
    square, b = _meet(screen[tri], centres)
    near, far = depth_range
    ndc = (b * (pos[:, 2] / pos[:, 3])[tri]).sum(-1)
    z = (far - ndc) / (far - near)
    kept = (square / sigma >= math.log(cutoff / (1 - cutoff))) & (ndc.abs() <= 1)
    d = torch.where(kept, torch.sigmoid(square / sigma), 0.0)
    alpha = 1 - (1 - d).prod(dim=1)
    c = b / pos[:, 3][tri]
    c = c / c.sum(-1, keepdim=True)
    color = (c[..., None] * attr[tri]).sum(-2)
    if texture is not None and uv is not None:
        color = color * _sampled(texture, (c[..., None] * uv[tri]).sum(-2))
    if aggregation == "hard":
        front = torch.where(kept & (square >= 0), z, -math.inf)
        weight = torch.nn.functional.one_hot(front.argmax(1), len(tri)).to(pos.dtype)
        weight = torch.where(front.max(1, keepdim=True).values > -math.inf, weight, 0.0)
        image = (weight[..., None] * color).sum(1) + (1 - weight.sum(1, keepdim=True)) * background
    else:
        logits = torch.where(kept, d.clamp(min=1e-300).log() + z / gamma, -math.inf)
        behind = (torch.as_tensor(1e-3, dtype=pos.dtype) / gamma).reshape(1, 1).expand(len(z), 1)
        weight = torch.softmax(torch.cat([logits, behind], dim=1), dim=1)
        image = (weight[:, :-1, None] * color).sum(1) + weight[:, -1:] * background
    return image.view(*resolution, -1), alpha.view(*resolution, 1)
