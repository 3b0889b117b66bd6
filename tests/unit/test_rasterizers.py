"""The pipeline and the fit with SoftRas and NMR instead of antialiasing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from studio.core.errors import InputError
from studio.core.gbuffer import CameraBatch, Frame, LightTensors
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.settings import FitSettings
from studio.core.pipeline import AOVS, default_effects, render, render_image
from studio.core.rasterizer import RASTERIZERS, Rasterizer, needed_modules
from studio.core.scene import Scene
from studio.core.tensors import SceneTensors
from studio.options import chosen_rasterizer
from tests.scenes import SCENES, textured_cube
from tests.unit.optim_scenes import coloured_ball, photograph

SOFT = Rasterizer("softras", 1e-3, 0.05)
SHARP = Rasterizer("softras", 1e-7, 1e-3)


def prepared(scene: Scene) -> tuple[SceneTensors, CameraBatch, LightTensors]:
    return (
        SceneTensors.from_scene(scene),
        CameraBatch.from_cameras(scene.cameras),
        LightTensors.from_lighting(scene.lighting),
    )


@pytest.mark.parametrize("name", ["glossy_sphere", "metal_and_clay", "textured_cube"])
@pytest.mark.parametrize("how", [SHARP, replace(SHARP, softras_aggregation="hard"), Rasterizer("nmr")])
def test_shaded_pictures_agree_where_there_is_no_blur(name: str, how: Rasterizer) -> None:
    scene = SCENES[name]()
    usual = render_image(scene, scene.cameras[0])
    image = render_image(scene, scene.cameras[0], rasterizer=how)
    different = np.abs(image - usual).max(axis=-1) > 0.03
    # Outlines differ: they are not antialiased now.
    assert different.mean() < 0.08
    inside = usual[..., 3] == 1
    assert np.abs(image - usual)[inside].mean() < 6e-3


def test_textures_are_looked_up_before_faces_are_mixed() -> None:
    """Across the seams of the cube's texture nothing but texels of the seam appears."""
    scene = textured_cube()
    plain = render_image(scene, scene.cameras[0], channel="albedo")
    mixed = render_image(
        scene, scene.cameras[0], channel="albedo", rasterizer=Rasterizer("softras", 1e-5, 1e-3)
    )
    covered = plain.max(axis=-1) > 0
    assert np.abs(mixed - plain)[covered].mean() < 0.02


def loss_of(frame: Frame) -> torch.Tensor:
    weights = torch.rand(frame["rgba"].shape, generator=torch.Generator().manual_seed(2))
    return (frame["rgba"] * weights).sum(dtype=torch.float64)


@pytest.mark.parametrize("aggregation", ["soft", "hard"])
def test_gradient_of_a_shaded_textured_scene_matches_differences(aggregation: str) -> None:
    scene = textured_cube()
    tensors, cameras, lights = prepared(scene)
    effects = default_effects(scene)
    # The cutoff of 1e-4 is a small jump, so the step must not be small.
    how = replace(SOFT, softras_aggregation=aggregation)
    generator = torch.Generator().manual_seed(1)
    part = next(i for i, p in enumerate(tensors.parts) if p.base_color_texture is not None)
    texture = tensors.parts[part].base_color_texture
    assert texture is not None
    inputs = {"vertices": tensors.vertices, "colors": tensors.colors, "texture": texture}
    ways = {name: torch.rand(value.shape, generator=generator) - 0.5 for name, value in inputs.items()}

    def evaluate(values: dict[str, torch.Tensor]) -> torch.Tensor:
        parts = list(tensors.parts)
        parts[part] = replace(parts[part], base_color_texture=values["texture"])
        # A different class of change per name: `moved` drops the stored normals with the vertices.
        moved = replace(
            tensors.moved(vertices=values["vertices"], colors=values["colors"]), parts=tuple(parts)
        )
        return loss_of(render(moved, cameras, lights, None, effects, rasterizer=how))

    leaves = {name: value.clone().requires_grad_() for name, value in inputs.items()}
    evaluate(leaves).backward()
    steps = {"vertices": 2e-3, "colors": 1e-2, "texture": 1e-2}
    for name in ("colors", "texture", *(["vertices"] if aggregation == "soft" else [])):
        along = float((leaves[name].grad * ways[name]).sum())
        ends = [
            float(evaluate(inputs | {name: inputs[name] + sign * steps[name] * ways[name]}).detach())
            for sign in (1, -1)
        ]
        measured = (ends[0] - ends[1]) / (2 * steps[name])
        assert abs(measured) > 1e-2
        assert along == pytest.approx(measured, rel=0.03), name


@pytest.mark.parametrize("how", [SOFT, Rasterizer("nmr")], ids=lambda how: how.name)
def test_every_input_gets_a_gradient(how: Rasterizer) -> None:
    scene = textured_cube()
    tensors, cameras, lights = prepared(scene)
    leaves = {
        "vertices": tensors.vertices.clone().requires_grad_(),
        "colors": tensors.colors.clone().requires_grad_(),
        "perceptual_roughness": tensors.perceptual_roughness.clone().requires_grad_(),
        "metallic": tensors.metallic.clone().requires_grad_(),
    }
    background = torch.full((3,), 0.2, requires_grad=True)
    frame = render(
        tensors.moved(**leaves), cameras, lights, background, default_effects(scene), rasterizer=how
    )
    loss_of(frame).backward()
    for name, leaf in (leaves | {"background": background}).items():
        assert torch.isfinite(leaf.grad).all(), name
        assert leaf.grad.abs().max() > 0, name


@pytest.mark.parametrize("channel", AOVS)
def test_every_channel_can_be_asked_for(channel: str) -> None:
    scene = textured_cube()
    usual = render_image(scene, scene.cameras[0], channel=channel)
    image = render_image(scene, scene.cameras[0], channel=channel, rasterizer=SHARP)
    assert image.shape == usual.shape
    assert (np.abs(image - usual).max(axis=-1) > 0.05).mean() < 0.1


def test_unknown_rasterizers_are_named() -> None:
    tensors, cameras, lights = prepared(textured_cube())
    with pytest.raises(
        InputError, match="render: rasterizer must be one of antialias, softras, nmr, got 'rays'"
    ):
        render(tensors, cameras, lights, rasterizer="rays")
    with pytest.raises(InputError, match="render: softras_sigma must be in"):
        render(tensors, cameras, lights, rasterizer=Rasterizer("softras", softras_sigma=0.0))
    with pytest.raises(InputError, match="rasterizer must be one of antialias, softras, nmr, got 'rays'"):
        FitSettings({"rasterizer": "rays"})


def test_flags_of_render_choose_the_rasterizer() -> None:
    given = {"rasterizer": "softras", "softras-sigma": 3e-4}
    assert chosen_rasterizer(given, "diff") == Rasterizer("softras", softras_sigma=3e-4)
    assert chosen_rasterizer({}, "gl") == Rasterizer()
    with pytest.raises(InputError, match="--softras-sigma: only the differentiable renderer"):
        chosen_rasterizer({"softras-sigma": 1e-3}, "gl")


def test_only_what_is_used_is_compiled_ahead() -> None:
    names = {name: {module.name for module in needed_modules(name)} for name in RASTERIZERS}
    assert any(".softras" in module for module in names["softras"])
    assert not any(".nmr" in module for module in names["softras"])
    assert not any(".softras" in module or ".nmr" in module for module in names["antialias"])


TINY = {
    "steps": 24, "resolution": 48, "stages": 2, "start": "sphere", "sphere_subdivisions": 3,
    "edge_coarse": 0.2, "edge_fine": 0.12, "views_per_step": 3, "softras_sigma": 1e-4, "vertices_rate": 8e-2,
}  # fmt: skip


@pytest.mark.parametrize("shading", ["unlit", "pbr"])
@pytest.mark.parametrize("rasterizer", ["softras", "nmr"])
def test_a_fit_lowers_the_loss(rasterizer: str, shading: str) -> None:
    photos = photograph(coloured_ball(), count=8, size=48)
    fit = Fit(FitProblem(photos), FitSettings(TINY | {"rasterizer": rasterizer, "shading": shading}), "cpu")
    fit.prepare()
    before = fit.evaluate(photos.photos).mean("iou")
    losses = [fit.step().losses["total"] for _ in range(fit.steps)]
    after = fit.evaluate(photos.photos).mean("iou")
    assert np.mean(losses[-4:]) < 0.6 * losses[0]
    assert before is not None
    assert after is not None
    assert 1 - after < 0.7 * (1 - before)


def test_the_rasterizer_can_change_while_it_runs() -> None:
    photos = photograph(coloured_ball(), count=4, size=48)
    fit = Fit(FitProblem(photos), FitSettings(TINY), "cpu")
    fit.prepare()
    start = fit.evaluate(photos.photos[:1], pictures=1).pictures[0].coverage
    fit.set_group("vertices", False)
    usual = fit.step().losses["mask"]
    fit.set_rasterizer("softras_sigma", 3e-3)
    fit.set_rasterizer("rasterizer", "softras")
    fit._queue = []  # the same views again
    fit._random = np.random.default_rng(0)
    assert abs(fit.step().losses["mask"] - usual) > 0.1 * usual
    # What is measured at the end stays the antialiased picture.
    np.testing.assert_array_equal(fit.evaluate(photos.photos[:1], pictures=1).pictures[0].coverage, start)
    with pytest.raises(
        InputError, match="no rasterizer setting 'steps'; there are rasterizer, softras_sigma"
    ):
        fit.set_rasterizer("steps", 3)
