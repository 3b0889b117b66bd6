"""Metallic-roughness shading of covered pixels: direct lights plus an environment.

A thread walks a run of pixels and skips the empty ones. The adjoint is in shade_adjoint.py.
Channels that are not there are arrays of no elements: who gets through to each light, ambient
occlusion, light of an environment map (in place of the spherical harmonics), and of the outputs
all but the colour.

What all pixels share comes packed in rows of three numbers:

    views  [N, 5]: the rotation into light space by rows, the camera in world and in light space
    lights [L, 4]: direction or position, radiance, axis, (cos outer, cos inner, 0)
"""

from __future__ import annotations

import warp as wp

from studio.core.kernels.brdf import (
    MIN_NOV,
    MIN_PERCEPTUAL_ROUGHNESS,
    dfg,
    lobe_blur,
    soft_clamp,
    specular_occlusion,
)
from studio.core.kernels.ggx import lobe
from studio.core.kernels.sh import K0, irradiance_basis, sh_band_scale, sh_basis, vec25

wp.set_module_options({"enable_backward": False})

DIRECTIONAL = wp.constant(0)
SPOT = wp.constant(2)
AREA = wp.constant(3)
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


@wp.struct
class Around:
    """The environment at a pixel: irradiance over pi and what the lobe sees, and their shares
    that get through ambient occlusion."""

    diffuse: wp.vec3
    specular: wp.vec3
    ao: float
    so: float


@wp.func
def rotation(views: wp.array2d(dtype=wp.vec3), view: int) -> wp.mat33:
    """Into light space."""
    return wp.matrix_from_rows(views[view, 0], views[view, 1], views[view, 2])


@wp.func
def surface(
    albedo: wp.vec3,
    normal: wp.vec3,
    position: wp.vec3,
    roughness: float,
    metallic: float,
    views: wp.array2d(dtype=wp.vec3),
    view: int,
    specular_f0: float,
) -> Surface:
    s = Surface()
    to_light = rotation(views, view)
    d = to_light * (views[view, 3] - position)
    s.distance = wp.max(wp.length(d), 1.0e-12)
    s.n = to_light * normal
    s.v = d / s.distance
    s.p = views[view, 4] - d
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
    """Unit vector to the light, and its length before (the distance of a light with a place)."""
    d = vector
    if kind != DIRECTIONAL:
        d = vector - p
    length = wp.max(wp.length(d), 1.0e-12)
    return wp.vec4(d[0] / length, d[1] / length, d[2] / length, length)


@wp.func
def attenuation(kind: int, length: float) -> float:
    if kind != DIRECTIONAL:
        return 1.0 / wp.max(length * length, MIN_DISTANCE2)
    return 1.0


@wp.func
def spot(kind: int, cosine: float, cosines: wp.vec3) -> float:
    """Share of a spot's light in a direction: smooth between its outer and inner angle."""
    if kind != SPOT:
        return 1.0
    t = wp.clamp((cosine - cosines[0]) / wp.max(cosines[1] - cosines[0], 1.0e-6), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


@wp.func
def visible(visibility: wp.array(dtype=wp.vec4), pixel: int) -> wp.vec4:
    """How much of each light gets through; all of it where nobody says."""
    if visibility.shape[0] > 0:
        return visibility[pixel]
    return wp.vec4(1.0, 1.0, 1.0, 1.0)


@wp.func
def share(seen: wp.vec4, light: int) -> float:
    """Of one light; there are more than four only where visibility is not given."""
    if light < 4:
        return seen[light]
    return 1.0


@wp.func
def direct(
    s: Surface, seen: wp.vec4, kind: wp.array(dtype=int), lights: wp.array2d(dtype=wp.vec3)
) -> Incoming:
    out = Incoming()
    for i in range(kind.shape[0]):
        if kind[i] != AREA:
            lv = towards(kind[i], lights[i, 0], s.p)
            ldir = wp.vec3(lv[0], lv[1], lv[2])
            nol = wp.dot(s.n, ldir)
            if nol > 0.0:
                inside = spot(kind[i], wp.dot(lights[i, 2], ldir), lights[i, 3])
                e = lights[i, 1] * (attenuation(kind[i], lv[3]) * inside * share(seen, i))
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


@wp.func
def occluded(s: Surface, diffuse: wp.vec3, shine: wp.vec3, ao: wp.array(dtype=float), pixel: int) -> Around:
    """The environment with what ambient occlusion leaves of it."""
    out = Around()
    out.diffuse = diffuse
    out.specular = shine
    out.ao = 1.0
    out.so = 1.0
    if ao.shape[0] > 0:
        out.ao = ao[pixel]
        out.so = specular_occlusion(s.nov, out.ao, s.alpha)
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
    visibility: wp.array(dtype=wp.vec4),
    ao: wp.array(dtype=float),
    env_diffuse: wp.array(dtype=wp.vec3),
    env_specular: wp.array(dtype=wp.vec3),
    views: wp.array2d(dtype=wp.vec3),
    kind: wp.array(dtype=int),
    lights: wp.array2d(dtype=wp.vec3),
    sh: wp.array(dtype=wp.vec3),
    specular_f0: wp.array(dtype=float),
    color: wp.array(dtype=wp.vec3),
    irradiance: wp.array(dtype=wp.vec3),
    diffuse_albedo: wp.array(dtype=wp.vec3),
    reflectance: wp.array(dtype=wp.vec3),
    reflection: wp.array(dtype=wp.vec3),
):
    first = (begin + wp.tid()) * run
    mean = sh[0] * K0
    f0 = specular_f0[0]
    for i in range(first, wp.min(first + run, rast.shape[0])):
        if rast[i][3] > 0.0:
            view = i // view_pixels
            s = surface(albedo[i], normal[i], position[i], roughness[i], metallic[i], views, view, f0)
            light = direct(s, visible(visibility, i), kind, lights)
            env = Around()
            if env_diffuse.shape[0] > 0:
                env = occluded(s, env_diffuse[i], env_specular[i], ao, i)
            else:
                basis = specular_basis(sh_basis(reflected(s)), s.alpha)
                soft_d = soft_clamp(diffuse_environment(s.n, sh), mean)
                env = occluded(s, soft_d, soft_clamp(specular_environment(basis, sh), mean), ao, i)
            ab = dfg(s.nov, s.alpha)
            more = lost(ab)
            base = ((1.0 - s.metallic) * entering(f0, ab)) * s.albedo
            total = light.diffuse + env.ao * env.diffuse
            mirrored = env.so * env.specular
            shine = specular(s, more, light.s0 + ab[0] * mirrored, light.s1 + ab[1] * mirrored)
            color[i] = mul3(base, total) + shine
            if irradiance.shape[0] > 0:
                irradiance[i] = total
            if diffuse_albedo.shape[0] > 0:
                diffuse_albedo[i] = base
            if reflectance.shape[0] > 0:
                one = wp.vec3(1.0, 1.0, 1.0)
                reflectance[i] = specular(s, more, ab[0] * one, ab[1] * one)
            if reflection.shape[0] > 0:
                reflection[i] = mirrored
