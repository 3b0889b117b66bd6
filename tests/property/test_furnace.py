"""White furnace: a white surface in a white world neither adds nor swallows light."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from studio.core.ops.shading import shade_metallic_roughness
from studio.core.scene.light import ambient_sh
from tests.lanes import dfg, evaluate


def shade(
    nov: np.ndarray, roughness: float, metallic: float, lights: tuple[Tensor, Tensor], sh: Tensor
) -> np.ndarray:
    """[len(nov)] radiance of a white surface with normal +Z, seen under the cosines `nov`."""
    n = len(nov)
    one = torch.ones(n, 1, 1, 1)
    rast = torch.ones(n, 1, 1, 4)
    normal = torch.tensor([0.0, 0.0, 1.0]).expand(n, 1, 1, 3).contiguous()
    eye = np.stack([np.sqrt(1 - nov**2), np.zeros(n), nov], axis=1)
    color = shade_metallic_roughness(
        rast,
        torch.ones(n, 1, 1, 3),
        normal,
        torch.zeros(n, 1, 1, 3),
        one * roughness,
        one * metallic,
        torch.tensor(eye, dtype=torch.float32),
        torch.eye(4).expand(n, 4, 4),
        torch.zeros(len(lights[0]), dtype=torch.int32),
        lights[0],
        lights[1],
        sh,
        torch.tensor([0.04]),
    )["color"]
    return color[:, 0, 0, 1].numpy()


def hemisphere(count: int) -> Tensor:
    """[count, 3] evenly spread directions above the surface (Fibonacci spiral)."""
    i = np.arange(count) + 0.5
    z, angle = i / count, i * np.pi * (1 + 5**0.5)
    r = np.sqrt(1 - z * z)
    return torch.tensor(np.stack([r * np.cos(angle), r * np.sin(angle), z], 1), dtype=torch.float32)


NO_LIGHT = (torch.zeros(0, 3), torch.zeros(0, 3))


GRID = np.linspace(0.0, 1.0, 11)


@settings(max_examples=40, deadline=None)
@given(nov=st.floats(0.0, 1.0), roughness=st.floats(0.0, 1.0), metallic=st.floats(0.0, 1.0))
def test_environment_furnace(nov: float, roughness: float, metallic: float) -> None:
    sh = torch.tensor(ambient_sh((1.0, 1.0, 1.0)))
    value = shade(np.array([nov]), roughness, metallic, NO_LIGHT, sh)[0]
    # What the fit of the lobe's albedo gets wrong cancels: the rest feeds the diffuse part. The
    # soft clamp of the environment adds 1e-4.
    assert 0.9995 <= value <= 1.0005


def towards_lobe(nov: float, alpha: float, count: int) -> tuple[Tensor, Tensor]:
    """Directions [n, 3] that light a surface evenly, half of them around the GGX lobe, and what
    each has to bring, [n, 3], for all together to be a white hemisphere (balance heuristic)."""
    i = np.arange(count) + 0.5
    u, angle = i / count, i * np.pi * (1 + 5**0.5)
    cos = np.sqrt((1 - u) / (1 + (alpha**2 - 1) * u))
    sin = np.sqrt(1 - cos**2)
    half = np.stack([sin * np.cos(angle), sin * np.sin(angle), cos], 1)
    v = np.array([np.sqrt(1 - nov**2), 0.0, nov])
    mirrored = 2 * (half @ v)[:, None] * half - v
    light = np.concatenate([mirrored, hemisphere(count).double().numpy()])
    h = (light + v) / np.linalg.norm(light + v, axis=1, keepdims=True)
    d = alpha**2 / (np.pi * ((h[:, 2] ** 2) * (alpha**2 - 1) + 1) ** 2)
    pdf = 0.5 * d * h[:, 2] / (4 * np.abs(h @ v)) + 0.5 / (2 * np.pi)
    radiance = np.where(light[:, 2] > 0, 1 / (pdf * 2 * count * np.pi), 0.0)
    both = torch.tensor(light, dtype=torch.float32), torch.tensor(radiance, dtype=torch.float32)
    return both[0], both[1][:, None].expand(-1, 3).contiguous()


@pytest.mark.parametrize("roughness", GRID)
def test_direct_light_furnace(roughness: float) -> None:
    sh = torch.zeros(25, 3)
    for nov in (0.15, 0.5, 0.95):
        lights = towards_lobe(nov, max(roughness, 0.045) ** 2, 8000)
        values = [shade(np.array([nov]), roughness, metallic, lights, sh)[0] for metallic in GRID]
        # The lobe is exact, its albedo a fit within 0.9 %; 16000 samples add 0.2 %.
        assert min(values) >= 0.985
        assert max(values) <= 1.011


def numeric_dfg(nov: float, alpha: float, count: int = 256) -> tuple[float, float]:
    """(A, B) by importance sampling GGX half vectors on a grid.

    The grid is denser towards grazing half vectors, where the weight grows without bounds: even
    steps of u are 0.03 off with 256 of them.
    """
    s, phi = (np.arange(count) + 0.5) / count, (np.arange(count) + 0.5) / count * np.pi
    cos = ((1 - s) / np.sqrt(1 + (alpha**2 - 1) * (1 - (1 - s) ** 2)))[:, None]
    sin = np.sqrt(1 - cos**2)
    voh = sin * np.cos(phi) * np.sqrt(1 - nov**2) + cos * nov
    nol = 2 * voh * cos - nov
    lit = (nol > 0) & (voh > 0)
    nol = np.where(lit, nol, 1.0)
    a2 = alpha**2
    vis = 0.5 / (nol * np.sqrt(nov**2 * (1 - a2) + a2) + nov * np.sqrt(nol**2 * (1 - a2) + a2))
    weight = np.where(lit, 4 * vis * nol * voh / cos, 0.0) * (2 * (1 - s))[:, None]
    fresnel = (1 - voh.clip(0, 1)) ** 5
    return float((weight * (1 - fresnel)).mean()), float((weight * fresnel).mean())


def test_dfg_fit() -> None:
    errors = []
    for nov in (0.02, 0.04, 0.08, 0.15, 0.3, 0.5, 0.8, 1.0):
        for rough in (0.045, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 1.0):
            fit = dfg(nov, rough**2)[0]
            true = np.array(numeric_dfg(nov, rough**2))
            errors.append([*np.abs(fit - true), abs(fit.sum() / true.sum() - 1)])
    assert np.max(errors, axis=0) == pytest.approx([0.0, 0.0, 0.0], abs=0.0095)


def test_dfg_slopes() -> None:
    step = 1e-3
    nov, alpha = np.array([(0.3, 0.2), (0.8, 0.9), (0.05, 0.05), (0.95, 0.01)]).T
    numeric = [
        (dfg(nov + step, alpha) - dfg(nov - step, alpha)) / (2 * step),
        (dfg(nov, alpha + step) - dfg(nov, alpha - step)) / (2 * step),
    ]
    body = "const Dfg::Slopes s = Dfg::slopes(in[0], in[1]); out[0] = s.a_nov; out[1] = s.b_nov;"
    slopes = evaluate(body + "out[2] = s.a_alpha; out[3] = s.b_alpha;", 4, np.stack([nov, alpha], 1))
    np.testing.assert_allclose(slopes, np.hstack(numeric), atol=3e-3, rtol=3e-3)
