"""The environment effect: its filter, its lookups and their adjoint, and what it can be used for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from benchmarks.effect_cases import environment as reference
from studio.core.effects import get
from studio.core.errors import StudioError
from studio.core.gbuffer import CameraBatch, LightTensors
from studio.core.ops.environment import environment_light
from studio.core.ops.prefilter import LEVELS, from_harmonics, mirrored, prefilter, texel_solid_angles
from studio.core.params import ParamSet
from studio.core.pipeline import render, render_image
from studio.core.scene import Camera, Lighting, Material, Mesh, look_at
from studio.core.scene.environment import (
    OCTAHEDRAL_SIZE,
    equirect_directions,
    octahedral_directions,
    sh_basis,
)
from studio.core.scene.shapes import icosphere
from studio.core.tensors import SceneTensors
from tests.needs import need
from tests.scenes import SCENES

SIZE = OCTAHEDRAL_SIZE


def sky(seed: int = 0) -> Tensor:
    """[256, 256, 3] a bright patch and soft colours, positive."""
    d = octahedral_directions(SIZE)
    rng = np.random.default_rng(seed)
    soft = 0.6 + 0.25 * sh_basis(d, 3) @ rng.normal(size=(9, 3)) * 0.5
    sun = np.exp(40 * (d @ np.array([0.48, 0.6, 0.64]) - 1))[..., None] * np.array([4.0, 3.0, 2.0])
    return torch.tensor(np.maximum(soft, 0.05) + sun, dtype=torch.float32)


def level(levels: Tensor, number: int) -> Tensor:
    """[S * S, 3] texels of one level."""
    sizes = [s * s for _, s in LEVELS]
    return levels[sum(sizes[:number]) : sum(sizes[: number + 1])]


def test_a_constant_map_stays_constant() -> None:
    levels = prefilter(torch.full((SIZE, SIZE, 3), 0.7))
    assert float((levels - 0.7).abs().max()) <= 1e-5


def test_texels_and_their_mirror_images() -> None:
    assert texel_solid_angles(32).sum() == pytest.approx(4 * np.pi)
    area = texel_solid_angles(32)[:, 0]
    for to in mirrored(32):
        assert (to[to] == np.arange(1024)).all()
        np.testing.assert_allclose(area[to], area, rtol=1e-12)


def test_the_last_level_is_irradiance_over_pi() -> None:
    coefficients = np.random.default_rng(1).normal(size=(25, 3))
    radiance = sh_basis(octahedral_directions(SIZE)) @ coefficients
    levels = prefilter(torch.tensor(radiance, dtype=torch.float32))
    bands = np.repeat([1, 2 / 3, 1 / 4, 0, -1 / 24], [1, 3, 5, 7, 9])  # Ramamoorthi and Hanrahan 2001
    expected = sh_basis(octahedral_directions(32)).reshape(-1, 25) @ (coefficients * bands[:, None])
    assert np.abs(level(levels, len(LEVELS) - 1).numpy() - expected).max() <= 0.01 * np.abs(radiance).max()


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_levels_are_the_lobe_of_ggx(number: int) -> None:
    """Importance samples of the half vector, weighted by the cosine (Karis 2013, equation 4)."""
    source, (roughness, size) = sky(), LEVELS[number]
    found = level(prefilter(source), number).view(size, size, 3)
    alpha, count = roughness**2, 96
    u, turn = np.meshgrid((np.arange(count) + 0.5) / count, (np.arange(count) + 0.5) / count * 2 * np.pi)
    cos = np.sqrt((1 - u) / (1 + (alpha**2 - 1) * u))
    sin = np.sqrt(1 - cos**2)
    half = np.stack([sin * np.cos(turn), sin * np.sin(turn), cos], -1).reshape(-1, 3)
    errors = []
    for place in [(0.5, 0.55), (0.62, 0.62), (0.2, 0.7), (0.05, 0.9), (0.75, 0.35)]:
        column, row = (int(p * size) for p in place)
        n = octahedral_directions(size)[row, column]
        side = np.cross(n, [0.3, 0.5, -0.8])
        side /= np.linalg.norm(side)
        h = half @ np.stack([side, np.cross(n, side), n])
        light = 2 * (h @ n)[:, None] * h - n
        weight = np.maximum(light @ n, 0)
        d = torch.tensor(light, dtype=torch.float32)
        seen = reference.bilinear(source, reference.octahedral(d)).numpy()
        expected = (seen * weight[:, None]).sum(0) / weight.sum()
        errors.append(np.abs(found[row, column].numpy() - expected) / expected)
    # The hundredth of the energy that was cut, and texels as steps instead of slopes.
    assert np.max(errors) <= 0.03
    assert np.mean(errors) <= 0.01


def test_the_filter_is_its_own_adjoints_adjoint() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(SIZE, SIZE, 3, generator=generator).requires_grad_()
    y = prefilter(x)
    g = torch.randn(y.shape, generator=generator)
    (back,) = torch.autograd.grad(y, x, g)
    assert float((y.detach().double() * g).sum()) == pytest.approx(
        float((x.detach().double() * back).sum()), rel=1e-4
    )


def pixels(seed: int = 0) -> list[Tensor]:
    """rast, normal, position, roughness, camera, rotation, rays of two small pictures."""
    g = torch.Generator().manual_seed(seed)
    shape = (2, 12, 17)
    rast = (torch.rand(*shape, 4, generator=g) > 0.3).float()
    normal = torch.nn.functional.normalize(torch.randn(*shape, 3, generator=g), dim=-1)
    position = torch.randn(*shape, 3, generator=g)
    roughness = torch.rand(*shape, 1, generator=g)
    turns = torch.linalg.qr(torch.randn(2, 3, 3, generator=g))[0]
    return [rast, normal, position, roughness, 4 * turns[:, 0].contiguous(), turns, turns * 0.8]


def test_lookups_and_adjoint_match_plain_torch_in_double_precision() -> None:
    data = [*pixels(), prefilter(sky())]
    weights = [torch.randn(2, 12, 17, 3, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    results = []
    for function, kind in ((environment_light, torch.float32), (reference.environment_light, torch.float64)):
        leaves = [t.detach().to(kind).clone().requires_grad_(i not in (0, 4)) for i, t in enumerate(data)]
        out = function(*leaves, 0.15)
        torch.autograd.backward(out, [w.to(kind) for w in weights])
        results.append(([o.detach() for o in out], [t.grad for t in leaves if t.requires_grad]))
    for ours, theirs in zip(results[0][0], results[1][0]):
        assert float((ours - theirs).abs().max()) <= 1e-5
    assert len(results[0][1]) == 6
    for ours, theirs in zip(results[0][1], results[1][1]):
        assert float((ours - theirs).norm()) <= 2e-5 * float(theirs.norm())


def test_the_background_can_be_left_out_or_be_everywhere() -> None:
    data, levels = pixels(), prefilter(sky())
    none = environment_light(*data, levels, behind="none")
    every = environment_light(*data, levels, behind="all")
    empty = environment_light(*data, levels, behind="empty")
    assert none[2].numel() == 0
    covered = data[0][..., 3] > 0
    assert float(empty[2][covered].abs().max()) == 0
    assert float(every[2].min()) > 0
    assert torch.equal(every[2][~covered], empty[2][~covered])


def test_bad_sizes_are_named() -> None:
    with pytest.raises(StudioError, match=r"prefilter: environment must have shape \[256, 256, 3\]"):
        prefilter(torch.ones(64, 64, 3))
    with pytest.raises(StudioError, match="levels must have shape"):
        environment_light(*pixels(), torch.ones(5, 3))


def test_harmonics_become_a_positive_map() -> None:
    sh = torch.tensor(np.random.default_rng(3).normal(size=(25, 3)), dtype=torch.float32)
    sh[0] = 1.0
    made = from_harmonics(sh)
    assert float(made.min()) >= 0
    plain = torch.tensor(sh_basis(octahedral_directions(SIZE)), dtype=torch.float32) @ sh
    bright = plain > 0.3
    assert float((made - plain)[bright].abs().max()) <= 1e-3


# Through the renderer


def ball(roughness: float) -> Mesh:
    mesh = icosphere(4)
    mesh.material = Material(base_color=(1.0, 1.0, 1.0), perceptual_roughness=roughness, metallic=1.0)
    return mesh


def views(size: int, count: int = 1) -> CameraBatch:
    eyes = [(0.3, 0.4, 3.0), (-0.3, -0.4, -3.0)][:count]
    return CameraBatch.from_cameras(
        [
            Camera(size, size, 1.3 * size, 1.3 * size, size / 2, size / 2, look_at(np.array(e), np.zeros(3)))
            for e in eyes
        ]
    )


def effects(**values: object) -> dict[str, ParamSet]:
    return {
        name: ParamSet(name, get(name).params, values if name == "environment" else {})
        for name in ("environment", "pbr")
    }


def lights(environment: Tensor) -> LightTensors:
    return replace(LightTensors.from_lighting(Lighting(lights=[])), environment=environment)


def test_the_sky_turns_and_brightens() -> None:
    tensors, view = SceneTensors.from_meshes([ball(0.2)]), views(32)
    d = octahedral_directions(SIZE)
    east = torch.tensor(np.repeat(np.maximum(d[..., :1], 0), 3, -1), dtype=torch.float32)  # bright at +X
    still = render(tensors, view, lights(east), None, effects())
    turned = render(tensors, view, lights(east), None, effects(rotation=90, exposure=1))
    # Positive turns go from +Z to +X, so what was at +X is now at -Z, behind the ball.
    facing = still["normal"][0].view(-1, 3)[:, 2].argmax()
    right = still["normal"][0].view(-1, 3)[:, 0].argmax()
    diffuse = [frame["environment_diffuse"][0].view(-1, 3)[:, 0] for frame in (still, turned)]
    assert float(diffuse[0][right]) > 2 * float(diffuse[0][facing])
    assert float(diffuse[1][facing]) < 0.1 * float(diffuse[0][facing])
    once = render(tensors, view, lights(east), None, effects(rotation=90))
    assert torch.allclose(turned["environment_specular"], 2 * once["environment_specular"])


def test_half_the_sky_can_be_hidden() -> None:
    tensors, view = SceneTensors.from_meshes([ball(0.2)]), views(24)
    grey = torch.tensor([0.1, 0.2, 0.3])
    shown = render(tensors, view, lights(torch.ones(SIZE, SIZE, 3)), grey, effects())
    hidden = render(tensors, view, lights(torch.ones(SIZE, SIZE, 3)), grey, effects(show_background=False))
    empty = shown["rast"][..., 3] == 0
    corner = (0, 0, 0)
    assert shown["color"][corner].tolist() == pytest.approx([1, 1, 1])
    assert hidden["color"][corner].tolist() == pytest.approx(grey.tolist())
    assert bool(empty[corner])


def test_soft_silhouettes_let_the_sky_through() -> None:
    tensors, view = SceneTensors.from_meshes([ball(0.2)]), views(24)
    frame = render(tensors, view, lights(torch.ones(SIZE, SIZE, 3)), None, effects(), rasterizer="softras")
    assert float(frame["background"].min()) == pytest.approx(1.0, abs=1e-4)
    assert not bool(frame["rgba"].isnan().any())


def picture(
    frame_effects: dict[str, ParamSet], tensors: SceneTensors, view: CameraBatch, sky_map: Tensor
) -> Tensor:
    """[N, H, W, 3] colours of the ball alone."""
    frame = render(tensors, view, lights(sky_map), None, frame_effects)
    return frame["color"] * (frame["rast"][..., 3:] > 0)


def mirror_ball_error(start: str, steps: int, size: int) -> float:
    """Mean relative error of the map found from one picture, where the picture shows it."""
    tensors, view = SceneTensors.from_meshes([ball(0.1)]), views(size)
    chosen, truth = effects(show_background=False), sky()
    shown = torch.ones(SIZE, SIZE, 3, requires_grad=True)
    picture(chosen, tensors, view, shown).sum().backward()
    target = picture(chosen, tensors, view, truth).detach()
    value = torch.full((SIZE, SIZE, 3), 0.5)
    if start == "noise":
        value = 0.1 + torch.rand(SIZE, SIZE, 3, generator=torch.Generator().manual_seed(0))
    value = value.log().requires_grad_()  # radiance is positive, and spans magnitudes
    optimizer = torch.optim.Adam([value], lr=0.4, betas=(0.8, 0.95))
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.4 * (1 - step / steps) + 0.01
        optimizer.zero_grad()
        found = value.exp()
        uneven = (found[1:] - found[:-1]).square().mean() + (found[:, 1:] - found[:, :-1]).square().mean()
        loss = (picture(chosen, tensors, view, found) - target).square().mean() + 0.1 * uneven
        loss.backward()
        optimizer.step()
    assert shown.grad is not None
    seen = shown.grad > 0.1 * shown.grad.median()
    assert float(seen.float().mean()) > 0.8
    return ((value.exp() - truth).abs()[seen].mean() / truth[seen].mean()).item()


@pytest.mark.parametrize("start", ["grey", "noise"])
def test_the_map_is_found_from_a_mirror_ball(start: str) -> None:
    assert mirror_ball_error(start, 18, 64) <= 0.12


@pytest.mark.slow
@pytest.mark.parametrize("start", ["grey", "noise"])
def test_the_map_is_found_within_two_percent(start: str) -> None:
    assert mirror_ball_error(start, 80, 160) <= 0.02


@pytest.mark.parametrize("start", [0.12, 0.8])
def test_roughness_is_found_from_its_reflection(start: float) -> None:
    tensors, view, truth = SceneTensors.from_meshes([ball(0.42)]), views(64), sky()
    chosen = effects(show_background=False)
    target = picture(chosen, tensors, view, truth).detach()
    value = torch.tensor(start, requires_grad=True)
    optimizer = torch.optim.Adam([value], lr=0.05, betas=(0.7, 0.9))
    for step in range(60):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 60) ** 2 + 5e-4
        optimizer.zero_grad()
        moved = tensors.moved(perceptual_roughness=value.clamp(0.02, 1).expand(len(tensors.vertices), 1))
        (picture(chosen, moved, view, truth) - target).square().mean().backward()
        optimizer.step()
    assert value.item() == pytest.approx(0.42, rel=0.02)


def test_the_viewport_shows_the_same_sky() -> None:
    need("gl")
    from studio.gl.context import headless_context
    from studio.gl.viewport import Viewport

    d = equirect_directions(32, 64)
    image = np.maximum(0.4 + 0.3 * d + 3 * np.exp(9 * (d[..., :1] - 1)), 0).astype(np.float32)
    scene = SCENES["metal_and_clay"]()  # whose lamp, and with it the sky, stays with the camera
    scene.lighting = scene.lighting.with_environment(image)
    camera = scene.cameras[0].resized(64, 64)
    with headless_context() as context:
        view = Viewport(context)
        view.set_scene(scene)
        for values in (
            {},
            {"rotation": 70, "exposure": 0.5, "background_blur": 0.3},
            {"show_background": False},
        ):
            chosen = effects(**values)
            view.set_effects(chosen)
            actual = view.render_offline(camera, samples=1)[..., :3]
            expected = render_image(scene, camera, chosen)
            coverage = render_image(scene, camera, chosen, channel="covered")[..., 0]
            even = ndimage.maximum_filter(coverage, 5) == ndimage.minimum_filter(coverage, 5)
            behind = even & (coverage == 0)
            assert behind.sum() > 500
            error = np.abs(actual - expected[..., :3])
            assert error[behind].max() <= 1e-4
            assert np.quantile(error[even & (coverage > 0)], 0.9) <= 1e-4
            if values.get("show_background", True):
                assert float(np.ptp(actual[behind])) > 0.1
        view.release()


def test_whole_lights_can_be_fitted_through_harmonics() -> None:
    """Without a map the coefficients get the gradient."""
    tensors, view = SceneTensors.from_meshes([ball(0.5)]), views(24)
    sh = torch.tensor(np.eye(25, 3), dtype=torch.float32).requires_grad_()
    made = replace(LightTensors.from_lighting(Lighting(lights=[])), sh=sh)
    render(tensors, view, made, None, effects())["rgba"].sum().backward()
    assert sh.grad is not None
    assert float(sh.grad.abs().sum()) > 0


@pytest.mark.parametrize("metallic", [0.0, 0.5, 1.0])
def test_a_white_ball_under_a_white_sky_is_seen_nearly_not(metallic: float) -> None:
    """The white furnace, through prefilter, lookups and pbr."""
    view = views(32)
    for roughness in (0.05, 0.3, 0.6, 1.0):
        mesh = ball(roughness)
        mesh.material.metallic = metallic
        frame = render(
            SceneTensors.from_meshes([mesh]), view, lights(torch.ones(SIZE, SIZE, 3)), None, effects()
        )
        covered = frame["rast"][..., 3] > 0
        assert float(frame["color"][covered].min()) >= 0.97
        assert float(frame["color"][covered].max()) <= 1.005
