"""Antialiasing of the finished picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from studio.core.effects import get
from studio.core.errors import StudioError
from studio.core.ops.fxaa import fxaa, fxaa_choice
from studio.core.params import ParamSet
from studio.core.pipeline import render_image
from tests.needs import need
from tests.scenes import SCENES


def stairs(slope: float, size: int = 48) -> tuple[Tensor, Tensor]:
    """A slanted edge [1, S, S, 3], with stairs and with exact coverage."""
    fine = 16
    axis = (np.arange(size * fine) + 0.5) / fine - size / 2
    white = (axis[:, None] > slope * axis[None, :]).astype(np.float32)
    exact = white.reshape(size, fine, size, fine).mean((1, 3))
    middle = white[fine // 2 :: fine, fine // 2 :: fine]
    return tuple(torch.tensor(v)[None, ..., None].repeat(1, 1, 1, 3) for v in (middle, exact))  # type: ignore[return-value]


@pytest.mark.parametrize("slope", [0.15, 0.4, 0.8, -0.3])
@pytest.mark.parametrize("upright", [False, True])
def test_stairs_come_nearer_to_coverage(slope: float, upright: bool) -> None:
    image, exact = stairs(slope)
    if upright:
        image, exact = image.transpose(1, 2).contiguous(), exact.transpose(1, 2)
    before, after = (
        (v - exact)[:, 12:-12, 12:-12].square().mean() for v in (image, fxaa(image, subpixel=0.0))
    )
    assert float(after) <= (0.4 if abs(slope) < 0.5 else 0.6) * float(before)  # short steps gain least


def test_even_and_dark_places_stay() -> None:
    even = torch.rand(1, 9, 9, 3) * 1e-4
    assert torch.equal(fxaa(even), even)
    ramp = torch.linspace(0.3, 0.5, 64)[None, None, :, None].repeat(1, 8, 1, 3)
    assert torch.equal(fxaa(ramp), ramp)


def test_a_single_pixel_is_blurred_as_told() -> None:
    image = torch.full((1, 9, 9, 3), 0.04)
    image[0, 4, 4] = 1.0
    strong, weak, none = (float(fxaa(image, subpixel=s)[0, 4, 4, 0]) for s in (1.0, 0.5, 0.0))
    assert strong < weak < none + 1e-6
    assert strong < 0.3


def test_the_adjoint_is_the_transpose() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 13, 17, 3, generator=generator).requires_grad_()
    out = fxaa(image)
    assert (out - image).abs().max().item() > 0.05
    side, weight = fxaa_choice(image, 0.125, 0.0312, 0.75)
    assert side.unique().tolist() == [0, 1, 2, 3, 4]
    g = torch.randn(out.shape, generator=generator)
    (back,) = torch.autograd.grad(out, image, g)
    x = torch.randn(image.shape, generator=generator)
    # The same mixture of another picture, by indices.
    rows, columns = torch.meshgrid(torch.arange(13), torch.arange(17), indexing="ij")
    right = (side == 2).int() - (side == 1).int()
    above = (side == 4).int() - (side == 3).int()
    number = (rows + above).clamp(0, 12) * 17 + (columns + right).clamp(0, 16)
    other = x.flatten(1, 2).gather(1, number.flatten(1)[..., None].expand(-1, -1, 3)).view(x.shape)
    mixed = torch.lerp(x, other, weight[..., None])
    assert float((mixed * g).sum()) == pytest.approx((x * back).sum().item(), rel=1e-4)


def test_bad_pictures_are_named() -> None:
    with pytest.raises(StudioError, match="fxaa: image must have shape"):
        fxaa(torch.rand(4, 4, 3))


def test_the_shader_smooths_the_same_edges() -> None:
    need("gl")
    from studio.gl.context import headless_context
    from studio.gl.viewport import Viewport

    scene = SCENES["textured_cube"]()
    camera = scene.cameras[0].resized(96, 96)
    sets = [
        {name: ParamSet(name, get(name).params) for name in names} for names in (["pbr"], ["pbr", "fxaa"])
    ]
    with headless_context() as context:
        view = Viewport(context)
        view.set_scene(scene)
        pictures = []
        for effects in sets:
            view.set_effects(effects)
            pictures.append(view.render_offline(camera, samples=1)[..., :3])
        view.release()
    plain = torch.tensor(np.ascontiguousarray(pictures[0]))[None]
    expected = fxaa(plain)[0].numpy()
    assert np.abs(expected - pictures[0]).max() > 0.05  # silhouettes without antialiasing
    assert np.abs(expected - pictures[1]).mean() <= 1e-5
    assert np.quantile(np.abs(expected - pictures[1]), 0.999) <= 1e-3
    exact = render_image(scene, camera, sets[0])[..., :3]
    errors = [np.abs(p - exact).mean() for p in pictures]
    assert errors[1] < 0.9 * errors[0]
