"""Shadows: where they fall, how wide they fade, and what their gradients lead to."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.effect_cases.shadows import (
    AREA,
    HALF,
    HEIGHT,
    POINT,
    SPOT,
    SUN,
    Setting,
    moved,
    scene,
)
from benchmarks.shadow_reference import measured
from studio.core.effects import get
from studio.core.effects.effect import Surroundings
from studio.core.gbuffer import CameraBatch, LightTensors
from studio.core.ops.light_view import light_views
from studio.core.ops.shadow import MODES, shadow_thickness, shadow_visibility
from studio.core.params import ParamSet
from studio.core.pipeline import render
from studio.core.scene import Mesh
from studio.core.tensors import SceneTensors
from tests.grad.test_effects import agree
from tests.needs import need
from tests.scenes import corner

LIGHTS = {
    "sun": (SUN, (0.3, 1.0, 0.2)),
    "spot": (SPOT, (0.4, 2.4, 0.3)),
    "point outside": (POINT, (0.4, 5.0, 0.3)),
    "point inside": (POINT, (0.2, 2.0, 0.1)),
    "area": (AREA, (0.4, 2.0, 0.3)),
}


def slow(value: object) -> object:
    """A parameter only of the long run."""
    return pytest.param(value, marks=pytest.mark.slow)


def setting(name: str, **changes: object) -> Setting:
    kind, vector = LIGHTS[name]
    return replace(Setting(kind, torch.tensor(vector)), **changes)  # type: ignore[arg-type]


def shaded(kind: int, vector: tuple[float, float, float], points: np.ndarray) -> np.ndarray:
    """Whether the unturned square is between floor points [..., 3] and a light without size."""
    light = np.asarray(vector)
    ray = light if kind == SUN else light - points
    hit = points + ray * ((HEIGHT - points[..., 1]) / ray[..., 1])[..., None]
    return (np.abs(hit[..., 0]) < HALF) & (np.abs(hit[..., 2]) < HALF)


@pytest.mark.parametrize("mode", ["hard", "pcf"])
@pytest.mark.parametrize("name", ["sun", "spot", "point outside", "point inside", "area"])
def test_edges_are_where_rays_say(name: str, mode: str) -> None:
    case = setting(name, mode=mode, vertices=scene(0.0))
    points = case.receivers()[1][0].double().numpy()
    expected = shaded(*LIGHTS[name], points)
    image = case.image().numpy()
    assert expected.sum() > 300
    # Its outline is about four times 50 receivers long: off by less than one on average.
    assert abs((1 - image).sum() - expected.sum()) < 0.6 * 200
    assert (np.abs((1 - image) - expected) > 0.5).sum() <= 0.9 * 200


def test_a_wide_spot_has_a_wide_penumbra() -> None:
    for size in (0.15, 0.6):
        found = measured(SPOT, (0.0, 2.4, 0.0), size, count=96)
        assert abs(found.off) < 0.1
        assert found.error < 0.012


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["spot", slow("sun"), slow("point inside")])
def test_receivers(name: str, mode: str) -> None:
    """Each pixel's gradients to its position and normal, against finite differences."""
    case = setting(name, mode=mode, count=64, side=256)
    atlas, views = case.maps()
    rast, *given = case.receivers()
    for number, step in ((0, 1e-4), (1, 5e-4)):
        missed = total = 0.0
        for axis in range(3):
            leaves = [t.clone().requires_grad_() for t in given]
            shadow_visibility(rast, *leaves, atlas, views, views.sizes, mode)[..., 0].sum().backward()
            slope = leaves[number].grad[..., axis]
            ends = []
            for sign in (1, -1):
                values = [t.clone() for t in given]
                values[number][..., axis] += sign * step
                ends.append(shadow_visibility(rast, *values, atlas, views, views.sizes, mode)[..., 0])
            missed += float((slope - (ends[0] - ends[1]) / (2 * step)).abs().sum())
            total += float(slope.abs().sum())
        # A few pixels have a kink within the step.
        assert missed <= 0.035 * total


@pytest.mark.parametrize("mode", MODES)
def test_atlas_and_size(mode: str) -> None:
    case = setting("spot", mode=mode, count=40, side=256)
    atlas, views = case.maps()
    given = case.receivers()
    weights = torch.randn(1, 40, 40, generator=torch.Generator().manual_seed(4), dtype=torch.float64)

    def loss(atlas: Tensor, sizes: Tensor) -> Tensor:
        return (shadow_visibility(*given, atlas, views, sizes, mode)[..., 0].double() * weights).sum()

    # Second moments must stay above the square of the first: small steps.
    assert agree(lambda a: loss(a, views.sizes), atlas, seed=5, step=1e-5) <= 0.03
    if mode == "vssm":
        assert agree(lambda s: loss(atlas, s), views.sizes, seed=6, step=2e-4) <= 0.05


def test_thickness_is_the_way_behind_the_square() -> None:
    case = setting("spot", vertices=scene(0.0), vector=torch.tensor([0.0, 2.4, 0.0]))
    image = case.thickness()
    middle = len(image) // 2
    assert float(image[middle, middle]) == pytest.approx(HEIGHT, rel=0.05)
    assert float(image[4, 4]) == 0.0

    small = replace(case, count=30, side=256, vector=torch.tensor([0.3, 2.4, 0.2]))
    atlas, views = small.maps()
    rast, position, normal = small.receivers()
    weights = torch.randn(1, 30, 30, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)

    def loss(p: Tensor) -> Tensor:
        return (shadow_thickness(rast, p, normal, atlas, views).double() * weights).sum()

    assert agree(loss, position, seed=5, step=2e-4) <= 0.03


def derivatives(case: Setting, what: str, axis: int, wide: float, offsets: int) -> tuple[float, float]:
    """(ours, finite differences) of a weighted mean, over places within a pixel and a texel."""
    line = (torch.arange(case.count) + 0.5) / case.count * 2 - 1
    weight = (3 * line[None]).sin() * (2 * line[:, None] + 1).cos()
    ours, numeric = 0.0, 0.0
    for i in range(offsets):
        shift = torch.tensor([(5 * i) % 16, 0, (11 * i) % 16]) / 16 * 0.02
        at = replace(
            case,
            vertices=moved(case.vertices, shift),
            offset=(i % 4 / 4 * 2 / case.count, i // 4 / 4 * 2 / case.count),
        )

        def mean(by: Tensor, at: Setting = at) -> Tensor:
            step = torch.zeros(3).index_put((torch.tensor(axis),), by)
            if what == "size":
                return (replace(at, size=at.size + by).image() * weight).mean()
            if what == "light":
                return (replace(at, vector=at.vector + step).image() * weight).mean()
            return (replace(at, vertices=moved(at.vertices, step)).image() * weight).mean()

        leaf = torch.zeros((), requires_grad=True)
        (slope,) = torch.autograd.grad(mean(leaf), leaf)
        ours += float(slope) / offsets
        with torch.no_grad():
            ends = [float(mean(torch.tensor(t))) for t in (wide, -wide)]
        numeric += (ends[0] - ends[1]) / (2 * wide) / offsets
    return ours, numeric


MOVES = [("light", 0), ("light", 1), ("square", 0), ("square", 1), ("size", 0)]


def check_move(name: str, mode: str, what: str, axis: int, offsets: int) -> None:
    ours, numeric = derivatives(
        setting(name, mode=mode), what, axis, 0.02 if what == "size" else 0.03, offsets
    )
    assert ours * numeric > 0, (ours, numeric)
    # How far the search reaches is partly a choice: 11 % in the faces of a cube.
    assert abs(ours / numeric - 1) <= (0.15 if what == "size" else 0.10), (ours, numeric)


@pytest.mark.parametrize(("what", "axis"), [MOVES[0], MOVES[3], MOVES[4]])
def test_moving_silhouettes(what: str, axis: int) -> None:
    check_move("spot", "vssm", what, axis, 8)


# Only vssm knows the light's size.
MODES_AND_MOVES = [(mode, *move) for mode in MODES for move in MOVES if mode == "vssm" or move[0] != "size"]


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "what", "axis"), MODES_AND_MOVES)
@pytest.mark.parametrize("name", ["sun", "spot", "point inside"])
def test_moving_silhouettes_of_all_kinds(name: str, mode: str, what: str, axis: int) -> None:
    check_move(name, mode, what, axis, 16)


def descend(case: Setting, start: Tensor, what: str, steps: int, rate: float) -> Tensor:
    """What Adam finds from `start` for the picture of `case`."""
    with torch.no_grad():
        target = case.image()
    leaf = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([leaf], lr=rate, betas=(0.8, 0.99))
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.05 ** (1 / steps))
    for _ in range(steps):
        optimizer.zero_grad()
        value = leaf.exp() if what == "size" else leaf
        ((replace(case, **{what: value}).image() - target) ** 2).mean().backward()
        optimizer.step()
        schedule.step()
    return leaf.detach().exp() if what == "size" else leaf.detach()


@pytest.mark.parametrize("start", [(0.8, 2.1, 0.0), slow((0.0, 2.8, 0.6))])
def test_the_light_is_found_by_its_shadow(start: tuple[float, float, float]) -> None:
    case = setting("spot", count=64, side=256)
    found = descend(case, torch.tensor(start), "vector", 60, 0.1)
    assert (found - case.vector).norm() <= 0.02 * case.vector.norm()


@pytest.mark.parametrize("start", [0.05, slow(0.5)])
def test_the_lights_size_is_found_by_its_penumbra(start: float) -> None:
    case = setting("spot", count=64, side=256)
    found = descend(case, torch.tensor(math.log(start)), "size", 80, 0.2)
    assert float(found) == pytest.approx(0.15, rel=0.02)


def test_lights_without_shadow_and_empty_pixels_stay_lit() -> None:
    case = setting("spot", count=16, side=256)
    rast, position, normal = case.receivers()
    atlas, views = case.maps()
    rast[:, :, :8] = 0
    seen = shadow_visibility(rast, position, normal, atlas, views, views.sizes)
    assert (seen[:, :, :8] == 1).all()
    assert (seen[..., 1:] == 1).all()
    lights = LightTensors.from_lighting(corner().lighting)
    lights.casts = (False, False)
    none = light_views(lights, (torch.zeros(3), torch.ones(3)), 256, torch.eye(4)[None])
    assert none.matrices.shape == (1, 0, 4, 4)
    assert none.first.tolist() == [-1, -1]


def test_through_the_pipeline() -> None:
    """Every light of a scene, and its vertices, get finite gradients; the picture gets darker."""
    made = corner()
    tensors = SceneTensors.from_scene(made)
    vertices = tensors.vertices.clone().requires_grad_()
    lights = LightTensors.from_lighting(made.lighting)
    lights.vector.requires_grad_()
    lights.size.requires_grad_()
    effects = {name: ParamSet(name, get(name).params) for name in ("pbr", "shadows")}
    cameras = CameraBatch.from_cameras([made.cameras[0].resized(48, 48)])
    frame = render(tensors.moved(vertices=vertices), cameras, lights, None, effects)
    frame["rgba"].square().mean().backward()
    for leaf in (vertices, lights.vector, lights.size):
        assert leaf.grad is not None
        assert torch.isfinite(leaf.grad).all()
        assert leaf.grad.abs().max() > 0
    del effects["shadows"]
    with torch.no_grad():
        lit = render(tensors, cameras, lights, None, effects)["color"]
    assert float((lit - frame["color"].detach()).max()) > 0.05


def test_half_resolution_is_the_same_picture_between_its_pixels() -> None:
    """Every second pixel is the full picture's own; the others are near. Gradients likewise."""
    made = corner()
    tensors = SceneTensors.from_scene(made)
    cameras = CameraBatch.from_cameras([made.cameras[0].resized(63, 64)])
    lights = LightTensors.from_lighting(made.lighting)

    def shadow(half: bool, vector: Tensor) -> Tensor:
        effects = {name: ParamSet(name, get(name).params) for name in ("pbr", "shadows")}
        effects["shadows"].set("half_resolution", half)
        frame = render(tensors, cameras, replace(lights, vector=vector), None, effects, ["shadow"])
        return frame["shadow"].double()

    with torch.no_grad():
        full, half = shadow(False, lights.vector), shadow(True, lights.vector)
    assert torch.allclose(full[:, ::2, ::2], half[:, ::2, ::2], atol=1e-6)
    assert float((full - half).abs().mean()) < 0.02 < float((1 - full).mean())
    slopes = []
    for way in (False, True):
        vector = lights.vector.clone().requires_grad_()
        shadow(way, vector)[:, ::2, ::2].mean().backward()
        assert vector.grad is not None
        slopes.append(vector.grad)
    assert float(slopes[0].abs().max()) > 0
    assert torch.allclose(*slopes, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("half", [False, True], ids=["full", "half"])
def test_thickness_and_shadow_agree_between_renderers(half: bool) -> None:
    need("gl")
    from studio.gl.context import headless_context
    from studio.gl.viewport import Viewport

    made = corner()
    camera = made.cameras[0]
    effects = {name: ParamSet(name, get(name).params) for name in ("pbr", "shadows")}
    effects["shadows"].set("half_resolution", half)
    with torch.no_grad():
        frame = render(
            SceneTensors.from_scene(made),
            CameraBatch.from_cameras([camera]),
            LightTensors.from_lighting(made.lighting),
            None,
            effects,
            ["shadow", "thickness", "position"],
        )
    with headless_context() as context:
        view = Viewport(context)
        view.set_scene(made)
        view.set_effects(effects)
        theirs = view.channels(camera, ["shadow", "thickness", "position"])
        view.release()
    # Away from silhouettes, where the renderers may see different surfaces.
    same = np.abs(theirs["position"] - frame["position"][0].numpy()).max(-1) < 1e-3
    assert same.mean() > 0.5
    for name in ("shadow", "thickness"):
        error = np.abs(theirs[name] - frame[name][0].numpy())[same]
        assert error.mean() < 1e-4
        assert error.max() < 1e-2


def test_maps_are_kept_for_the_same_scene_only() -> None:
    made = corner()
    params = ParamSet("shadows", get("shadows").params, {"map_size": "256"})

    def around(meshes: list[Mesh]) -> Surroundings:
        tensors = SceneTensors.from_meshes(meshes)
        eye = np.eye(4)
        bounds = (np.zeros(3), np.ones(3))
        return Surroundings(made.lighting, bounds, 1, eye, eye, (8, 8), lambda: tensors)

    first, second = around(made.meshes), around(made.meshes[:3])
    prepare = get("shadows").prepare
    assert prepare is not None
    maps = [prepare(a, params).images["shadow_atlas"] for a in (first, second, first)]  # type: ignore[union-attr]
    assert maps[0] is maps[2]
    assert maps[0] is not maps[1]
    assert not np.array_equal(maps[0].levels[0], maps[1].levels[0])
    params.set("softness", 2.0)
    changed = prepare(first, params)
    assert changed is not None
    assert changed.uniforms["shadow_sizes"][0] == pytest.approx(0.2)
