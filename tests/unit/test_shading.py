"""The terms of the shading model against quadrature and closed forms."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from studio.core.errors import ShapeError
from studio.core.ops.shading import shade_metallic_roughness
from studio.core.scene.light import KINDS
from tests.lanes import evaluate


def directions(count: int) -> np.ndarray:
    """[count, 3] evenly spread over the sphere."""
    i = np.arange(count) + 0.5
    z, angle = 1 - 2 * i / count, i * np.pi * (1 + 5**0.5)
    r = np.sqrt(1 - z * z)
    return np.stack([r * np.cos(angle), r * np.sin(angle), z], axis=1)


def basis(d: np.ndarray) -> np.ndarray:
    """[P, 25] of [P, 3]."""
    return evaluate("Harmonics::basis({in[0], in[1], in[2]}, out);", 25, d)


def test_basis_is_orthonormal() -> None:
    points = directions(3000)
    values = basis(points)
    gram = values.T @ values * (4 * np.pi / len(points))
    np.testing.assert_allclose(gram, np.eye(25), atol=2e-3)  # quadrature of 3000 points


def test_basis_follows_the_convention() -> None:
    x, y, z = basis(np.eye(3))
    # l = 1 in the order y z x, all positive.
    assert x[3] > 0.48
    assert y[1] > 0.48
    assert z[2] > 0.48


def gradient(name: str, d: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[P, 3] gradient at [P, 3] of sum_k weights[k] basis_k."""
    w = ", ".join(f"F({v}f)" for v in weights)
    body = f"const F w[] = {{{w}}}; const V g = Harmonics::{name}({{in[0], in[1], in[2]}}, w);"
    return evaluate(body + "out[0] = g.x; out[1] = g.y; out[2] = g.z;", 3, d)


@pytest.mark.parametrize(("name", "count"), [("gradient", 25), ("irradiance_gradient", 9)])
def test_basis_gradient(name: str, count: int) -> None:
    weights = np.random.default_rng(0).normal(size=count)
    of = {"gradient": "basis", "irradiance_gradient": "irradiance"}[name]

    def value(d: np.ndarray) -> np.ndarray:
        return evaluate(f"Harmonics::{of}({{in[0], in[1], in[2]}}, out);", count, d) @ weights

    d = directions(7)
    exact = gradient(name, d, weights)
    step = 1e-2  # polynomials of degree 4: the fourth-order stencil is exact but for rounding
    numeric = []
    for axis in np.eye(3):
        f = {k: value(d + k * step * axis) for k in (-2, -1, 1, 2)}
        numeric.append((8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * step))
    np.testing.assert_allclose(exact, np.stack(numeric, 1), atol=5e-3 * np.abs(exact).max())


def lobe_blur(alpha: np.ndarray | float) -> np.ndarray:
    """[P, 2] the blur and its slope."""
    body = "out[0] = LobeBlur::value(in[0]); out[1] = LobeBlur::slope(in[0]);"
    return evaluate(body, 2, np.atleast_1d(alpha)[:, None])


def pi_ggx(angle: np.ndarray, alpha: float) -> np.ndarray:
    """[P] pi D_GGX for a view along the normal and light under `angle`."""
    body = """
        const V n = {F(0.0f), F(0.0f), F(1.0f)}, l = {in[0], F(0.0f), in[1]};
        const Half h = Half::of(n, n, l, in[1], F(1.0f), in[2]);
        out[0] = h.k * h.k;
    """
    values = np.stack([np.sin(angle), np.cos(angle), np.full_like(angle, alpha)], 1)
    return evaluate(body, 1, values)[:, 0]


def lobe_bands(alpha: float) -> np.ndarray:
    """[5] zonal coefficients of D_GGX * NoL around the mirror direction, view along the normal."""
    theta = np.linspace(0, np.pi / 2, 20001)[1:]
    cos = np.cos(theta)
    weight = pi_ggx(theta, alpha) * (cos * np.sin(theta))
    legendre = [1, cos, (3 * cos**2 - 1) / 2, (5 * cos**3 - 3 * cos) / 2, (35 * cos**4 - 30 * cos**2 + 3) / 8]
    return np.array([np.trapezoid(weight * p, theta) for p in legendre]) / np.trapezoid(weight, theta)


@pytest.mark.parametrize("roughness", [0.1, 0.3, 0.5, 0.7, 1.0])
def test_lobe_blur_fits_the_convolution(roughness: float) -> None:
    alpha = roughness**2
    band = np.arange(5)
    fitted = np.exp(-band * (band + 1) * lobe_blur(alpha)[0, 0])
    # One exponential cannot follow the heavy tail of GGX: 0.054 is the best of its form.
    assert np.abs(fitted - lobe_bands(alpha)).max() <= 0.06


def test_lobe_blur_is_a_mirror_when_smooth_and_cosine_when_rough() -> None:
    a, h = 0.3, 1e-3
    mirror, cosine, before, middle, after = lobe_blur(np.array([0.0, 1.0, a - h, a, a + h]))
    assert mirror[0] == 0.0
    assert np.exp(-2 * cosine[0]) == pytest.approx(2 / 3, abs=0.06)
    assert middle[1] == pytest.approx((after[0] - before[0]) / (2 * h), rel=1e-3)


def test_powers_of_two_and_their_logarithms() -> None:
    x = np.concatenate([np.linspace(-30, 30, 401), [-1e-6, 0.0, 1e-6]])
    power = evaluate("out[0] = Each::exp2(in[0]);", 1, x[:, None])[:, 0]
    exact = 2.0 ** x.astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(power, exact, rtol=4e-7)
    logarithm = evaluate("out[0] = Each::log2(in[0]);", 1, exact[:, None])[:, 0]
    np.testing.assert_allclose(
        logarithm, np.log2(exact.astype(np.float32).astype(float)), rtol=4e-7, atol=1e-7
    )


def test_slopes_of_specular_occlusion() -> None:
    rng = np.random.default_rng(0)
    at = np.stack([rng.uniform(0.1, 0.9, 50), rng.uniform(0.2, 0.9, 50), rng.uniform(0.01, 1, 50)], 1)
    value = "out[0] = SpecularOcclusion::value(in[0], in[1], in[2]);"
    slopes = "const auto s = SpecularOcclusion::slopes(in[0], in[1], in[2]);"
    exact = evaluate(slopes + "out[0] = s.nov; out[1] = s.ao; out[2] = s.alpha;", 3, at)
    step = 2e-3
    for i, axis in enumerate(np.eye(3)):
        f = {k: evaluate(value, 1, at + k * step * axis)[:, 0] for k in (-2, -1, 1, 2)}
        inside = (f[-2] > 0) & (f[2] > 0) & (f[-2] < 1) & (f[2] < 1)
        assert inside.sum() > 20
        numeric = (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * step)
        np.testing.assert_allclose(exact[inside, i], numeric[inside], atol=2e-3, rtol=5e-3)


def plain(albedo: Tensor, kinds: list[int], **more: Tensor) -> Tensor:
    """Colour of a wall of [1, H, W, 3] albedo seen head-on under lights in front of it."""
    _, height, width, _ = albedo.shape
    one = torch.ones(1, height, width, 1)
    lights = torch.tensor([0.0, 0.0, 1.0]).repeat(len(kinds), 1)
    out = shade_metallic_roughness(
        torch.ones(1, height, width, 4),
        albedo,
        torch.tensor([0.0, 0.0, 1.0]).expand(1, height, width, 3),
        torch.zeros(1, height, width, 3),
        0.5 * one,
        0.0 * one,
        torch.tensor([[0.0, 0.0, 2.0]]),
        torch.eye(4)[None],
        torch.tensor(kinds, dtype=torch.int32),
        lights,
        torch.ones(len(kinds), 3),
        torch.ones(9, 3),  # nine coefficients are bands 0 to 2
        torch.tensor([0.04]),
        **more,
    )
    return out["color"]


def test_area_lights_shine_by_their_form_factors() -> None:
    albedo, area = torch.full((1, 2, 11, 3), 0.5), KINDS.index("area")
    dark = plain(albedo, [])
    assert torch.equal(plain(albedo, [area]), dark)
    one, two = torch.full((1, 2, 11, 2), 0.3), torch.full((1, 2, 11, 4), 0.3)
    once = plain(albedo, [area], panels=one) - dark
    assert float(once.min()) > 0.1
    torch.testing.assert_close(plain(albedo, [area, area], panels=two) - dark, 2 * once)
    with pytest.raises(ShapeError, match="2 numbers for each area light, got 2"):
        plain(albedo, [area, area], panels=one)


def test_any_gradient_layout_will_do() -> None:
    grads = []
    for dense in (False, True):
        albedo = torch.full((1, 2, 2, 3), 0.5, requires_grad=True)
        color = plain(albedo, [])
        (color * torch.ones_like(color)).sum().backward() if dense else color.sum().backward()
        grads.append(albedo.grad)
    torch.testing.assert_close(grads[0], grads[1])
    assert float(grads[0].min()) > 0


def test_nothing_degenerate_spoils_values_or_gradients() -> None:
    """No normal, a normal away from the viewer, a surface in the camera or in a lamp, light from behind."""
    normals = [(0, 0, 1), (0, 0, -1), (0, 0, 0), (0.6, 0, 0.8), (1, 0, 0)]
    positions = [(0, 0, 0), (0, 0, 3), (0, 0, 1), (0.1, 0, 1), (1e3, 0, 0)]
    cases = list(product(normals, positions, (0.0, 0.5, 1.0), (0.0, 1.0)))
    images = [torch.tensor([c[i] for c in cases], dtype=torch.float32) for i in range(4)]
    leaves = [t.reshape(1, 1, len(cases), -1).requires_grad_() for t in images]
    lamps = torch.tensor(
        [(0, 0, 1), (0, 0, -1), (0, 0, 1), (0.1, 0, 1)], dtype=torch.float32
    ).requires_grad_()
    shape = torch.tensor([[0.5, 0.9, 0.0, 0.0]]).repeat(4, 1).requires_grad_()
    out = shade_metallic_roughness(
        torch.ones(1, 1, len(cases), 4),
        torch.full((1, 1, len(cases), 3), 0.5),
        *leaves,
        torch.tensor([[0.0, 0.0, 3.0]]),
        torch.eye(4)[None],
        torch.tensor([0, 0, 1, 2], dtype=torch.int32),
        lamps,
        torch.ones(4, 3),
        torch.ones(25, 3),
        torch.tensor([0.04]),
        torch.tensor([[0.0, 0.0, 1.0]]).repeat(4, 1),
        shape,
    )["color"]
    # The brightest is a lamp 0.01 units away in a mirror, of 1e4 times the light and a peak of 1e5.
    assert 0 <= float(out.detach().min()) <= float(out.detach().max()) < 1e9
    for grad in torch.autograd.grad(out.sum(), [*leaves, lamps, shape]):
        assert bool(grad.isfinite().all())
