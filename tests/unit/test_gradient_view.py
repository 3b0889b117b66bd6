"""The gradient view: every kind of number against finite differences, and what it says about them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from studio.cli import commands
from studio.core.effects import get
from studio.core.errors import Cancelled, InputError
from studio.core.optim.gradient_view import (
    GradientView,
    block_means,
    gradient_views,
    save_gradient_view,
    signed_colors,
)
from studio.core.optim.scalars import chosen, scalars
from studio.core.params import ParamSet
from studio.core.pipeline import render_image
from studio.core.scene import Camera, Light, Material, Scene, look_at
from studio.core.scene.shapes import icosphere
from tests.scenes import camera, effects_with, environment


def ball() -> Scene:
    """One ball under a sun and a lamp; fine enough to shade smoothly."""
    mesh = icosphere(4)
    mesh.material = Material(base_color=(0.6, 0.3, 0.2), perceptual_roughness=0.6, metallic=0.2)
    scene = Scene(meshes=[mesh], background=(0.05, 0.1, 0.2), cameras=[camera(48, (0.5, 0.8, 3.0))])
    lamp = Light("point", position=(1.0, 2.0, 2.0), intensity=3.0)
    scene.lighting = replace(scene.lighting, lights=[Light(intensity=0.7), lamp], sh=environment(3))
    return scene


def pbr() -> dict[str, ParamSet]:
    return {"pbr": ParamSet("pbr", get("pbr").params)}


def last(scene: Scene, name: str, **options: object) -> GradientView:
    options.setdefault("effects", pbr())
    return list(gradient_views(scene, scene.cameras[0], name, **options))[-1]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("light.0.intensity", 1e-4),
        ("light.0.turn_y", 0.01),
        ("light.1.x", 0.01),
        ("environment.intensity", 1e-4),
        ("material.0.base_color.g", 1e-4),
        ("material.0.perceptual_roughness", 0.005),
        ("material.0.metallic", 1e-3),
        ("pbr.light_exposure", 0.002),
    ],
)
def test_reverse_mode_agrees_with_finite_differences(name: str, tolerance: float) -> None:
    view = last(ball(), name)
    assert np.abs(view.difference).max() > 1e-3, "the picture does not depend on it"
    assert np.isfinite(view.adjoint).all()
    assert view.error < tolerance
    assert view.doubt < tolerance


@pytest.mark.parametrize(
    "name",
    ["camera.right", "camera.back", "camera.yaw", "camera.pitch", "mesh.0.y", "mesh.0.x", "mesh.0.size"],
)
def test_motions_agree_at_outlines(name: str) -> None:
    """Unlit: what moves is the outline."""
    view = last(ball(), name, effects={})
    assert np.abs(view.difference).max() > 1e-3
    assert view.error < 0.02
    if name not in ("camera.right", "camera.back"):
        assert last(ball(), name).error < 0.03


def test_a_gradient_that_is_left_out_is_seen() -> None:
    """Shading does not lead back to the camera's place (see the effect pbr): highlights stay behind."""
    view = last(ball(), "camera.back")
    assert view.error > 0.1
    assert view.doubt < 0.01


def test_a_roll_turns_the_shading() -> None:
    scene = ball()
    scene.meshes[0].vertices = scene.meshes[0].vertices * np.float32([1.3, 0.8, 0.8])
    scene.meshes[0].normals = None
    for name in ("camera.roll", "mesh.0.turn_z"):
        assert last(scene, name, effects={}).error < 0.02


def test_a_wrong_gradient_is_seen() -> None:
    """A tangent of half the length that it should have: the error says 50 %, the doubt nothing."""
    scene = ball()
    true = scalars(scene, scene.cameras[0], pbr())["light.0.intensity"]

    class Half(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, value: torch.Tensor) -> torch.Tensor:
            return value.clone()

        @staticmethod
        def backward(ctx: object, gradient: torch.Tensor) -> torch.Tensor:
            return 0.5 * gradient

    from studio.core.optim import gradient_view as module

    wrong = replace(true, apply=lambda inputs, value: true.apply(inputs, Half.apply(value)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "scalars", lambda *_: {true.name: wrong})
        view = last(scene, true.name)
    assert view.error == pytest.approx(0.5, abs=0.01)
    assert view.doubt < 1e-3


def test_one_pass_per_block_and_none_where_nothing_is_felt() -> None:
    scene = ball()
    unlit = last(scene, "light.0.intensity", effects={})
    assert unlit.passes == 9  # 48 pixels in coarse blocks of 16
    assert (unlit.adjoint == 0).all()
    assert unlit.error == unlit.doubt == 0.0
    fine = last(scene, "material.0.base_color.r", block=1)
    coarse = last(scene, "material.0.base_color.r", block=4)
    assert fine.adjoint.shape == (48, 48)
    np.testing.assert_allclose(block_means(fine.adjoint, 4), coarse.adjoint, atol=1e-5)
    empty = fine.picture.reshape(-1, 3) == np.float32(scene.background)
    assert (fine.adjoint.ravel()[empty.all(axis=1)] == 0).mean() > 0.9


def test_sizes_that_are_no_multiple_of_a_block() -> None:
    scene = ball()
    odd = scene.cameras[0].resized(45, 38)
    view = list(gradient_views(scene, odd, "light.1.intensity", pbr(), block=4))[-1]
    assert view.adjoint.shape == (10, 12)
    assert view.error < 1e-4
    image = np.arange(45 * 38, dtype=np.float64).reshape(38, 45)
    means = block_means(image, 4)
    assert means[9, 11] == pytest.approx(image[36:, 44:].mean())


def test_several_meshes_keep_to_themselves() -> None:
    scene = ball()
    other = icosphere(3, 0.3)
    other.vertices = other.vertices + np.float32([1.2, 0.6, 0.4])
    other.colors = np.full_like(other.vertices, 0.5)
    scene.meshes.append(other)
    for name in ("material.1.base_color.b", "material.0.base_color.b"):
        assert last(scene, name).error < 1e-4
    assert last(scene, "mesh.1.x").error < 0.15


def test_effects_parameters_and_values_at_the_end_of_their_range() -> None:
    scene = ball()
    scene.meshes[0].material.perceptual_roughness = 1.0
    view = last(scene, "material.0.perceptual_roughness")
    assert view.scalar.at == pytest.approx(0.99)
    assert view.error < 0.01
    shaded = effects_with("tonemap")
    names = [n for n in scalars(scene, scene.cameras[0], shaded) if n.startswith("tonemap.")]
    assert "tonemap.exposure" in names
    assert last(scene, "tonemap.exposure", effects=shaded).error < 0.01


def test_the_picture_is_the_renderers_and_the_work_can_be_cancelled() -> None:
    scene = ball()
    view = last(scene, "camera.up")
    own = render_image(scene, scene.cameras[0], pbr())
    np.testing.assert_allclose(view.picture, own[..., :3], atol=1e-5)

    def stop(fraction: float, note: str) -> None:
        if fraction > 0.05:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        last(scene, "camera.up", progress=stop)


def test_what_does_not_exist_is_named() -> None:
    scene = ball()
    known = scalars(scene, scene.cameras[0], pbr())
    with pytest.raises(InputError, match=r"light\.0\.intensity"):
        chosen(known, "light.7.intensity")
    with pytest.raises(InputError, match=r"camera\.…, environment\.…"):
        chosen(known, "nonsense")
    with pytest.raises(InputError, match="step: -1"):
        last(scene, "camera.up", step=-1.0)
    far = Camera(8, 8, 9, 9, 4, 4, look_at(np.array((0.0, 0.0, 9.0)), np.zeros(3)))
    assert chosen(scalars(scene, far, {}), "camera.right").step > known["camera.right"].step


def test_signs_are_told_apart() -> None:
    shown = signed_colors(np.array([[-1.0, 0.0, 1.0, np.nan]]), 1.0)
    blue, zero, orange, unknown = shown[0]
    assert blue[2] > blue[0] + 0.3
    assert orange[0] > orange[2] + 0.3
    assert zero.max() < 0.1
    assert (unknown == zero).all()


def test_the_command_lists_and_draws(tmp_path: Path) -> None:
    run = CliRunner().invoke
    listed = run(commands, ["gradients", "balls", "--effects", "pbr"])
    assert listed.exit_code == 0
    assert "light.0.intensity" in listed.output
    assert "pbr.specular_f0" in listed.output
    out = tmp_path / "view.png"
    drawn = run(
        commands,
        ["gradients", "balls", "--effects", "pbr", "--parameter", "light.0.intensity"]
        + ["--out", str(out), "--size", "48x36", "--block", "6"],
    )
    assert drawn.exit_code == 0, drawn.output
    assert "relative error" in drawn.output
    with Image.open(out) as image:
        assert image.width > 1000
    wrong = run(commands, ["gradients", "balls", "--parameter", "light.0.intensity", "--out", "a.jpg"])
    assert isinstance(wrong.exception, InputError)
    with pytest.raises(InputError, match=r"\.png"):
        save_gradient_view(last(ball(), "light.0.intensity", block=16), tmp_path / "a.gif")
