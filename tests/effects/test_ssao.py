"""Ambient occlusion: against plain torch, at silhouettes, and for what it recovers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.effect_cases.ssao import eager, surface
from studio.core.effects import get
from studio.core.gbuffer import CameraBatch, Frame, LightTensors
from studio.core.ops.antialias import antialias_along
from studio.core.ops.ssao import ambient_occlusion
from studio.core.params import ParamSet
from studio.core.pipeline import clip_positions, render
from studio.core.scene import Camera, Lighting, Mesh, look_at
from studio.core.scene.shapes import icosphere
from studio.core.tensors import SceneTensors

MOVED = ("depth", "soft_depth", "normal", "radius", "strength")


def rough_surface() -> dict[str, Tensor]:
    """Hills with an empty corner, their normals in disorder, seen by a turned camera."""
    generator = torch.Generator().manual_seed(1)
    inputs = surface(44, 50)
    tilted = inputs["normal"] + 0.3 * torch.randn(inputs["normal"].shape, generator=generator)
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=generator))[0]
    world_to_view = torch.eye(4)
    world_to_view[:3, :3] = rotation * torch.linalg.det(rotation)
    inputs["normal"] = normalize(tilted, dim=3) @ world_to_view[:3, :3]
    inputs["world_to_view"] = world_to_view[None]
    for name, empty in (("depth", 0.0), ("soft_depth", 12.0), ("normal", 0.0)):
        inputs[name][:, :9, :9] = empty
    return inputs


@pytest.mark.parametrize("half", [False, True], ids=["full", "half"])
def test_value_and_gradients_are_those_of_plain_torch(half: bool) -> None:
    inputs = rough_surface()
    found = []
    for dtype, function in ((torch.float32, ambient_occlusion), (torch.float64, eager)):
        leaves = {n: v.to(dtype).clone().requires_grad_(n in MOVED) for n, v in inputs.items()}
        edge = {"edge_depth": inputs["soft_depth"]} if function is ambient_occlusion else {}
        out = function(**leaves, **edge, half=half)
        weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        found.append([out, *torch.autograd.grad((out * weight).sum(), [leaves[n] for n in MOVED])])
    for name, ours, exact in zip(("value", *MOVED), *found):
        error = float((ours.double() - exact).detach().norm() / exact.detach().norm())
        assert error <= (1e-5 if name == "value" else 1e-3), name
    assert float(found[1][0].detach().min()) < 0.7  # there is something to occlude


def test_nothing_is_not_occluded() -> None:
    inputs = rough_surface()
    out = ambient_occlusion(**inputs, edge_depth=inputs["soft_depth"])
    assert (out[:, :9, :9] == 1.0).all()
    assert float(out.min()) >= 0.0
    assert float(out.max()) <= 1.0


FLOOR = 33
"""Vertices along a side of the floor."""


def ball_over_floor() -> SceneTensors:
    """A floor in the plane y = 0, its vertices first, and a ball that hovers over it."""
    axis = np.linspace(-2.5, 2.5, FLOOR)
    z, x = (a.ravel() for a in np.meshgrid(axis, axis, indexing="ij"))
    index = np.arange(FLOOR * FLOOR).reshape(FLOOR, FLOOR)
    a, b, c, d = (i.ravel() for i in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    floor = Mesh(
        vertices=np.stack([x, 0 * x, z], axis=1).astype(np.float32),
        faces=np.concatenate([np.stack([a, c, b], 1), np.stack([a, d, c], 1)]).astype(np.int32),
    )
    ball = icosphere(4, 0.35)
    ball.vertices = ball.vertices + np.float32((0.1, 0.5, 0.0))
    return SceneTensors.from_meshes([floor, ball])


def seen(
    tensors: SceneTensors, size: int, offset: tuple[float, float] = (0.0, 0.0), **values: object
) -> Frame:
    """The scene with ambient occlusion, moved in the picture by a part of a pixel."""
    pose = look_at(np.array((0.4, 1.6, 2.4)), np.array((0.0, 0.3, 0.0)))
    center = (0.5 * size + offset[0], 0.5 * size + offset[1])
    view = Camera(size, size, 1.6 * size, 1.6 * size, *center, pose, near=0.5, far=12.0)
    params = ParamSet("ssao", get("ssao").params, {"radius": 0.4})
    for name, value in values.items():
        (params.attach if isinstance(value, Tensor) else params.set)(name, value)
    cameras = CameraBatch.from_cameras([view])
    return render(tensors, cameras, LightTensors.from_lighting(Lighting()), None, {"ssao": params}, ("ao",))


def moved_ball(tensors: SceneTensors, by: Tensor) -> SceneTensors:
    """The ball moved along x, y and z, and grown by the fourth number."""
    start = tensors.vertices
    ball = (torch.arange(len(start)) >= FLOOR * FLOOR)[:, None]
    center = torch.tensor([0.1, 0.5, 0.0])
    return tensors.moved(vertices=torch.where(ball, start + by[:3] + by[3] * (start - center), start))


def moving(half: bool, size: int, offsets: int, down: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives to the ball's motion by adjoint and by wide differences, mean over offsets.

    down: how much nearer to the floor the ball hovers.
    """
    tensors = moved_ball(ball_over_floor(), torch.tensor([0.0, -down, 0.0, 0.0]))
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    # As a photo would that shows the ball further to one side: over the whole picture a shift cancels.
    weight = torch.sigmoid(5.0 * x) * torch.sigmoid(-5.0 * y)

    def loss(by: Tensor, offset: tuple[float, float]) -> Tensor:
        frame = seen(moved_ball(tensors, by), size, offset, half_resolution=half)
        pos = clip_positions(moved_ball(tensors, by).vertices, frame.cameras)
        picture = antialias_along(frame["ao"], pos, frame.outline)
        return (picture[0, ..., 0].double() * weight).mean()

    steps = (np.arange(offsets) + 0.5) / offsets - 0.5
    wide = 0.04
    exact, numeric = np.zeros(4), np.zeros(4)
    for offset in [(float(a), float(b)) for a in steps for b in steps]:
        by = torch.zeros(4, requires_grad=True)
        exact += torch.autograd.grad(loss(by, offset), by)[0].numpy()
        with torch.no_grad():
            for i, axis in enumerate(torch.eye(4)):
                numeric[i] += float(loss(wide * axis, offset) - loss(-wide * axis, offset)) / (2 * wide)
    return exact / offsets**2, numeric / offsets**2


def test_a_moving_occluder() -> None:
    exact, numeric = moving(half=False, size=128, offsets=4)
    assert (np.abs(exact - numeric) <= 0.3 * np.abs(numeric)).all(), (exact, numeric)


def test_a_moving_occluder_in_a_small_picture() -> None:
    """Nearly touching the floor. Up and down is left out: there it darkens as much as it brightens."""
    exact, numeric = (a[[0, 2, 3]] for a in moving(half=False, size=64, offsets=4, down=0.13))
    assert (np.abs(exact - numeric) <= 0.3 * np.abs(numeric)).all(), (exact, numeric)


@pytest.mark.slow
@pytest.mark.parametrize(("half", "tolerance"), [(False, 0.2), (True, 0.3)], ids=["full", "half"])
def test_a_moving_occluder_finely(half: bool, tolerance: float) -> None:
    exact, numeric = moving(half, size=192, offsets=4)
    assert (np.abs(exact - numeric) <= tolerance * np.abs(numeric)).all(), (exact, numeric)


def recovered(name: str, truth: float, start: float, steps: int = 120) -> float:
    """A parameter found again from the occlusion that it makes."""
    effect = get("ssao")
    with torch.no_grad():  # the ball close to the floor, where a small radius sees it too
        frame = seen(moved_ball(ball_over_floor(), torch.tensor([0.0, -0.13, 0.0, 0.0])), 64)
    params = ParamSet("ssao", effect.params, {"radius": 0.4})
    log = torch.tensor(float(np.log(truth)), requires_grad=True)

    def occlusion() -> Tensor:
        params.attach(name, log.exp())
        return effect.apply(frame, params)["ao"]

    target = occlusion().detach()
    log.data.fill_(float(np.log(start)))
    optimizer = torch.optim.Adam([log], lr=0.1)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.97)
    for _ in range(steps):
        optimizer.zero_grad()
        ((occlusion() - target) ** 2).sum().backward()
        optimizer.step()
        schedule.step()
    return float(log.detach().exp())


@pytest.mark.parametrize("start", [0.15, 0.6, 1.0])
def test_radius_is_recovered(start: float) -> None:
    assert recovered("radius", 0.4, start) == pytest.approx(0.4, rel=0.02)


@pytest.mark.parametrize("start", [0.3, 3.0])
def test_strength_is_recovered(start: float) -> None:
    assert recovered("strength", 1.4, start) == pytest.approx(1.4, rel=0.02)


def painted(tensors: SceneTensors, colors: Tensor, occluded: bool) -> Tensor:
    """The ball over the floor in even light, at 48 x 48."""
    effects = {name: ParamSet(name, get(name).params) for name in ("pbr", "ssao")[: 1 + occluded]}
    if occluded:
        effects["ssao"].set("radius", 0.4)
    pose = look_at(np.array((0.4, 1.6, 2.4)), np.array((0.0, 0.3, 0.0)))
    cameras = CameraBatch.from_cameras([Camera(48, 48, 77, 77, 24, 24, pose, near=0.5, far=12.0)])
    even = LightTensors.from_lighting(Lighting([]))
    return render(tensors.moved(colors=colors), cameras, even, None, effects)["rgba"]


@pytest.mark.parametrize("start", [0.2, pytest.param(0.9, marks=pytest.mark.slow)])
def test_albedo_comes_out_without_the_occlusion(start: float) -> None:
    """The floor's colours, painted darker where it is occluded only if the fit knows no occlusion."""
    tensors = moved_ball(ball_over_floor(), torch.tensor([0.0, -0.13, 0.0, 0.0]))
    x, _, z = tensors.vertices.T
    truth = torch.stack(
        [0.5 + 0.2 * torch.sin(2 * x), 0.5 + 0.2 * torch.cos(2 * z), 0.4 + 0.1 * x * 0], dim=1
    )
    with torch.no_grad():
        target = painted(tensors, truth, occluded=True)
        dimmed = painted(tensors, truth, occluded=False) - target > 0.02
    errors = []
    for occluded in (True, False):
        colors = torch.full_like(truth, start).requires_grad_()
        optimizer = torch.optim.Adam([colors], lr=0.1)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.94)
        for _ in range(65):
            optimizer.zero_grad()
            ((painted(tensors, colors, occluded) - target) ** 2).sum().backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            shown = painted(tensors, colors, occluded=False), painted(tensors, truth, occluded=False)
        errors.append(float(((shown[0] - shown[1]).abs() / shown[1])[dimmed].mean()))
    assert errors[0] <= 0.02
    assert errors[1] >= 0.1  # so there was something to bake in
