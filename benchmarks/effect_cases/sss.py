"""Subsurface scattering at 512x512: a wavy surface that fills the picture, and plain torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from studio.core.ops.sss import scatter

SIZE = 512
TAPS = 8


@dataclass(frozen=True, eq=False)
class Inputs:
    """What `scatter` takes."""

    color: Tensor
    irradiance: Tensor
    diffuse_albedo: Tensor
    depth: Tensor
    normal: Tensor
    subsurface: Tensor
    distance: Tensor
    strength: Tensor
    pixels: Tensor
    spacing: Tensor

    def images(self) -> list[Tensor]:
        return [getattr(self, f.name) for f in fields(self)[:6]]

    def leaves(self) -> list[Tensor]:
        """Copies of all that has a gradient."""
        return [t.clone().requires_grad_() for t in (*self.images(), self.distance, self.strength)]

    def with_value(self, name: str, value: Tensor) -> Inputs:
        return replace(self, **{name: value})

    def picture(self, split: str = "both") -> Tensor:
        return scatter(*self.images(), self.distance, self.strength, self.pixels, self.spacing, split)


def inputs(width: int, height: int) -> Inputs:
    """Smooth everything, with a corner that does not scatter; distances .25, .12 and .06."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    depth = 3 + 0.2 * torch.sin(3 * x) * torch.cos(2 * y)
    normal = torch.stack([0.4 * torch.sin(3 * x + y), 0.3 * torch.cos(4 * y), torch.ones_like(x)], dim=-1)
    u, v = x[..., None], y[..., None]
    irradiance = 1 + 0.8 * torch.sin(7 * u + torch.tensor([0.0, 1.0, 2.0])) * torch.cos(5 * v)
    albedo = 0.5 + 0.3 * torch.sin(4 * u * v + torch.tensor([0.0, 2.0, 4.0]))
    subsurface = (0.5 + 0.4 * torch.sin(3 * y)) * (x + 0.4 * y > -1.0)
    distance = torch.tensor([0.25, 0.12, 0.06])
    pixels = torch.tensor([[1.2 * width, 1.3 * width]])
    return Inputs(
        (albedo * irradiance)[None],
        irradiance[None],
        albedo[None],
        depth[None, ..., None],
        normalize(normal, dim=-1)[None],
        subsurface[None, ..., None],
        distance,
        torch.tensor([0.8]),
        pixels,
        torch.ceil(3 * distance.max() * pixels / 3 / TAPS).int(),
    )


def _shifted(image: Tensor, rows: int, columns: int) -> Tensor:
    """out[y, x] = image[y + rows, x + columns], zero outside."""
    height, width = image.shape[1:3]
    r, c = abs(rows), abs(columns)
    wide = pad(image, (0, 0, c, c, r, r))
    return wide[:, r + rows : r + rows + height, c + columns : c + columns + width]


def eager(
    color: Tensor,
    irradiance: Tensor,
    diffuse_albedo: Tensor,
    depth: Tensor,
    normal: Tensor,
    subsurface: Tensor,
    distance: Tensor,
    strength: Tensor,
    pixels: Tensor,
    spacing: Tensor,
    split: str = "both",
) -> Tensor:
    """`scatter` of one picture in plain torch."""
    one, root = torch.ones_like(diffuse_albedo), diffuse_albedo.clamp(min=1e-3).sqrt()
    before = {"post": one, "both": root, "pre": diffuse_albedo}[split]
    after = {"post": diffuse_albedo, "both": root, "pre": one}[split]
    inside = (subsurface > 0).to(color.dtype)
    blurred, normal = irradiance * before * inside, normal * inside
    for axis in (0, 1):
        apart = int(spacing[0, axis])
        total, weights = 3 * blurred, torch.full_like(blurred, 3.0)
        for k in range(1, TAPS + 1):
            f = torch.exp(-((k * apart * depth / pixels[0, axis] / distance) ** 2) / 2)
            for side in (-k * apart, k * apart):
                shift = (0, side) if axis == 0 else (side, 0)
                t = (normal * _shifted(normal, *shift)).sum(dim=-1, keepdim=True).clamp(min=0)
                gap = _shifted(depth, *shift) - depth
                stop = torch.exp(-gap * gap / (2 * distance.mean() ** 2))
                w = (f + 2 * f**4) * t * t * stop
                total = total + w * _shifted(blurred, *shift)
                weights = weights + w
        blurred = total / weights
    change = after * blurred - diffuse_albedo * irradiance
    return color + strength * subsurface * inside * change


def case() -> tuple[Callable[[], object], Callable[[], object], Callable[[], object]]:
    """(forward, forward and backward, the same in plain torch) at SIZE squared."""
    given = inputs(SIZE, SIZE)
    weights = torch.randn(1, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(0))

    def backward(function: Callable[..., Tensor]) -> None:
        function(*given.leaves(), given.pixels, given.spacing).backward(weights)

    def forward() -> Tensor:
        with torch.no_grad():
            return given.picture()

    return forward, lambda: backward(scatter), lambda: backward(eager)
