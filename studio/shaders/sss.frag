// Subsurface scattering; the twin of studio/core/ops/sss.py, which has the formulas.
#include "common/frame.glsl"
#include "common/spread.glsl"

uniform sampler2D u_irradiance;
uniform sampler2D u_diffuse_albedo;
uniform vec3 u_distance;   // world, per channel
uniform int u_split;       // albedo on the way out, on both, on the way in
uniform vec2 u_pixels;     // of a unit at depth 1
uniform ivec2 u_spacing;   // of taps, in pixels

const int TAPS = 8;
const float FLOOR = 1.0e-3;

float scatters(ivec2 p) {
    return texelFetch(u_gbuffer_emission, p, 0).a;
}

vec3 before(vec3 albedo) {
    return u_split == 0 ? vec3(1.0) : u_split == 1 ? sqrt(max(albedo, FLOOR)) : albedo;
}

vec3 after(vec3 albedo) {
    return u_split == 0 ? albedo : u_split == 1 ? sqrt(max(albedo, FLOOR)) : vec3(1.0);
}

#ifdef PASS_ACROSS
layout(location = WRITE_ACROSS) out vec4 f_blurred;

vec3 source(ivec2 here) {
    ivec2 p = here * u_step;
    return texelFetch(u_irradiance, p, 0).rgb * before(texelFetch(u_diffuse_albedo, p, 0).rgb);
}
#endif
#ifdef PASS_DOWN
layout(location = WRITE_DOWN) out vec4 f_blurred;

uniform sampler2D u_across;

vec3 source(ivec2 here) {
    return texelFetch(u_across, here, 0).rgb;
}
#endif

#ifndef PASS_COMBINE
// Here and in source(), pixels of the picture that is blurred: of every second one at half size.
vec3 blurred(ivec2 here, ivec2 apart, float pixels) {
    ivec2 size = (ivec2(u_size) + u_step - 1) / u_step;
    float z = texelFetch(u_depth, here * u_step, 0).r;
    vec3 n = texelFetch(u_gbuffer_normal, here * u_step, 0).xyz;
    vec3 x = float(apart.x + apart.y) * z / (pixels * u_distance);
    vec3 f = exp(-0.5 * x * x), r = f * f * f, f2 = f * f;
    float s = (u_distance.r + u_distance.g + u_distance.b) / 3.0;
    vec3 total = 3.0 * source(here), weights = vec3(3.0);
    for (int k = 1; k <= TAPS; k++) {
        vec3 near = f * f, w = f + 2.0 * near * near;
        for (int side = -1; side <= 1; side += 2) {
            ivec2 there = here + side * k * apart, q = there * u_step;
            if (any(lessThan(there, ivec2(0))) || any(greaterThanEqual(there, size))) continue;
            if (scatters(q) <= 0.0) continue;
            float v = max(dot(n, texelFetch(u_gbuffer_normal, q, 0).xyz), 0.0);
            float gap = texelFetch(u_depth, q, 0).r - z;
            vec3 weight = w * (v * v * exp(-gap * gap / (2.0 * s * s)));
            total += weight * source(there);
            weights += weight;
        }
        f *= r;
        r *= f2;
    }
    return total / weights;
}

void main() {
    ivec2 here = ivec2(gl_FragCoord.xy);
#ifdef PASS_ACROSS
    ivec2 apart = ivec2(u_spacing.x, 0);
    float pixels = u_pixels.x;
#else
    ivec2 apart = ivec2(0, u_spacing.y);
    float pixels = u_pixels.y;
#endif
    f_blurred = vec4(scatters(pixel()) > 0.0 ? blurred(here, apart, pixels) : source(here), 1.0);
}

#else
#include "common/lights.glsl"

layout(location = WRITE_COLOR) out vec4 f_color;

uniform sampler2D u_down;
uniform float u_strength;
uniform float u_translucency;

#if defined(HAS_THICKNESS) && defined(HAS_SHADOW)
uniform sampler2D u_thickness;  // component i: how far light i has gone below the surface
uniform sampler2D u_shadow;     // component i: how much of it arrives without

// Light that comes through from behind (Jimenez et al. 2010).
vec3 through(ivec2 at) {
    vec3 n = mat3(u_world_to_light) * texelFetch(u_gbuffer_normal, at, 0).xyz;
    vec3 p = (u_world_to_light * vec4(texelFetch(u_gbuffer_position, at, 0).xyz, 1.0)).xyz;
    vec4 thickness = texelFetch(u_thickness, at, 0), hidden = 1.0 - texelFetch(u_shadow, at, 0);
    vec3 sum = vec3(0.0);
    for (int i = 0; i < u_light_count; i++) {
        int kind = u_light_kind[i];
        vec3 to_light = u_light_vector[i] - (kind != 0 ? p : vec3(0.0));
        float d2 = dot(to_light, to_light);
        vec3 l = to_light * inversesqrt(max(d2, 1.0e-24));
        float share = kind != 0 ? 1.0 / max(d2, 1.0e-4) : 1.0;
        float cosine = dot(u_light_axis[i], l);
        vec4 shape = u_light_shape[i];
        if (kind == 2) {
            float t = clamp((cosine - shape.x) / max(shape.y - shape.x, 1.0e-6), 0.0, 1.0);
            share *= t * t * (3.0 - 2.0 * t);
        }
        if (kind == 3) share *= 4.0 * shape.z * shape.w * max(cosine, 0.0) / 3.14159265;
        float wrapped = clamp(0.3 - dot(n, l), 0.0, 1.0);
        sum += exp(-thickness[i] / u_distance) * u_light_radiance[i] * (share * wrapped * hidden[i]);
    }
    return sum;
}
#endif

void main() {
    ivec2 p = pixel();
    vec3 color = texelFetch(u_color, p, 0).rgb;
    float subsurface = scatters(p);
    if (subsurface > 0.0) {
        vec3 albedo = texelFetch(u_diffuse_albedo, p, 0).rgb;
#ifdef HALF
        vec3 light = spread(u_down, p).rgb;
#else
        vec3 light = texelFetch(u_down, p, 0).rgb;
#endif
        vec3 change = after(albedo) * light - albedo * texelFetch(u_irradiance, p, 0).rgb;
#if defined(HAS_THICKNESS) && defined(HAS_SHADOW)
        change += u_translucency * albedo * through(p);
#endif
        color += u_strength * subsurface * change;
    }
    f_color = vec4(color, 1.0);
}
#endif
