"""Ambient occlusion in plain torch, tap by tap: what the kernels are measured and checked against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from studio.core.ops.halves import DEPTH_SCALE, NORMAL_FLOOR, spread, take_half
from studio.core.ops.ssao import ambient_occlusion, rotations, sample_offsets

SIZE = 512


def smoothstep(low: float, high: float, x: Tensor) -> Tensor:
    t = ((x - low) / (high - low)).clamp(0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _basis(n: Tensor) -> tuple[Tensor, Tensor]:
    """Tangent and bitangent of [..., 3] unit normals (Duff et al. 2017)."""
    x, y, z = n.unbind(dim=-1)
    s = torch.where(z < 0.0, -torch.ones_like(z), torch.ones_like(z))
    a = -1.0 / (s + z)
    b = x * y * a
    tangent = torch.stack([1.0 + s * x * x * a, s * b, -s * x], dim=-1)
    return tangent, torch.stack([b, s + y * y * a, -y], dim=-1)


def _texel(image: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """[N, h, w] values of [N, H, W] at [N, h, w] rows and columns."""
    number = (row * image.shape[2] + column).flatten(1)
    return image.flatten(1).gather(1, number).view(row.shape)


def _bilinear(image: Tensor, x: Tensor, y: Tensor, limit: Tensor) -> Tensor:
    """Samples at pixels x, y (centres are whole numbers) of what is no further than `limit`."""
    height, width = image.shape[1:]
    x, y = x.clamp(0.0, width - 1.0), y.clamp(0.0, height - 1.0)
    i, j = x.detach().long(), y.detach().long()
    right, up = (i + 1).clamp(max=width - 1), (j + 1).clamp(max=height - 1)
    a, b = (torch.minimum(_texel(image, j, c), limit) for c in (i, right))
    c, d = (torch.minimum(_texel(image, up, c), limit) for c in (i, right))
    low, high = a + (x - i) * (b - a), c + (x - i) * (d - c)
    return low + (y - j) * (high - low)


def _blurred(occlusion: Tensor, depth: Tensor, n: Tensor, p: Tensor, ray: Tensor, radius: Tensor) -> Tensor:
    """Mean over 4 x 4 pixels near the tangent plane, of like normal."""
    height, width = occlusion.shape[1:]
    own = (n * ray).sum(dim=-1) * depth
    total = torch.zeros_like(occlusion)
    weights = torch.zeros_like(occlusion)

    def shifted(image: Tensor, j: int, i: int) -> Tensor:
        out = torch.zeros_like(image)
        to_rows, to_columns = slice(max(0, -j), height - max(0, j)), slice(max(0, -i), width - max(0, i))
        rows, columns = slice(max(0, j), height - max(0, -j)), slice(max(0, i), width - max(0, -i))
        out[:, to_rows, to_columns] = image[:, rows, columns]
        return out

    for j in range(-2, 2):
        for i in range(-2, 2):
            off = ((n * shifted(p, j, i)).sum(dim=-1) - own) / (0.25 * radius)
            near = (1.0 - off**2).clamp(min=0.0) ** 2
            same = (n * shifted(n, j, i)).sum(dim=-1).clamp(min=0.0) ** 4
            weight = near * same * (shifted(depth, j, i) > 0.0)
            total = total + weight * shifted(occlusion, j, i)
            weights = weights + weight
    return total / weights.clamp(min=1e-20)


def eager(
    depth: Tensor,
    soft_depth: Tensor,
    normal: Tensor,
    world_to_view: Tensor,
    lens: Tensor,
    radius: Tensor,
    strength: Tensor,
    bias: float = 0.05,
    softness: float = 0.5,
    samples: int = 16,
    half: bool = False,
) -> Tensor:
    """`ambient_occlusion` of the same arguments without silhouettes, in the type of its inputs."""
    full_height, full_width = depth.shape[1:3]
    step = 2 if half else 1
    soft = soft_depth[..., 0]
    depth = depth[:, ::step, ::step, 0]
    n = torch.einsum("nij,nhwj->nhwi", world_to_view[:, :3, :3], normal[:, ::step, ::step])
    rows = torch.arange(depth.shape[1], device=depth.device)
    columns = torch.arange(depth.shape[2], device=depth.device)
    ndc_x = (2.0 * step * columns + 1.0) / full_width - 1.0
    ndc_y = (2.0 * step * rows + 1.0) / full_height - 1.0
    x = ((ndc_x + lens[:, None, None, 2]) / lens[:, None, None, 0]).expand_as(depth)
    y = ((ndc_y[:, None] + lens[:, None, None, 3]) / lens[:, None, None, 1]).expand_as(depth)
    ray = torch.stack([x, y, -torch.ones_like(x)], dim=-1).to(depth.dtype)
    p = ray * depth[..., None]
    covered = depth > 0.0
    tangent, bitangent = _basis(torch.where(covered[..., None], n, n.new_tensor([0.0, 0.0, 1.0])))
    turn = torch.from_numpy(rotations()).to(depth)[4 * (rows[:, None] & 3) + (columns & 3)]
    cos, sin = turn[..., :1], turn[..., 1:]
    tangent, bitangent = cos * tangent + sin * bitangent, cos * bitangent - sin * tangent
    limit = torch.where(covered, depth + 2.0 * radius, torch.ones_like(depth))
    total = torch.zeros_like(depth)
    for o in torch.from_numpy(sample_offsets(samples)).to(depth):
        s = p + radius * (o[0] * tangent + o[1] * bitangent + o[2] * n)
        at = torch.maximum(-s[..., 2], 0.1 * depth).clamp(min=1e-20)
        a = 0.5 * (lens[:, None, None, 0] * s[..., 0] / at - lens[:, None, None, 2] + 1.0) * full_width
        b = 0.5 * (lens[:, None, None, 1] * s[..., 1] / at - lens[:, None, None, 3] + 1.0) * full_height
        hit = _bilinear(soft, a - 0.5, b - 0.5, limit)
        behind = smoothstep(0.0, softness, (at - hit) / radius - bias)
        total = total + behind * (1.0 - smoothstep(1.0, 2.0, (hit - depth).abs() / radius))
    c = _blurred(total / samples * covered, depth, n, p, ray, radius)
    out = (1.0 - c) / (1.0 + (strength - 1.0) * c).clamp(min=1e-4)
    return torch.where(covered, out, torch.ones_like(out))[..., None]


def eager_spread(low: Tensor, soft_depth: Tensor, normal: Tensor) -> Tensor:
    """`spread` of the same arguments."""
    height, width = soft_depth.shape[1:3]
    total = weights = torch.zeros_like(soft_depth)
    rows = torch.arange(height, device=low.device)
    columns = torch.arange(width, device=low.device)
    for right in (0, 1):
        for up in (0, 1):
            i, j = rows // 2 + up, columns // 2 + right
            # The second neighbour counts for odd pixels only, and where there is one.
            inside = ((up == 0) | ((rows & 1 == 1) & (i < low.shape[1])))[:, None]
            inside = inside & ((right == 0) | ((columns & 1 == 1) & (j < low.shape[2])))
            i, j = i.clamp(max=low.shape[1] - 1)[:, None], j.clamp(max=low.shape[2] - 1)
            z, n = take_half(soft_depth)[:, i, j], take_half(normal)[:, i, j]
            near = 1.0 / (1.0 + ((z - soft_depth) / (DEPTH_SCALE * soft_depth)) ** 2)
            same = NORMAL_FLOOR + (n * normal).sum(dim=3, keepdim=True).clamp(min=0.0) ** 4
            weight = inside[..., None] * near * same
            total = total + weight * low[:, i, j]
            weights = weights + weight
    return total / weights


def surface(height: int, width: int) -> dict[str, Any]:
    """Hills that fill the picture, as arguments of `ambient_occlusion`; without silhouettes."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    depth = 3.0 + 0.3 * torch.sin(9 * x) * torch.cos(8 * y) + 0.6 * torch.exp(-20.0 * (x * x + y * y))
    normal = torch.stack([0.3 * torch.sin(3 * x + y), 0.3 * torch.cos(2 * y), torch.ones_like(x)], dim=2)
    depth = depth[None, ..., None].contiguous()
    return {
        "depth": depth,
        "soft_depth": depth.clone(),
        "normal": torch.nn.functional.normalize(normal, dim=2)[None].contiguous(),
        "world_to_view": torch.eye(4)[None],
        "lens": torch.tensor([[1.3, 1.25, 0.03, -0.02]]),
        "radius": torch.tensor([0.4]),
        "strength": torch.tensor([1.3]),
    }


def case(half: bool = False) -> tuple[Callable[[], None], Callable[[], None], Callable[[], None]]:
    """Forward, forward + backward, and the same in plain torch, at 512 x 512, all pixels covered."""
    inputs = surface(SIZE, SIZE)
    moved = ("depth", "soft_depth", "normal", "radius", "strength")
    leaves = {name: inputs[name].requires_grad_() for name in moved}
    edge = inputs["soft_depth"].detach()

    def picture(occlusion: Callable[..., Tensor], full: Callable[..., Tensor], **more: Any) -> Tensor:
        out = occlusion(**inputs, **more, half=half)
        return full(out, inputs["soft_depth"], inputs["normal"]) if half else out

    def forward() -> None:
        with torch.no_grad():
            picture(ambient_occlusion, spread, edge_depth=edge)

    def both() -> None:
        out = picture(ambient_occlusion, spread, edge_depth=edge)
        torch.autograd.grad(out.sum(), list(leaves.values()))

    def plain() -> None:
        torch.autograd.grad(picture(eager, eager_spread).sum(), list(leaves.values()))

    return forward, both, plain
