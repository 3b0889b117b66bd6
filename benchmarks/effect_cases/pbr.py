"""Shading with four lights, every pixel covered; in plain torch the direct lights alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import normalize

from studio.core.ops.shading import shade_metallic_roughness

SIZE = 512


def surface() -> list[Tensor]:
    """albedo, normal, position, roughness and metallic of a bumpy wall, [1, SIZE, SIZE, C]."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.meshgrid(torch.linspace(-1, 1, SIZE), torch.linspace(-1, 1, SIZE), indexing="xy")
    position = torch.stack([x, y, 0.1 * torch.sin(3 * x) * torch.cos(4 * y)], -1)[None]
    normal = normalize(
        torch.stack([-0.3 * torch.cos(3 * x), 0.4 * torch.sin(4 * y), torch.ones_like(x)], -1), dim=-1
    )
    albedo = torch.rand(1, SIZE, SIZE, 3, generator=generator)
    return [albedo, normal[None], position, 0.3 + 0.5 * albedo[..., :1], albedo[..., 1:2].clone()]


def lights() -> tuple[Tensor, Tensor, Tensor]:
    """kind, vector and radiance: two suns and two lamps."""
    vector = torch.tensor([(0.3, 0.2, 0.9), (-0.5, 0.4, 0.7), (0.6, 0.5, 1.5), (-0.7, -0.5, 1.2)])
    vector[:2] = normalize(vector[:2], dim=-1)
    return torch.tensor([0, 0, 1, 1], dtype=torch.int32), vector, torch.ones(4, 3)


def eager(images: list[Tensor], camera: Tensor) -> Tensor:
    """[1, SIZE, SIZE, 3] the direct lights' GGX and Lambert terms, f0 mixed, not compensated."""
    albedo, n, p, rough, metallic = images
    v = normalize(camera - p, dim=-1)
    nov = (n * v).sum(-1, keepdim=True).clamp(1e-4, 1)
    a2 = rough.clamp(min=0.045) ** 4
    f0 = 0.04 * (1 - metallic) + albedo * metallic
    color = torch.zeros_like(albedo)
    for kind, vector, radiance in zip(*lights()):
        d = vector - p if kind else vector.expand(p.shape)
        length2 = (d * d).sum(-1, keepdim=True)
        e = radiance / length2 if kind else radiance
        light = d * length2.rsqrt()
        nol = (n * light).sum(-1, keepdim=True).clamp(min=1e-6)
        h = normalize(light + v, dim=-1)
        noh, loh = (n * h).sum(-1, keepdim=True), (light * h).sum(-1, keepdim=True)
        d_ggx = a2 / ((noh * noh) * (a2 - 1) + 1) ** 2
        below = nol * torch.sqrt(nov**2 * (1 - a2) + a2) + nov * torch.sqrt(nol**2 * (1 - a2) + a2)
        fresnel = f0 + (1 - f0) * (1 - loh) ** 5
        color = color + e * nol * ((1 - metallic) * albedo + fresnel * d_ggx * 0.5 / below)
    return color


def case() -> tuple[Callable[[], Tensor], Callable[[], Tensor], Callable[[], Tensor]]:
    images = [t.requires_grad_() for t in surface()]
    camera, sh = torch.tensor([[0.0, 0.0, 3.0]]), torch.zeros(25, 3)
    sh[0] = 1.0
    rast, eye, f0 = torch.ones(1, SIZE, SIZE, 4), torch.eye(4)[None], torch.tensor([0.04])

    def ours() -> Tensor:
        return shade_metallic_roughness(rast, *images, camera, eye, *lights(), sh, f0)["color"]

    def forward() -> Tensor:
        with torch.no_grad():
            return ours()

    def both() -> Tensor:
        color = ours()
        color.square().sum().backward()
        return color

    def plain() -> Tensor:
        color = eager(images, camera)
        color.square().sum().backward()
        return color

    return forward, both, plain
