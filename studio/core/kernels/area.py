"""What a rectangle of light sends to a pixel: a diffuse and a glossy form factor, and the adjoint.

The form factors are C++ of lanes (see area_lanes.py); the adjoint is by hand and computes them anew.
`light` is rows of three: middle, axis, right, (half width, half height, 0).
"""

from __future__ import annotations

import warp as wp

from studio.core.kernels.area_lanes import FORM_FACTORS, READ_BLOCK, SURFACE
from studio.core.kernels.brdf import LIMITS
from studio.core.kernels.lanes import EACH_BLOCK, IMAGES, LANES
from studio.core.kernels.rows import native

wp.set_module_options({"enable_backward": False})

# The form factors of one group of pixels.
_SEEN = """
    const float* T = (const float*)table.data;
    const int size = table.shape[1];
    struct Seen {
        Polygon plain, glossy;
        Transform lobe;
        void at(const Surface& s, const Panel& panel, const float* table, int size) {
            lobe.at(s.rough, s.nov, table, size);
            s.corners(panel, plain.c);
            for (int k = 0; k < 4; ++k) glossy.c[k] = lobe.turned(plain.c[k]);
            plain.see();
            glossy.see();
        }
    };
"""

_FORWARD = """
    F seen[GROUPS][2];
    auto look = [&](const Surface& s, F* to) {
        to[0] = to[1] = F(0.0f);
        if (!Each::any(s.facing)) return;
        Seen o;
        o.at(s, panel, T, size);
        to[0] = s.facing ? o.plain.value : F(0.0f);
        const F glossy = o.glossy.value + (o.plain.value - o.glossy.value) * o.lobe.value[4];
        to[1] = s.facing ? glossy : F(0.0f);
    };
"""

_LOOK = """
        for (int j = 0; j < groups; ++j) {
            s[j].place(view, panel);
            look(s[j], seen[j]);
        }
        write(out, seen[0], 2, 2);
    }
"""

# Gradients of a surface and, gathered over a run, of the panel.
_PULL = """
    struct SurfaceAdjoint { V n, p; F rough; } a[GROUPS];
    struct PanelAdjoint { V middle, x, y; } of_panel = {};
    constexpr int STEP_A = sizeof(SurfaceAdjoint) / sizeof(F);
    F g[GROUPS][2];
    // From the corners to the axes of the surface, to its middle and to the panel's sides.
    auto pull_corners = [&](const Surface& s, const V* to, V& g_t, V& g_b, V& g_n) {
        const V g_q = to[0] + to[1] + to[2] + to[3];
        const V g_x = to[1] + to[2] - to[0] - to[3], g_y = to[2] + to[3] - to[0] - to[1];
        g_t = panel.x * g_x.x + panel.y * g_y.x + s.middle * g_q.x;
        g_b = panel.x * g_x.y + panel.y * g_y.y + s.middle * g_q.y;
        g_n = panel.x * g_x.z + panel.y * g_y.z + s.middle * g_q.z;
        of_panel.x += s.world(g_x);
        of_panel.y += s.world(g_y);
        const V g_middle = s.world(g_q);
        of_panel.middle += g_middle;
        return g_middle;
    };
    auto pull = [&](const Surface& s, const F* g, const float* view, SurfaceAdjoint& a) {
        a = {};
        if (!Each::any(s.facing)) return;
        Seen o;
        o.at(s, panel, T, size);
        const F g_plain = s.facing ? g[0] : F(0.0f), g_glossy = s.facing ? g[1] : F(0.0f);
        const F share = o.lobe.value[4];
        V to[4], turned[4];
        o.plain.pull(g_plain + g_glossy * share, to);
        o.glossy.pull(g_glossy * (1.0f - share), turned);
        F g_lobe[5] = {F(0.0f), F(0.0f), F(0.0f), F(0.0f), g_glossy * (o.plain.value - o.glossy.value)};
        for (int k = 0; k < 4; ++k) {
            g_lobe[0] += turned[k].x * o.plain.c[k].x;
            g_lobe[1] += turned[k].x * o.plain.c[k].z;
            g_lobe[2] += turned[k].z * o.plain.c[k].x;
            g_lobe[3] += turned[k].z * o.plain.c[k].z;
            to[k] += o.lobe.back(turned[k]);
        }
        V g_t, g_b, g_n;
        const V g_middle = pull_corners(s, to, g_t, g_b, g_n);
        g_n += s.t.cross(g_b);
        g_t += g_b.cross(s.n);
        const V g_chosen = (g_t - s.t * s.t.dot(g_t)) * s.inverse, none = V::all(F(0.0f));
        F of_rough, of_nov;
        o.lobe.pull(g_lobe, s.nov, size, of_rough, of_nov);
        of_nov = s.raw_nov > MIN_NOV ? of_nov : F(0.0f);
        of_nov -= s.straight ? F(0.0f) : s.n.dot(g_chosen);
        g_n += V::pick(s.straight, s.aside.cross(g_chosen), g_chosen * -s.raw_nov) + s.v * of_nov;
        const V g_v = V::pick(s.straight, none, g_chosen) + s.n * of_nov;
        const V g_d = g_middle + (g_v - s.v * s.v.dot(g_v)) * (1.0f / s.distance);
        a.n = g_n.back_by(view);
        a.p = (none - g_d).back_by(view);
        a.rough = s.raw_rough > MIN_ROUGHNESS ? of_rough : F(0.0f);
        a.rough = s.raw_rough <= 1.0f ? a.rough : F(0.0f);
    };
"""

_PULL_BLOCK = """
        read(grad, g[0], 2, 2);
        for (int k = count; k < groups * WIDE; ++k)  // what only fills up the last group
            for (int c = 0; c < 2; ++c) ((float*)&g[groups - 1][c])[k % WIDE] = 0.0f;
        for (int j = 0; j < groups; ++j) {
            s[j].place(view, panel);
            pull(s[j], g[j], view, a[j]);
        }
        write(g_normal, &a[0].n.x, STEP_A, 3);
        write(g_position, &a[0].p.x, STEP_A, 3);
        write(g_roughness, &a[0].rough, STEP_A, 1);
    }
    // x = right * width, y = (axis x right) * height.
    const V up = of_panel.y * F(L[10]);
    struct { V middle, axis, right; F width, height; } of_light = {
        of_panel.middle, panel.right.cross(up), of_panel.x * F(L[9]) + up.cross(panel.axis),
        of_panel.x.dot(panel.right), of_panel.y.dot(panel.up)};
    add(&of_light.middle.x, (float*)g_light.data, 11);
"""

_SHARED = LANES + LIMITS + FORM_FACTORS + SURFACE + _SEEN + IMAGES


@native(_SHARED + _FORWARD + EACH_BLOCK + READ_BLOCK + _LOOK)
def look_run(
    first: int,
    run: int,
    view_pixels: int,
    rast: wp.array(dtype=wp.vec4),
    normal: wp.array(dtype=wp.vec3),
    position: wp.array(dtype=wp.vec3),
    roughness: wp.array(dtype=float),
    views: wp.array2d(dtype=wp.vec3),
    table: wp.array2d(dtype=wp.vec4),
    light: wp.array(dtype=wp.vec3),
    out: wp.array(dtype=wp.vec2),
): ...


@wp.kernel
def area_light(
    begin: int,
    run: int,
    view_pixels: int,
    rast: wp.array(dtype=wp.vec4),
    normal: wp.array(dtype=wp.vec3),
    position: wp.array(dtype=wp.vec3),
    roughness: wp.array(dtype=float),
    views: wp.array2d(dtype=wp.vec3),
    table: wp.array2d(dtype=wp.vec4),
    light: wp.array(dtype=wp.vec3),
    out: wp.array(dtype=wp.vec2),
):
    first = (begin + wp.tid()) * run
    end = wp.min(run, rast.shape[0] - first)
    look_run(first, end, view_pixels, rast, normal, position, roughness, views, table, light, out)


@native(_SHARED + _PULL + EACH_BLOCK + READ_BLOCK + _PULL_BLOCK)
def pull_run(
    first: int,
    run: int,
    view_pixels: int,
    rast: wp.array(dtype=wp.vec4),
    normal: wp.array(dtype=wp.vec3),
    position: wp.array(dtype=wp.vec3),
    roughness: wp.array(dtype=float),
    views: wp.array2d(dtype=wp.vec3),
    table: wp.array2d(dtype=wp.vec4),
    light: wp.array(dtype=wp.vec3),
    grad: wp.array(dtype=wp.vec2),
    g_normal: wp.array(dtype=wp.vec3),
    g_position: wp.array(dtype=wp.vec3),
    g_roughness: wp.array(dtype=float),
    g_light: wp.array(dtype=wp.vec3),
): ...


@wp.kernel
def area_light_backward(
    begin: int,
    run: int,
    view_pixels: int,
    rast: wp.array(dtype=wp.vec4),
    normal: wp.array(dtype=wp.vec3),
    position: wp.array(dtype=wp.vec3),
    roughness: wp.array(dtype=float),
    views: wp.array2d(dtype=wp.vec3),
    table: wp.array2d(dtype=wp.vec4),
    light: wp.array(dtype=wp.vec3),
    grad: wp.array(dtype=wp.vec2),
    g_normal: wp.array(dtype=wp.vec3),
    g_position: wp.array(dtype=wp.vec3),
    g_roughness: wp.array(dtype=float),
    g_light: wp.array(dtype=wp.vec3),
):
    first = (begin + wp.tid()) * run
    pull_run(
        first,
        wp.min(run, rast.shape[0] - first),
        view_pixels,
        rast,
        normal,
        position,
        roughness,
        views,
        table,
        light,
        grad,
        g_normal,
        g_position,
        g_roughness,
        g_light,
    )
