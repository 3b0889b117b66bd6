"""The adjoint of shade.py, written out: gradients of surface, lights and environment.

It recomputes the forward values, which costs less than storing them. What all pixels share is
gathered over a thread's run of pixels and added once.
"""

from __future__ import annotations

import warp as wp

from studio.core.kernels.brdf import (
    MIN_NOV,
    MIN_PERCEPTUAL_ROUGHNESS,
    lobe_blur_slope,
    soft_clamp,
    soft_clamp_slopes,
)
from studio.core.kernels.ggx import lobe, lobe_adjoint
from studio.core.kernels.sh import (
    K0,
    irradiance_basis,
    irradiance_gradient,
    sh_basis,
    sh_gradient,
    vec9,
    vec25,
)
from studio.core.kernels.shade import (
    AREA,
    DIRECTIONAL,
    MIN_DISTANCE2,
    SPOT,
    Surface,
    attenuation,
    diffuse_environment,
    direct,
    occluded,
    reflected,
    rotation,
    share,
    specular_basis,
    specular_environment,
    spot,
    surface,
    towards,
    visible,
)
from studio.core.kernels.shade_material import MaterialAdjoint, Upstream, material_adjoint

wp.set_module_options({"enable_backward": False})

mat9x3 = wp.types.matrix(shape=(9, 3), dtype=wp.float32)


@wp.struct
class SurfaceAdjoint:
    """Gradients of a surface, and of how much of each light it sees."""

    n: wp.vec3
    v: wp.vec3
    p: wp.vec3
    alpha: float
    nov: float
    seen: wp.vec4


@wp.func
def spot_slopes(kind: int, cosine: float, cosines: wp.vec3) -> wp.vec3:
    """(d/dcosine, d/douter, d/dinner) of `spot`."""
    if kind != SPOT:
        return wp.vec3(0.0, 0.0, 0.0)
    width = wp.max(cosines[1] - cosines[0], 1.0e-6)
    t = wp.clamp((cosine - cosines[0]) / width, 0.0, 1.0)
    slope = 6.0 * t * (1.0 - t) / width
    return wp.vec3(slope, slope * (t - 1.0), -slope * t)


@wp.func
def light_adjoint(
    s: Surface,
    i: int,
    seen: wp.vec4,
    kind: wp.array(dtype=int),
    lights: wp.array2d(dtype=wp.vec3),
    g: MaterialAdjoint,
    out: SurfaceAdjoint,
    g_lights: wp.array2d(dtype=wp.vec3),
) -> SurfaceAdjoint:
    """`out` with what light `i` adds; adds to the gradients of the light, too."""
    lv = towards(kind[i], lights[i, 0], s.p)
    ldir = wp.vec3(lv[0], lv[1], lv[2])
    nol = wp.dot(s.n, ldir)
    if nol > 0.0:
        cosine = wp.dot(lights[i, 2], ldir)
        inside = spot(kind[i], cosine, lights[i, 3])
        near = attenuation(kind[i], lv[3])
        open = share(seen, i)
        e = lights[i, 1] * (near * inside * open)
        spec = lobe(s.n, s.v, ldir, nol, s.nov, s.alpha)
        weighted = g.s0 * (1.0 - spec.fresnel) + g.s1 * spec.fresnel
        g_e = g.diffuse * nol + weighted * spec.value
        g_open = wp.dot(g_e, lights[i, 1])
        g_value = wp.dot(weighted, e)
        g_fresnel = wp.dot(g.s1 - g.s0, e) * spec.value
        back = lobe_adjoint(s.n, s.v, ldir, nol, s.nov, s.alpha, g_value, g_fresnel)
        g_nol = wp.dot(g.diffuse, e)
        g_spot = (g_open * near * open) * spot_slopes(kind[i], cosine, lights[i, 3])
        g_l = back.ldir + g_nol * s.n + g_spot[0] * lights[i, 2]
        g_d = (g_l - wp.dot(ldir, g_l) * ldir) / lv[3]
        if kind[i] != DIRECTIONAL:
            if lv[3] * lv[3] > MIN_DISTANCE2:
                g_d -= ldir * (2.0 * wp.dot(g_e, e) / lv[3])
            out.p -= g_d
        out.n += back.n + g_nol * ldir
        out.v += back.v
        out.nov += back.nov
        out.alpha += back.alpha
        if i < 4:
            out.seen[i] = g_open * near * inside
        wp.atomic_add(g_lights, i, 0, g_d)
        wp.atomic_add(g_lights, i, 1, g_e * (near * inside * open))
        if kind[i] == SPOT:
            wp.atomic_add(g_lights, i, 2, g_spot[0] * ldir)
            wp.atomic_add(g_lights, i, 3, wp.vec3(g_spot[1], g_spot[2], 0.0))
    return out


@wp.func
def direct_adjoint(
    s: Surface,
    seen: wp.vec4,
    kind: wp.array(dtype=int),
    lights: wp.array2d(dtype=wp.vec3),
    g: MaterialAdjoint,
    g_lights: wp.array2d(dtype=wp.vec3),
) -> SurfaceAdjoint:
    """Adjoint of `direct`; adds to the gradients of the lights."""
    out = SurfaceAdjoint()
    for i in range(kind.shape[0]):
        if kind[i] != AREA:
            out = light_adjoint(s, i, seen, kind, lights, g, out, g_lights)
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


@wp.func
def environment_adjoint(
    s: Surface, basis_s: vec25, w_s: vec25, g_d: wp.vec3, sh: wp.array(dtype=wp.vec3)
) -> SurfaceAdjoint:
    """Through both lookups of the environment.

    Args:
        basis_s: blurred basis at the reflection vector; w_s: sh . gradient per coefficient.
        g_d: gradient of the diffuse environment.
    """
    w_d = vec9()
    for k in range(9):
        w_d[k] = wp.dot(sh[k], g_d)
    r = reflected(s)
    g_r = sh_gradient(r, specular_basis(w_s, s.alpha))
    n_r = wp.dot(s.n, g_r)
    out = SurfaceAdjoint()
    out.n = irradiance_gradient(s.n, w_d) + 2.0 * s.raw_nov * g_r + 2.0 * n_r * s.v
    out.v = 2.0 * n_r * s.n - g_r
    out.alpha = blur_slope_sum(basis_s, w_s, s.alpha)
    return out


@wp.func
def sum_adjoints(a: SurfaceAdjoint, b: SurfaceAdjoint, m: MaterialAdjoint, s: Surface) -> SurfaceAdjoint:
    """All gradients of a surface together, those of NoV carried on to n and v."""
    out = SurfaceAdjoint()
    out.n = a.n + b.n
    out.v = a.v + b.v
    out.p = a.p
    out.alpha = a.alpha + b.alpha + m.alpha
    if s.raw_nov > MIN_NOV:
        nov = a.nov + m.nov
        out.n += nov * s.v
        out.v += nov * s.n
    return out


@wp.func
def add_environment(
    red: vec25, green: vec25, blue: vec25, nine: mat9x3, mean: wp.vec3, g_sh: wp.array(dtype=wp.vec3)
):
    """Add a run's sums to the gradient of the coefficients."""
    for k in range(25):
        row = wp.vec3(red[k], green[k], blue[k])
        if k == 0:
            row += mean * K0
        if k < 9:
            row += wp.vec3(nine[k, 0], nine[k, 1], nine[k, 2])
        wp.atomic_add(g_sh, k, row)


@wp.struct
class Lookup:
    """The environment's spherical harmonics at a pixel, before the soft clamp."""

    basis: vec25
    diffuse: wp.vec3
    specular: wp.vec3


@wp.func
def look_up(s: Surface, sh: wp.array(dtype=wp.vec3)) -> Lookup:
    out = Lookup()
    out.basis = specular_basis(sh_basis(reflected(s)), s.alpha)
    out.diffuse = diffuse_environment(s.n, sh)
    out.specular = specular_environment(out.basis, sh)
    return out


@wp.func
def given(image: wp.array(dtype=wp.vec3), pixel: int) -> wp.vec3:
    """A pixel of an image that may not be there."""
    if image.shape[0] > 0:
        return image[pixel]
    return wp.vec3(0.0, 0.0, 0.0)


@wp.kernel
def shade_backward(
    begin: int,
    run: int,
    view_pixels: int,
    offers: int,
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
    g_color: wp.array(dtype=wp.vec3),
    g_irradiance: wp.array(dtype=wp.vec3),
    g_base: wp.array(dtype=wp.vec3),
    g_reflectance: wp.array(dtype=wp.vec3),
    g_reflection: wp.array(dtype=wp.vec3),
    g_albedo: wp.array(dtype=wp.vec3),
    g_normal: wp.array(dtype=wp.vec3),
    g_position: wp.array(dtype=wp.vec3),
    g_roughness: wp.array(dtype=float),
    g_metallic: wp.array(dtype=float),
    g_visibility: wp.array(dtype=wp.vec4),
    g_ao: wp.array(dtype=float),
    g_env_diffuse: wp.array(dtype=wp.vec3),
    g_env_specular: wp.array(dtype=wp.vec3),
    g_lights: wp.array2d(dtype=wp.vec3),
    g_sh: wp.array(dtype=wp.vec3),
    g_specular_f0: wp.array(dtype=float),
):
    first = (begin + wp.tid()) * run
    mean = sh[0] * K0
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
            view = i // view_pixels
            s = surface(
                albedo[i], normal[i], position[i], roughness[i], metallic[i], views, view, specular_f0[0]
            )
            seen = visible(visibility, i)
            g = Upstream()
            g.color = g_color[i]
            if offers != 0:
                g.irradiance = given(g_irradiance, i)
                g.diffuse_albedo = given(g_base, i)
                g.reflectance = given(g_reflectance, i)
                g.reflection = given(g_reflection, i)
            light = direct(s, seen, kind, lights)
            m = MaterialAdjoint()
            around = SurfaceAdjoint()
            if env_diffuse.shape[0] > 0:
                m = material_adjoint(s, light, occluded(s, env_diffuse[i], env_specular[i], ao, i), offers, g)
                g_env_diffuse[i] = m.env_d
                g_env_specular[i] = m.env_s
            else:
                raw = look_up(s, sh)
                env = occluded(s, soft_clamp(raw.diffuse, mean), soft_clamp(raw.specular, mean), ao, i)
                m = material_adjoint(s, light, env, offers, g)
                g_d = soft_clamp_adjoint_x(raw.diffuse, mean, m.env_d)
                g_s = soft_clamp_adjoint_x(raw.specular, mean, m.env_s)
                g_mean += soft_clamp_adjoint_mean(raw.diffuse, mean, m.env_d)
                g_mean += soft_clamp_adjoint_mean(raw.specular, mean, m.env_s)
                g_red += raw.basis * g_s[0]
                g_green += raw.basis * g_s[1]
                g_blue += raw.basis * g_s[2]
                g_nine += wp.outer(irradiance_basis(s.n), g_d)
                w_s = red * g_s[0] + green * g_s[1] + blue * g_s[2]
                around = environment_adjoint(s, raw.basis, w_s, g_d, sh)
            from_lights = direct_adjoint(s, seen, kind, lights, m, g_lights)
            a = sum_adjoints(from_lights, around, m, s)
            back = wp.transpose(rotation(views, view))
            g_normal[i] = back * a.n
            g_position[i] = back * (a.p - (a.v - wp.dot(s.v, a.v) * s.v) / s.distance)
            if roughness[i] > MIN_PERCEPTUAL_ROUGHNESS:
                g_roughness[i] = 2.0 * roughness[i] * a.alpha
            g_albedo[i] = m.albedo
            g_metallic[i] = m.metallic
            g_f0 += m.f0
            if visibility.shape[0] > 0:
                g_visibility[i] = from_lights.seen
            if ao.shape[0] > 0:
                g_ao[i] = m.ao
    add_environment(g_red, g_green, g_blue, g_nine, g_mean, g_sh)
    wp.atomic_add(g_specular_f0, 0, g_f0)
