"""texture: every filter, boundary and gradient against the plain float64 reference."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from studio.core.kernels import launcher
from studio.core.ops import texture
from tests import texture_reference as reference

FILTERS = ("nearest", "linear", "linear-mipmap-nearest", "linear-mipmap-linear")
BOUNDARIES = ("wrap", "clamp", "zero", "cube")
SIZES = {"power of two": (8, 16), "odd": (7, 13), "row": (1, 11), "column": (6, 1), "texel": (1, 1)}


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def inputs(boundary: str, size: tuple[int, int], images: int = 2, channels: int = 3) -> list[Tensor]:
    """tex, uv, uv_da, bias; footprints of a third to 8 texels, so that all levels take part."""
    if boundary == "cube":
        tex = random(images, 6, size[1], size[1], channels, seed=1)
        uv = random(2, 9, 14, 3, seed=2)
        da = random(2, 9, 14, 6, seed=3) * uv.norm(dim=-1, keepdim=True)
    else:
        tex = random(images, *size, channels, seed=1)
        uv = random(2, 9, 14, 2, seed=2)
        da = random(2, 9, 14, 4, seed=3)
    return [tex, uv, da * random(2, 9, 14, 1, seed=4).exp2() / size[1], 0.3 * random(2, 9, 14, seed=5)]


def compare(boundary: str, filter_mode: str, values: list[Tensor], device: torch.device) -> dict[str, float]:
    """Worst errors of the output and each gradient, relative to the largest entry."""
    mipped = "mipmap" in filter_mode
    ours = [v.to(device).requires_grad_() for v in values]
    theirs = [v.detach().cpu().double().requires_grad_() for v in values]
    used = 4 if mipped else 2
    out = texture(*ours[:used], filter_mode=filter_mode, boundary_mode=boundary)
    levels = reference.pyramid(theirs[0]) if mipped else [theirs[0]]
    expected = reference.sample(levels, *theirs[1:used], filter_mode=filter_mode, boundary=boundary)
    weight = random(*out.shape, seed=6)
    grads = torch.autograd.grad((out * weight.to(device)).sum(), ours[:used], allow_unused=True)
    wanted = torch.autograd.grad((expected * weight).sum(), theirs[:used], allow_unused=True)
    names = ("output", "tex", "uv", "uv_da", "bias")
    errors = {}
    for name, a, b in zip(names, (out, *grads), (expected, *wanted)):
        b = torch.zeros_like(theirs[names.index(name) - 1]) if b is None else b
        a = torch.zeros_like(b) if a is None else a
        errors[name] = float(
            (a.detach().cpu() - b.detach()).abs().max() / b.detach().abs().max().clamp(min=1e-3)
        )
    return errors


# float32 against float64: rounding of uv times the size, of the level, and of sums.
LIMIT = 2e-4


@pytest.mark.parametrize("size", SIZES.values(), ids=list(SIZES))
@pytest.mark.parametrize("filter_mode", FILTERS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_matches_the_reference(device, boundary, filter_mode, size) -> None:
    errors = compare(boundary, filter_mode, inputs(boundary, size), device)
    assert max(errors.values()) < LIMIT, errors


@pytest.mark.parametrize(("boundary", "channels"), [("wrap", 1), ("zero", 4), ("clamp", 16), ("cube", 15)])
def test_shared_textures_of_any_channel_count(device, boundary, channels) -> None:
    errors = compare(boundary, "linear-mipmap-linear", inputs(boundary, (7, 13), 1, channels), device)
    assert max(errors.values()) < LIMIT, errors


@pytest.mark.parametrize(("boundary", "size"), [("wrap", (190, 61)), ("cube", (24, 24))])
def test_threads_share_the_texels_of_large_textures(boundary, size) -> None:
    """However many threads there are, each texel gets everything, once."""
    values = inputs(boundary, size, 1)
    before = launcher.use_threads(1)
    try:
        for threads in (1, 2, 3, 7):
            launcher.use_threads(threads)
            for filter_mode in ("nearest", "linear-mipmap-linear"):
                errors = compare(boundary, filter_mode, values, torch.device("cpu"))
                assert max(errors.values()) < LIMIT, (threads, filter_mode, errors)
    finally:
        launcher.use_threads(before)
