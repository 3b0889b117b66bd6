"""The adjoint of how a surface answers the light, part of shade_adjoint.py: no directions in it."""

from __future__ import annotations

import warp as wp

from studio.core.kernels.brdf import dfg, dfg_slopes, specular_occlusion_slopes
from studio.core.kernels.shade import Around, Incoming, Surface, lost, mul3


@wp.struct
class Upstream:
    """Gradients at the outputs of the shading."""

    color: wp.vec3
    irradiance: wp.vec3
    diffuse_albedo: wp.vec3
    reflectance: wp.vec3
    reflection: wp.vec3


@wp.struct
class MaterialAdjoint:
    """Gradients of the part of the shading that only sees the incoming light.

    diffuse, s0 and s1 belong to Incoming; env_d, env_s and ao to Around.
    """

    diffuse: wp.vec3
    s0: wp.vec3
    s1: wp.vec3
    env_d: wp.vec3
    env_s: wp.vec3
    ao: float
    albedo: wp.vec3
    metallic: float
    f0: float
    nov: float
    alpha: float


@wp.struct
class SpecularAdjoint:
    """Gradients of what `specular` takes."""

    p: wp.vec3
    q: wp.vec3
    albedo: wp.vec3
    metallic: float
    f0: float
    more: float


@wp.func
def specular_adjoint(s: Surface, more: float, p: wp.vec3, q: wp.vec3, g: wp.vec3) -> SpecularAdjoint:
    """Adjoint of `specular` for gradient g at its value."""
    comp = wp.vec3(1.0, 1.0, 1.0) + s.albedo * more
    comp_d = 1.0 + s.f0 * more
    lobe_m = mul3(s.albedo, p) + q
    lobe_d = s.f0 * p + q
    plain = 1.0 - s.metallic
    g_comp = s.metallic * mul3(g, lobe_m)
    g_comp_d = plain * wp.dot(g, lobe_d)
    g_m = s.metallic * mul3(g, comp)
    g_d = (plain * comp_d) * g
    out = SpecularAdjoint()
    out.p = mul3(g_m, s.albedo) + s.f0 * g_d
    out.q = g_m + g_d
    out.albedo = mul3(g_m, p) + more * g_comp
    out.f0 = wp.dot(g_d, p) + more * g_comp_d
    out.metallic = wp.dot(g, mul3(comp, lobe_m) - comp_d * lobe_d)
    out.more = wp.dot(g_comp, s.albedo) + g_comp_d * s.f0
    return out


@wp.func
def add_specular(a: SpecularAdjoint, b: SpecularAdjoint) -> SpecularAdjoint:
    """What both give the material; p and q stay those of `a`."""
    out = SpecularAdjoint()
    out.p = a.p
    out.q = a.q
    out.albedo = a.albedo + b.albedo
    out.metallic = a.metallic + b.metallic
    out.f0 = a.f0 + b.f0
    out.more = a.more + b.more
    return out


@wp.func
def sum3(v: wp.vec3) -> float:
    return v[0] + v[1] + v[2]


@wp.func
def material_adjoint(s: Surface, light: Incoming, env: Around, offers: int, g: Upstream) -> MaterialAdjoint:
    """Adjoint of the last lines of shade_forward; `offers`: gradients come to more than colour."""
    ab = dfg(s.nov, s.alpha)
    more = lost(ab)
    plain = 1.0 - s.metallic
    mirrored = env.so * env.specular
    total = light.diffuse + env.ao * env.diffuse
    back = specular_adjoint(s, more, light.s0 + ab[0] * mirrored, light.s1 + ab[1] * mirrored, g.color)
    g_a = wp.dot(back.p, mirrored)
    g_b = wp.dot(back.q, mirrored)
    if offers != 0:
        one = wp.vec3(1.0, 1.0, 1.0)
        alone = specular_adjoint(s, more, ab[0] * one, ab[1] * one, g.reflectance)
        g_a += sum3(alone.p)
        g_b += sum3(alone.q)
        back = add_specular(back, alone)
    # Through `entering`: 1 - once * twice.
    once = s.f0 * ab[0] + ab[1]
    twice = 1.0 + s.f0 * more
    rest = 1.0 - once * twice
    g_base = mul3(g.color, total) + g.diffuse_albedo
    g_rest = plain * wp.dot(s.albedo, g_base)
    g_total = (plain * rest) * mul3(g.color, s.albedo) + g.irradiance
    g_mirrored = ab[0] * back.p + ab[1] * back.q + g.reflection
    out = MaterialAdjoint()
    out.diffuse = g_total
    out.s0 = back.p
    out.s1 = back.q
    out.env_d = env.ao * g_total
    out.env_s = env.so * g_mirrored
    out.albedo = back.albedo + (plain * rest) * g_base
    out.metallic = back.metallic - rest * wp.dot(s.albedo, g_base)
    out.f0 = back.f0 - g_rest * (ab[0] * twice + once * more)
    e = ab[0] + ab[1]
    g_e = (g_rest * once * s.f0 - back.more) / (e * e)
    g_a += g_e - g_rest * twice * s.f0
    g_b += g_e - g_rest * twice
    slopes = dfg_slopes(s.nov, s.alpha)
    dark = wp.vec3(0.0, 0.0, 0.0)
    if env.ao != 1.0:  # where it is 1, nothing is occluded, and the slopes are 0
        dark = specular_occlusion_slopes(s.nov, env.ao, s.alpha)
    g_so = wp.dot(g_mirrored, env.specular)
    out.ao = wp.dot(g_total, env.diffuse) + g_so * dark[1]
    out.nov = g_a * slopes[0] + g_b * slopes[1] + g_so * dark[0]
    out.alpha = g_a * slopes[2] + g_b * slopes[3] + g_so * dark[2]
    return out
