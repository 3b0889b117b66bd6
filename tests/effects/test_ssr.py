"""Screen-space reflections against formulas, plain torch, finite differences, and backwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from benchmarks.effect_cases.ssr import LEAVES, eager, room
from studio.core.effects import get
from studio.core.gbuffer import CameraBatch, Frame, LightTensors
from studio.core.ops.pyramid import pyramid
from studio.core.ops.ssr import March, reflected_radiance
from studio.core.pipeline import render
from studio.core.scene import Camera, Light, Lighting, Material, look_at
from studio.core.scene.light import ambient_sh
from studio.core.scene.shapes import icosphere
from studio.core.tensors import SceneTensors
from tests.scenes import effects_with, slab

SIZE = 64


def weights(size: int = SIZE, smooth: bool = False) -> Tensor:
    """What a picture is summed with, in float64."""
    out = torch.randn(1, size, size, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    if smooth:
        out = avg_pool2d(out.permute(0, 3, 1, 2), 9, 1, 4).permute(0, 2, 3, 1)
    return out


def worst(loss: Callable[[Tensor], Tensor], value: Tensor, step: float) -> float:
    """Worst error of four directional derivatives, fourth order, over their typical size."""
    leaf = value.clone().requires_grad_()
    (grad,) = torch.autograd.grad(loss(leaf), leaf)
    found = 0.0
    for seed in range(4):
        way = torch.randn(value.shape, dtype=value.dtype, generator=torch.Generator().manual_seed(seed))
        exact = float((grad.double() * way).sum())
        with torch.no_grad():
            at = {i: float(loss(value + i * step * way)) for i in (-2, -1, 1, 2)}
        numeric = (8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * step)
        found = max(found, abs(exact - numeric) / max(abs(numeric), float(grad.double().norm())))
    return found


@pytest.mark.parametrize(("levels", "size"), [(3, (5, 7)), (4, (8, 8)), (6, (1, 33))])
def test_pyramid_keeps_a_constant_and_halves_up(levels: int, size: tuple[int, int]) -> None:
    images = pyramid(torch.full((2, *size, 3), 0.7), levels)
    assert [tuple(i.shape[1:3]) for i in images] == [
        tuple(-(-s // 2**n) for s in size) for n in range(levels)
    ]
    assert all(torch.allclose(i, torch.tensor(0.7)) for i in images)


def test_a_mirror_shows_the_mirrored_wall() -> None:
    """The paint at the point that the formula of a mirrored ray finds on the wall."""
    size, wall = 128, 5.0
    given = room(size, wall=wall, roughness=0.0)
    out = reflected_radiance(**given)[0]
    rows, columns = torch.meshgrid(torch.arange(8, 40, 5), torch.arange(30, 98, 7), indexing="ij")
    x = (2 * (columns + 0.5) / size - 1) / 1.6
    y = (2 * (rows + 0.5) / size - 1) / 1.6
    depth = -1.0 / y  # the floor is at height -1
    at = torch.stack([x * wall, -1 + -y * (wall - depth)], dim=-1)
    paint = torch.stack([2 * at[..., 0] + 1, 3 * at[..., 1], 2 * at.sum(-1)], dim=-1)
    found = out[rows, columns]
    assert (found[..., 3] > 0.99).all()
    assert (found[..., :3] - (0.5 + 0.4 * paint.sin())).abs().max() < 2e-3  # bilinear in curved paint


def test_rough_floors_mirror_a_blurred_wall() -> None:
    sharp, rough = (reflected_radiance(**room(SIZE, roughness=r))[0, 4:20, 24:40, :3] for r in (0.0, 0.3))
    assert rough.std() < 0.85 * sharp.std()
    assert rough.mean() == pytest.approx(float(sharp.mean()), abs=0.05)


def test_the_same_in_plain_torch() -> None:
    given = room(SIZE, waves=0.2, tilt=0.02, roll=-0.03)
    leaves = [given[name].requires_grad_() for name in LEAVES]
    grads = []
    images = []
    for function in (reflected_radiance, eager):
        images.append(function(**given))
        grads.append(torch.autograd.grad((images[-1].double() * weights()).sum(), leaves))
    assert (images[0] - images[1]).abs().max() <= 1e-5 * images[1].abs().max()
    for name, ours, theirs in zip(LEAVES, *grads):
        assert (ours - theirs).norm() <= 5e-3 * theirs.norm(), name


# Values are kinked where a hit passes a pixel centre or a level of the pyramid: steps in which few do.
STEPS = {"color": 1e-2, "perceptual_roughness": 3e-5, "normal": 3e-5, "depth": 1e-4}


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", LEAVES)
def test_gradients_of_images(name: str, stride: int) -> None:
    size = 128
    given = room(size, waves=0.2, roughness=0.28)

    def loss(value: Tensor) -> Tensor:
        moved = normalize(value, dim=-1) if name == "normal" else value
        out = reflected_radiance(**{**given, name: moved}, how=March(stride=stride))
        return (out.double() * weights(size)[:, ::stride, ::stride]).sum()

    assert worst(loss, given[name], STEPS[name]) <= 0.02


@pytest.mark.parametrize(
    ("name", "value", "step"),
    [("tilt", 0.02, 2e-4), ("wall", 5.0, 3e-4), ("roughness", 0.3, 3e-4), ("tint", 0.8, 1e-2)],
)
def test_gradients_of_the_room(name: str, value: float, step: float) -> None:
    def loss(at: Tensor) -> Tensor:
        changed: dict[str, Any] = {name: at}
        out = reflected_radiance(**room(SIZE, waves=0.2, **changed))
        return (out.double() * weights(smooth=True)).sum()

    assert worst(loss, torch.tensor(value, dtype=torch.float64), step) <= 0.02


def test_nothing_is_reflected_without_a_hit() -> None:
    given = room(32)
    given["depth"] = torch.full_like(given["depth"], 100.0)
    assert reflected_radiance(**given).abs().max() == 0
    assert reflected_radiance(**room(32, roughness=0.8)).abs().max() == 0


def test_weight_fades_towards_the_border() -> None:
    weight = reflected_radiance(**room(128, roughness=0.0))[0, 20, :, 3]
    step = (weight[1:] - weight[:-1]).abs().max()
    assert weight.max() > 0.99
    assert weight[0] < 0.05
    assert step < 0.15  # no jump


def solved(
    picture: Callable[[Tensor], Tensor], truth: Any, start: Any, rate: float, steps: int = 60
) -> np.ndarray:
    """What gradient descent finds from `start` in the picture of `truth`."""
    with torch.no_grad():
        target = picture(torch.tensor(truth, dtype=torch.float64))
    value = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    # The past is forgotten fast: the gradient shrinks by orders of magnitude on the way.
    optimizer = torch.optim.Adam([value], lr=rate, betas=(0.7, 0.9))
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.03 ** (1 / steps))
    for _ in range(steps):
        (value.grad,) = torch.autograd.grad(((picture(value) - target) ** 2).mean(), value)
        optimizer.step()
        schedule.step()
    return value.detach().numpy()


def radiance(**changed: Any) -> Tensor:
    return reflected_radiance(**room(SIZE, **changed))[..., :3]


@pytest.mark.parametrize("start", [0.08, 0.55])
def test_roughness_of_the_floor_from_its_reflection(start: float) -> None:
    found = solved(lambda v: radiance(roughness=v), truth=0.3, start=start, rate=0.03)
    assert found == pytest.approx(0.3, rel=0.02)


@pytest.mark.parametrize("start", [0.2, 1.4])
def test_colour_of_the_wall_from_its_reflection(start: float) -> None:
    found = solved(lambda v: radiance(tint=v), truth=0.7, start=start, rate=0.1)
    assert found == pytest.approx(0.7, rel=0.02)


@pytest.mark.parametrize("start", [-0.06, 0.1])
def test_tilt_of_the_floor_from_its_reflection(start: float) -> None:
    found = solved(lambda v: radiance(tilt=v), truth=0.02, start=start, rate=0.01)
    assert found == pytest.approx(0.02, abs=1e-3)


def ball_over_a_floor(size: int = 64) -> tuple[SceneTensors, CameraBatch, LightTensors]:
    """A red ball over a metal floor of roughness 0.2; the ball's vertices come last."""
    floor = slab((0.0, -0.55, 0.0), (6.0, 0.1, 6.0), Material(base_color=(0.5, 0.5, 0.5), metallic=1.0))
    floor.material.perceptual_roughness = 0.2
    ball = icosphere(3, 0.4)
    ball.material = Material(base_color=(0.8, 0.2, 0.1), perceptual_roughness=0.9)
    light = Lighting([Light(direction=(0.3, 0.9, 0.5), intensity=1.0)], ambient_sh((0.5, 0.5, 0.55)))
    pose = look_at(np.array((0.0, 0.9, 2.6)), np.array((0.0, -0.15, 0.0)))
    camera = Camera(size, size, 1.3 * size, 1.3 * size, 0.5 * size, 0.5 * size, pose, near=0.3, far=20.0)
    tensors = SceneTensors.from_meshes([floor, ball])
    return tensors, CameraBatch.from_cameras([camera]), LightTensors.from_lighting(light)


def mirrored_ball(of_ball: Tensor | None = None, of_floor: Tensor | None = None) -> Tensor:
    """The part of the picture that shows the floor alone, and in it the ball.

    Args:
        of_ball: [3] colour of the ball. of_floor: roughness of the floor.
    """
    tensors, cameras, lights = ball_over_a_floor()
    is_ball = torch.ones(len(tensors.vertices), 1)
    is_ball[: -len(icosphere(3).vertices)] = 0
    if of_ball is not None:
        tensors = tensors.moved(
            colors=torch.lerp(tensors.colors, of_ball.float().expand(len(is_ball), 3), is_ball)
        )
    if of_floor is not None:
        rough = torch.lerp(of_floor.float().expand(len(is_ball), 1), tensors.perceptual_roughness, is_ball)
        tensors = tensors.moved(perceptual_roughness=rough)
    frame = render(tensors, cameras, lights, None, effects_with("ssr"))
    return frame["rgba"][0, :22, :, :3]


@pytest.mark.parametrize("start", [(0.2, 0.9, 0.8), (0.5, 0.5, 0.5)])
def test_colour_of_a_ball_from_its_reflection(start: tuple[float, ...]) -> None:
    found = solved(lambda v: mirrored_ball(of_ball=v), (0.8, 0.2, 0.1), start, rate=0.15, steps=40)
    assert np.abs(found - (0.8, 0.2, 0.1)).max() <= 2e-3


@pytest.mark.slow
@pytest.mark.parametrize("start", [0.08, 0.5])
def test_roughness_of_a_floor_from_a_picture(start: float) -> None:
    found = solved(lambda v: mirrored_ball(of_floor=v), 0.2, start, rate=0.03, steps=120)
    assert found == pytest.approx(0.2, rel=0.02)


def frame_of_a_mirror() -> Frame:
    """A frame with every channel that the effect reads, in which a floor mirrors a ball."""
    effects = {name: params for name, params in effects_with("ssr").items() if name != "ssr"}
    reads = [name for name in get("ssr").reads if name != "color"]
    with torch.no_grad():
        return render(*ball_over_a_floor(), None, effects, reads)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", ["reflectance", "reflection", "strength"])
def test_gradients_of_what_the_hit_is_weighted_with(name: str, half: bool) -> None:
    frame = frame_of_a_mirror()
    params = effects_with("ssr")["ssr"]
    params.set("half_resolution", half)
    noise = weights()[..., :3]

    def loss(value: Tensor) -> Tensor:
        own, changed = params.copy(), dict(frame.channels)
        if name == "strength":
            own.attach(name, value)
        else:
            changed[name] = value
        return (get("ssr").apply(replace(frame, channels=changed), own)["color"].double() * noise).sum()

    start = torch.tensor(1.0) if name == "strength" else frame[name].contiguous()
    assert torch.autograd.grad(loss(leaf := start.clone().requires_grad_()), leaf)[0].abs().max() > 0.01
    assert worst(loss, start, 1e-2) <= 0.02


def test_half_the_rays_make_nearly_the_same_picture() -> None:
    frame = frame_of_a_mirror()
    full, half = effects_with("ssr")["ssr"], effects_with("ssr")["ssr"]
    half.set("half_resolution", True)
    pictures = [get("ssr").apply(frame, params)["color"] for params in (full, half)]
    added = (pictures[0] - frame["color"]).abs().mean()
    assert added > 0.005  # there are reflections
    assert (pictures[0] - pictures[1]).abs().mean() <= 0.15 * added
