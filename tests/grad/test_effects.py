"""Every effect's gradients against finite differences, for whatever the registry holds.

The frame is a bumpy surface that fills the picture, so nothing is discontinuous: what is
tested is the smooth part. Silhouettes have their own tests with the primitives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from studio.core.channels import CHANNELS, PICTURE
from studio.core.effects import get, registry
from studio.core.effects.effect import Effect
from studio.core.gbuffer import CameraBatch, Frame, LightTensors
from studio.core.params import ParamSet
from studio.core.pipeline import render
from studio.core.scene import Camera, Light, Lighting, Material, Mesh, look_at
from studio.core.tensors import SceneTensors
from tests.scenes import effects_with, environment

TOLERANCE = 0.02
# Fourth-order differences in float32 with sums in float64: truncation below 1e-4 of the value
# at this step, rounding of a few thousand pixels about 1e-3.
STEP = 2e-3
FIXED = {"rast", "covered", "id", "part", "uv", "edge_depth", "swept_depth"}
"""Channels that carry no gradient by design."""
PIECEWISE = {"environment"}
"""Effects made of bilinear lookups: continuous, but with a kink at every texel, so that finite
differences are compared with the mean of the gradient along the way."""
RELIEF = {"ssao": 0.9}
"""Height of the hills, where gentle ones would show nothing of an effect."""

WIDE = {
    # Area lights look the lobe up in a table, which bends at its texels.
    ("pbr", "perceptual_roughness"): 5e-4,
    ("sss", "normal"): 1.6e-2,
}
"""Steps of channels on which little depends (large, against rounding) or that bend (small)."""


def surface(height: float = 0.15) -> Mesh:
    """Hills, seen from +Z, wider than any picture taken of them."""
    axis = np.linspace(-2, 2, 24)
    x, y = (a.ravel() for a in np.meshgrid(axis, axis))
    z = height * np.sin(2.1 * x) * np.cos(1.7 * y)
    index = np.arange(24 * 24).reshape(24, 24)
    a, b, c, d = (i.ravel() for i in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    # Attributes vary slowly: a kink at an edge is where a triangle's slope ends and its
    # neighbour's begins, and finite differences across it are of neither.
    wave = 0.5 + 0.3 * np.sin(np.stack([x + 0.5 * y, 0.8 * y - x, 1.2 * x * y], axis=1))
    return Mesh(
        vertices=np.stack([x, y, z], axis=1).astype(np.float32),
        faces=np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32),
        colors=wave.astype(np.float32),
        roughness=(0.1 + wave[:, :1]).astype(np.float32),
        metallic=wave[:, 1:2].astype(np.float32),
        material=Material(subsurface=0.7, emissive=(0.1, 0.06, 0.03)),
    )


def lighting(fixed_to: str) -> LightTensors:
    lamp = Light(kind="point", position=(0.6, 0.5, 1.5), color=(1.0, 0.8, 0.6), intensity=2.0)
    sun = Light(direction=(-0.4, 0.3, 0.9), intensity=0.6)
    spot = Light("spot", (0.3, -0.1, 1.0), (0.5, -0.3, 1.2), intensity=1.5, inner_angle=5, outer_angle=45)
    panel = Light("area", (-0.4, 0.2, 1.0), (-0.7, 0.4, 1.4), intensity=3.0, width=0.9, height=0.6)
    return LightTensors.from_lighting(Lighting([lamp, sun, spot, panel], environment(4), fixed_to))  # type: ignore[arg-type]


def cameras() -> CameraBatch:
    eyes = [(0.3, 0.2, 2.0), (-0.4, 0.1, 1.8)]
    made = [Camera(20, 16, 26, 24, 9, 8, look_at(np.array(e), np.zeros(3)), near=0.5, far=5.0) for e in eyes]
    return CameraBatch.from_cameras(made)


def agree(loss: Callable[[Tensor], Tensor], value: Tensor, seed: int, step: float = STEP) -> float:
    """Worst relative difference of directional derivatives along three random directions."""
    leaf = value.detach().clone().requires_grad_()
    loss(leaf).backward()
    assert leaf.grad is not None
    generator = torch.Generator().manual_seed(seed)
    worst = 0.0
    for _ in range(3):
        direction = torch.randn(value.shape, generator=generator)
        exact = float((leaf.grad.double() * direction).sum())
        with torch.no_grad():

            def at(t: float, direction: Tensor = direction) -> float:
                return float(loss(value + t * direction))

            numeric = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
        typical = float((leaf.grad.double() ** 2).sum().sqrt())
        worst = max(worst, abs(exact - numeric) / max(abs(numeric), 0.1 * typical, 1e-6))
    return worst


def agree_on_the_way(loss: Callable[[Tensor], Tensor], value: Tensor, seed: int, step: float = STEP) -> float:
    """As `agree`, for a function that is smooth in pieces: the difference over a wide step against
    the mean of the gradient at 16 places in between."""
    generator = torch.Generator().manual_seed(seed)
    worst = 0.0
    for _ in range(2):
        direction = torch.randn(value.shape, generator=generator)
        slopes, sizes = [], []
        for place in (torch.arange(16) - 7.5) / 8:
            leaf = (value.detach() + place * step * direction).requires_grad_()
            loss(leaf).backward()
            assert leaf.grad is not None
            slopes.append(float((leaf.grad.double() * direction).sum()))
            sizes.append(float((leaf.grad.double() ** 2).sum().sqrt()))
        with torch.no_grad():
            ends = [float(loss(value + sign * step * direction)) for sign in (1, -1)]
        numeric = (ends[0] - ends[1]) / (2 * step)
        floor = max(abs(numeric), 0.1 * float(np.mean(sizes)), 1e-6)
        worst = max(worst, abs(float(np.mean(slopes)) - numeric) / floor)
    return worst


def agreement(name: str) -> Callable[..., float]:
    """How gradients of an effect are compared with finite differences."""
    return agree_on_the_way if name in PIECEWISE else agree


def frame_for(name: str, fixed_to: str = "world", takes: bool = False) -> tuple[Frame, ParamSet]:
    """A frame with every channel that the effect reads, and its off-default parameters.

    With `takes`, also with those it takes: made up, where the surface has none.
    """
    effect = get(name)
    effects = effects_with(name, changed=True)
    under = {n: p for n, p in effects.items() if n != name}
    tensors = SceneTensors.from_meshes([surface(RELIEF.get(name, 0.15))])
    asked = [c for c in effect.reads if c not in PICTURE | {"rast"}]
    asked += [c for c in effect.takes if takes and not CHANNELS[c].effect]
    with torch.no_grad():
        frame = render(tensors, cameras(), lighting(fixed_to), None, under, asked)
    assert (frame["rast"][..., 3] > 0).all()  # the surface fills the picture
    generator = torch.Generator().manual_seed(7)
    for channel in effect.takes if takes else ():
        size = CHANNELS[channel].size
        made = 0.2 + 0.6 * torch.rand(*frame["rast"].shape[:3], size, generator=generator)
        frame.channels.setdefault(channel, made)
    frame.wanted = frozenset(effect.offers)
    return frame, effects[name]


def weighted(outputs: dict[str, Tensor], writes: tuple[str, ...]) -> Tensor:
    """A scalar in float64 that every written value takes part in."""
    total = torch.zeros((), dtype=torch.float64)
    for i, name in enumerate(writes):
        if name not in outputs:
            continue
        generator = torch.Generator().manual_seed(100 + i)
        total = total + (outputs[name].double() * torch.randn(outputs[name].shape, generator=generator)).sum()
    return total


def written(effect: Effect) -> tuple[str, ...]:
    return (*effect.writes, *effect.offers)


def channel_cases() -> list[tuple[str, str]]:
    return [
        (name, channel)
        for name, e in registry().items()
        for channel in (*e.reads, *e.takes)
        if channel not in FIXED
    ]


def channel_error(name: str, channel: str) -> float:
    """How far the gradient to a channel is off, as a share."""
    effect = get(name)
    frame, params = frame_for(name, takes=channel in effect.takes)

    def loss(value: Tensor) -> Tensor:
        moved = normalize(value, dim=-1) if channel == "normal" else value
        changed = replace(frame, channels={**frame.channels, channel: moved})
        return weighted(effect.apply(changed, params), written(effect))

    step = WIDE.get((name, channel), STEP)
    return agreement(name)(loss, frame[channel].contiguous(), seed=1, step=step)


@pytest.mark.parametrize(("name", "channel"), channel_cases())
def test_channels(name: str, channel: str) -> None:
    assert channel_error(name, channel) <= TOLERANCE


def param_cases() -> list[tuple[str, str]]:
    smooth = [(name, p) for name, e in registry().items() for p in e.params if not p.discontinuous]
    return [(name, p.name) for name, p in smooth if p.differentiable]


def param_error(name: str, param: str) -> float:
    """How far the gradient to a parameter is off, as a share."""
    frame, params = frame_for(name, takes=True)
    effect = get(name)
    start = torch.tensor(params[param], dtype=torch.float32)

    def loss(value: Tensor) -> Tensor:
        own = params.copy()
        own.attach(param, value)
        return weighted(effect.apply(frame, own), written(effect))

    # A widget's step says what is little in the parameter's own unit.
    step = max(STEP, 0.2 * next(p.step for p in effect.params if p.name == param))
    return agreement(name)(loss, start, seed=2, step=step)


@pytest.mark.parametrize(("name", "param"), param_cases())
def test_parameters(name: str, param: str) -> None:
    assert param_error(name, param) <= TOLERANCE


@pytest.mark.parametrize("fixed_to", ["world", "camera"])
@pytest.mark.parametrize("what", ["vector", "radiance", "axis", "right", "shape", "sh"])
@pytest.mark.parametrize("name", [n for n, e in registry().items() if e.stage == "shade"])
def test_lights(name: str, what: str, fixed_to: str) -> None:
    frame, params = frame_for(name, fixed_to)
    effect = get(name)

    def loss(value: Tensor) -> Tensor:
        lights = replace(frame.lights, **{what: value})
        return weighted(effect.apply(replace(frame, lights=lights), params), effect.writes)

    # A spot's edge bends where its fading begins and ends: small steps. A panel that is turned in
    # its plane hardly changes the picture: large ones, against rounding.
    step = {"axis": 5e-4, "shape": 5e-4, "right": 4e-3}.get(what, STEP)
    assert agree(loss, getattr(frame.lights, what), seed=3, step=step) <= TOLERANCE


def test_attached_parameters_stay_checked() -> None:
    params = ParamSet("pbr", get("pbr").params)
    params.attach("specular_f0", torch.tensor(0.06, requires_grad=True))
    assert params.as_dict()["specular_f0"] == pytest.approx(0.06)
    assert not params.is_default("specular_f0")
    with pytest.raises(Exception, match="specular_f0 must be in"):
        params.attach("specular_f0", torch.tensor(3.0))
    tone = ParamSet("tonemap", get("tonemap").params)
    with pytest.raises(Exception, match="curve"):
        tone.attach("curve", torch.tensor(1.0))


@pytest.mark.parametrize("name", ["vertices", "colors", "perceptual_roughness", "metallic"])
def test_through_the_pipeline(name: str) -> None:
    """From vertex attributes through normals, rasterizer and shading to the picture."""
    tensors = SceneTensors.from_meshes([surface()])
    view, lights, effects = cameras(), lighting("camera"), effects_with("pbr")

    def loss(value: Tensor) -> Tensor:
        frame = render(tensors.moved(**{name: value}), view, lights, None, effects)
        return weighted(frame.channels, ("rgba",))

    # Colours are continuous but kinked across edges, so vertices take small steps; much below
    # 1e-4, rounding of the rasterizer's float32 takes over.
    step = 1e-4 if name == "vertices" else STEP
    assert agree(loss, getattr(tensors, name), seed=4, step=step) <= TOLERANCE
