"""The GGX lobe against Mitsuba's rough conductor, direction by direction."""

from __future__ import annotations

import numpy as np
import torch

from studio.core.ops.shading import shade_metallic_roughness
from tests.lanes import dfg
from tests.needs import need

COUNT = 150


def pairs() -> tuple[np.ndarray, np.ndarray]:
    """[COUNT, 3] view and light directions above the surface; every other pair near the mirror's."""
    rng = np.random.default_rng(0)
    d = rng.normal(size=(2, COUNT, 3))
    d[..., 2] = np.abs(d[..., 2]) + 0.15
    view, light = d / np.linalg.norm(d, axis=-1, keepdims=True)
    light[::2] = view[::2] * (-1, -1, 1) + 0.15 * rng.normal(size=(COUNT // 2, 3))
    light[:, 2] = np.maximum(light[:, 2], 0.05)
    return view, light / np.linalg.norm(light, axis=-1, keepdims=True)


def masking(cosine: np.ndarray, alpha: float) -> np.ndarray:
    """Smith's Lambda for GGX."""
    return 0.5 * (np.sqrt(1 + alpha**2 * (1 / cosine**2 - 1)) - 1)


def ours(view: np.ndarray, light: np.ndarray, roughness: float) -> np.ndarray:
    """BRDF times cosine of a white metal, without the compensation."""
    one = torch.ones(COUNT, 1, 1, 1)
    color = []
    for i, direction in enumerate(light):
        color.append(
            shade_metallic_roughness(
                torch.ones(1, 1, 1, 4),
                torch.ones(1, 1, 1, 3),
                torch.tensor([0.0, 0.0, 1.0]).reshape(1, 1, 1, 3),
                torch.zeros(1, 1, 1, 3),
                one[:1] * roughness,
                one[:1],
                torch.tensor(view[i : i + 1], dtype=torch.float32),
                torch.eye(4)[None],
                torch.zeros(1, dtype=torch.int32),
                torch.tensor(direction[None], dtype=torch.float32),
                torch.ones(1, 3),
                torch.zeros(25, 3),
                torch.tensor([0.04]),
            )["color"][0, 0, 0, 1]
        )
    albedo = dfg(view[:, 2], roughness**2).sum(1)
    return torch.stack(color).numpy() * albedo / np.pi


def test_lobe_is_that_of_mitsuba() -> None:
    need("mitsuba")
    from studio.reference import load_mitsuba

    mi = load_mitsuba()
    view, light = pairs()
    for roughness in (0.15, 0.4, 0.7, 1.0):
        alpha = roughness**2
        metal = {"type": "roughconductor", "distribution": "ggx", "alpha": alpha, "material": "none"}
        bsdf = mi.load_dict(metal)
        expected = []
        for v, towards in zip(view, light):
            hit = mi.SurfaceInteraction3f()
            hit.wi = [float(x) for x in v]
            value = bsdf.eval(mi.BSDFContext(), hit, mi.Vector3f(*(float(x) for x in towards)))
            expected.append(float(value[1]))
        actual, expected = ours(view, light, roughness), np.array(expected)
        lv, ll = masking(view[:, 2], alpha), masking(light[:, 2], alpha)
        apart, together = 1 / ((1 + lv) * (1 + ll)), 1 / (1 + lv + ll)
        # Mitsuba multiplies the masking of both directions, ours correlates them (Heitz 2014).
        np.testing.assert_allclose(actual, expected * together / apart, rtol=2e-3, atol=1e-5)
