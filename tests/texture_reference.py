"""What `texture` computes, written plainly for torch's autograd in float64, along other paths.

Levels come from the singular values of the footprint, halving from the overlap of intervals,
and a cube map's neighbours from the texels nearest to the edge in space.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

# OpenGL 4.6, table 8.19: (sc, tc, ma) as rows over (x, y, z), for +x, -x, +y, -y, +z, -z.
FACE_AXES = torch.tensor(
    [
        [[0, 0, -1], [0, -1, 0], [1, 0, 0]],
        [[0, 0, 1], [0, -1, 0], [-1, 0, 0]],
        [[1, 0, 0], [0, 0, 1], [0, 1, 0]],
        [[1, 0, 0], [0, 0, -1], [0, -1, 0]],
        [[1, 0, 0], [0, -1, 0], [0, 0, 1]],
        [[-1, 0, 0], [0, -1, 0], [0, 0, -1]],
    ],
    dtype=torch.float64,
)


def overlap(size: int) -> Tensor:
    """[max(size // 2, 1), size]: share of each fine texel in the mean over each coarse one."""
    half = max(size // 2, 1)
    edges = torch.arange(half + 1, dtype=torch.float64) * size / half
    fine = torch.arange(size, dtype=torch.float64)
    high = torch.minimum(edges[1:, None], fine + 1)
    low = torch.maximum(edges[:-1, None], fine)
    return (high - low).clamp(min=0) * half / size


def pyramid(tex: Tensor, most: int | None = None) -> list[Tensor]:
    """All levels of [..., H, W, C]."""
    levels = [tex]
    while max(levels[-1].shape[-3:-1]) > 1 and (most is None or len(levels) <= most):
        height, width = levels[-1].shape[-3:-1]
        narrower = torch.einsum("xi,...jic->...jxc", overlap(width), levels[-1])
        levels.append(torch.einsum("yj,...jxc->...yxc", overlap(height), narrower))
    return levels


def level_of(da: Tensor, width: int, height: int) -> Tensor:
    """log2 of the largest singular value of the footprint in texels."""
    jacobian = da.unflatten(-1, (2, 2)) * torch.tensor([[width], [height]], dtype=da.dtype)
    return torch.linalg.svdvals(jacobian)[..., 0].log2()


def _bound(i: Tensor, size: int, boundary: str) -> tuple[Tensor, Tensor]:
    """Texel number and whether it counts."""
    outside = (i < 0) | (i >= size)
    index = i % size if boundary == "wrap" else i.clamp(0, size - 1)
    return index, ~(outside & (boundary == "zero"))


def flat(tex: Tensor, uv: Tensor, boundary: str, nearest: bool = False) -> Tensor:
    """One level [N, H, W, C] at [N, h, w, 2]."""
    height, width = tex.shape[1:3]
    image = torch.arange(len(tex))[:, None, None].expand(-1, *uv.shape[1:3])

    def texel(i: Tensor, j: Tensor) -> Tensor:
        column, in_x = _bound(i, width, boundary)
        row, in_y = _bound(j, height, boundary)
        return tex[image, row, column] * (in_x & in_y)[..., None]

    x, y = uv[..., 0] * width, uv[..., 1] * height
    if nearest:
        return texel(x.floor().long(), y.floor().long())
    x, y = x - 0.5, y - 0.5
    i, j = x.floor().long(), y.floor().long()
    fx, fy = (x - i)[..., None], (y - j)[..., None]
    low = texel(i, j) * (1 - fx) + texel(i + 1, j) * fx
    high = texel(i, j + 1) * (1 - fx) + texel(i + 1, j + 1) * fx
    return low * (1 - fy) + high * fy


def texel_centres(size: int) -> Tensor:
    """[6, size, size, 3] on the cube's surface, not normalised."""
    c = (torch.arange(size, dtype=torch.float64) + 0.5) / size * 2 - 1
    t, s = torch.meshgrid(c, c, indexing="ij")
    on_face = torch.stack([s, t, torch.ones_like(s)], dim=-1)
    return torch.einsum("yxk,fkd->fyxd", on_face, FACE_AXES)


@lru_cache(maxsize=16)
def _border(size: int) -> Tensor:
    """[6, size + 2, size + 2] flat texel numbers of a face and its neighbours, -1 at corners."""
    centres = texel_centres(size)
    numbers = torch.full((6, size + 2, size + 2), -1)
    numbers[:, 1:-1, 1:-1] = torch.arange(6 * size * size).view(6, size, size)
    for face in range(6):
        others = torch.arange(6) != face
        candidates = centres[others].view(-1, 3)
        names = numbers[:, 1:-1, 1:-1][others].reshape(-1)
        for k in range(size):
            along = (k + 0.5) / size * 2 - 1
            for where, s, t in (
                ((k + 1, 0), -1.0, along),
                ((k + 1, size + 1), 1.0, along),
                ((0, k + 1), along, -1.0),
                ((size + 1, k + 1), along, 1.0),
            ):
                on_edge = torch.tensor([s, t, 1.0], dtype=torch.float64) @ FACE_AXES[face]
                nearest = (candidates - on_edge).square().sum(-1).argmin()
                numbers[face, where[0], where[1]] = names[nearest]
    return numbers


def _padded(faces: Tensor) -> Tensor:
    """[N, 6, n, n, C] with a border of one texel; missing corners are the mean of three."""
    size = faces.shape[2]
    numbers = _border(size)
    out = faces.flatten(1, 3)[:, numbers.clamp(min=0)]
    whole = torch.zeros_like(out)
    for y, dy in ((0, 1), (size + 1, -1)):
        for x, dx in ((0, 1), (size + 1, -1)):
            mean = (out[:, :, y + dy, x + dx] + out[:, :, y, x + dx] + out[:, :, y + dy, x]) / 3
            place = torch.zeros(size + 2, size + 2, 1, dtype=out.dtype)
            place[y, x] = 1
            whole = whole + mean[:, :, None, None] * place
    return out * (numbers >= 0)[..., None] + whole


def project(direction: Tensor) -> tuple[Tensor, Tensor]:
    """Face [...] and (s, t) [..., 2] of directions."""
    axis = direction.abs().argmax(-1)
    face = 2 * axis + (direction.gather(-1, axis[..., None])[..., 0] < 0)
    on_face = torch.einsum("...kd,...d->...k", FACE_AXES[face], direction)
    return face, (on_face[..., :2] / on_face[..., 2:] + 1) / 2


def project_da(direction: Tensor, da: Tensor) -> Tensor:
    """[..., 4] derivatives of (s, t), by torch's forward mode."""
    face, _ = project(direction)

    def st(d: Tensor) -> Tensor:
        on_face = torch.einsum("...kd,...d->...k", FACE_AXES[face], d)
        return (on_face[..., :2] / on_face[..., 2:] + 1) / 2

    pairs = da.unflatten(-1, (3, 2))
    sides = [torch.func.jvp(st, (direction,), (pairs[..., k],))[1] for k in (0, 1)]
    return torch.stack(sides, dim=-1).flatten(-2)


def cube(faces: Tensor, direction: Tensor, nearest: bool = False) -> Tensor:
    """One level [N, 6, n, n, C] at directions [N, h, w, 3]."""
    size = faces.shape[2]
    face, st = project(direction)
    image = torch.arange(len(faces))[:, None, None].expand_as(face)
    x, y = st[..., 0] * size, st[..., 1] * size
    if nearest:
        return faces[image, face, y.floor().long().clamp(0, size - 1), x.floor().long().clamp(0, size - 1)]
    whole = _padded(faces)
    x, y = x + 0.5, y + 0.5
    i, j = x.floor().long(), y.floor().long()
    fx, fy = (x - i)[..., None], (y - j)[..., None]
    low = whole[image, face, j, i] * (1 - fx) + whole[image, face, j, i + 1] * fx
    high = whole[image, face, j + 1, i] * (1 - fx) + whole[image, face, j + 1, i + 1] * fx
    return low * (1 - fy) + high * fy


def sample(
    levels: list[Tensor],
    uv: Tensor,
    da: Tensor | None = None,
    bias: Tensor | None = None,
    filter_mode: str = "linear",
    boundary: str = "wrap",
) -> Tensor:
    """The whole operation in float64; `levels` from `pyramid` or the user's own."""
    levels = [level.expand(len(uv), *level.shape[1:]) for level in levels]

    def one(level: Tensor) -> Tensor:
        if boundary == "cube":
            return cube(level, uv, filter_mode == "nearest")
        return flat(level, uv, boundary, filter_mode == "nearest")

    if "mipmap" not in filter_mode:
        return one(levels[0])
    height, width = levels[0].shape[-3:-1]
    at = torch.zeros(uv.shape[:3], dtype=uv.dtype)
    if da is not None:
        at = level_of(project_da(uv, da) if boundary == "cube" else da, width, height)
    if bias is not None:
        at = at + bias
    at = at.clamp(0, len(levels) - 1)[..., None]
    if filter_mode == "linear-mipmap-nearest":
        at = (at + 0.5).floor()
    # A tent per level: 1 at the level itself, 0 at its neighbours.
    return sum((1 - (at - k).abs()).clamp(min=0) * one(level) for k, level in enumerate(levels))
