"""Subsurface scattering: against plain torch, finite differences and what light must do."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.effect_cases.sss import eager, inputs
from studio.core.ops.sss import SPLITS, scatter
from tests.grad.test_effects import agree

NAMES = ("color", "irradiance", "diffuse_albedo", "depth", "normal", "subsurface", "distance", "strength")


@pytest.mark.parametrize("split", SPLITS)
def test_value_and_gradients_are_those_of_plain_torch(split: str) -> None:
    given = inputs(41, 37)
    ours, theirs = given.leaves(), given.leaves()
    picture = scatter(*ours, given.pixels, given.spacing, split)
    expected = eager(*theirs, given.pixels, given.spacing, split)
    assert (picture - expected).abs().max() < 2e-6
    weights = torch.randn(picture.shape, generator=torch.Generator().manual_seed(1))
    (picture * weights).sum().backward()
    (expected * weights).sum().backward()
    for name, a, b in zip(NAMES, ours, theirs):
        assert a.grad is not None
        assert b.grad is not None
        assert (a.grad - b.grad).abs().max() <= 1e-4 * b.grad.abs().max(), name


@pytest.mark.parametrize("name", NAMES)
def test_gradients_against_finite_differences(name: str) -> None:
    given = inputs(23, 21)
    weights = torch.randn(1, 21, 23, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def loss(value: Tensor) -> Tensor:
        if name == "normal":
            value = normalize(value, dim=-1)
        if name == "subsurface":  # which pixels scatter stays
            value = torch.where(given.subsurface > 0, value, 0.0)
        return (given.with_value(name, value).picture().double() * weights).sum()

    # Distances are a tenth of other values: so is their step.
    step = 2e-4 if name == "distance" else 2e-3
    assert agree(loss, getattr(given, name), seed=3, step=step) <= 0.02


def test_several_pictures_have_spacings_of_their_own() -> None:
    one, two = inputs(30, 20), inputs(30, 20)
    two = replace(two, spacing=torch.tensor([[3, 1]], dtype=torch.int32), depth=two.depth * 1.2)
    both = scatter(
        *(torch.cat([a, b]) for a, b in zip(one.images(), two.images())),
        one.distance, one.strength,
        torch.cat([one.pixels, two.pixels]), torch.cat([one.spacing, two.spacing]),
    )  # fmt: skip
    assert torch.equal(both[:1], one.picture())
    assert torch.equal(both[1:], two.picture())


def test_even_light_stays_as_it_is() -> None:
    """Nothing is gained or lost: the weights are normalised."""
    given = replace(inputs(40, 30), irradiance=torch.full((1, 30, 40, 3), 0.7))
    picture = given.picture("post")
    assert (picture - given.color).abs().max() < 1e-6


def test_what_does_not_scatter_stays_and_gives_nothing() -> None:
    given = inputs(40, 30)
    still = given.subsurface[..., 0] == 0
    assert still.any()
    picture = given.picture()
    assert torch.equal(picture[still], given.color[still])
    bright = torch.where(given.subsurface > 0, given.irradiance, 100.0)
    assert torch.equal(replace(given, irradiance=bright).picture()[~still], picture[~still])


def test_light_does_not_cross_a_gap() -> None:
    """A step in depth much longer than the distance keeps both sides apart."""
    given = inputs(60, 20)
    column = torch.arange(60).view(1, 1, 60, 1)
    near = (column < 30).float()
    given = replace(
        given,
        depth=(2.0 * near + 4.0 * (1 - near)).expand(1, 20, 60, 1).contiguous(),
        irradiance=near.expand(1, 20, 60, 3).contiguous(),
        subsurface=torch.ones(1, 20, 60, 1),
    )
    change = (given.picture("post") - given.color).abs()
    assert change.max() < 1e-6
    flat = replace(given, depth=torch.full_like(given.depth, 3.0))
    assert (flat.picture("post") - given.color).abs().max() > 0.05


def test_longer_distances_blur_more_and_each_channel_by_its_own() -> None:
    given = inputs(60, 40)
    edge = (torch.arange(60) < 30).float().view(1, 1, 60, 1).expand(1, 40, 60, 3).contiguous()
    even = replace(
        given,
        irradiance=edge,
        diffuse_albedo=torch.ones_like(edge),
        color=edge,
        depth=torch.full_like(given.depth, 3.0),
        normal=torch.tensor((0.0, 0.0, 1.0)).expand(1, 40, 60, 3).contiguous(),
        subsurface=torch.ones_like(given.subsurface),
        strength=torch.ones(1),
    )
    across = even.picture()[0, 20]
    width = [float((across[:, c] > 0.02).sum() - (across[:, c] > 0.98).sum()) for c in range(3)]
    assert width[0] > 1.3 * width[1] > 1.3 * 1.3 * width[2]
    assert (across.diff(dim=0) <= 1e-6).all()  # light falls off to the dark side


@dataclass(frozen=True)
class Start:
    name: str
    distance: tuple[float, float, float]


@pytest.mark.parametrize(
    "start",
    [Start("short", (0.06, 0.06, 0.06)), Start("long", (0.45, 0.45, 0.45))],
    ids=lambda s: s.name,
)
def test_distances_are_found_from_a_picture(start: Start) -> None:
    """The three distances, from below and from above, within 2 %."""
    given = inputs(48, 48)
    given = replace(given, strength=torch.ones(1), subsurface=torch.ones_like(given.subsurface))
    target = given.picture()
    logarithm = torch.tensor(start.distance).log().requires_grad_()
    # Short memory of the slopes: the longest distance has the largest ones.
    optimizer = torch.optim.Adam([logarithm], lr=0.05, betas=(0.8, 0.9))
    for step in range(200):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * 0.5 * (1 + math.cos(math.pi * step / 200)) + 1e-4
        optimizer.zero_grad()
        loss = (replace(given, distance=logarithm.exp()).picture() - target).square().mean()
        loss.backward()
        optimizer.step()
    error = (logarithm.detach().exp() / given.distance - 1).abs().max()
    assert error < 0.02


def test_strength_is_found_from_a_picture() -> None:
    given = inputs(40, 40)
    target = given.picture()
    for start in (0.1, 1.5):
        strength = torch.tensor([start], requires_grad=True)
        optimizer = torch.optim.Adam([strength], lr=0.05)
        for _ in range(120):
            optimizer.zero_grad()
            (replace(given, strength=strength).picture() - target).square().mean().backward()
            optimizer.step()
        assert float(strength.detach()) == pytest.approx(float(given.strength), rel=0.02)
