"""Tone curves: what their authors say they do, and the same in both renderers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from studio.core.effects import get
from studio.core.effects.tonemap import CURVES, TOE, matrices, power, toned
from studio.core.params import ParamSet
from studio.core.pipeline import render_image
from tests.needs import need
from tests.scenes import SCENES

FILMIC = CURVES[1:]


def grey(*values: float) -> Tensor:
    """[n, 3] greys."""
    return torch.tensor(values, dtype=torch.float64)[:, None].repeat(1, 3)


def test_linear_changes_nothing() -> None:
    x = torch.randn(20, 3)
    assert torch.equal(toned(x, "linear"), x)


@pytest.mark.parametrize("curve", FILMIC)
def test_curves_rise_from_black_to_white(curve: str) -> None:
    light = torch.cat([torch.zeros(1), torch.logspace(-3, 2, 200)]).double()[:, None].repeat(1, 3)
    out = toned(light, curve)
    # Narkowicz goes to 1.033 (2.51 / 2.43), Hill to 1.016.
    assert out.max() <= 1.04
    assert out[-1].min() >= 0.97
    assert out[0].abs().max() <= 3e-3  # Hill's fit is at -0.0004 * 1.02 there, AgX at -0.002
    assert (out.diff(dim=0) >= -1e-9).all()


@pytest.mark.parametrize(
    ("curve", "light", "expected", "tolerance"),
    [
        ("aces", 1.0, 0.8038, 1e-4),  # (2.51 + 0.03) / (2.43 + 0.59 + 0.14)
        ("aces_fit", 1.0, 0.6191, 1e-4),  # 1.02448777 / 1.65476100; the matrices keep greys
        ("agx", 0.18, 0.5**2.2, 4e-3),  # middle grey is half the encoded range; the polynomial is a fit
        ("neutral", 0.5, 0.46, 1e-6),  # below 0.8 the colour less F90's 0.04
        ("neutral", 0.05, 6.25 * 0.05**2, 1e-6),
        ("neutral", 1.0, 1 - 0.24**2 / (0.96 + 0.24 - 0.76), 1e-6),
    ],
)
def test_values_that_can_be_worked_out(curve: str, light: float, expected: float, tolerance: float) -> None:
    assert toned(grey(light), curve)[0].tolist() == pytest.approx(
        [expected] * 3, abs=max(tolerance, 2e-3 * expected)
    )


@pytest.mark.parametrize("curve", ["aces_fit", "agx"])
def test_matrices_keep_white(curve: str) -> None:
    for matrix in matrices(curve):
        np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=2e-4)


@pytest.mark.parametrize("curve", ["aces_fit", "agx", "neutral"])
def test_the_brightest_colours_lose_their_colour(curve: str) -> None:
    red = torch.tensor([[1.0, 0.1, 0.1]], dtype=torch.float64)

    def spread(x: Tensor) -> float:
        out = toned(x, curve)
        return float(out.amax() - out.amin())

    assert spread(60 * red) < 0.7 * spread(red)


@pytest.mark.parametrize("curve", CURVES)
def test_gradients_in_double_precision(curve: str) -> None:
    x = torch.rand(30, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 4 + 0.02

    def function(value: Tensor) -> Tensor:
        return toned(value, curve)

    check: Callable[..., bool] = torch.autograd.gradcheck
    assert check(function, (x.requires_grad_(),), eps=1e-6, atol=1e-6)


def test_gamma() -> None:
    x = torch.tensor([0.0, TOE / 2, TOE, 0.25, 2.0], dtype=torch.float64).requires_grad_()
    gamma = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    assert power(x, gamma).tolist() == pytest.approx([0, TOE**0.5 / 2, TOE**0.5, 0.5, 2**0.5])
    assert torch.autograd.gradcheck(power, (x[3:].detach().requires_grad_(), gamma))
    (slope,) = torch.autograd.grad(power(x, gamma).sum(), x)
    assert slope.isfinite().all()


def test_gamma_and_exposure_are_found() -> None:
    x = torch.rand(500, 3, generator=torch.Generator().manual_seed(0))
    target = power(toned(x * 2**0.7, "agx"), torch.tensor(1.4))
    for start in (0.6, 2.5):
        found = torch.tensor([start, 0.0], requires_grad=True)
        optimizer = torch.optim.LBFGS([found], max_iter=60, line_search_fn="strong_wolfe")

        def loss(found: Tensor = found, optimizer: Any = optimizer) -> Tensor:
            optimizer.zero_grad()
            out = 100 * (power(toned(x * 2 ** found[1], "agx"), found[0]) - target).square().mean()
            out.backward()
            return out

        optimizer.step(loss)
        assert found.tolist() == pytest.approx([1.4, 0.7], rel=0.02)


@pytest.mark.parametrize("curve", CURVES)
def test_the_shader_draws_the_same_curve(curve: str) -> None:
    need("gl")
    from studio.gl.context import headless_context
    from studio.gl.viewport import Viewport

    scene = SCENES["glossy_sphere"]()
    camera = scene.cameras[0].resized(48, 48)
    values: dict[str, Any] = {"curve": curve, "gamma": 1.3, "exposure": 1.5}
    effects = {
        "pbr": ParamSet("pbr", get("pbr").params),
        "tonemap": ParamSet("tonemap", get("tonemap").params, values),
    }
    expected = render_image(scene, camera, effects)
    with headless_context() as context:
        view = Viewport(context)
        view.set_scene(scene)
        view.set_effects(effects)
        actual = view.render_offline(camera, samples=1)
        view.release()
    error = np.abs(actual - expected)[20:28, 20:28, :3]
    assert error.max() <= 1e-4
    assert np.abs(actual - expected)[:3, :3, :3].max() <= 1e-4  # the background
