"""Glow: where it goes, how much of it there is, and the same in both renderers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from studio.core.effects import get
from studio.core.effects.bloom import LEVELS, bright
from studio.core.gbuffer import CameraBatch, Frame, LightTensors
from studio.core.ops.pyramid import doubled, halved
from studio.core.params import ParamSet
from studio.core.pipeline import render_image
from studio.core.scene import Lighting
from tests.needs import need
from tests.scenes import SCENES


def bloomed(image: Tensor, **values: float | Tensor) -> Tensor:
    params = ParamSet("bloom", get("bloom").params)
    for name, value in values.items():
        params.attach(name, value) if isinstance(value, Tensor) else params.set(name, value)
    scene = SCENES["glossy_sphere"]()
    frame = Frame(
        CameraBatch.from_cameras([scene.cameras[0]]),
        LightTensors.from_lighting(Lighting()),
        torch.zeros(3),
        {"color": image},
    )
    return get("bloom").apply(frame, params)["color"]


def test_dark_pictures_stay() -> None:
    image = torch.rand(1, 33, 21, 3) * 0.5
    assert torch.equal(bloomed(image), image)


def test_a_spot_glows_all_around_with_the_light_that_it_exceeds_by() -> None:
    image = torch.zeros(1, 128, 128, 3)
    image[:, 62:66, 62:66] = torch.tensor([5.0, 2.5, 0.0])
    glow = bloomed(image, strength=1.0) - image
    # Means and enlargements keep the sum, and each step back gives half to the own size.
    assert glow.sum((0, 1, 2)).tolist() == pytest.approx([16 * 4, 16 * 2, 0], rel=1e-3)
    assert torch.allclose(glow, glow.flip(1), atol=1e-6)
    assert torch.allclose(glow, glow.transpose(1, 2), atol=1e-6)
    assert float(glow[0, 64, 64 + 2 ** (LEVELS - 1), 0]) > 0


def test_the_knee_is_smooth() -> None:
    x = torch.linspace(0, 3, 601, dtype=torch.float64)[:, None].repeat(1, 3)
    one, half = (torch.tensor([v], dtype=torch.float64) for v in (1.0, 0.5))
    out = bright(x, one, half)[:, 0]
    assert out[x[:, 0] <= 0.5].abs().max() == 0
    assert torch.allclose(out[x[:, 0] >= 1.5], x[x[:, 0] >= 1.5, 0] - 1)
    assert out.diff().diff().abs().max() <= 2e-3 * 0.05
    check: Callable[..., bool] = torch.autograd.gradcheck
    point = torch.tensor([[1.2, 0.4, 0.3], [0.2, 0.8, 0.1]], dtype=torch.float64, requires_grad=True)
    assert check(bright, (point, one.clone().requires_grad_(), half.clone().requires_grad_()))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (33, 21)])
def test_doubling_is_the_way_back_from_halving(height: int, width: int) -> None:
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    plane = (0.2 * x + 0.1 * y)[None, ..., None]
    again = doubled(halved(plane), height, width)
    assert torch.allclose(again[:, 2:-3, 2:-3], plane[:, 2:-3, 2:-3], atol=1e-5)


@pytest.mark.parametrize("start", [0.1, 1.6])
def test_strength_and_threshold_are_found_from_a_picture(start: float) -> None:
    image = 3 * torch.rand(1, 24, 24, 3, generator=torch.Generator().manual_seed(0)) ** 3
    target = bloomed(image, strength=0.6, threshold=1.2)
    strength, threshold = (torch.tensor(v, requires_grad=True) for v in (start, 0.7))
    optimizer = torch.optim.LBFGS([strength, threshold], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        out = 1e3 * (bloomed(image, strength=strength, threshold=threshold) - target).square().mean()
        out.backward()
        return out

    optimizer.step(loss)
    assert [strength.item(), threshold.item()] == pytest.approx([0.6, 1.2], rel=0.02)


@pytest.mark.parametrize("size", [(64, 64), (61, 47)])
def test_the_shader_glows_the_same(size: tuple[int, int]) -> None:
    need("gl")
    from studio.gl.context import headless_context
    from studio.gl.viewport import Viewport

    scene = SCENES["glossy_sphere"]()
    scene.background = (1.5, 0.2, 0.1)
    camera = scene.cameras[0].resized(*size)
    effects = {name: ParamSet(name, get(name).params) for name in ("pbr", "bloom")}
    effects["bloom"].set("threshold", 0.4)
    plain = {"pbr": effects["pbr"]}
    with headless_context() as context:
        view = Viewport(context)
        view.set_scene(scene)
        pictures = []
        for chosen in (plain, effects):
            view.set_effects(chosen)
            pictures.append(torch.tensor(view.render_offline(camera, samples=1)[..., :3].copy())[None])
        view.release()
    assert float((pictures[1] - pictures[0]).abs().max()) > 0.05
    assert float((bloomed(pictures[0], threshold=0.4) - pictures[1]).abs().max()) <= 1e-5
    ours = render_image(scene, camera, effects)[..., :3]
    assert np.abs(ours - pictures[1][0].numpy())[:4, :4].max() <= 2e-2  # far from the ball's stairs
