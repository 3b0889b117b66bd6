"""Cases for texture: every filter, boundary and input, user's own levels, cube maps.

A lookup is smooth as long as it stays between the same texel centres and the same two levels.
Candidates are drawn at random and those kept that stay clear of both, on every level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks._gradient_check import LINEAR, ROUNDING, Case, random
from studio.core.ops import texture, texture_construct_mip

PIXELS = (1, 6, 8)
FILTERS = ("nearest", "linear", "linear-mipmap-nearest", "linear-mipmap-linear")
_CLEAR = 0.15
"""Distance kept from texel centres and whole levels, in texels of each level and in levels."""


@dataclass(frozen=True)
class Lookup:
    """Coordinates or directions, their screen derivatives, and a bias of the level."""

    uv: Tensor
    uv_da: Tensor
    bias: Tensor


def _between(position: Tensor) -> Tensor:
    """Whether coordinates in texels lie clear of texel centres."""
    inside = (position - 0.5) % 1.0
    return ((inside > _CLEAR) & (inside < 1 - _CLEAR)).all(dim=-1)


def _footprint_level(jacobian: Tensor) -> tuple[Tensor, Tensor]:
    """log2 of the longest axis, and whether it is clearly longer than the other (else it kinks)."""
    axes = torch.linalg.svdvals(jacobian)
    return torch.log2(axes[..., 0]), axes[..., 0] > 1.4 * axes[..., 1]


def _pick(good: Tensor, *candidates: Tensor) -> list[Tensor]:
    """As many good candidates as there are pixels, in the pixels' shape."""
    count = PIXELS[0] * PIXELS[1] * PIXELS[2]
    chosen = good.nonzero()[:count, 0]
    if len(chosen) < count:
        raise RuntimeError("too few candidates stay clear of the kinks")
    return [c[chosen].view(*PIXELS, *c.shape[1:]).contiguous() for c in candidates]


def _levels_clear(level: Tensor, most: int) -> Tensor:
    """Clear of whole levels, and of halves, where the nearest level changes."""
    fraction = level % 1.0
    fraction = torch.where((fraction - 0.5).abs() > 0.05, fraction, 0.0)
    return (level > _CLEAR) & (level < most - _CLEAR) & (fraction > _CLEAR) & (fraction < 1 - _CLEAR)


def flat_lookup(height: int, width: int, most: int, seed: int, reach: float) -> Lookup:
    """For a texture of that size whose levels 0 to `most` are sampled; uv in -reach .. 1 + reach."""
    count = 200_000
    uv = (random(count, 2, seed=seed) - 0.5) * (1 + 2 * reach) + 0.5
    bias = 0.8 * random(count, seed=seed + 1) - 0.4
    # Footprints of a fifth of the texture and less, so that several levels are met.
    uv_da = (random(count, 4, seed=seed + 2) - 0.5) * 0.4
    size = torch.tensor([width, height], dtype=torch.float32)
    level, kinkless = _footprint_level(uv_da.view(-1, 2, 2) * size[:, None])
    good = kinkless & _levels_clear(level, most) & _levels_clear(level + bias, most)
    for i in range(most + 1):
        good &= _between(uv * torch.tensor([max(width >> i, 1), max(height >> i, 1)]))
    return Lookup(*_pick(good, uv, uv_da, bias))


def cube_lookup(side: int, most: int, seed: int) -> Lookup:
    """Directions on all six faces; some lie between texels of two faces."""
    count = 200_000
    direction = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    direction_da = 0.25 * (random(count, 3, 2, seed=seed + 1) - 0.5)
    bias = 0.8 * random(count, seed=seed + 2) - 0.4
    major = direction.abs().argmax(dim=1, keepdim=True)
    others = torch.cat([(major + 1) % 3, (major + 2) % 3], dim=1)
    m = direction.gather(1, major)
    st = direction.gather(1, others) / m
    dm = direction_da.gather(1, major[..., None].expand(-1, -1, 2))
    dst = direction_da.gather(1, others[..., None].expand(-1, -1, 2))
    level, kinkless = _footprint_level((dst - st[..., None] * dm) / m[..., None] * (side / 2))
    good = kinkless & _levels_clear(level, most) & _levels_clear(level + bias, most)
    good &= (st.abs() < 0.97).all(dim=1) & (m[:, 0].abs() > 0.4)
    for i in range(most + 1):
        good &= _between((0.5 + 0.5 * st) * max(side >> i, 1))
    return Lookup(*_pick(good, direction, direction_da.flatten(1), bias))


def _cases_of(op: str, tex: Tensor, at: Lookup, chosen: str, boundary: str) -> list[Case]:
    """All inputs that this filter differentiates; `at` is clear of its kinks."""
    mipped = "mipmap" in chosen

    def sample(t: Tensor, uv: Tensor, da: Tensor | None, bias: Tensor | None) -> Tensor:
        if not mipped:
            da = bias = None
        return texture(t, uv, da, bias, filter_mode=chosen, boundary_mode=boundary)

    moves: list[tuple[str, Tensor, Callable[[Tensor], Tensor], float, float, str]] = [
        ("tex", tex, lambda t: sample(t, at.uv, at.uv_da, at.bias), 0.1, 1e-5, LINEAR)
    ]
    if chosen != "nearest":
        moves.append(("uv", at.uv, lambda c: sample(tex, c, at.uv_da, at.bias), 2e-3, 2e-4, ROUNDING))
    if chosen == "linear-mipmap-linear":
        moves += [
            ("uv_da", at.uv_da, lambda d: sample(tex, at.uv, d, at.bias), 2e-3, 2e-4, ROUNDING),
            ("bias", at.bias, lambda b: sample(tex, at.uv, at.uv_da, b), 3e-2, 2e-4, ROUNDING),
        ]
    return [Case(op, *move) for move in moves]


def _stack_cases(tex: Tensor, at: Lookup) -> list[Case]:
    """Levels made ahead, levels of the user's own, and the level given outright."""
    own = [random(1, 8, 4, 3, seed=31), random(1, 4, 2, 3, seed=32)]
    # Levels 0.2 to 1.8, away from 1.
    level = torch.where(at.bias > 0, 1.5, 0.5) + 0.7 * at.bias

    def levels(t: Tensor, first: Tensor, second: Tensor) -> Tensor:
        return texture(t, at.uv, at.uv_da, mip=[first, second])

    made, mine = "texture, texture_construct_mip", "texture, list of levels"
    direct = "texture, mip_level_bias alone"
    return [
        Case(
            made,
            "tex",
            tex,
            lambda t: texture(t, at.uv, at.uv_da, mip=texture_construct_mip(t)),
            0.1,
            1e-5,
            LINEAR,
        ),
        Case(mine, "tex", tex, lambda t: levels(t, *own), 0.1, 1e-5, LINEAR),
        Case(mine, "mip[0]", own[0], lambda m: levels(tex, m, own[1]), 0.1, 1e-5, LINEAR),
        Case(mine, "mip[1]", own[1], lambda m: levels(tex, own[0], m), 0.1, 1e-5, LINEAR),
        Case(mine, "uv_da", at.uv_da, lambda d: texture(tex, at.uv, d, mip=list(own)), 2e-3, 2e-4, ROUNDING),
        Case(
            direct,
            "bias",
            level,
            lambda b: texture(tex, at.uv, mip_level_bias=b, max_mip_level=2),
            3e-2,
            2e-4,
            ROUNDING,
        ),
    ]


def texture_cases() -> list[Case]:
    """Filters x boundaries x inputs, then stacks, odd sizes and cube maps."""
    tex, odd, cube = (
        random(1, 16, 8, 3, seed=21),
        random(1, 11, 7, 3, seed=22),
        random(1, 6, 8, 8, 3, seed=23),
    )
    cases = []
    for boundary, reach in (("wrap", 1.0), ("clamp", 0.3), ("zero", 0.3)):
        at = flat_lookup(16, 8, 3, seed=40, reach=reach)
        for chosen in FILTERS:
            cases += _cases_of(f"texture, {boundary}, {chosen}", tex, at, chosen, boundary)
    at = flat_lookup(11, 7, 2, seed=50, reach=1.0)
    cases += _cases_of("texture 11 x 7, linear-mipmap-linear", odd, at, FILTERS[-1], "wrap")
    cases += _stack_cases(tex, flat_lookup(16, 8, 2, seed=60, reach=0.5))
    at = cube_lookup(8, 3, seed=70)
    for chosen in FILTERS:
        cases += _cases_of(f"texture, cube, {chosen}", cube, at, chosen, "cube")
    return cases
