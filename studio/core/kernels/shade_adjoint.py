"""The adjoint of shade.py, written out: gradients of surface, lights and environment.

It recomputes the forward values, which costs less than storing them. What all pixels share is
gathered over a block of pixels (lights) or a thread's run of them (environment) and added once.
C++ of lanes (see lanes.py).
"""

from __future__ import annotations

import warp as wp

from studio.core.kernels.ggx import GGX_ADJOINT
from studio.core.kernels.lanes import EACH_BLOCK
from studio.core.kernels.rows import native
from studio.core.kernels.shade import SHADING
from studio.core.kernels.shade_lights import READ_BLOCK
from studio.core.kernels.shade_material import MATERIAL_ADJOINT

wp.set_module_options({"enable_backward": False})

# Gradients of surfaces, to which each light adds.
_LIGHT = """
    struct LightAdjoint { V vector, radiance, axis; F outer, inner, none; };  // the rows of `lights`
    struct SurfaceAdjoint {
        V n, v, p;
        F alpha, nov;
        // Adds what one light gives, for g at Incoming; returns the gradient of its visibility.
        F pull(const Surface& s, int kind, const float* light, F open, const Incoming& g, LightAdjoint& to) {
            const Ray ray = Ray::of(s, kind, light);
            const Half half = Half::of(s.n, s.v, ray.l, ray.nol, s.nov, s.alpha);
            const Lobe lobe = Lobe::of(half, ray.nol);
            const V radiance = V::of(light + 3);
            const F arriving = ray.near * ray.inside;
            const V e = radiance * (arriving * open);
            const V more = g.s1 - g.s0, weighted = g.s0 + more * lobe.fresnel;
            const V g_e = g.diffuse * ray.nol + weighted * lobe.value;
            const F g_open = g_e.dot(radiance), g_nol = g.diffuse.dot(e);
            const LobeAdjoint back = LobeAdjoint::of(half, s.n, ray.l, ray.nol, s.nov, s.alpha,
                                                     weighted.dot(e), more.dot(e) * lobe.value);
            V g_l = back.l + s.n * g_nol;
            if (kind == SPOT) {
                const V axis = V::of(light + 6);
                const F t = Ray::fade(ray.cosine, light);
                const F slope = g_open * ray.near * open * 6.0f * t * (1.0f - t) * (1.0f / Ray::width(light));
                g_l += axis * slope;
                to.axis += ray.l * slope;
                to.outer += slope * (t - 1.0f);
                to.inner -= slope * t;
            }
            const F inverse = 1.0f / ray.length;
            V g_d = (g_l - ray.l * ray.l.dot(g_l)) * inverse;
            if (kind != DIRECTIONAL) {
                const auto far = ray.length * ray.length > MIN_DISTANCE2;
                g_d -= ray.l * (far ? 2.0f * g_e.dot(e) * inverse : F(0.0f));
                p -= g_d;
            }
            n += back.n + ray.l * g_nol;
            v += back.v;
            nov += back.nov;
            alpha += back.alpha;
            to.vector += g_d;
            to.radiance += g_e * (arriving * open);
            return g_open * arriving;
        }
    };
"""

# Through both lookups of the environment: adds to the gradients of its coefficients, `to` [25, 3],
# and of the surface.
_ENVIRONMENT = """
    struct EnvironmentAdjoint {
        // Gradient before the soft clamp; adds to that of the mean, the first coefficient's.
        static V unclamped(V x, const float* mean, V g, F* to) {
            const SoftClamp::Slope a = SoftClamp::slope(x.x, mean[0]), b = SoftClamp::slope(x.y, mean[1]);
            const SoftClamp::Slope c = SoftClamp::slope(x.z, mean[2]);
            to[0] += K0 * a.mean * g.x;
            to[1] += K0 * b.mean * g.y;
            to[2] += K0 * c.mean * g.z;
            return {a.x * g.x, b.x * g.y, c.x * g.z};
        }
        static void spread(const F* y, V g, F* to, int count) {
            for (int k = 0; k < count; ++k) {
                to[3 * k] += y[k] * g.x;
                to[3 * k + 1] += y[k] * g.y;
                to[3 * k + 2] += y[k] * g.z;
            }
        }
        static void weights(const float* sh, V g, F* w, int count) {
            for (int k = 0; k < count; ++k) w[k] = V::of(sh + 3 * k).dot(g);
        }
        static void pull(const Surface& s, const Lookup& raw, const float* sh, const float* mean, V g_diffuse,
                         V g_specular, SurfaceAdjoint& o, F* to) {
            const V g_d = unclamped(raw.diffuse, mean, g_diffuse, to);
            const V g_s = unclamped(raw.specular, mean, g_specular, to);
            spread(raw.nine, g_d, to, 9);
            spread(raw.basis, g_s, to, 25);
            F w[25];
            weights(sh, g_d, w, 9);
            o.n += Harmonics::irradiance_gradient(s.n, w);
            weights(sh, g_s, w, 25);
            o.alpha -= Harmonics::curvature(raw.basis, w) * LobeBlur::slope(s.alpha);
            Harmonics::blur(w, raw.blur);
            const V g_r = Harmonics::gradient(s.reflected(), w);
            const F along = 2.0f * s.n.dot(g_r);
            o.n += g_r * (2.0f * s.raw_nov) + s.v * along;
            o.v += s.n * along - g_r;
        }
    };
"""

_SETUP = """
    Upstream g[GROUPS];
    MaterialAdjoint m[GROUPS];
    SurfaceAdjoint a[GROUPS];
    F g_open[GROUPS][4], g_seen[GROUPS][2], of_rough[GROUPS], of_f0[1] = {F(0.0f)}, of_sh[75];
    for (int k = 0; k < 75; ++k) of_sh[k] = F(0.0f);
    for (int j = 0; j < GROUPS; ++j) g[j] = {};
    constexpr int UP = sizeof(Upstream) / sizeof(F), STEP_M = sizeof(MaterialAdjoint) / sizeof(F);
    constexpr int STEP_A = sizeof(SurfaceAdjoint) / sizeof(F);
    const bool offers =
        g_irradiance.shape[0] + g_base.shape[0] + g_reflectance.shape[0] + g_reflection.shape[0] > 0;
    // Of Incoming::add_panel: `g_seen` in place of `seen`; returns the gradient of its visibility.
    auto pull_panel = [&](const float* light, const F* seen, F open, const Incoming& g, LightAdjoint& to,
                          F* g_seen) {
        const V radiance = V::of(light + 3), g_e = g.diffuse * seen[0] + g.glossy * seen[1];
        to.radiance += g_e * open;
        g_seen[0] = g.diffuse.dot(radiance) * open;
        g_seen[1] = g.glossy.dot(radiance) * open;
        return g_e.dot(radiance);
    };
    auto pull_light = [&](int i, int panel) {
        const float* light = (const float*)lights.data + 12 * i;
        const bool wide = kinds[i] == AREA;
        LightAdjoint to = {};
        if (wide) read(panels, seen[0], 2, 2, 2 * panel);
        for (int j = 0; j < groups; ++j) {
            const F part = i < 4 ? open[j][i] : F(1.0f);
            F of_open;
            if (wide) of_open = pull_panel(light, seen[j], part, m[j].in, to, g_seen[j]);
            else of_open = a[j].pull(s[j], kinds[i], light, part, m[j].in, to);
            if (i < 4) g_open[j][i] = of_open;
        }
        if (wide) write(g_panels, g_seen[0], 2, 2, 2 * panel);
        add(&to.vector.x, (float*)g_lights.data + 12 * i, kinds[i] == SPOT ? 11 : 6);
    };
    // NoV is n . v, and everything goes back to world space.
    auto finish = [&](const Surface& s, const MaterialAdjoint& m, SurfaceAdjoint& a, F& of_rough,
                      const float* view) {
        const F nov = s.raw_nov > MIN_NOV ? a.nov + m.nov : F(0.0f);
        const V g_v = a.v + s.n * nov;
        a.n = (a.n + s.v * nov).back_by(view);
        a.p = (a.p - (g_v - s.v * s.v.dot(g_v)) * (1.0f / s.distance)).back_by(view);
        of_rough = s.rough > MIN_ROUGHNESS ? 2.0f * s.rough * (a.alpha + m.alpha) : F(0.0f);
    };
"""

_BLOCK = """
        read(g_color, &g[0].color.x, UP, 3);
        read(g_irradiance, &g[0].irradiance.x, UP, 3);
        read(g_base, &g[0].base.x, UP, 3);
        read(g_reflectance, &g[0].reflectance.x, UP, 3);
        read(g_reflection, &g[0].reflection.x, UP, 3);
        for (int k = count; k < groups * WIDE; ++k)  // what only fills up the last group
            for (int c = 0; c < UP; ++c) ((float*)(&g[groups - 1].color.x + c))[k % WIDE] = 0.0f;
        for (int j = 0; j < groups; ++j) {
            a[j] = {};
            for (int i = 0; i < 4; ++i) g_open[j][i] = F(0.0f);
            Lookup raw;
            if (!mapped) around[j].look(raw, s[j], S, mean);
            m[j] = MaterialAdjoint::of(s[j], in[j], around[j], g[j], f0, offers, occluded);
            of_f0[0] += m[j].f0;
            if (!mapped) EnvironmentAdjoint::pull(s[j], raw, S, mean, m[j].env_d, m[j].env_s, a[j], of_sh);
        }
        for (int i = 0, panel = 0; i < lamps; ++i) pull_light(i, kinds[i] == AREA ? panel++ : 0);
        for (int j = 0; j < groups; ++j) finish(s[j], m[j], a[j], of_rough[j], view);
        write(g_albedo, &m[0].albedo.x, STEP_M, 3);
        write(g_metallic, &m[0].metallic, STEP_M, 1);
        write(g_normal, &a[0].n.x, STEP_A, 3);
        write(g_position, &a[0].p.x, STEP_A, 3);
        write(g_roughness, of_rough, 1, 1);
        write(g_visibility, g_open[0], 4, 4);
        write(g_ao, &m[0].ao, STEP_M, 1);
        write(g_env_diffuse, &m[0].env_d.x, STEP_M, 3);
        write(g_env_specular, &m[0].env_s.x, STEP_M, 3);
    }
    add(of_sh, (float*)g_sh.data, 75);
    add(of_f0, (float*)g_specular_f0.data, 1);
"""

_BACKWARD = (
    SHADING
    + GGX_ADJOINT
    + MATERIAL_ADJOINT
    + _LIGHT
    + _ENVIRONMENT
    + _SETUP
    + EACH_BLOCK
    + READ_BLOCK
    + _BLOCK
)


@native(_BACKWARD)
def shade_run_backward(
    first: int,
    run: int,
    view_pixels: int,
    rast: wp.array(dtype=wp.vec4),
    albedo: wp.array(dtype=wp.vec3),
    normal: wp.array(dtype=wp.vec3),
    position: wp.array(dtype=wp.vec3),
    roughness: wp.array(dtype=float),
    metallic: wp.array(dtype=float),
    visibility: wp.array(dtype=wp.vec4),
    panels: wp.array2d(dtype=float),
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
    g_panels: wp.array2d(dtype=float),
    g_ao: wp.array(dtype=float),
    g_env_diffuse: wp.array(dtype=wp.vec3),
    g_env_specular: wp.array(dtype=wp.vec3),
    g_lights: wp.array2d(dtype=wp.vec3),
    g_sh: wp.array(dtype=wp.vec3),
    g_specular_f0: wp.array(dtype=float),
): ...


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
    visibility: wp.array(dtype=wp.vec4),
    panels: wp.array2d(dtype=float),
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
    g_panels: wp.array2d(dtype=float),
    g_ao: wp.array(dtype=float),
    g_env_diffuse: wp.array(dtype=wp.vec3),
    g_env_specular: wp.array(dtype=wp.vec3),
    g_lights: wp.array2d(dtype=wp.vec3),
    g_sh: wp.array(dtype=wp.vec3),
    g_specular_f0: wp.array(dtype=float),
):
    first = (begin + wp.tid()) * run
    shade_run_backward(
        first,
        wp.min(run, rast.shape[0] - first),
        view_pixels,
        rast,
        albedo,
        normal,
        position,
        roughness,
        metallic,
        visibility,
        panels,
        ao,
        env_diffuse,
        env_specular,
        views,
        kind,
        lights,
        sh,
        specular_f0,
        g_color,
        g_irradiance,
        g_base,
        g_reflectance,
        g_reflection,
        g_albedo,
        g_normal,
        g_position,
        g_roughness,
        g_metallic,
        g_visibility,
        g_panels,
        g_ao,
        g_env_diffuse,
        g_env_specular,
        g_lights,
        g_sh,
        g_specular_f0,
    )
