"""Metallic-roughness shading of covered pixels: direct lights plus an SH environment.

A thread walks a run of pixels and skips the empty ones. The adjoint is in shade_adjoint.py.
"""

from __future__ import annotations

import warp as wp

from studio.core.kernels.brdf import (
    MIN_NOV,
    MIN_PERCEPTUAL_ROUGHNESS,
    dfg,
    lobe_blur,
    soft_clamp,
)
from studio.core.kernels.ggx import lobe
from studio.core.kernels.sh import (
    K0,
    irradiance_basis,
    sh_band_scale,
    sh_basis,
    vec25,
)

wp.set_module_options({"enable_backward": False})

POINT = wp.constant(1)
MIN_DISTANCE2 = wp.constant(1.0e-4)
"""A point light closer than 0.01 units does not get brighter."""


@wp.struct
class Surface:
    """One pixel in light space."""

    n: wp.vec3
    v: wp.vec3
    p: wp.vec3
    distance: float
    alpha: float
    nov: float
    raw_nov: float
    albedo: wp.vec3
    metallic: float
    f0: float


@wp.struct
class Incoming:
    """Light on the surface: diffuse, and the specular part without / with the Fresnel weight."""

    diffuse: wp.vec3
    s0: wp.vec3
    s1: wp.vec3


@wp.func
def surface(
    albedo: wp.vec3,
    normal: wp.vec3,
    position: wp.vec3,
    roughness: float,
    metallic: float,
    to_light: wp.mat33,
    camera: wp.vec3,
    camera_in_light: wp.vec3,
    specular_f0: float,
) -> Surface:
    s = Surface()
    d = to_light * (camera - position)
    s.distance = wp.max(wp.length(d), 1.0e-12)
    s.n = to_light * normal
    s.v = d / s.distance
    s.p = camera_in_light - d
    rough = wp.max(roughness, MIN_PERCEPTUAL_ROUGHNESS)
    s.alpha = rough * rough
    s.raw_nov = wp.dot(s.n, s.v)
    s.nov = wp.clamp(s.raw_nov, MIN_NOV, 1.0)
    s.albedo = albedo
    s.metallic = metallic
    s.f0 = specular_f0
    return s


@wp.func
def towards(kind: int, vector: wp.vec3, p: wp.vec3) -> wp.vec4:
    """Unit vector to the light, and its length before (the distance of a point light)."""
    d = vector
    if kind == POINT:
        d = vector - p
    length = wp.max(wp.length(d), 1.0e-12)
    return wp.vec4(d[0] / length, d[1] / length, d[2] / length, length)


@wp.func
def attenuation(kind: int, length: float) -> float:
    if kind == POINT:
        return 1.0 / wp.max(length * length, MIN_DISTANCE2)
    return 1.0


@wp.func
def direct(
    s: Surface, kind: wp.array(dtype=int), vector: wp.array(dtype=wp.vec3), radiance: wp.array(dtype=wp.vec3)
) -> Incoming:
    out = Incoming()
    for i in range(kind.shape[0]):
        lv = towards(kind[i], vector[i], s.p)
        ldir = wp.vec3(lv[0], lv[1], lv[2])
        nol = wp.dot(s.n, ldir)
        if nol > 0.0:
            e = radiance[i] * attenuation(kind[i], lv[3])
            spec = lobe(s.n, s.v, ldir, nol, s.nov, s.alpha)
            out.diffuse += e * nol
            out.s0 += e * (spec.value * (1.0 - spec.fresnel))
            out.s1 += e * (spec.value * spec.fresnel)
    return out


@wp.func
def mul3(a: wp.vec3, b: wp.vec3) -> wp.vec3:
    return wp.cw_mul(a, b)


@wp.func
def lost(ab: wp.vec2) -> float:
    """What scatters more than once between microfacets, as a part of what scatters once.

    A lobe of reflectance f0 is compensated by the factor 1 + f0 * lost: Lagarde and Golubev
    2018 after Kulla and Conty 2017.
    """
    return 1.0 / (ab[0] + ab[1]) - 1.0


@wp.func
def specular(s: Surface, more: float, p: wp.vec3, q: wp.vec3) -> wp.vec3:
    """f0 * p + q, compensated, mixed from a dielectric's f0 and a metal's.

    Each has its own compensation: that of the mixed f0 would lose up to 16 % of the light of a
    half-metal. p and q are what the lobe returns without and with the Fresnel weight.
    """
    comp = wp.vec3(1.0, 1.0, 1.0) + s.albedo * more
    dielectric = (1.0 - s.metallic) * (1.0 + s.f0 * more)
    return dielectric * (s.f0 * p + q) + s.metallic * mul3(comp, mul3(s.albedo, p) + q)


@wp.func
def reflected(s: Surface) -> wp.vec3:
    return 2.0 * s.raw_nov * s.n - s.v


@wp.func
def specular_basis(basis: vec25, alpha: float) -> vec25:
    b = wp.exp(-2.0 * lobe_blur(alpha))  # bands l(l+1) = 2, 6, 12, 20 are powers of it
    b3 = b * b * b
    b6 = b3 * b3
    return sh_band_scale(basis, b, b3, b6, b6 * b3 * b)


@wp.func
def entering(f0: float, ab: wp.vec2) -> float:
    """Part of the light that a dielectric does not reflect; it feeds the diffuse part.

    The same for all directions of light: energy is conserved at grazing angles, where
    weighting each light by 1 - F(LoH), as glTF's sample does, would return twice the light.
    """
    return 1.0 - (f0 * ab[0] + ab[1]) * (1.0 + f0 * lost(ab))


@wp.func
def diffuse_environment(n: wp.vec3, sh: wp.array(dtype=wp.vec3)) -> wp.vec3:
    """Irradiance over pi from direction n, before the soft clamp."""
    y = irradiance_basis(n)
    out = sh[0] * y[0]
    for k in range(1, 9):
        out += sh[k] * y[k]
    return out


@wp.func
def specular_environment(y: vec25, sh: wp.array(dtype=wp.vec3)) -> wp.vec3:
    """Radiance of the environment in basis y, before the soft clamp."""
    out = sh[0] * y[0]
    for k in range(1, 25):
        out += sh[k] * y[k]
    return out


@wp.kernel
def shade_forward(
    begin: int,
    run: int,
    view_pixels: int,
    rast: wp.array(dtype=wp.vec4),
    albedo: wp.array(dtype=wp.vec3),
    normal: wp.array(dtype=wp.vec3),
    position: wp.array(dtype=wp.vec3),
    roughness: wp.array(dtype=float),
    metallic: wp.array(dtype=float),
    to_light: wp.array(dtype=wp.mat33),
    camera: wp.array(dtype=wp.vec3),
    camera_in_light: wp.array(dtype=wp.vec3),
    kind: wp.array(dtype=int),
    vector: wp.array(dtype=wp.vec3),
    radiance: wp.array(dtype=wp.vec3),
    sh: wp.array(dtype=wp.vec3),
    specular_f0: wp.array(dtype=float),
    color: wp.array(dtype=wp.vec3),
):
    first = (begin + wp.tid()) * run
    mean = sh[0] * K0
    f0 = specular_f0[0]
    for i in range(first, wp.min(first + run, rast.shape[0])):
        if rast[i][3] > 0.0:
            view = i // view_pixels
            s = surface(
                albedo[i],
                normal[i],
                position[i],
                roughness[i],
                metallic[i],
                to_light[view],
                camera[view],
                camera_in_light[view],
                f0,
            )
            light = direct(s, kind, vector, radiance)
            env_d = soft_clamp(diffuse_environment(s.n, sh), mean)
            basis = specular_basis(sh_basis(reflected(s)), s.alpha)
            env_s = soft_clamp(specular_environment(basis, sh), mean)
            ab = dfg(s.nov, s.alpha)
            base = ((1.0 - s.metallic) * entering(f0, ab)) * s.albedo
            more = lost(ab)
            shine = specular(s, more, light.s0 + ab[0] * env_s, light.s1 + ab[1] * env_s)
            color[i] = mul3(base, light.diffuse + env_d) + shine
