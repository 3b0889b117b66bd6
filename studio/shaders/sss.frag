// Subsurface scattering; the twin of studio/core/ops/sss.py, which has the formulas.
#include "common/frame.glsl"
#include "common/spread.glsl"

uniform sampler2D u_irradiance;
uniform sampler2D u_diffuse_albedo;
uniform vec3 u_distance;   // world, per channel
uniform int u_split;       // albedo on the way out, on both, on the way in
uniform vec2 u_pixels;     // of a unit at depth 1
uniform ivec2 u_spacing;   // of taps, in pixels

const float FLOOR = 1.0e-3;

vec3 before(vec3 albedo) {
    return u_split == 0 ? vec3(1.0) : u_split == 1 ? sqrt(max(albedo, FLOOR)) : albedo;
}

vec3 after(vec3 albedo) {
    return u_split == 0 ? albedo : u_split == 1 ? sqrt(max(albedo, FLOOR)) : vec3(1.0);
}

#if defined(PASS_LIGHT)
layout(location = WRITE_LIGHT) out vec4 f_light;  // rgb what is blurred, a whether it scatters

void main() {
    vec2 p = vec2(pixel()) + 0.5;
    vec3 light = texel(u_irradiance, p).rgb * before(texel(u_diffuse_albedo, p).rgb);
    f_light = vec4(light, texel(u_gbuffer_emission, p).a > 0.0 ? 1.0 : 0.0);
}

#elif !defined(PASS_COMBINE)
uniform int u_taps;  // on each side; no constant, or the loop is unrolled

#ifdef PASS_ACROSS
layout(location = WRITE_ACROSS) out vec4 f_blurred;
uniform sampler2D u_light;
#define SOURCE u_light
#else
layout(location = WRITE_DOWN) out vec4 f_blurred;
uniform sampler2D u_across;
#define SOURCE u_across
#endif

// Positions are in pixels of the picture that is blurred: of every second one at half size.
#ifdef HALF
#define SIZE ceil(0.5 * u_size)
#else
#define SIZE u_size
#endif

// World normal and depth.
vec4 surface(vec2 at) {
#ifdef HALF
    return half_texel(u_half, at);
#else
    return vec4(texel(u_gbuffer_normal, at).xyz, texel(u_depth, at).r);
#endif
}

void main() {
    vec2 here = gl_FragCoord.xy;
    vec4 source = textureLod(SOURCE, here / SIZE, 0.0), own = surface(here);
#ifdef PASS_ACROSS
    vec2 apart = vec2(u_spacing.x, 0.0);
    float scale = float(u_spacing.x) / u_pixels.x;
#else
    vec2 apart = vec2(0.0, u_spacing.y);
    float scale = float(u_spacing.y) / u_pixels.y;
#endif
    vec3 x = scale * own.w / u_distance;
    vec3 f = exp(-0.5 * x * x), r = f * f * f, f2 = f * f;
    float s = (u_distance.r + u_distance.g + u_distance.b) / 3.0;
    float stop = 0.5 / (s * s);
    vec3 total = 3.0 * source.rgb, weights = vec3(3.0);
    int taps = source.a > 0.0 ? u_taps : 0;
    for (int k = 1; k <= taps; k++) {
        vec3 near = f * f, w = f + 2.0 * near * near;
        for (int side = -1; side <= 1; side += 2) {
            vec2 at = here + float(side * k) * apart;
            vec4 there = surface(at), light = textureLod(SOURCE, at / SIZE, 0.0);
            bool inside = all(greaterThan(at, vec2(0.0))) && all(lessThan(at, SIZE));
            float v = max(dot(own.xyz, there.xyz), 0.0), gap = there.w - own.w;
            vec3 weight = w * (inside && light.a > 0.0 ? v * v * exp(-gap * gap * stop) : 0.0);
            total += weight * light.rgb;
            weights += weight;
        }
        f *= r;
        r *= f2;
    }
    f_blurred = vec4(taps > 0 ? total / weights : source.rgb, source.a);
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

// Light i that comes through from behind (Jimenez et al. 2010), for its kind, which is a constant.
vec3 through(int i, int kind, float thickness, float hidden, vec3 n, vec3 p) {
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
    return exp(-thickness / u_distance) * u_light_radiance[i] * (share * wrapped * hidden);
}

vec3 through() {
    vec3 n = mat3(u_world_to_light) * texture(u_gbuffer_normal, v_uv).xyz;
    vec3 p = (u_world_to_light * vec4(texture(u_gbuffer_position, v_uv).xyz, 1.0)).xyz;
    vec4 thickness = texture(u_thickness, v_uv), hidden = 1.0 - texture(u_shadow, v_uv);
    vec3 sum = vec3(0.0);
#ifdef LIGHT_0
    sum += through(0, LIGHT_0, thickness.x, hidden.x, n, p);
#endif
#ifdef LIGHT_1
    sum += through(1, LIGHT_1, thickness.y, hidden.y, n, p);
#endif
#ifdef LIGHT_2
    sum += through(2, LIGHT_2, thickness.z, hidden.z, n, p);
#endif
#ifdef LIGHT_3
    sum += through(3, LIGHT_3, thickness.w, hidden.w, n, p);
#endif
    return sum;
}
#endif

void main() {
    vec3 albedo = texture(u_diffuse_albedo, v_uv).rgb;
    float subsurface = texture(u_gbuffer_emission, v_uv).a;
#ifdef HALF
    vec3 light = spread(u_down, gl_FragCoord.xy).rgb;
#else
    vec3 light = texture(u_down, v_uv).rgb;
#endif
    vec3 change = after(albedo) * light - albedo * texture(u_irradiance, v_uv).rgb;
#if defined(HAS_THICKNESS) && defined(HAS_SHADOW)
    change += u_translucency * albedo * through();
#endif
    f_color = vec4(subsurface > 0.0 ? u_strength * subsurface * change : vec3(0.0), 0.0);
}
#endif
