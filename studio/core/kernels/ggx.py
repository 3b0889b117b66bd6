"""The GGX lobe of one direct light and its adjoint, as Warp functions.

Kept apart from shade.py because this is the part with a closed form worth reading alone.
The lobe is pi * D_GGX * V_SmithGGXCorrelated * NoL; the light's radiance convention (a white
Lambertian surface facing it has radiance `intensity`) puts the pi there.
"""

from __future__ import annotations

import warp as wp


@wp.struct
class Lobe:
    """Value of the lobe and the Fresnel weight (1 - LoH)^5 of F_Schlick."""

    value: float
    fresnel: float


@wp.struct
class LobeAdjoint:
    """Gradients of what the lobe was made from."""

    n: wp.vec3
    v: wp.vec3
    ldir: wp.vec3
    nov: float
    alpha: float


@wp.func
def D_GGX(noh: float, nxh2: float, alpha: float) -> float:
    """pi * D, Walter et al. 2007; nxh2 = |n x h|^2 stays exact where 1 - NoH^2 cancels."""
    k = alpha / (nxh2 + alpha * alpha * noh * noh)
    return k * k


@wp.func
def V_SmithGGXCorrelated(nov: float, nol: float, alpha: float) -> float:
    """Height-correlated Smith visibility, Heitz 2014."""
    a2 = alpha * alpha
    gv = nol * wp.sqrt(nov * nov * (1.0 - a2) + a2)
    gl = nov * wp.sqrt(nol * nol * (1.0 - a2) + a2)
    return 0.5 / (gv + gl)


@wp.func
def F_Schlick_weight(loh: float) -> float:
    """(1 - LoH)^5: F = f0 + (1 - f0) * weight, Schlick 1994."""
    u = 1.0 - loh
    return u * u * u * u * u


@wp.func
def lobe(n: wp.vec3, v: wp.vec3, ldir: wp.vec3, nol: float, nov: float, alpha: float) -> Lobe:
    """Lobe for unit n, v, ldir with NoL > 0."""
    h = wp.normalize(ldir + v)
    noh = wp.max(wp.dot(n, h), 0.0)
    loh = wp.clamp(wp.dot(ldir, h), 0.0, 1.0)
    nxh = wp.cross(n, h)
    out = Lobe()
    out.value = D_GGX(noh, wp.dot(nxh, nxh), alpha) * V_SmithGGXCorrelated(nov, nol, alpha) * nol
    out.fresnel = F_Schlick_weight(loh)
    return out


@wp.func
def lobe_adjoint(
    n: wp.vec3,
    v: wp.vec3,
    ldir: wp.vec3,
    nol: float,
    nov: float,
    alpha: float,
    g_value: float,
    g_fresnel: float,
) -> LobeAdjoint:
    """Gradients for g_value, g_fresnel at the lobe's outputs; names as in `lobe`."""
    s = ldir + v
    length = wp.max(wp.length(s), 1.0e-6)  # 0 only for a light exactly behind the surface
    h = s / length
    raw_noh = wp.dot(n, h)
    noh = wp.max(raw_noh, 0.0)
    loh = wp.clamp(wp.dot(ldir, h), 0.0, 1.0)
    nxh = wp.cross(n, h)
    a2 = alpha * alpha
    den = wp.dot(nxh, nxh) + a2 * noh * noh
    k = alpha / den
    root_v = wp.sqrt(nov * nov * (1.0 - a2) + a2)
    root_l = wp.sqrt(nol * nol * (1.0 - a2) + a2)
    vis = 0.5 / (nol * root_v + nov * root_l)

    g_k = 2.0 * k * vis * nol * g_value
    g_sum = -2.0 * vis * vis * k * k * nol * g_value
    g_den = -g_k * k / den
    g_nol = k * k * vis * g_value + g_sum * (root_v + nov * nol * (1.0 - a2) / root_l)
    g_a2 = g_sum * 0.5 * (nol * (1.0 - nov * nov) / root_v + nov * (1.0 - nol * nol) / root_l)
    g_a2 += g_den * noh * noh
    g_noh = g_den * 2.0 * a2 * noh
    u = 1.0 - loh
    g_loh = -5.0 * u * u * u * u * g_fresnel

    g_h = g_loh * ldir + (2.0 * g_den) * (h - raw_noh * n) + g_noh * n
    g_s = (g_h - wp.dot(h, g_h) * h) / length
    out = LobeAdjoint()
    out.n = (2.0 * g_den) * (n - raw_noh * h) + g_noh * h + g_nol * ldir
    out.v = g_s
    out.ldir = g_s + g_loh * h + g_nol * n
    out.nov = g_sum * (root_l + nol * nov * (1.0 - a2) / root_v)
    out.alpha = g_k / den + 2.0 * alpha * g_a2
    return out
