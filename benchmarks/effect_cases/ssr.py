"""Screen-space reflections: a room to reflect, and the formula in plain torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from studio.core.kernels import ssr_ray as constants
from studio.core.ops.pyramid import pyramid
from studio.core.ops.ssr import LEVELS, March, reflected_radiance

LENS = 1.6
"""P00 and P11 of the room's camera."""


def room(
    size: int,
    tilt: Tensor | float = 0.0,
    roll: Tensor | float = 0.0,
    wall: Tensor | float = 5.0,
    roughness: Tensor | float = 0.3,
    tint: Tensor | None = None,
    waves: float = 0.0,
) -> dict[str, Any]:
    """Arguments of reflected_radiance: a glossy floor under a painted wall, from formulas.

    Args:
        size: pixels each way.
        tilt, roll: of the floor about x and z, radians. wall: its distance.
        roughness: of the floor; the wall has 1, so that it reflects nothing.
        tint: [3] factor of the wall's colour.
        waves: height of waves on the wall.
    Returns:
        float32 tensors, differentiable in the arguments (outlines apart).
    """
    number = torch.float64
    tilt, roll, wall, roughness = (torch.as_tensor(v, dtype=number) for v in (tilt, roll, wall, roughness))
    at = (torch.arange(size, dtype=number) + 0.5) * 2 / size - 1
    y, x = torch.meshgrid(at / LENS, at / LENS, indexing="ij")
    toward = torch.stack([x, y, -torch.ones_like(x)], dim=-1)
    up = torch.stack([roll.sin(), roll.cos() * tilt.cos(), roll.cos() * tilt.sin()])
    pivot = torch.tensor([0.0, -1.0, -3.0], dtype=number)
    along = toward @ up
    floor = torch.where(along < -1e-6, (up * pivot).sum() / along.clamp(max=-1e-6), 1e3)
    back = wall + waves * (2 * wall * x).sin() * (2 * wall * y).sin()
    depth = torch.minimum(floor, back)
    is_floor = (floor < back)[..., None]
    p = toward * depth[..., None]
    paint = torch.stack([2 * p[..., 0] + 1, 3 * p[..., 1], 2 * p[..., 0] + 2 * p[..., 1]], dim=-1)
    color = (0.5 + 0.4 * paint.sin()) * (1.0 if tint is None else tint)
    facing = torch.tensor([0.0, 0.0, 1.0], dtype=number)
    images = {
        "color": torch.where(is_floor, 0.1, color),
        "depth": depth[..., None],
        "normal": torch.where(is_floor, up, facing),
        "perceptual_roughness": torch.where(is_floor, roughness, 1.0),
    }
    return {
        **{name: image[None].float() for name, image in images.items()},
        "world_to_view": torch.eye(4)[None],
        "lens": torch.tensor([[LENS, LENS, 0.0, 0.0]]),
        "far": torch.tensor([100.0]),
    }


def _fade(low: float, high: float, x: Tensor) -> Tensor:
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _cell(xy: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """[P, 4] pixel numbers and weights of the four centres around positions [P, 2]."""
    corner = (xy - 0.5).floor()
    fx, fy = ((xy - 0.5) - corner).unbind(-1)
    cx, cy = corner.long().unbind(-1)
    columns = torch.stack([cx, cx + 1, cx, cx + 1], dim=-1).clamp(0, width - 1)
    rows = torch.stack([cy, cy, cy + 1, cy + 1], dim=-1).clamp(0, height - 1)
    weights = torch.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy], dim=-1)
    return rows * width + columns, weights


def _inverse(depth: Tensor, xy: Tensor) -> Tensor:
    """[P] bilinear inverse depth."""
    index, weights = _cell(xy, *depth.shape[1:3])
    return (weights / depth.reshape(-1)[index]).sum(-1)


class _Eager:
    """The formula of kernels/ssr.py and ssr_ray.py for one view, in tensors over the pixels that reflect."""

    def __init__(self, how: March, far: Tensor, lens: Tensor, size: tuple[int, int]):
        self.how, self.far, self.lens = how, far, lens[0]
        self.size = torch.tensor([float(size[1]), float(size[0])])

    def toward(self, xy: Tensor) -> Tensor:
        plane = (2 * xy / self.size - 1 + self.lens[2:]) / self.lens[:2]
        return torch.cat([plane, -torch.ones_like(plane[:, :1])], dim=1)

    def to_pixel(self, q: Tensor) -> Tensor:
        return 0.5 * (self.lens[:2] * q[:, :2] / -q[:, 2:] - self.lens[2:] + 1) * self.size

    def agreement(self, depth: Tensor, xy: Tensor, z: Tensor) -> Tensor:
        index, weights = _cell(xy, *depth.shape[1:3])
        gap = (depth.reshape(-1)[index] - z[:, None]).abs() / (self.how.thickness * z[:, None])
        return (weights * (1 - _fade(0.5, 1.0, gap))).sum(-1)

    def march(self, depth: Tensor, xy: Tensor, p: Tensor, r: Tensor) -> Tensor:
        """[P] length of each ray, 0 without a hit."""
        d, away = -p[:, 2], r[:, 2]
        beyond = (constants.BEFORE_FAR * self.far - d).clamp(min=0)
        end = torch.where(away > 0, 0.95 * d / away.clamp(min=1e-6), beyond / (-away).clamp(min=1e-6))
        end = torch.minimum(end, 1e3 * d)
        tip = p + end[:, None] * r
        run = self.to_pixel(tip) - xy
        limit = torch.where(run > 0, (self.size - xy) / run, torch.where(run < 0, -xy / run, 1.0))
        part = limit.amin(-1).clamp(max=1)
        run = run * part[:, None]
        k = 1 / d
        dk = (-1 / tip[:, 2] - k) * part
        length = run.norm(dim=-1)
        count = length.floor().clamp(1, self.how.steps)
        first = constants.START / length
        step = (1 - first) / count
        t = torch.zeros_like(d)
        u = first
        before = torch.ones_like(d, dtype=torch.bool)
        for i in range(self.how.steps):
            u = u + step
            now = self._front(depth, xy + u[:, None] * run, k + u * dk)
            now |= before & (_inverse(depth, xy + u[:, None] * run) < k + u * dk)
            met = before & ~now & (t == 0) & (i < count) & (length >= constants.NEAR_FADE[0])
            before = now
            if bool(met.any()):
                found = self._crossing(depth, xy[met], run[met], k[met], dk[met], (u - step)[met], u[met])
                here = k[met] + found * dk[met]
                good = self.agreement(depth, xy[met] + found[:, None] * run[met], 1 / here) > 0
                good &= found * length[met] > constants.NEAR_FADE[0]
                t[met] = torch.where(good, found * part[met] * end[met] / -tip[met, 2] / here, 0.0)
        return t

    def _front(self, depth: Tensor, xy: Tensor, k: Tensor) -> Tensor:
        height, width = depth.shape[1:3]
        column = xy[:, 0].long().clamp(0, width - 1)
        row = xy[:, 1].long().clamp(0, height - 1)
        return depth.reshape(-1)[row * width + column] * k > 1

    def _crossing(
        self, depth: Tensor, xy: Tensor, run: Tensor, k: Tensor, dk: Tensor, lo: Tensor, hi: Tensor
    ) -> Tensor:
        def value(u: Tensor) -> Tensor:
            return _inverse(depth, xy + u[:, None] * run) - k - u * dk

        for _ in range(self.how.bisections):
            u = 0.5 * (lo + hi)
            behind = value(u) >= 0
            lo, hi = torch.where(behind, lo, u), torch.where(behind, u, hi)
        u = 0.5 * (lo + hi)
        pixel = 1 / run.norm(dim=-1)
        for _ in range(2):
            with torch.enable_grad():
                at = u.detach().requires_grad_()
                f = value(at)
                (slope,) = torch.autograd.grad(f.sum(), at)
            move = torch.maximum(torch.minimum(f / slope, pixel), -pixel)
            u = torch.where(slope * pixel > 1e-5 * k, u - move, u).detach()
        return u.clamp(0, 1)

    def settled(self, t: Tensor, depth: Tensor, p: Tensor, r: Tensor) -> Tensor:
        """t with the gradient of the root that it is: one Newton step with a fixed slope."""

        def f(length: Tensor, p: Tensor, r: Tensor, depth: Tensor) -> Tensor:
            q = p + length[:, None] * r
            return _inverse(depth, self.to_pixel(q)) + 1 / q[:, 2]

        at = t.detach().requires_grad_()
        (slope,) = torch.autograd.grad(f(at, p.detach(), r.detach(), depth.detach()).sum(), at)
        z = -(p + t[:, None] * r)[:, 2].detach()
        value = f(t, p, r, depth)
        return t - (value - value.detach()) / torch.maximum(slope, constants.LEAST_SLOPE / z**2)


def _lookup(level: Tensor, number: int, xy: Tensor) -> Tensor:
    index, weights = _cell(xy / 2**number, *level.shape[1:3])
    return (weights[..., None] * level.reshape(-1, 4)[index]).sum(1)


def eager(
    color: Tensor,
    depth: Tensor,
    normal: Tensor,
    perceptual_roughness: Tensor,
    world_to_view: Tensor,
    lens: Tensor,
    far: Tensor,
    how: March | None = None,
) -> Tensor:
    """What reflected_radiance returns for one view at stride 1, by torch alone."""
    how = how or March()
    height, width = depth.shape[1:3]
    one = _Eager(how, far, lens, (height, width))
    turned = normal @ world_to_view[:, :3, :3].transpose(1, 2)[:, None]
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    every = torch.stack([x, y], dim=-1).reshape(-1, 2)
    chosen = ((depth < far) & (perceptual_roughness < how.roughness)).reshape(-1).nonzero()[:, 0]
    xy, n, rough = every[chosen], turned.reshape(-1, 3)[chosen], perceptual_roughness.reshape(-1)[chosen]
    toward = one.toward(xy)
    p, v = toward * depth.reshape(-1)[chosen, None], normalize(toward, dim=-1)
    cosine = -(v * n).sum(-1)
    r = v + 2 * cosine[:, None] * n
    with torch.no_grad():
        t = one.march(depth, xy, p, r) * ((cosine > 0) & (r[:, 2] < constants.AWAY_FADE[1]))
    some = t > 0
    chosen, xy, p, r, cosine, rough = (a[some] for a in (chosen, xy, p, r, cosine, rough))
    t = one.settled(t[some], depth, p, r)
    q = p + t[:, None] * r
    z, hit = -q[:, 2], one.to_pixel(q)
    radius = constants.LOBE * rough**2 * t / z * 0.5 * lens[0, 1] * height
    level = (0.5 * torch.log2(1 + radius**2)).clamp(max=LEVELS - 1)
    covered = (depth < far).float()
    images = pyramid(torch.cat([color * covered, covered], dim=3), LEVELS)
    blend = torch.stack([(1 - (level - i).abs()).clamp(min=0) for i in range(LEVELS)])
    value = sum(blend[i][:, None] * _lookup(image, i, hit) for i, image in enumerate(images))
    weight = one.agreement(depth, hit, z)
    weight = weight * _fade(0, how.edge, torch.minimum(hit, one.size - hit) / one.size).prod(-1)
    weight = weight * _fade(constants.NEAR_FADE[0], constants.NEAR_FADE[1], (hit - xy).norm(dim=-1))
    weight = (
        weight
        * _fade(0, constants.GRAZING, cosine)
        * (1 - _fade(constants.AWAY_FADE[0], constants.AWAY_FADE[1], r[:, 2]))
    )
    weight = weight * (1 - _fade(constants.ROUGH_FADE * how.roughness, how.roughness, rough))
    out = torch.zeros(height * width, 4).index_copy(0, chosen, weight[:, None] * value)
    return out.reshape(1, height, width, 4)


LEAVES = ("color", "depth", "normal", "perceptual_roughness")


def case(size: int = 512) -> tuple[Callable[[], Tensor], Callable[[], None], Callable[[], None]]:
    """Forward, forward and backward, and the same in plain torch: a third of the picture is floor."""
    given = room(size, waves=0.2)
    leaves = [given[name].requires_grad_() for name in LEAVES]
    weights = torch.randn(1, size, size, 4, generator=torch.Generator().manual_seed(0))

    def both(function: Callable[..., Tensor]) -> None:
        for leaf in leaves:
            leaf.grad = None
        torch.autograd.backward(function(**given), weights)

    def forward() -> Tensor:
        with torch.no_grad():
            return reflected_radiance(**given)

    return forward, lambda: both(reflected_radiance), lambda: both(eager)
