"""The terms of the shading model against quadrature and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import warp as wp

from studio.core.kernels.brdf import lobe_blur, lobe_blur_slope
from studio.core.kernels.ggx import D_GGX
from studio.core.kernels.sh import sh_basis, sh_gradient, vec25
from studio.core.ops.shading import shade_metallic_roughness
from studio.core.scene.light import sh_band


def directions(count: int) -> np.ndarray:
    """[count, 3] evenly spread over the sphere."""
    i = np.arange(count) + 0.5
    z, angle = 1 - 2 * i / count, i * np.pi * (1 + 5**0.5)
    r = np.sqrt(1 - z * z)
    return np.stack([r * np.cos(angle), r * np.sin(angle), z], axis=1)


def basis(d: np.ndarray) -> np.ndarray:
    return np.array(sh_basis(wp.vec3(*(float(v) for v in d))))


def test_basis_is_orthonormal() -> None:
    points = directions(3000)
    values = np.stack([basis(d) for d in points])
    gram = values.T @ values * (4 * np.pi / len(points))
    np.testing.assert_allclose(gram, np.eye(25), atol=2e-3)  # quadrature of 3000 points


def test_basis_follows_the_convention() -> None:
    x, y, z = basis((1, 0, 0)), basis((0, 1, 0)), basis((0, 0, 1))
    # l = 1 in the order y z x, all positive.
    assert x[3] > 0.48
    assert y[1] > 0.48
    assert z[2] > 0.48
    assert [sh_band(i) for i in (0, 1, 3, 4, 8, 9, 15, 16, 24)] == [0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_basis_gradient() -> None:
    rng = np.random.default_rng(0)
    for d in directions(7):
        weights = rng.normal(size=25)
        exact = np.array(sh_gradient(wp.vec3(*d.tolist()), vec25(*weights.tolist())))
        step = 1e-2  # polynomials of degree 4: the fourth-order stencil is exact but for rounding
        numeric = []
        for axis in np.eye(3):
            f = {k: basis(d + k * step * axis) @ weights for k in (-2, -1, 1, 2)}
            numeric.append((8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * step))
        np.testing.assert_allclose(exact, numeric, atol=5e-3 * np.abs(exact).max())


def lobe_bands(alpha: float) -> np.ndarray:
    """[5] zonal coefficients of D_GGX * NoL around the mirror direction, view along the normal."""
    theta = np.linspace(0, np.pi / 2, 20001)[1:]
    cos, half = np.cos(theta), np.cos(theta / 2)
    weight = np.array([D_GGX(float(h), float(1 - h * h), float(alpha)) for h in half]) * (cos * np.sin(theta))
    legendre = [1, cos, (3 * cos**2 - 1) / 2, (5 * cos**3 - 3 * cos) / 2, (35 * cos**4 - 30 * cos**2 + 3) / 8]
    return np.array([np.trapezoid(weight * p, theta) for p in legendre]) / np.trapezoid(weight, theta)


@pytest.mark.parametrize("roughness", [0.1, 0.3, 0.5, 0.7, 1.0])
def test_lobe_blur_fits_the_convolution(roughness: float) -> None:
    alpha = roughness**2
    band = np.arange(5)
    fitted = np.exp(-band * (band + 1) * lobe_blur(float(alpha)))
    # One exponential cannot follow the heavy tail of GGX: 0.054 is the best of its form.
    assert np.abs(fitted - lobe_bands(alpha)).max() <= 0.06


def test_lobe_blur_is_a_mirror_when_smooth_and_cosine_when_rough() -> None:
    assert lobe_blur(0.0) == 0.0
    assert np.exp(-2 * lobe_blur(1.0)) == pytest.approx(2 / 3, abs=0.06)
    a, h = 0.3, 1e-3
    numeric = (lobe_blur(a + h) - lobe_blur(a - h)) / (2 * h)
    assert lobe_blur_slope(a) == pytest.approx(numeric, rel=1e-3)


def test_any_gradient_layout_will_do() -> None:
    grads = []
    for dense in (False, True):
        albedo = torch.full((1, 2, 2, 3), 0.5, requires_grad=True)
        towards_eye = torch.tensor([0.0, 0.0, 1.0]).expand(1, 2, 2, 3)
        one = torch.ones(1, 2, 2, 1)
        color = shade_metallic_roughness(
            torch.ones(1, 2, 2, 4),
            albedo,
            towards_eye,
            torch.zeros(1, 2, 2, 3),
            0.5 * one,
            0.0 * one,
            torch.tensor([[0.0, 0.0, 2.0]]),
            torch.eye(4)[None],
            torch.zeros(0, dtype=torch.int32),
            torch.zeros(0, 3),
            torch.zeros(0, 3),
            torch.ones(9, 3),  # nine coefficients are bands 0 to 2
            torch.tensor([0.04]),
        )["color"]
        (color * torch.ones_like(color)).sum().backward() if dense else color.sum().backward()
        grads.append(albedo.grad)
    torch.testing.assert_close(grads[0], grads[1])
    assert float(grads[0].min()) > 0
