"""Metallic-roughness shading of covered pixels: direct lights plus an SH environment.

A thread walks a run of pixels and skips the empty ones; what all pixels share (lights,
environment) is gathered over the run and added once. The adjoint is written out: it recomputes
the forward values, which costs less than storing them.
"""

from __future__ import annotations

import warp as wp

from studio.core.kernels.brdf import (
    MIN_NOV,
    MIN_PERCEPTUAL_ROUGHNESS,
    dfg,
    dfg_slopes,
    lobe_blur,
    lobe_blur_slope,
    soft_clamp,
    soft_clamp_slopes,
)
from studio.core.kernels.ggx import lobe, lobe_adjoint
from studio.core.kernels.sh import (
    K0,
    irradiance_basis,
    irradiance_gradient,
    sh_band_scale,
    sh_basis,
    sh_gradient,
    vec9,
    vec25,
)

wp.set_module_options({"enable_backward": False})

POINT = wp.constant(1)
MIN_DISTANCE2 = wp.constant(1.0e-4)
"""A point light closer than 0.01 units does not get brighter."""

mat9x3 = wp.types.matrix(shape=(9, 3), dtype=wp.float32)


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
    color: wp.vec3
    f0: wp.vec3
    dielectric_f0: float


@wp.struct
class Incoming:
    """Light on the surface: diffuse, and the specular part without / with the Fresnel weight."""

    diffuse: wp.vec3
    s0: wp.vec3
    s1: wp.vec3


@wp.struct
class SurfaceAdjoint:
    n: wp.vec3
    v: wp.vec3
    p: wp.vec3
    alpha: float
    nov: float


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
    s.color = albedo * (1.0 - metallic)
    s.dielectric_f0 = specular_f0
    f0 = specular_f0 * (1.0 - metallic)
    s.f0 = wp.vec3(f0, f0, f0) + albedo * metallic
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
def compensation(f0: wp.vec3, ab: wp.vec2) -> wp.vec3:
    """Factor for light scattered more than once between microfacets.

    Lagarde and Golubev 2018 after Kulla and Conty 2017: 1 + f0 (1 / E - 1).
    """
    e = 1.0 / (ab[0] + ab[1]) - 1.0
    return wp.vec3(1.0, 1.0, 1.0) + f0 * e


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
def dielectric_reflectance(f0: float, ab: wp.vec2) -> float:
    """What a dielectric reflects without entering; the rest feeds the diffuse part.

    The same for all directions of light: energy is conserved at grazing angles, where
    weighting each light by 1 - F(LoH), as glTF's sample does, would return twice the light.
    """
    return (f0 * ab[0] + ab[1]) * (1.0 + f0 * (1.0 / (ab[0] + ab[1]) - 1.0))


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
            comp = compensation(s.f0, ab)
            es = mul3(s.f0 * ab[0] + wp.vec3(ab[1], ab[1], ab[1]), comp)
            rest = 1.0 - dielectric_reflectance(f0, ab)
            diffuse = rest * mul3(s.color, light.diffuse + env_d)
            specular = mul3(comp, mul3(s.f0, light.s0) + light.s1) + mul3(env_s, es)
            color[i] = diffuse + specular


@wp.struct
class MaterialAdjoint:
    """Gradients of the part of the shading that only sees the incoming light."""

    diffuse: wp.vec3
    env_s: wp.vec3
    s0: wp.vec3
    s1: wp.vec3
    color: wp.vec3
    f0: wp.vec3
    dielectric_f0: float
    nov: float
    alpha: float


@wp.func
def material_adjoint(
    s: Surface, light: Incoming, env_d: wp.vec3, env_s: wp.vec3, g: wp.vec3
) -> MaterialAdjoint:
    """Adjoint of the last lines of shade_forward for gradient g at the colour."""
    ab = dfg(s.nov, s.alpha)
    e = ab[0] + ab[1]
    more = 1.0 / e - 1.0
    comp = compensation(s.f0, ab)
    lobe_sum = s.f0 * ab[0] + wp.vec3(ab[1], ab[1], ab[1])
    es = mul3(lobe_sum, comp)
    fd = s.dielectric_f0
    comp_d = 1.0 + fd * more
    lobe_d = fd * ab[0] + ab[1]
    rest = 1.0 - lobe_d * comp_d
    total = light.diffuse + env_d
    out = MaterialAdjoint()
    out.diffuse = rest * mul3(g, s.color)
    out.color = rest * mul3(g, total)
    out.env_s = mul3(g, es)
    g_es = mul3(g, env_s)
    g_comp = mul3(g, mul3(s.f0, light.s0) + light.s1) + mul3(g_es, lobe_sum)
    out.s1 = mul3(g, comp)
    out.s0 = mul3(out.s1, s.f0)
    g_sum = mul3(g_es, comp)
    out.f0 = mul3(out.s1, light.s0) + g_sum * ab[0] + g_comp * more
    g_d = -wp.dot(mul3(g, s.color), total)
    out.dielectric_f0 = g_d * (ab[0] * comp_d + lobe_d * more)
    g_e = -(wp.dot(g_comp, s.f0) + g_d * lobe_d * fd) / (e * e)
    g_a = wp.dot(g_sum, s.f0) + g_d * comp_d * fd + g_e
    g_b = g_sum[0] + g_sum[1] + g_sum[2] + g_d * comp_d + g_e
    slopes = dfg_slopes(s.nov, s.alpha)
    out.nov = g_a * slopes[0] + g_b * slopes[1]
    out.alpha = g_a * slopes[2] + g_b * slopes[3]
    return out


@wp.func
def direct_adjoint(
    s: Surface,
    kind: wp.array(dtype=int),
    vector: wp.array(dtype=wp.vec3),
    radiance: wp.array(dtype=wp.vec3),
    g: MaterialAdjoint,
    g_vector: wp.array(dtype=wp.vec3),
    g_radiance: wp.array(dtype=wp.vec3),
) -> SurfaceAdjoint:
    """Adjoint of `direct`; adds to the gradients of the lights."""
    out = SurfaceAdjoint()
    for i in range(kind.shape[0]):
        lv = towards(kind[i], vector[i], s.p)
        ldir = wp.vec3(lv[0], lv[1], lv[2])
        nol = wp.dot(s.n, ldir)
        if nol > 0.0:
            fall = attenuation(kind[i], lv[3])
            spec = lobe(s.n, s.v, ldir, nol, s.nov, s.alpha)
            weighted = g.s0 * (1.0 - spec.fresnel) + g.s1 * spec.fresnel
            g_e = g.diffuse * nol + weighted * spec.value
            e = radiance[i] * fall
            back = lobe_adjoint(
                s.n,
                s.v,
                ldir,
                nol,
                s.nov,
                s.alpha,
                wp.dot(weighted, e),
                wp.dot(g.s1 - g.s0, e) * spec.value,
            )
            g_nol = wp.dot(g.diffuse, e)
            g_l = back.ldir + g_nol * s.n
            g_d = (g_l - wp.dot(ldir, g_l) * ldir) / lv[3]
            if kind[i] == POINT:
                if lv[3] * lv[3] > MIN_DISTANCE2:
                    g_d -= ldir * (2.0 * wp.dot(g_e, e) / lv[3])
                out.p -= g_d
            out.n += back.n + g_nol * ldir
            out.v += back.v
            out.nov += back.nov
            out.alpha += back.alpha
            wp.atomic_add(g_vector, i, g_d)
            wp.atomic_add(g_radiance, i, g_e * fall)
    return out


@wp.func
def soft_clamp_adjoint_x(x: wp.vec3, mean: wp.vec3, g: wp.vec3) -> wp.vec3:
    return wp.vec3(
        g[0] * soft_clamp_slopes(x[0], mean[0])[0],
        g[1] * soft_clamp_slopes(x[1], mean[1])[0],
        g[2] * soft_clamp_slopes(x[2], mean[2])[0],
    )


@wp.func
def soft_clamp_adjoint_mean(x: wp.vec3, mean: wp.vec3, g: wp.vec3) -> wp.vec3:
    return wp.vec3(
        g[0] * soft_clamp_slopes(x[0], mean[0])[1],
        g[1] * soft_clamp_slopes(x[1], mean[1])[1],
        g[2] * soft_clamp_slopes(x[2], mean[2])[1],
    )


@wp.func
def blur_slope_sum(y: vec25, w: vec25, alpha: float) -> float:
    """d/d alpha of sum_k w[k] y[k], y from specular_basis, through the bands' attenuation."""
    total = float(0.0)
    for k in range(1, 4):
        total += 2.0 * y[k] * w[k]
    for k in range(4, 9):
        total += 6.0 * y[k] * w[k]
    for k in range(9, 16):
        total += 12.0 * y[k] * w[k]
    for k in range(16, 25):
        total += 20.0 * y[k] * w[k]
    return -total * lobe_blur_slope(alpha)


@wp.kernel
def shade_backward(
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
    g_color: wp.array(dtype=wp.vec3),
    g_albedo: wp.array(dtype=wp.vec3),
    g_normal: wp.array(dtype=wp.vec3),
    g_position: wp.array(dtype=wp.vec3),
    g_roughness: wp.array(dtype=float),
    g_metallic: wp.array(dtype=float),
    g_vector: wp.array(dtype=wp.vec3),
    g_radiance: wp.array(dtype=wp.vec3),
    g_sh: wp.array(dtype=wp.vec3),
    g_specular_f0: wp.array(dtype=float),
):
    first = (begin + wp.tid()) * run
    mean = sh[0] * K0
    f0 = specular_f0[0]
    # The environment by channel: long vectors are what the CPU's wide registers take.
    red = vec25()
    green = vec25()
    blue = vec25()
    for k in range(25):
        red[k] = sh[k][0]
        green[k] = sh[k][1]
        blue[k] = sh[k][2]
    g_red = vec25()
    g_green = vec25()
    g_blue = vec25()
    g_nine = mat9x3()
    g_mean = wp.vec3()
    g_f0 = float(0.0)
    for i in range(first, wp.min(first + run, rast.shape[0])):
        if rast[i][3] > 0.0:
            g = g_color[i]
            view = i // view_pixels
            rotation = to_light[view]
            s = surface(
                albedo[i],
                normal[i],
                position[i],
                roughness[i],
                metallic[i],
                rotation,
                camera[view],
                camera_in_light[view],
                f0,
            )
            r = reflected(s)
            basis_s = specular_basis(sh_basis(r), s.alpha)
            raw_d = diffuse_environment(s.n, sh)
            raw_s = specular_environment(basis_s, sh)
            light = direct(s, kind, vector, radiance)
            a = material_adjoint(s, light, soft_clamp(raw_d, mean), soft_clamp(raw_s, mean), g)
            back = direct_adjoint(s, kind, vector, radiance, a, g_vector, g_radiance)

            # Environment
            g_d = soft_clamp_adjoint_x(raw_d, mean, a.diffuse)
            g_s = soft_clamp_adjoint_x(raw_s, mean, a.env_s)
            g_mean += soft_clamp_adjoint_mean(raw_d, mean, a.diffuse)
            g_mean += soft_clamp_adjoint_mean(raw_s, mean, a.env_s)
            g_red += basis_s * g_s[0]
            g_green += basis_s * g_s[1]
            g_blue += basis_s * g_s[2]
            g_nine += wp.outer(irradiance_basis(s.n), g_d)
            w_s = red * g_s[0] + green * g_s[1] + blue * g_s[2]
            w_d = vec9()
            for k in range(9):
                w_d[k] = wp.dot(sh[k], g_d)
            g_r = sh_gradient(r, specular_basis(w_s, s.alpha))
            g_n = back.n + irradiance_gradient(s.n, w_d)
            n_r = wp.dot(s.n, g_r)
            g_n += 2.0 * s.raw_nov * g_r + 2.0 * n_r * s.v
            g_v = back.v + 2.0 * n_r * s.n - g_r
            g_alpha = a.alpha + back.alpha + blur_slope_sum(basis_s, w_s, s.alpha)

            # Surface
            if s.raw_nov > MIN_NOV:
                g_nov = a.nov + back.nov
                g_n += g_nov * s.v
                g_v += g_nov * s.n
            back_rotation = wp.transpose(rotation)
            g_view = (g_v - wp.dot(s.v, g_v) * s.v) / s.distance
            g_normal[i] = back_rotation * g_n
            g_position[i] = back_rotation * (back.p - g_view)
            if roughness[i] > MIN_PERCEPTUAL_ROUGHNESS:
                g_roughness[i] = 2.0 * roughness[i] * g_alpha
            c = albedo[i]
            g_albedo[i] = a.color * (1.0 - metallic[i]) + a.f0 * metallic[i]
            g_metallic[i] = wp.dot(a.f0, c - wp.vec3(f0, f0, f0)) - wp.dot(a.color, c)
            g_f0 += (a.f0[0] + a.f0[1] + a.f0[2]) * (1.0 - metallic[i]) + a.dielectric_f0
    for k in range(25):
        row = wp.vec3(g_red[k], g_green[k], g_blue[k])
        if k == 0:
            row += g_mean * K0
        if k < 9:
            row += wp.vec3(g_nine[k, 0], g_nine[k, 1], g_nine[k, 2])
        wp.atomic_add(g_sh, k, row)
    wp.atomic_add(g_specular_f0, 0, g_f0)
