"""Metallic-roughness shading of covered pixels: direct lights plus an environment.

A thread walks a run of pixels and skips the empty ones; what it does with them is C++ of lanes (see
lanes.py and shade_lights.py). The adjoint is in shade_adjoint.py. Channels that are not there are
arrays of no elements: who gets through to each light, the form factors of area lights, ambient
occlusion, light of an environment map (in place of the spherical harmonics), and of the outputs all
but the colour.
"""

from __future__ import annotations

import warp as wp

from studio.core.kernels.brdf import BRDF
from studio.core.kernels.ggx import GGX
from studio.core.kernels.lanes import EACH_BLOCK, IMAGES, LANES
from studio.core.kernels.rows import native
from studio.core.kernels.sh import HARMONICS
from studio.core.kernels.shade_lights import (
    BLOCK_STATE,
    ENVIRONMENT,
    LIGHTS,
    MATERIAL,
    READ_BLOCK,
    SURFACE,
)

wp.set_module_options({"enable_backward": False})

SHADING = LANES + BRDF + GGX + HARMONICS + SURFACE + LIGHTS + MATERIAL + ENVIRONMENT + IMAGES + BLOCK_STATE

_FORWARD = (
    SHADING
    + """
    struct Out { V color, irradiance, base, reflectance, reflection; } out[GROUPS];
    constexpr int OUT = sizeof(Out) / sizeof(F);
    auto shade = [&](const Surface& s, const Incoming& in, const Around& around, Out& o) {
        const Material m = Material::of(s, f0);
        const V mirrored = around.specular * around.so, all = mirrored + in.glossy;
        o.irradiance = in.diffuse + around.diffuse * around.ao;
        o.base = s.albedo * ((1.0f - s.metallic) * m.entering());
        o.color = o.base * o.irradiance + m.specular(s, in.s0 + all * m.a, in.s1 + all * m.b);
        o.reflectance = m.specular(s, V::all(m.a), V::all(m.b));
        o.reflection = mirrored;
    };
"""
    + EACH_BLOCK
    + READ_BLOCK
    + """
        for (int j = 0; j < groups; ++j) {
            Lookup raw;
            if (!mapped) around[j].look(raw, s[j], S, mean);
            shade(s[j], in[j], around[j], out[j]);
        }
        write(color, &out[0].color.x, OUT, 3);
        write(irradiance, &out[0].irradiance.x, OUT, 3);
        write(diffuse_albedo, &out[0].base.x, OUT, 3);
        write(reflectance, &out[0].reflectance.x, OUT, 3);
        write(reflection, &out[0].reflection.x, OUT, 3);
    }
"""
)


@native(_FORWARD)
def shade_run(
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
    color: wp.array(dtype=wp.vec3),
    irradiance: wp.array(dtype=wp.vec3),
    diffuse_albedo: wp.array(dtype=wp.vec3),
    reflectance: wp.array(dtype=wp.vec3),
    reflection: wp.array(dtype=wp.vec3),
): ...


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
    panels: wp.array2d(dtype=float),
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
    shade_run(
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
        color,
        irradiance,
        diffuse_albedo,
        reflectance,
        reflection,
    )
